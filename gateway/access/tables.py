"""Where keys and the secret of the deployment are stored."""

from sqlalchemy import Column, Index, LargeBinary, String, Table

from gateway.database import Instant, Json, metadata

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("prefix", String(12), nullable=False),  # twk_ and eight characters: what a list may show
    Column("digest", String(64), nullable=False),  # SHA-256 of the whole key, in hex
    Column("scopes", Json, nullable=False),
    Column("role", String(20)),  # NULL: made by scopes alone
    Column("regions", Json),  # NULL: every region
    Column("entities", Json),  # NULL: every entity
    Column("created_at", Instant, nullable=False),
    Column("created_by", String(200), nullable=False),
    Column("revoked_at", Instant),
    Column("last_used_at", Instant),  # to the minute; never a write per request
    Index(None, "digest", unique=True),
)

instance = Table(
    "instance",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
