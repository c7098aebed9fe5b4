"""Where reconciliations are kept: the run, what it has read, how far it has come, and what it found."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, String, Table, Text, text

from gateway.database import Instant, Json, metadata

_RUNNING = text("state = 'running'")
_UNSWEPT = text("swept = false")
_SUSPECTED = text("term IS NULL")

#: One reconciliation of one slice. How far it has come stands here, so that whoever finds it goes on from there.
reconcile_run = Table(
    "reconcile_run",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("entity", String(40), nullable=False),
    Column("region", String(40), nullable=False),
    Column("authority", String(20), nullable=False),
    Column("other", String(20), nullable=False),
    Column("stage", String(20), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", String(12), nullable=False),  # running, done, cancelled, failed
    Column("phase", String(12), nullable=False),  # authority, mirror, match, recheck, report
    Column("actor", String(200), nullable=False),
    Column("reason", Text),
    Column(
        "scope", String(64), nullable=False
    ),  # hash of how the two are compared: policy, profiles, version
    Column("cursor", Text),  # where the side that is being read goes on, in that system's own words
    Column("after", String(48), nullable=False),  # the record that matching has come to
    Column("previous", String(48)),  # the run whose ranges this one may take over
    Column("read_authority", Integer, nullable=False),  # records that the side has shown so far
    Column("read_mirror", Integer, nullable=False),
    Column("ranges", Integer, nullable=False),  # judged so far
    Column("skipped", Integer, nullable=False),  # of these, taken over from the run before
    Column("failures", Integer, nullable=False),  # in a row
    Column("note", Text),  # what it waits for, or why it failed
    Column("token", Integer, nullable=False),  # rises with each claim; what an older holder writes is void
    Column("lease_until", Instant),
    Column("next_at", Instant, nullable=False),  # the next step is not due before
    Column("swept", Boolean, nullable=False),  # what it had read is deleted again
    Column("verdict", String(12)),
    Column("report", Json),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("ended_by", String(200)),
    Column("sources", Json),  # by side, the source that it is read from; NULL: both through their adapters
    # Never two at once over one slice.
    Index(
        "uq_reconcile_run_running",
        "entity",
        "region",
        unique=True,
        postgresql_where=_RUNNING,
        sqlite_where=_RUNNING,
    ),
    Index("ix_reconcile_run_due", "next_at", postgresql_where=_RUNNING, sqlite_where=_RUNNING),
    Index("ix_reconcile_run_unswept", "id", postgresql_where=_UNSWEPT, sqlite_where=_UNSWEPT),
    Index("ix_reconcile_run_slice", "entity", "region", "id"),
)

#: What a side holds, while a run is going on. Deleted when it has ended.
reconcile_row = Table(
    "reconcile_row",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("record_id", String(48), primary_key=True),
    Column("side", String(10), primary_key=True),  # authority, mirror
    Column("read_at", Instant, nullable=False),  # a moment before it was asked for
    Column("digest", String(64), nullable=False),  # keyed hash of everything that is compared
    Column("document", Json, nullable=False),
)

#: The lines of a source's file that are to be read as rows, where both sources were read as sets. Deleted with what was
#: read.
reconcile_left = Table(
    "reconcile_left",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("side", String(10), primary_key=True),
    Column("cursor", Text, nullable=False),  # where reading them begins
    Column("lines", Json, nullable=False),  # the first, and how far each other one is behind the one before it
)

#: A range of records, ordered by their canonical id: ``first`` is not in it, ``last`` is.
reconcile_range = Table(
    "reconcile_range",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("first", String(48), primary_key=True),
    Column("last", String(48), nullable=False),
    Column("authority", String(64), nullable=False),  # digests of the two sides
    Column("mirror", String(64), nullable=False),
    Column("clean", Boolean, nullable=False),  # no record of it parts
    Column("skipped", Boolean, nullable=False),
    Column("tally", Json, nullable=False),  # counts, states and totals
)

#: A record whose sides part, and the term of the bridge that it belongs to.
reconcile_part = Table(
    "reconcile_part",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("record_id", String(48), primary_key=True),
    Column("kind", String(10), nullable=False),  # missing, extra, differs
    Column("term", String(12)),  # NULL: suspected, to be looked at again
    Column("why", Text),
    Column("read_at", Instant, nullable=False),  # when the side that was read last was asked
    Column("due_at", Instant, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("differences", Json, nullable=False),
    Index("ix_reconcile_part_term", "run_id", "term", "record_id"),
    Index(
        "ix_reconcile_part_due",
        "run_id",
        "due_at",
        postgresql_where=_SUSPECTED,
        sqlite_where=_SUSPECTED,
    ),
)

#: What such a record weighs on each side. Amounts are decimal text: exact on both databases.
reconcile_amount = Table(
    "reconcile_amount",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("record_id", String(48), primary_key=True),
    Column("measure", String(40), primary_key=True),
    Column("currency", String(3), primary_key=True),  # '': a quantity
    Column("authority", Text, nullable=False),
    Column("mirror", Text, nullable=False),
)

#: A row of a source that could not be read: the first of each side of a run.
reconcile_unreadable = Table(
    "reconcile_unreadable",
    metadata,
    Column("run_id", String(48), primary_key=True),
    Column("side", String(10), primary_key=True),
    Column("number", Integer, primary_key=True),  # 1 is the first that was told
    Column("line", Integer, nullable=False),
    Column("field", Text),
    Column("reason", Text, nullable=False),
    Column("rows", Integer, nullable=False),
)
