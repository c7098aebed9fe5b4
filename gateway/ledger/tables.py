"""The journal's tables. Moments are microseconds UTC on the database's clock."""

from sqlalchemy import Boolean, Column, Computed, Index, Integer, String, Table, Text, UniqueConstraint, text

from gateway.database import Instant, Json, metadata

slice_ = Table(
    "slice",
    metadata,
    Column("entity", String(40), primary_key=True),
    Column("region", String(40), primary_key=True),
    Column("stage", String(20), nullable=False),
    Column("authority", String(20), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("compare_sample", Integer, nullable=False),  # one read in n is compared; 0: none
    Column("storable", Boolean, nullable=False),
    Column(
        "draining", Boolean, nullable=False
    ),  # a move of authority waits for open deliveries; writes are held
    Column("drain_since", Instant),
    Column("note", Text, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

slice_target = Table(
    "slice_target",
    metadata,
    Column("entity", String(40), primary_key=True),
    Column("region", String(40), primary_key=True),
    Column("system", String(20), primary_key=True),
    Column("min_live_epoch", Integer, nullable=False),  # as its authority, this system gets nothing of an older one
)

slice_change = Table(
    "slice_change",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("before", Json),
    Column("after", Json, nullable=False),
    Column("overridden", Json, nullable=False),  # the gates that failed and were overridden, by name
    UniqueConstraint("entity", "region", "version"),
)

#: Few: only records that were merged into others.
_MERGED = text("merged_into IS NOT NULL")

record = Table(
    "record",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("legal_entity", String(40)),
    Column("version", Integer, nullable=False),  # committed writes; 0: its create is not confirmed yet
    Column("seq", Integer, nullable=False),  # number of the last accepted write
    Column("open_writes", Integer, nullable=False),  # accepted and not ended at the authority
    Column("image", Json),  # the document as last confirmed by the authority
    Column("match_key", String(200)),  # finds the same record in another system
    Column(
        "external_refs", Json, nullable=False
    ),  # what the caller knows it by, beside the systems' native ids
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("merged_into", String(48)),  # a tombstone: the record that it is taken for, which is none itself
    Index(None, "entity", "legal_entity", "match_key"),
    Index("ix_record_merged", "merged_into", postgresql_where=_MERGED, sqlite_where=_MERGED),
)

natural_key = Table(
    "natural_key",
    metadata,
    Column("entity", String(40), primary_key=True),
    Column("scope", String(40), primary_key=True),  # the legal entity
    Column("value", String(200), primary_key=True),
    Column("record_id", String(48), nullable=False),
    Index(None, "record_id"),
)

#: The origin of what a repair writes into a mirror: just the fields that were approved.
REPAIR = "repair"

operation = Table(
    "operation",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("record_id", String(48), nullable=False),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("kind", String(12), nullable=False),  # create, update, transition
    Column("state", String(12), nullable=False),
    Column("confirming", Boolean, nullable=False),  # its authority delivery is of unknown outcome
    Column("epoch", Integer, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("authority", String(20), nullable=False),
    Column("mirror", String(20)),
    Column("change", Json, nullable=False),  # the draft, the patch, or the transition
    Column("image", Json),  # the whole post-image, made when the authority delivery is claimed
    Column("marker", String(40), nullable=False),
    Column("client", String(200), nullable=False),
    Column("trace", Json, nullable=False),
    Column("origin", String(40)),  # NULL: a caller; foreign_change: an edit made in a system itself; or REPAIR
    Column("waited_until", Instant, nullable=False),  # until then its caller waits, and a twin is told so
    Column("version", Integer),  # the record's version that it made
    Column("problem", Json),  # why it was refused
    Column(
        "answer", Json
    ),  # the record as its caller was, or would have been, told: a replay says the same bytes
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index(None, "record_id", "seq"),
    Index(None, "entity", "region", "state"),
    Index(None, "marker"),
)

delivery = Table(
    "delivery",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("operation_id", String(48), nullable=False),
    Column("record_id", String(48), nullable=False),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("system", String(20), nullable=False),
    Column("role", String(10), nullable=False),  # authority, mirror
    Column("seq", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", String(12), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("maybe_sent", Integer, nullable=False),  # attempts whose outcome was not a definite no
    Column("lease_until", Instant),
    Column("wake_at", Instant),  # ready: not before; unknown: the next look
    Column("quarantine_until", Instant),  # unknown on a class D system: no resend before
    Column("probes", Integer, nullable=False),
    Column("lease_expiries", Integer, nullable=False),
    Column("source", String(12)),  # what proved it applied: answer, probe, late
    Column("code", String(80)),
    Column("message", Text),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index(None, "record_id", "system", "seq"),
    Index(None, "operation_id"),
    Index(None, "state", "system", "wake_at"),
    Index(None, "entity", "region", "state"),
)

_WAITS = text("wake_at IS NOT NULL")

#: 0 for contracts, times, expenses, invoices and payments, 1 for what they refer to; by the prefix of a record's id.
BILLING_FIRST = (
    "CASE WHEN substr(record_id, 1, 4) IN ('con_', 'tim_', 'exp_', 'inv_', 'pay_') THEN 0 ELSE 1 END"
)

lane = Table(
    "lane",
    metadata,
    Column("record_id", String(48), primary_key=True),
    Column("system", String(20), primary_key=True),
    Column("inflight", String(48)),  # the delivery that is sending or of unknown outcome
    Column("applied_seq", Integer, nullable=False),
    Column("wake_at", Instant),  # when the head of the lane may be claimed; NULL: nothing to claim
    Column("quiet_until", Instant),  # no claim before: an earlier attempt may still land in this system
    # What brings money in goes first when there is a backlog. The database makes it out of the record's id.
    Column("rank", Integer, Computed(BILLING_FIRST, persisted=True), nullable=False),
    # Only lanes that have something to claim: small however many records there are, and of no use to a look by key.
    Index("ix_lane_due", "system", "rank", "wake_at", postgresql_where=_WAITS, sqlite_where=_WAITS),
)

attempt = Table(
    "attempt",
    metadata,
    Column("delivery_id", String(48), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("outcome", String(20)),
    Column("code", String(80)),
    Column("message", Text),
)

late_outcome = Table(
    "late_outcome",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("delivery_id", String(48), nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", Instant, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("native_id", String(200)),
    Column("message", Text),
    Index(None, "delivery_id"),
)

event = Table(
    "operation_event",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("operation_id", String(48), nullable=False),
    Column("record_id", String(48), nullable=False),
    Column("delivery_id", String(48)),
    Column("at", Instant, nullable=False),
    Column("event", String(40), nullable=False),
    Column("detail", Text),
    Index(None, "record_id", "position"),
    Index(None, "operation_id", "position"),
)

idem = Table(
    "idem",
    metadata,
    Column("scope", String(64), primary_key=True),  # SHA-256 of client, method, route and key
    Column("fingerprint", String(64), nullable=False),
    Column("operation_id", String(48)),
    Column("problem", Json),  # the refusal, where nothing was accepted
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Index(None, "expires_at"),
)
