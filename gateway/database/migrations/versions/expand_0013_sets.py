"""The lines that are left of two sources that were read as sets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0013_sets"
down_revision = "expand_0012_merges"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reconcile_left",
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=False),
        sa.Column("lines", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "side", name=op.f("pk_reconcile_left")),
    )


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
