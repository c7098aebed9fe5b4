"""Reconciliations of sources: which one a side of a run is read from, and the rows of it that could not be read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0008_sources"
down_revision = "expand_0007_change_feed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reconcile_run", sa.Column("sources", sa.Text(), nullable=True))
    op.create_table(
        "reconcile_unreadable",
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("field", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "side", "number", name=op.f("pk_reconcile_unreadable")),
    )


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
