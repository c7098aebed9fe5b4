"""Where the crosswalk is stored."""

from sqlalchemy import Boolean, Column, Index, String, Table, Text, text

from gateway.database import Instant, Json, metadata

#: Few: only what records have left that were merged into others.
_STANDS = text("stands_for IS NOT NULL")
_OPEN = text("ended_at IS NULL")

crosswalk = Table(
    "crosswalk",
    metadata,
    Column("record_id", String(48), primary_key=True),
    Column("system", String(20), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("native_id", String(200), nullable=False),
    Column("native_version", String(200)),  # etag or stamp for the next conditional write
    Column("linked_at", Instant, nullable=False),
    Column("stands_for", String(48)),  # its record is a tombstone: whoever names this native record means that one
    Index("uq_crosswalk_native", "system", "entity", "native_id", unique=True),
    Index("ix_crosswalk_stands_for", "stands_for", postgresql_where=_STANDS, sqlite_where=_STANDS),
)

record_merge = Table(
    "record_merge",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("kind", String(10), nullable=False),  # merge, split
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("loser", String(48), nullable=False),
    Column("winner", String(48), nullable=False),
    Column("state", String(12), nullable=False),
    Column("reason", Text, nullable=False),
    Column("both", Boolean, nullable=False),  # although the authority holds each as a record of its own
    Column("evidence", Json, nullable=False),
    Column("evidence_hash", String(64), nullable=False),  # SHA-256 of what the approval signs
    Column("undoes", String(48)),  # a split: the merge that it takes back
    Column("undone_by", String(48)),  # a merge: the split that took it back
    Column("requested_by", String(200), nullable=False),
    Column("requested_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),  # not approved by then: it can only be asked for again
    Column("approved_by", String(200)),
    Column("approved_at", Instant),
    Column("moved", Json),  # done: what it has changed, for the way back
    Column("ended_at", Instant),
    Column("ended_by", String(200)),
    Column("problem", Json),  # why it was aborted
    # A tombstone is made and taken back by one at a time.
    Index("uq_record_merge_open", "loser", unique=True, postgresql_where=_OPEN, sqlite_where=_OPEN),
    Index("ix_record_merge_loser", "loser"),
    Index("ix_record_merge_winner", "winner"),
    Index("ix_record_merge_slice", "entity", "region", "requested_at"),
)
