"""Where repairs are kept: the plan with how far it has come, and each of its records."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, text

from gateway.database import Instant, Json, metadata

_ASKED = text("state IN ('requested', 'running', 'verifying')")
_WORKED = text("state IN ('planning', 'requested', 'running', 'verifying')")

repair_run = Table(
    "repair_run",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("reconciliation", String(48), nullable=False),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("source", String(20), nullable=False),
    Column("target", String(20), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("dry_run", Boolean, nullable=False),  # planned, it waits for nobody
    Column("actor", String(200), nullable=False),
    Column("reason", Text),
    Column("chosen", Json, nullable=False),  # which of the reconciliation's differences
    Column("after", String(48), nullable=False),  # the record that it has come to
    Column("total", Integer, nullable=False),  # records of the plan
    Column("looked", Integer, nullable=False),  # records of the reconciliation that were passed in planning
    Column("planned", Json, nullable=False),  # records by action
    Column("money", Json, nullable=False),  # at stake by currency, in what would be written
    Column("plan_hash", String(64)),  # SHA-256 of what would be written where, which the approval signs
    Column("requested_by", String(200)),
    Column("requested_at", Instant),
    Column("expires_at", Instant),  # not approved by then: it ends
    Column("approved_by", String(200)),
    Column("approved_at", Instant),
    Column("failures", Integer, nullable=False),  # in a row
    Column("note", Text),
    Column("token", Integer, nullable=False),  # rises with each claim; what an older holder writes is void
    Column("lease_until", Instant),
    Column("next_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", String(200)),
    # Never two at once that write, or are asked to, over one slice.
    Index(
        "uq_repair_run_asked", "entity", "region", unique=True, postgresql_where=_ASKED, sqlite_where=_ASKED
    ),
    Index("ix_repair_run_due", "next_at", postgresql_where=_WORKED, sqlite_where=_WORKED),
    Index("ix_repair_run_reconciliation", "reconciliation", "id"),
)

repair_item = Table(
    "repair_item",
    metadata,
    Column("repair_id", String(48), primary_key=True),
    Column("record_id", String(48), primary_key=True),
    Column("kind", String(10), nullable=False),  # missing, extra, differs
    Column("action", String(12), nullable=False),
    Column("outcome", String(12), nullable=False),
    Column("why", Text),
    Column("native_id", String(200)),
    Column("digest", String(64), nullable=False),
    Column("changes", Json, nullable=False),
    Column("money", Json, nullable=False),
    Column("deliveries", Json, nullable=False),  # the writes into the target, in their order
    Column("delivery_id", String(48)),  # the last of them
    Column("case_id", String(48)),
    Index("ix_repair_item_outcome", "repair_id", "outcome", "record_id"),
)
