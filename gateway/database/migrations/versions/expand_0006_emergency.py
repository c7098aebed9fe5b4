"""Emergencies: from which epoch on a system lives as an authority, and what a switch has cut off."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0006_emergency"
down_revision = "expand_0005_backfill"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "slice_target",
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("system", sa.String(length=20), nullable=False),
        sa.Column("min_live_epoch", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("entity", "region", "system", name=op.f("pk_slice_target")),
    )
    op.add_column("switch", sa.Column("counts", sa.Text(), nullable=True))


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
