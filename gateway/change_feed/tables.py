"""Where the change feed is kept: how far each feed has come, what a system last showed of a record, what was edited
there, what is to be looked at again, and which webhooks were heard. Moments are microseconds UTC on the database's
clock."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, false

from gateway.database import Instant, Json, metadata

feed = Table(
    "feed_cursor",
    metadata,
    Column("system", String(20), primary_key=True),
    Column("entity", String(40), primary_key=True),
    Column("region", String(40), primary_key=True),
    Column("cursor_at", Instant, nullable=False),  # changes up to here have been taken, by the system's clock
    Column("page", Text),  # where the pass that is under way goes on, in the system's own words
    Column("newest", Instant),  # the newest change that the pass under way has shown
    Column("pass_at", Instant),  # when the pass under way began
    Column("passes_at", Instant, nullable=False),  # when the next pass is to begin
    Column("asked_at", Instant),  # somebody asked for a pass that begins then or later
    Column("drains", Integer),  # epoch of the fence behind which the feed is read on
    Column("read_at", Instant),  # when the last whole pass began: everything older has been seen
    Column("seen", Integer, nullable=False),  # changes that were judged
    Column("echoes", Integer, nullable=False),  # our own writes, and what changed nothing that is kept
    Column("carried", Integer, nullable=False),
    Column("reverted", Integer, nullable=False),
    Column("conflicts", Integer, nullable=False),
    Column("unlinked", Integer, nullable=False),  # records of the last pass that only this system holds
    Column("failures", Integer, nullable=False),  # in a row
    Column("note", Text),
    Column("token", Integer, nullable=False),  # rises with each claim; what an older holder writes is void
    Column("lease_until", Instant),
    Column("next_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_feed_cursor_due", "next_at"),
)

feed_seen = Table(
    "feed_seen",
    metadata,
    Column("record_id", String(48), primary_key=True),
    Column("system", String(20), primary_key=True),
    Column("version", String(200)),
    Column("digest", String(64), nullable=False),  # of the document as it was shown
    Column("document", Json, nullable=False),  # what both have in common: the edits in dispute are not in it
    Column("seq", Integer, nullable=False),  # the last write of ours that had been applied there
    Column("seen_at", Instant, nullable=False),
)

feed_edit = Table(
    "feed_edit",
    metadata,
    Column("position", Integer, primary_key=True, autoincrement=True),
    Column("record_id", String(48), nullable=False),
    Column("system", String(20), nullable=False),
    Column("outcome", String(12), nullable=False),  # carried, reverted, conflict
    Column("operation_id", String(48), nullable=False),
    Column("version", String(200)),
    Column("change", Json, nullable=False),  # field -> [before, after]
    Column("at", Instant, nullable=False),
    Index("ix_feed_edit_record", "record_id", "at"),
    Index("ix_feed_edit_operation", "operation_id"),
    Index("ix_feed_edit_at", "at"),
)

feed_wait = Table(
    "feed_wait",
    metadata,
    Column("system", String(20), primary_key=True),
    Column("record_id", String(48), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("native_id", String(200), nullable=False),
    Column("why", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("later", Boolean, nullable=False, server_default=false()),  # for a person or a system, not for a moment
    Index("ix_feed_wait_due", "system", "entity", "region", "due_at"),
)

feed_hint = Table(
    "feed_hint",
    metadata,
    Column("system", String(20), primary_key=True),
    Column("id_hash", String(64), primary_key=True),  # SHA-256 of the webhook's id
    Column("at", Instant, nullable=False),
    Index("ix_feed_hint_at", "at"),
)
