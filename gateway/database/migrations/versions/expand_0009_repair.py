"""Repairs from the differences of a reconciliation: the plan, and each of its records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0009_repair"
down_revision = "expand_0008_sources"
branch_labels = None
depends_on = None

_ASKED = sa.text("state IN ('requested', 'running', 'verifying')")
_WORKED = sa.text("state IN ('planning', 'requested', 'running', 'verifying')")


def upgrade() -> None:
    op.create_table(
        "repair_run",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("reconciliation", sa.String(length=48), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=20), nullable=False),
        sa.Column("target", sa.String(length=20), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("dry_run", sa.Boolean(), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("chosen", sa.Text(), nullable=False),
        sa.Column("after", sa.String(length=48), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("looked", sa.Integer(), nullable=False),
        sa.Column("planned", sa.Text(), nullable=False),
        sa.Column("money", sa.Text(), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=True),
        sa.Column("requested_by", sa.String(length=200), nullable=True),
        sa.Column("requested_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("approved_by", sa.String(length=200), nullable=True),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repair_run")),
    )
    op.create_index(
        "uq_repair_run_asked",
        "repair_run",
        ["entity", "region"],
        unique=True,
        postgresql_where=_ASKED,
        sqlite_where=_ASKED,
    )
    op.create_index(
        "ix_repair_run_due",
        "repair_run",
        ["next_at"],
        unique=False,
        postgresql_where=_WORKED,
        sqlite_where=_WORKED,
    )
    op.create_index("ix_repair_run_reconciliation", "repair_run", ["reconciliation", "id"], unique=False)
    op.create_table(
        "repair_item",
        sa.Column("repair_id", sa.String(length=48), nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("action", sa.String(length=12), nullable=False),
        sa.Column("outcome", sa.String(length=12), nullable=False),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("native_id", sa.String(length=200), nullable=True),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("money", sa.Text(), nullable=False),
        sa.Column("deliveries", sa.Text(), nullable=False),
        sa.Column("delivery_id", sa.String(length=48), nullable=True),
        sa.Column("case_id", sa.String(length=48), nullable=True),
        sa.PrimaryKeyConstraint("repair_id", "record_id", name=op.f("pk_repair_item")),
    )
    op.create_index(
        "ix_repair_item_outcome", "repair_item", ["repair_id", "outcome", "record_id"], unique=False
    )


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
