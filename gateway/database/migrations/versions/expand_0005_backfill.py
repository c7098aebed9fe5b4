"""Backfills: runs over one slice, and what became of each record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0005_backfill"
down_revision = "expand_0004"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('running', 'paused', 'verifying')")


def upgrade() -> None:
    counters = ("total", "read", "linked", "created", "present", "ambiguous", "blocked", "superseded")
    op.create_table(
        "backfill_run",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("target", sa.String(length=20), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("phase", sa.String(length=12), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("cursor", sa.Text(), nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in counters),
        *(sa.Column(name, sa.Integer(), nullable=True) for name in ("failed", "differs", "unlinked")),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfill_run")),
    )
    op.create_index(
        "uq_backfill_run_open",
        "backfill_run",
        ["entity", "region"],
        unique=True,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )
    op.create_index(
        "ix_backfill_run_due",
        "backfill_run",
        ["next_at"],
        unique=False,
        postgresql_where=_OPEN,
        sqlite_where=_OPEN,
    )
    op.create_table(
        "backfill_item",
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.Column("delivery_id", sa.String(length=48), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("run_id", "record_id", name=op.f("pk_backfill_item")),
    )
    op.create_index(
        "ix_backfill_item_outcome", "backfill_item", ["run_id", "outcome", "record_id"], unique=False
    )


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
