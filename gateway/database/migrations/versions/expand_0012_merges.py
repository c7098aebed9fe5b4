"""Merges of two records that are one: what the loser is taken for, and who asked for and approved it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "expand_0012_merges"
down_revision = "expand_0011_feed_asked"
branch_labels = None
depends_on = None


def upgrade() -> None:
    merged, stands = sa.text("merged_into IS NOT NULL"), sa.text("stands_for IS NOT NULL")
    op.add_column("record", sa.Column("merged_into", sa.String(length=48), nullable=True))
    op.create_index(
        "ix_record_merged", "record", ["merged_into"], unique=False, postgresql_where=merged, sqlite_where=merged
    )
    op.add_column("crosswalk", sa.Column("stands_for", sa.String(length=48), nullable=True))
    op.create_index(
        "ix_crosswalk_stands_for",
        "crosswalk",
        ["stands_for"],
        unique=False,
        postgresql_where=stands,
        sqlite_where=stands,
    )
    op.create_table(
        "record_merge",
        sa.Column("id", sa.String(length=48), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("entity", sa.String(length=40), nullable=False),
        sa.Column("region", sa.String(length=40), nullable=False),
        sa.Column("loser", sa.String(length=48), nullable=False),
        sa.Column("winner", sa.String(length=48), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("both", sa.Boolean(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("evidence_hash", sa.String(length=64), nullable=False),
        sa.Column("undoes", sa.String(length=48), nullable=True),
        sa.Column("undone_by", sa.String(length=48), nullable=True),
        sa.Column("requested_by", sa.String(length=200), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", sa.String(length=200), nullable=True),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("moved", sa.Text(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.String(length=200), nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record_merge")),
    )
    open_ = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_record_merge_open", "record_merge", ["loser"], unique=True, postgresql_where=open_, sqlite_where=open_
    )
    op.create_index("ix_record_merge_loser", "record_merge", ["loser"], unique=False)
    op.create_index("ix_record_merge_winner", "record_merge", ["winner"], unique=False)
    op.create_index("ix_record_merge_slice", "record_merge", ["entity", "region", "requested_at"], unique=False)


def downgrade() -> None:
    raise RuntimeError("a journal is never taken back; restore a backup instead")
