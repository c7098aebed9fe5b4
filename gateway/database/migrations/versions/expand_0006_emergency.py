"""Emergencies: from which epoch on a system lives as an authority, and what a switch has cut off. Changes of rules that
are asked for at a time. What the guards of slices have seen."""

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
    op.create_table(
        "scheduled_change",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("from_stage", sa.String(length=20), nullable=False),
        sa.Column("to_stage", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("effective_at", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("overridden", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("two_person", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", sa.String(length=200), nullable=True),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("switch_id", sa.String(length=48), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=200), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduled_change")),
    )
    open_ = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_scheduled_change_open",
        "scheduled_change",
        ["entity", "region", "effective_at"],
        unique=True,
        postgresql_where=open_,
        sqlite_where=open_,
    )
    op.create_index(
        "ix_scheduled_change_due",
        "scheduled_change",
        ["effective_at"],
        unique=False,
        postgresql_where=open_,
        sqlite_where=open_,
    )
    op.create_table(
        "guard_watch",
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("failing", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("failed", sa.Text(), nullable=False),
        sa.Column("looked_at", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("acted_at", sa.BigInteger(), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.Column("switch_id", sa.String(length=48), nullable=True),
        sa.PrimaryKeyConstraint("entity", "region", name=op.f("pk_guard_watch")),
    )


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
