"""Where switches are stored: one row a move of authority, from its request to its end. And changes of rules that are
asked for at a time: one row each."""

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, text

from gateway.database import Instant, Json, metadata

#: A slice has at most one switch that has not ended.
_OPEN = text("ended_at IS NULL")

switch = Table(
    "switch",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("kind", String(10), nullable=False),  # switch, rollback, emergency
    Column("from_stage", String(20), nullable=False),
    Column("to_stage", String(20), nullable=False),
    Column("state", String(12), nullable=False),
    Column("rule", Json, nullable=False),  # what the rule becomes beside its stage
    Column("rule_version", Integer, nullable=False),  # the rule that it was asked for
    Column("reason", Text, nullable=False),
    Column("overridden", Json, nullable=False),  # gates that failed and were overridden, by name
    Column("accepted", Json, nullable=False),  # what the mirror loses, which whoever asked has been shown
    Column("evidence", Json, nullable=False),
    Column("evidence_hash", String(64), nullable=False),  # SHA-256 of the evidence, which the approval signs
    Column("two_person", Boolean, nullable=False),
    Column("requested_by", String(200), nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),  # not approved by then: it ends
    Column("approved_by", String(200)),
    Column("approved_at", Instant),
    Column("epoch", Integer),  # of the fence; what was accepted before it is drained
    Column("fenced_at", Instant),
    Column("drain_until", Instant),
    Column("remaining", Integer),  # deliveries that were still under way at the last look
    Column("counts", Json),  # an emergency's: what it cut off, took back and had still to deliver
    Column("looked_at", Instant, nullable=False),  # whoever carries it was there then
    Column("ended_at", Instant),
    Column("ended_by", String(200)),
    Column("problem", Json),  # why it was aborted
    Index("ix_switch_slice", "entity", "region", "requested_at"),
    Index("uq_switch_open", "entity", "region", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
)

scheduled_change = Table(
    "scheduled_change",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("from_stage", String(20), nullable=False),  # where the slice has to be then
    Column("to_stage", String(20), nullable=False),
    Column("state", String(12), nullable=False),
    Column("effective_at", Instant, nullable=False),
    Column("rule", Json, nullable=False),  # what the rule becomes beside its stage
    Column("reason", Text, nullable=False),
    Column("overridden", Json, nullable=False),  # gates that may fail then, by name
    Column("plan_hash", String(64), nullable=False),  # SHA-256 of all of the above, which an approval signs
    Column("two_person", Boolean, nullable=False),
    Column("requested_by", String(200), nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("approved_by", String(200)),
    Column("approved_at", Instant),
    Column("lease_until", Instant),  # somebody is at it until then
    Column("switch_id", String(48)),  # the switch that carries it through
    Column("ended_at", Instant),
    Column("ended_by", String(200)),
    Column("problem", Json),  # why it was refused
    Index("uq_scheduled_change_open", "entity", "region", "effective_at", unique=True, postgresql_where=_OPEN,
          sqlite_where=_OPEN),
    Index("ix_scheduled_change_due", "effective_at", postgresql_where=_OPEN, sqlite_where=_OPEN),
)  # fmt: skip
