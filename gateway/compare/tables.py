"""Where comparisons are kept: what is still to be looked at, what was found, and how often."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, Table, Text, text

from gateway.database import Instant, Json, metadata

#: What is to be compared, or looked at once more. One row a record: a newer write takes the row over.
compare_job = Table(
    "compare_job",
    metadata,
    Column("record_id", Text, primary_key=True),
    Column("entity", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("authority", Text, nullable=False),
    Column("other", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("operation_id", Text),
    Column("seq", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),  # write | read: what made us look
    Column(
        "due_at", Instant, nullable=False
    ),  # not before; while a worker holds the row, the end of its lease
    Column(
        "token", BigInteger, nullable=False
    ),  # rises with each claim and each take-over; a stale worker's is void
    Column("attempt", Integer, nullable=False),  # looks that reached a comparison
    Column("changes", Integer, nullable=False),  # looks that found a side changed
    Column("failures", Integer, nullable=False),  # looks in which a side did not answer
    Column("postponed", Integer, nullable=False),  # times in a row that the record was not quiet
    Column("stood", Integer, nullable=False),
    Column("fingerprint", Text),  # what the last look saw; null before the first
    Column("sides", Text),
    Column("differences", Json),
    Column("merged", BigInteger, nullable=False),  # comparisons that this one does the work of
)
Index("ix_compare_job_due", compare_job.c.due_at)

#: Samples of what was found, open until a later comparison of the record comes out otherwise.
diff = Table(
    "diff",
    metadata,
    Column("id", Text, primary_key=True),
    Column("record_id", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("why", Text),
    Column("authority", Text, nullable=False),
    Column("other", Text, nullable=False),
    Column("stage", Text, nullable=False),
    Column("operation_id", Text),
    Column("origin", Text, nullable=False),
    Column("rechecks", Integer, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("differences", Json, nullable=False),
    Column("difference_count", Integer, nullable=False),  # all of them; the sample above may be cut
    Column("not_compared", Json, nullable=False),
    Column("money", Json, nullable=False),
    Column("at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),  # the last comparison that found the same again
    Column("times", BigInteger, nullable=False),  # comparisons that found it
    Column("resolved_at", Instant),
    Column("resolved_by", Text),  # the verdict of the comparison that ended it
)
Index("ix_diff_slice", diff.c.entity, diff.c.region, diff.c.id)
Index(
    "uq_diff_open",
    diff.c.record_id,
    diff.c.verdict,
    diff.c.fingerprint,
    unique=True,
    sqlite_where=text("resolved_at IS NULL"),
    postgresql_where=text("resolved_at IS NULL"),
)

# What may be deleted one day: resolved differences, by when.
Index(
    "ix_diff_resolved",
    diff.c.resolved_at,
    sqlite_where=text("resolved_at IS NOT NULL"),
    postgresql_where=text("resolved_at IS NOT NULL"),
)

#: Which fields a diff is about, so that a field leads to its examples.
diff_field = Table(
    "diff_field",
    metadata,
    Column("diff_id", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("region", Text, nullable=False),
    PrimaryKeyConstraint("diff_id", "field", "class", "verdict"),
)
Index(
    "ix_diff_field_example",
    diff_field.c.entity,
    diff_field.c.region,
    diff_field.c.field,
    diff_field.c["class"],
)

#: What a person has accepted for a time. ``due_at`` is when records that it covers, or has covered, are to be looked at
#: again; ``looked`` is how far that has come.
waiver = Table(
    "waiver",
    metadata,
    Column("id", Text, primary_key=True),
    Column("entity", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("pair", Json),
    Column("reason", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("revoked_at", Instant),
    Column("revoked_by", Text),
    Column("due_at", Instant),
    Column("looked", Text, nullable=False),
)
Index("ix_waiver_slice", waiver.c.entity, waiver.c.region, waiver.c.expires_at)
Index("ix_waiver_due", waiver.c.due_at)

#: Every comparison, by day (UTC), slice and outcome: the five verdicts, and what never came to one.
compare_counter = Table(
    "compare_counter",
    metadata,
    Column("day", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "entity", "region", "outcome"),
)

#: The same by field and class: in how many comparisons a field parted in this way, and of these how many are
#: kept.
field_counter = Table(
    "field_counter",
    metadata,
    Column("day", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("samples", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "entity", "region", "field", "class", "verdict"),
)

#: Money at stake. The amount is decimal text: neither database can add exact decimals of any size in a form
#: that the other shares, so they are added in Python under the row's lock.
stake_counter = Table(
    "stake_counter",
    metadata,
    Column("day", Text, nullable=False),
    Column("entity", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("class", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", Text, nullable=False),
    PrimaryKeyConstraint("day", "entity", "region", "field", "class", "verdict", "currency"),
)
