"""How long it is kept what a backfill did to each record, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, func, select

from gateway.backfill import retention, store
from gateway.backfill.tables import backfill_item, backfill_run
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.telemetry import Metrics
from gateway.worker.housekeeping import DAY_MICROS, Housekeeping

RECORDS = 5
COUNTERS = ("total", "read", "linked", "created", "present", "ambiguous", "blocked", "superseded", "failures")


@pytest.fixture
async def database(journal: str) -> AsyncIterator[Database]:
    opened = Database(journal, clock=SystemClock())
    opened.start()
    yield opened
    await opened.close()


async def plant(
    database: Database, run_id: str, *, days: int, state: str = "done", region: str = "UK"
) -> None:
    """A run that ended so many days ago, with what became of its records; an open one has not ended."""

    def unit(connection: Connection) -> None:
        at = database.now(connection) - days * DAY_MICROS
        ended = state in ("done", "failed", "cancelled")
        run: dict[str, Any] = {
            "id": run_id, "entity": "invoice", "region": region, "source": "legacy", "target": "cloud",
            "stage": "dual_write", "epoch": 1, "state": state, "phase": "verify", "actor": "ann", "token": 1,
            "next_at": at, "created_at": at, "updated_at": at, "ended_at": at if ended else None,
            **dict.fromkeys(COUNTERS, RECORDS),
        }  # fmt: skip
        insert_rows(connection, backfill_run, [run])
        items = [
            {
                "run_id": run_id,
                "record_id": f"inv_{number}",
                "outcome": "blocked",
                "why": "cus_1 is not there",
            }
            for number in range(RECORDS)
        ]
        insert_rows(connection, backfill_item, items)

    await database.transaction(unit)


async def left(database: Database) -> dict[str, int]:
    """The runs that are there, with the records of each."""

    def unit(connection: Connection) -> dict[str, int]:
        counts = dict.fromkeys(connection.execute(select(backfill_run.c.id)).scalars(), 0)
        rows = connection.execute(
            select(backfill_item.c.run_id, func.count()).group_by(backfill_item.c.run_id)
        )
        counts.update((run_id, count) for run_id, count in rows)
        return counts

    return await database.read(unit)


async def test_records_go_and_the_run_stays(database: Database) -> None:
    """After their time the records of every ended run are gone, and the run with its counts is there, so that the gate
    of readiness says what it said; one that is open, however old, keeps them."""
    await plant(database, "bfl_1", days=90)
    await plant(database, "bfl_2", days=60, state="failed")
    await plant(database, "bfl_3", days=50, state="cancelled", region="US")
    await plant(database, "bfl_4", days=40, state="paused", region="APAC")
    await plant(database, "bfl_5", days=40, state="verifying", region="DACH")
    await plant(database, "bfl_6", days=29)
    housekeeping = Housekeeping(database=database, metrics=Metrics(), resolved_diffs_days=30)
    for _ in range(3):
        await housekeeping.run_once()
    assert await left(database) == {
        **dict.fromkeys(("bfl_1", "bfl_2", "bfl_3"), 0),
        **dict.fromkeys(("bfl_4", "bfl_5", "bfl_6"), RECORDS),
    }
    run = await database.read(lambda conn: store.one(conn, "bfl_1"))
    assert run.blocked == RECORDS
    assert await database.read(lambda conn: store.verified(conn, "invoice", "UK", epoch=1))


async def test_a_large_one_goes_piece_by_piece(database: Database) -> None:
    """No transaction takes more records than it may."""
    await plant(database, "bfl_1", days=90)

    async def purge(limit: int) -> int:
        def unit(connection: Connection) -> int:
            before = database.now(connection) - 30 * DAY_MICROS
            return retention.purge(connection, before=before, limit=limit)

        return await database.transaction(unit)

    assert [await purge(2) for _ in range(4)] == [2, 2, 1, 0]
