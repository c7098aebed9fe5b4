"""What all processes know together of the systems' limits. Moments are microseconds UTC on the database's clock."""

from sqlalchemy import Column, Integer, String, Table, Text

from gateway.database import Instant, metadata

target_gate = Table(
    "target_gate",
    metadata,
    Column("system", String(20), primary_key=True),
    Column("until", Instant, nullable=False),  # nothing is sent to the system before
    Column("since", Instant, nullable=False),
    Column("reason", Text, nullable=False),  # the system's own words
)

target_rate = Table(
    "target_rate",
    metadata,
    Column("system", String(20), primary_key=True),
    Column("next_at", Instant, nullable=False),  # the first moment that no process has taken yet
    Column("day", Integer, nullable=False),  # days since 1970 UTC
    Column("taken", Integer, nullable=False),  # requests of that day
)

replica = Table(
    "replica",
    metadata,
    Column("name", String(48), primary_key=True),  # a process, for as long as it runs
    Column("seen_at", Instant, nullable=False),
)
