"""The queue of comparisons that must not be forgotten: one row a record, claimed under a lease.

A claim and a take-over by a newer write both raise the row's token, and whatever a worker reports is taken
only with the token that it claimed: a look that was overtaken changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, Insert, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningDelete

from gateway.compare.observation import CompareJob, Sample
from gateway.compare.tables import compare_job
from gateway.database import among

#: The longest that a record which is never quiet, or a side that does not answer, waits between two looks.
LONGEST_WAIT = 60_000_000  # microseconds

_COLUMNS = tuple(column.name for column in compare_job.columns)
_decode_samples = msgspec.json.Decoder(tuple[Sample, ...]).decode
_encode = msgspec.json.Encoder().encode


def upsert(conn: Connection, table: Any) -> Any:
    """``INSERT … ON CONFLICT`` in the words of this connection's database; both know the same clauses."""
    return postgresql.insert(table) if conn.dialect.name == "postgresql" else sqlite.insert(table)


def schedule(conn: Connection, jobs: Sequence[CompareJob]) -> None:
    """Puts comparisons on the queue, in the caller's transaction. A write takes over the record's waiting row
    and starts afresh; a read joins the row that waits, because that look will answer for it."""
    writes = [_row(job) for job in jobs if job.reason == "write"]
    reads = [_row(job) for job in jobs if job.reason == "read"]
    # Sorted, so that two transactions with the same records take their locks in the same order.
    if writes:
        conn.execute(_over(conn), sorted(writes, key=_record_id))
    if reads:
        conn.execute(_beside(conn), sorted(reads, key=_record_id))


def claim(conn: Connection, *, now: int, lease: int, limit: int) -> list[CompareJob]:
    """Up to ``limit`` due jobs, hidden from other workers for ``lease`` microseconds."""
    due = (
        select(compare_job)
        .where(compare_job.c.due_at <= now)
        .order_by(compare_job.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = conn.execute(due).mappings().all()
    if not rows:
        return []
    conn.execute(
        update(compare_job)
        .where(among(compare_job.c.record_id, [row["record_id"] for row in rows]))
        .values(token=compare_job.c.token + 1, due_at=now + lease)
    )
    return [_job(cast("dict[str, Any]", row)) for row in rows]


def put_back(conn: Connection, job: CompareJob) -> bool:
    """Stores what ``job`` has become, to be looked at again at its ``due_at``. False: it was overtaken."""
    row = _row(job)
    del row["merged"]
    done = conn.execute(
        update(compare_job)
        .where(compare_job.c.record_id == job.record_id, compare_job.c.token == job.token)
        .values(**row)
    )
    return done.rowcount == 1


def end(conn: Connection, job: CompareJob) -> int | None:
    """Takes ``job`` off the queue and says how many others it answered for. None: it was overtaken."""
    taken: ReturningDelete[Any] = (
        delete(compare_job)
        .where(compare_job.c.record_id == job.record_id, compare_job.c.token == job.token)
        .returning(compare_job.c.merged)
    )
    return conn.execute(taken).scalar_one_or_none()


def backoff(base: int, times: int) -> int:
    """``base`` microseconds, doubled each time, up to the longest wait."""
    return min(base * 2 ** min(times, 10), LONGEST_WAIT)


def waiting(conn: Connection) -> int:
    """How many records wait to be compared."""
    return conn.execute(select(func.count()).select_from(compare_job)).scalar_one()


def next_due(conn: Connection) -> int | None:
    """When the next job is due, in microseconds UTC."""
    return conn.execute(select(func.min(compare_job.c.due_at))).scalar_one()


def _over(conn: Connection) -> Insert:
    statement = upsert(conn, compare_job)
    new = {name: statement.excluded[name] for name in _COLUMNS if name != "record_id"}
    return statement.on_conflict_do_update(
        index_elements=["record_id"],
        set_={**new, "token": compare_job.c.token + 1, "merged": compare_job.c.merged + 1},
    )


def _beside(conn: Connection) -> Insert:
    return upsert(conn, compare_job).on_conflict_do_update(
        index_elements=["record_id"], set_={"merged": compare_job.c.merged + 1}
    )


def _record_id(row: dict[str, Any]) -> str:
    return row["record_id"]


def _row(job: CompareJob) -> dict[str, Any]:
    row = msgspec.structs.asdict(job)
    row["differences"] = _encode(job.differences).decode() if job.differences else None
    row["merged"] = 0
    return row


def _job(row: dict[str, Any]) -> CompareJob:
    fields = dict(row)
    del fields["merged"]
    fields["token"] += 1
    fields["differences"] = _decode_samples(fields["differences"]) if fields["differences"] else ()
    return CompareJob(**fields)
