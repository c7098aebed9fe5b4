"""Where the guards of slices keep what they have seen: one row a guarded slice."""

from sqlalchemy import Column, Integer, String, Table

from gateway.database import Instant, Json, metadata

guard_watch = Table(
    "guard_watch",
    metadata,
    Column("entity", String(40), primary_key=True),
    Column("region", String(40), primary_key=True),
    Column("epoch", Integer, nullable=False),  # of the slice when it was last looked at; another begins anew
    Column("failing", Integer, nullable=False),  # windows in a row that have failed
    Column("verdict", String(12)),  # of the last window
    Column("failed", Json, nullable=False),  # its gates that failed, in words
    Column("looked_at", Instant),
    Column("next_at", Instant, nullable=False),
    Column("acted_at", Instant),
    Column("held_until", Instant),  # the guard rests
    Column("switch_id", String(48)),  # the switch back that it has opened
)
