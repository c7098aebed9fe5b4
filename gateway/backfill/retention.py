"""How long it is kept what a backfill did to each record. Why one was blocked or ambiguous may say numbers of persons'
records, so that goes a time after the run has ended. The run with its counts stays: readiness rests on it."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select

from gateway.backfill.run import OPEN
from gateway.backfill.tables import backfill_item, backfill_run
from gateway.database import among


def purge(connection: Connection, *, before: int, limit: int) -> int:
    """Deletes up to ``limit`` records of the oldest run that ended before this moment (microseconds UTC) and has some.
    Returns how many. Safe to run by several at once."""
    runs, items = backfill_run.c, backfill_item.c
    run_id = connection.execute(
        select(runs.id)
        .where(runs.state.not_in(OPEN), runs.ended_at < before, exists().where(items.run_id == runs.id))
        .order_by(runs.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=backfill_run)
    ).scalar_one_or_none()
    if run_id is None:
        return 0
    ids = list(
        connection.execute(
            select(items.record_id).where(items.run_id == run_id).order_by(items.record_id).limit(limit)
        ).scalars()
    )
    connection.execute(backfill_item.delete().where(items.run_id == run_id, among(items.record_id, ids)))
    return len(ids)
