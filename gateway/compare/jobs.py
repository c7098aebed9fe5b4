"""The queue of comparisons that must not be forgotten: one row a record, claimed under a lease.

A claim and a take-over by a newer write both raise the row's token, and whatever a worker reports is taken
only with the token that it claimed: a look that was overtaken changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.compare.observation import CompareJob, Sample
from gateway.compare.tables import compare_job
from gateway.database import among
from gateway.database.rows import put_rows

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
    renewed = tuple(name for name in _COLUMNS if name not in ("record_id", "token", "merged"))
    for rows in _rounds(writes):
        put_rows(conn, compare_job, rows, "record_id", renew=renewed, count_up=("token", "merged"))
    for rows in _rounds(reads):
        put_rows(conn, compare_job, rows, "record_id", count_up=("merged",))


def _rounds(rows: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The rows in as many rounds as the most frequent record needs, because one statement may write a row only once;
    sorted, so that two transactions with the same records take their locks in the same order."""
    rounds: list[dict[str, dict[str, Any]]] = []
    for row in sorted(rows, key=_record_id):
        place = next((one for one in rounds if row["record_id"] not in one), None)
        if place is None:
            rounds.append(place := {})
        place[row["record_id"]] = row
    return [list(one.values()) for one in rounds]


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


def end(conn: Connection, ended: Sequence[CompareJob]) -> dict[str, int]:
    """Takes these jobs off the queue and says, by record, how many others each answered for. A job that was overtaken
    stays, and is not in the answer."""
    if not ended:
        return {}
    tokens = {job.record_id: job.token for job in ended}
    held = conn.execute(_HELD, {"ids": sorted(tokens)}).all()
    merged = {row.record_id: row.merged for row in held if row.token == tokens[row.record_id]}
    if merged:
        conn.execute(_ENDED, {"ids": sorted(merged)})
    return merged


_HELD = (
    select(compare_job.c.record_id, compare_job.c.token, compare_job.c.merged)
    .where(among(compare_job.c.record_id, "ids"))
    .order_by(compare_job.c.record_id)
    .with_for_update()
)
_ENDED = delete(compare_job).where(among(compare_job.c.record_id, "ids"))


def drop(conn: Connection, record_id: str) -> None:
    """Takes the record off the queue: there is nothing of it to be compared any more."""
    conn.execute(delete(compare_job).where(compare_job.c.record_id == record_id))


def backoff(base: int, times: int) -> int:
    """``base`` microseconds, doubled each time, up to the longest wait."""
    return min(base * 2 ** min(times, 10), LONGEST_WAIT)


def waiting(conn: Connection) -> int:
    """How many records wait to be compared."""
    return conn.execute(select(func.count()).select_from(compare_job)).scalar_one()


def next_due(conn: Connection) -> int | None:
    """When the next job is due, in microseconds UTC."""
    return conn.execute(select(func.min(compare_job.c.due_at))).scalar_one()


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
