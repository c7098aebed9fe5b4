"""Where backfills are kept: the run with how far it has come, and what became of each record."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, String, Table, Text, text

from gateway.database import Instant, metadata

_OPEN = text("state IN ('running', 'paused', 'verifying')")

backfill_run = Table(
    "backfill_run",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("source", String(20), nullable=False),
    Column("target", String(20), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("phase", String(12), nullable=False),  # count, bring, verify
    Column("actor", String(200), nullable=False),
    Column("reason", Text),
    Column("cursor", Text),  # where the source goes on, in its own words
    Column("total", Integer, nullable=False),  # records that the source listed when it was counted
    Column("read", Integer, nullable=False),  # of these, taken
    Column("linked", Integer, nullable=False),
    Column("created", Integer, nullable=False),
    Column("present", Integer, nullable=False),  # linked before
    Column("ambiguous", Integer, nullable=False),
    Column("blocked", Integer, nullable=False),
    Column("superseded", Integer, nullable=False),
    Column("failed", Integer),  # created, and the target refused; NULL until verified
    Column("differs", Integer),
    Column(
        "unlinked", Integer
    ),  # of the slice, in the source, and in the target neither linked nor on the way
    Column("failures", Integer, nullable=False),  # in a row
    Column("note", Text),
    Column("token", Integer, nullable=False),  # rises with each claim; what an older holder writes is void
    Column("lease_until", Instant),
    Column("next_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", String(200)),
    # Never two at once over one slice.
    Index(
        "uq_backfill_run_open", "entity", "region", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN
    ),
    Index("ix_backfill_run_due", "next_at", postgresql_where=_OPEN, sqlite_where=_OPEN),
)

backfill_item = Table(
    "backfill_item",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("record_id", String(48), primary_key=True),
    Column("outcome", String(20), nullable=False),
    Column("delivery_id", String(48)),
    Column("why", Text),
    Index("ix_backfill_item_outcome", "run_id", "outcome", "record_id"),
)
