"""How long it is kept what a repair planned for each record and did to it, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, func, select

from gateway.clock import SystemClock
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.reconcile.tables import reconcile_run
from gateway.repair import store
from gateway.repair.run import State
from gateway.repair.tables import repair_item, repair_run
from gateway.telemetry import Metrics
from gateway.worker.housekeeping import DAY_MICROS, Housekeeping
from tests.unit.http.fake_repairer import items, repair

KEPT, GONE = "rcn_kept", "rcn_gone"


@pytest.fixture
async def database(journal: str) -> AsyncIterator[Database]:
    opened = Database(journal, clock=SystemClock())
    opened.start()
    yield opened
    await opened.close()


async def plant(
    database: Database, number: int, *, days: int, state: State, reconciliation: str = KEPT, region: str = "UK"
) -> str:
    """A repair that ended, or was last touched, so many days ago, with two records."""
    ended = state in (State.DONE, State.FAILED, State.CANCELLED, State.EXPIRED)

    def unit(connection: Connection) -> str:
        at = database.now(connection) - days * DAY_MICROS
        made = repair(
            number, state=state, reconciliation=reconciliation, region=region, created_at=at, updated_at=at,
            ended_at=at if ended else None,
        )  # fmt: skip
        store.add(connection, made)
        store.add_items(connection, made.id, items())
        return made.id

    return await database.transaction(unit)


async def left(database: Database) -> dict[str, int]:
    """The repairs that are there, with the records of each."""

    def unit(connection: Connection) -> dict[str, int]:
        counts = dict.fromkeys(connection.execute(select(repair_run.c.id)).scalars(), 0)
        rows = connection.execute(
            select(repair_item.c.repair_id, func.count()).group_by(repair_item.c.repair_id)
        )
        counts.update((repair_id, count) for repair_id, count in rows)
        return counts

    return await database.read(unit)


def reconciled(connection: Connection) -> None:
    run: dict[str, Any] = {
        "id": KEPT, "entity": "invoice", "region": "UK", "authority": "legacy", "other": "cloud", "stage": "dual_write",
        "epoch": 1, "state": "done", "phase": "report", "actor": "ann", "scope": "", "after": "", "read_authority": 0,
        "read_mirror": 0, "ranges": 0, "skipped": 0, "failures": 0, "token": 1, "next_at": 1, "swept": True,
        "created_at": 1, "updated_at": 1, "ended_at": 1,
    }  # fmt: skip
    insert_rows(connection, reconcile_run, [run])


async def test_records_go_and_the_repair_stays_with_its_reconciliation(database: Database) -> None:
    """After their time the records of every repair that is over are gone, also those of a plan that nobody asked for;
    one that waits or works keeps them. The repair, with its hash and who approved it, goes with its reconciliation."""
    await database.transaction(reconciled)
    over = [
        await plant(database, 1, days=90, state=State.DONE),
        await plant(database, 2, days=60, state=State.PLANNED),
        await plant(database, 3, days=50, state=State.EXPIRED),
    ]
    await plant(database, 4, days=50, state=State.DONE, reconciliation=GONE)
    open_ = [
        await plant(database, 5, days=90, state=State.REQUESTED),
        await plant(database, 6, days=90, state=State.RUNNING, region="US", reconciliation=GONE),
        await plant(database, 7, days=29, state=State.DONE, reconciliation=GONE),
    ]
    housekeeping = Housekeeping(database=database, metrics=Metrics(), resolved_diffs_days=30)
    for _ in range(6):
        await housekeeping.run_once()
    assert await left(database) == {**dict.fromkeys(over, 0), **dict.fromkeys(open_, 2)}
    kept = await database.read(lambda conn: store.one(conn, over[0]))
    assert msgspec.structs.asdict(kept)["plan_hash"] is not None
