"""How long reconciliations are kept. The last one of a slice that was seen through stays, because readiness rests on
it; an older one goes after a time with its records, because its samples may be about persons. The audit keeps the
verdicts."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select

from gateway.database import among
from gateway.reconcile.tables import (
    reconcile_amount,
    reconcile_part,
    reconcile_range,
    reconcile_run,
    reconcile_unreadable,
)


def purge(connection: Connection, *, before: int, limit: int) -> int:
    """Deletes up to ``limit`` records of the oldest run that ended before this moment (microseconds UTC) and is not
    the last of its slice, and the run itself when it has none left. Returns how many
    records and runs went. Safe to run by several at once."""
    runs, newer = reconcile_run, reconcile_run.alias("newer")
    run_id = connection.execute(
        select(runs.c.id)
        .where(
            runs.c.state != "running",
            runs.c.swept.is_(True),
            runs.c.ended_at < before,
            (runs.c.state != "done")
            | exists().where(
                newer.c.entity == runs.c.entity,
                newer.c.region == runs.c.region,
                newer.c.state == "done",
                newer.c.id > runs.c.id,
            ),
        )
        .order_by(runs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=runs)
    ).scalar_one_or_none()
    if run_id is None:
        return 0
    parts = reconcile_part.c
    ids = list(
        connection.execute(
            select(parts.record_id).where(parts.run_id == run_id).order_by(parts.record_id).limit(limit)
        ).scalars()
    )
    if ids:
        for table in (reconcile_amount, reconcile_part):
            connection.execute(table.delete().where(table.c.run_id == run_id, among(table.c.record_id, ids)))
    whole = len(ids) < limit
    if whole:
        for table in (reconcile_range, reconcile_unreadable):
            connection.execute(table.delete().where(table.c.run_id == run_id))
        connection.execute(runs.delete().where(runs.c.id == run_id))
    return len(ids) + whole
