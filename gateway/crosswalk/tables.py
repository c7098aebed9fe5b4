"""Where the crosswalk is stored."""

from sqlalchemy import Column, Index, String, Table

from gateway.database import Instant, metadata

crosswalk = Table(
    "crosswalk",
    metadata,
    Column("record_id", String(48), primary_key=True),
    Column("system", String(20), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("native_id", String(200), nullable=False),
    Column("native_version", String(200)),  # etag or stamp for the next conditional write
    Column("linked_at", Instant, nullable=False),
    Index("uq_crosswalk_native", "system", "entity", "native_id", unique=True),
)
