"""Reconciliations: runs over whole sets, what they read, their ranges, and the parts of their bridges."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0004"
down_revision = "expand_0003"
branch_labels = None
depends_on = None

_RUNNING = sa.text("state = 'running'")
_UNSWEPT = sa.text("swept = false")
_SUSPECTED = sa.text("term IS NULL")


def upgrade() -> None:
    op.create_table(
        "reconcile_run",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("authority", sa.String(length=20), nullable=False),
        sa.Column("other", sa.String(length=20), nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("phase", sa.String(length=12), nullable=False),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("scope", sa.String(length=64), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("after", sa.String(length=48), nullable=False),
        sa.Column("previous", sa.String(length=48), nullable=True),
        sa.Column("read_authority", sa.Integer(), nullable=False),
        sa.Column("read_mirror", sa.Integer(), nullable=False),
        sa.Column("ranges", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("swept", sa.Boolean(), nullable=False),
        sa.Column("verdict", sa.String(length=12), nullable=True),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconcile_run")),
    )
    op.create_index(
        "uq_reconcile_run_running",
        "reconcile_run",
        ["entity", "region"],
        unique=True,
        postgresql_where=_RUNNING,
        sqlite_where=_RUNNING,
    )
    op.create_index(
        "ix_reconcile_run_due",
        "reconcile_run",
        ["next_at"],
        unique=False,
        postgresql_where=_RUNNING,
        sqlite_where=_RUNNING,
    )
    op.create_index(
        "ix_reconcile_run_unswept",
        "reconcile_run",
        ["id"],
        unique=False,
        postgresql_where=_UNSWEPT,
        sqlite_where=_UNSWEPT,
    )
    op.create_index("ix_reconcile_run_slice", "reconcile_run", ["entity", "region", "id"], unique=False)
    op.create_table(
        "reconcile_row",
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("side", sa.String(length=10), nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "record_id", "side", name=op.f("pk_reconcile_row")),
    )
    op.create_table(
        "reconcile_range",
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("first", sa.String(length=48), nullable=False),
        sa.Column("last", sa.String(length=48), nullable=False),
        sa.Column("authority", sa.String(length=64), nullable=False),
        sa.Column("mirror", sa.String(length=64), nullable=False),
        sa.Column("clean", sa.Boolean(), nullable=False),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.Column("tally", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "first", name=op.f("pk_reconcile_range")),
    )
    op.create_table(
        "reconcile_part",
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("term", sa.String(length=12), nullable=True),
        sa.Column("why", sa.Text(), nullable=True),
        sa.Column("read_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("differences", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "record_id", name=op.f("pk_reconcile_part")),
    )
    op.create_index("ix_reconcile_part_term", "reconcile_part", ["run_id", "term", "record_id"], unique=False)
    op.create_index(
        "ix_reconcile_part_due",
        "reconcile_part",
        ["run_id", "due_at"],
        unique=False,
        postgresql_where=_SUSPECTED,
        sqlite_where=_SUSPECTED,
    )
    op.create_table(
        "reconcile_amount",
        sa.Column("run_id", sa.String(length=48), nullable=False),
        sa.Column("record_id", sa.String(length=48), nullable=False),
        sa.Column("measure", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("authority", sa.Text(), nullable=False),
        sa.Column("mirror", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "run_id", "record_id", "measure", "currency", name=op.f("pk_reconcile_amount")
        ),
    )


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
