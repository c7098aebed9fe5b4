"""How long repairs are kept. What was planned for a record, and what became of it, may be about persons, so that goes a
time after the repair has ended, or was last touched as a plan that nobody asked for. The repair with its counts, its
hash and who approved it stays for as long as its reconciliation."""

from __future__ import annotations

from sqlalchemy import Connection, delete, exists, func, select

from gateway.database import among
from gateway.reconcile.tables import reconcile_run
from gateway.repair.run import WORKED
from gateway.repair.tables import repair_item, repair_run


def purge(connection: Connection, *, before: int, limit: int) -> int:
    """Deletes up to ``limit`` records of the oldest repair that was over before this moment (microseconds UTC) and has
    some, and repairs without any whose reconciliation has gone. Returns how many records and repairs. Safe to run by
    several at once."""
    runs, items = repair_run.c, repair_item.c
    left = exists().where(items.repair_id == runs.id)
    over = (runs.state.not_in(WORKED), func.coalesce(runs.ended_at, runs.updated_at) < before)
    repair_id = connection.execute(
        select(runs.id)
        .where(*over, left)
        .order_by(runs.id)
        .limit(1)
        .with_for_update(skip_locked=True, of=repair_run)
    ).scalar_one_or_none()
    if repair_id is not None:
        ids = list(
            connection.execute(
                select(items.record_id).where(items.repair_id == repair_id).order_by(items.record_id).limit(limit)
            ).scalars()
        )
        connection.execute(
            repair_item.delete().where(items.repair_id == repair_id, among(items.record_id, ids))
        )
        return len(ids)
    kept = exists().where(reconcile_run.c.id == runs.reconciliation)
    return connection.execute(delete(repair_run).where(*over, ~left, ~kept)).rowcount
