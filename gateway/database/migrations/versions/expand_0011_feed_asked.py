"""Feeds that are read when somebody asks: until when, for which fence, and the webhooks that have been heard."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0011_feed_asked"
down_revision = "expand_0009_repair"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("feed_cursor", sa.Column("asked_at", sa.BigInteger(), nullable=True))
    op.add_column("feed_cursor", sa.Column("drains", sa.Integer(), nullable=True))
    op.add_column("feed_wait", sa.Column("later", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "feed_hint",
        sa.Column("system", sa.String(length=20), nullable=False),
        sa.Column("id_hash", sa.String(length=64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system", "id_hash", name=op.f("pk_feed_hint")),
    )
    op.create_index("ix_feed_hint_at", "feed_hint", ["at"])


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
