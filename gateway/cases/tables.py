"""Where cases are kept."""

from sqlalchemy import Column, Index, Integer, String, Table, Text, text

from gateway.database import Instant, Json, metadata

_OPEN = text("state = 'open'")

case_ = Table(
    "case_",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("dedupe_key", String(80), nullable=False),  # kind and subject
    Column("subject", String(48), nullable=False),  # the delivery, or the operation where no delivery is
    Column("kind", String(40), nullable=False),
    Column("state", String(10), nullable=False),
    Column("owner", String(255), nullable=False),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("record_id", String(48), nullable=False),
    Column("operation_id", String(48), nullable=False),
    Column("delivery_id", String(48)),
    Column("system", String(20)),
    Column("role", String(10)),
    Column("code", String(80)),
    Column("message", Text),
    Column("amount", Text),  # decimal text: exact on both databases
    Column("currency", String(3)),
    Column("opened_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("closed_by", String(200)),
    Column("resolution", String(40)),
    Column("reason", Text),
    Column("accepted_until", Instant),
    Column("proposal", Json),
    # Never two open ones about the same, whoever opens them at once.
    Index("uq_case_open", "dedupe_key", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
    # Small however many cases were ever closed: these are asked in the commit of a write.
    Index("ix_case_open_subject", "subject", postgresql_where=_OPEN, sqlite_where=_OPEN),
    Index("ix_case_open_operation", "operation_id", postgresql_where=_OPEN, sqlite_where=_OPEN),
    Index("ix_case_due", "state", "due_at", "id"),
    Index("ix_case_record", "record_id"),
)

case_event = Table(
    "case_event",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("case_id", String(48), nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("event", String(40), nullable=False),
    Column("detail", Text),
    Index("ix_case_event_case", "case_id", "position"),
)
