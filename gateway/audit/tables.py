"""Where the audit is stored."""

from sqlalchemy import Column, Index, Integer, String, Table

from gateway.database import Instant, Json, metadata

audit = Table(
    "audit",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("action", String(80), nullable=False),  # noun.verb: rule.set, key.create …
    Column("subject", String(200), nullable=False),
    Column("detail", Json, nullable=False),
    Index(None, "at"),
    Index(None, "actor", "at"),
)
