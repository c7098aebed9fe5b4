"""The change feed: how far it has come in each system, what was seen and edited there; operations say their origin."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0007_change_feed"
down_revision = "expand_0006_emergency"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operation", sa.Column("origin", sa.String(length=40), nullable=True))
    counters = ("seen", "echoes", "carried", "reverted", "conflicts", "unlinked", "failures")
    op.create_table(
        "feed_cursor",
        sa.Column("system", sa.String(length=20), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("cursor_at", sa.BigInteger(), nullable=False),
        sa.Column("page", sa.Text(), nullable=True),
        *(sa.Column(name, sa.BigInteger(), nullable=True) for name in ("newest", "pass_at", "read_at")),
        sa.Column("passes_at", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counters),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system", "entity", "region", name=op.f("pk_feed_cursor")),
    )
    op.create_index("ix_feed_cursor_due", "feed_cursor", ["next_at"], unique=False)
    op.create_table(
        "feed_seen",
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("system", sa.String(length=20), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("record_id", "system", name=op.f("pk_feed_seen")),
    )
    op.create_table(
        "feed_edit",
        sa.Column("position", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("system", sa.String(length=20), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("operation_id", sa.String(length=48), nullable=False),
        sa.Column("version", sa.String(length=200), nullable=True),
        sa.Column("change", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_feed_edit")),
    )
    op.create_index("ix_feed_edit_record", "feed_edit", ["record_id", "at"], unique=False)
    op.create_index("ix_feed_edit_at", "feed_edit", ["at"], unique=False)
    op.create_index("ix_feed_edit_operation", "feed_edit", ["operation_id"], unique=False)
    op.create_table(
        "feed_wait",
        sa.Column("system", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("native_id", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("system", "record_id", name=op.f("pk_feed_wait")),
    )
    op.create_index("ix_feed_wait_due", "feed_wait", ["system", "entity", "region", "due_at"], unique=False)


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
