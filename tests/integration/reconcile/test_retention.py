"""How long reconciliations are kept, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, func, select

from gateway.clock import SystemClock
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.reconcile import retention
from gateway.reconcile.tables import (
    reconcile_amount,
    reconcile_part,
    reconcile_range,
    reconcile_run,
    reconcile_unreadable,
)
from gateway.telemetry import Metrics
from gateway.worker.housekeeping import DAY_MICROS, Housekeeping

RECORDS = 5


@pytest.fixture
async def database(journal: str) -> AsyncIterator[Database]:
    opened = Database(journal, clock=SystemClock())
    opened.start()
    yield opened
    await opened.close()


async def plant(
    database: Database, run_id: str, *, days: int, state: str = "done", region: str = "UK"
) -> None:
    """A run that ended so many days ago, with records that part; one that runs has not ended."""

    def unit(connection: Connection) -> None:
        at = database.now(connection) - days * DAY_MICROS
        insert_rows(
            connection,
            reconcile_run,
            [
                {
                    "id": run_id, "entity": "invoice", "region": region, "authority": "legacy", "other": "cloud",
                    "stage": "shadow", "epoch": 1, "state": state, "phase": "report", "actor": "ann", "scope": "s",
                    "after": "", "read_authority": 1, "read_mirror": 1, "ranges": 1, "skipped": 0, "failures": 0,
                    "token": 1, "next_at": at, "swept": state != "running", "created_at": at, "updated_at": at,
                    "ended_at": None if state == "running" else at,
                }
            ],
        )  # fmt: skip
        ids = [f"inv_{number}" for number in range(RECORDS)]
        insert_rows(
            connection,
            reconcile_part,
            [
                {
                    "run_id": run_id, "record_id": one, "kind": "differs", "term": "late", "read_at": at,
                    "due_at": at, "tries": 1, "differences": "[]",
                }
                for one in ids
            ],
        )  # fmt: skip
        insert_rows(
            connection,
            reconcile_amount,
            [
                {
                    "run_id": run_id, "record_id": one, "measure": "total", "currency": "EUR", "authority": "1",
                    "mirror": "0",
                }
                for one in ids
            ],
        )  # fmt: skip
        insert_rows(
            connection,
            reconcile_range,
            [
                {
                    "run_id": run_id, "first": "", "last": "inv_9", "authority": "a", "mirror": "b", "clean": False,
                    "skipped": False, "tally": "{}",
                }
            ],
        )  # fmt: skip
        insert_rows(
            connection,
            reconcile_unreadable,
            [
                {
                    "run_id": run_id, "side": "mirror", "number": 1, "line": 7, "field": None, "reason": "is no row",
                    "rows": 1,
                }
            ],
        )  # fmt: skip

    await database.transaction(unit)


async def left(database: Database) -> dict[str, int]:
    """The runs that are there, with the rows of each."""

    def unit(connection: Connection) -> dict[str, int]:
        counts = dict.fromkeys(connection.execute(select(reconcile_run.c.id)).scalars(), 0)
        for table in (reconcile_part, reconcile_amount, reconcile_range, reconcile_unreadable):
            rows = connection.execute(select(table.c.run_id, func.count()).group_by(table.c.run_id))
            for run_id, count in rows:
                counts[run_id] = counts.get(run_id, 0) + count
        return counts

    return await database.read(unit)


async def test_overtaken_ones_go_whole_and_the_last_stays(database: Database) -> None:
    """After their time every run goes with all its records, but the last of a slice that was seen through, however old;
    one that runs is never touched."""
    await plant(database, "rcn_1", days=90)
    await plant(database, "rcn_2", days=60, state="failed")
    await plant(database, "rcn_3", days=50)
    await plant(database, "rcn_4", days=40, state="cancelled")
    await plant(database, "rcn_5", days=45, region="US")
    await plant(database, "rcn_6", days=2)
    await plant(database, "rcn_7", days=45, state="running", region="APAC")
    housekeeping = Housekeeping(database=database, metrics=Metrics(), resolved_diffs_days=30)
    for _ in range(6):
        await housekeeping.run_once()
    kept = await left(database)
    assert kept == dict.fromkeys(("rcn_5", "rcn_6", "rcn_7"), 2 * RECORDS + 2)


async def test_a_large_one_goes_piece_by_piece(database: Database) -> None:
    """No transaction takes more records than it may, and the run goes with the last of them."""
    await plant(database, "rcn_1", days=90)
    await plant(database, "rcn_2", days=1)

    async def purge(limit: int) -> int:
        def unit(connection: Connection) -> int:
            before = database.now(connection) - 30 * DAY_MICROS
            return retention.purge(connection, before=before, limit=limit)

        return await database.transaction(unit)

    assert [await purge(2) for _ in range(4)] == [2, 2, 2, 0]
    assert set(await left(database)) == {"rcn_2"}
