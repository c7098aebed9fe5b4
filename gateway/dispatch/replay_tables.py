"""Where bulk replays are kept."""

from sqlalchemy import Column, Index, Integer, String, Table, Text

from gateway.database import Instant, Json, metadata

replay_run = Table(
    "replay_run",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("state", String(12), nullable=False),  # running, done, cancelled
    Column("filter", Json, nullable=False),
    Column("regions", Json),  # what its actor may see; NULL: all
    Column("entities", Json),
    Column("actor", String(200), nullable=False),
    Column("reason", Text, nullable=False),
    Column("total", Integer, nullable=False),  # counted when it began
    Column("replayed", Integer, nullable=False),
    Column("superseded", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("per_s", Integer, nullable=False),  # how many it decides on in a second
    Column("after", String(48), nullable=False),  # the delivery that it has come to
    Column("next_at", Instant, nullable=False),  # the next chunk is not due before
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", String(200)),
    Index(None, "state", "next_at"),
)

replay_refusal = Table(
    "replay_refusal",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("delivery_id", String(48), primary_key=True),
    Column("operation_id", String(48)),
    Column("reason", Text, nullable=False),
)
