"""The program looks after itself: what is over is deleted, what is left to do is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, Select, func, select

from gateway.clock import SystemClock
from gateway.compare.tables import diff, diff_field
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.dispatch import backlog, idempotency
from gateway.ledger.tables import idem
from gateway.telemetry import Metrics
from gateway.worker import housekeeping
from gateway.worker.housekeeping import Housekeeping
from tests.integration.ledger.world import World, contract, customer, fresh

DAY = housekeeping.DAY_MICROS


@pytest.fixture
async def database(journal: str) -> AsyncIterator[Database]:
    opened = Database(journal, clock=SystemClock())
    opened.start()
    yield opened
    await opened.close()


def keeper(database: Database) -> Housekeeping:
    return Housekeeping(database=database, metrics=Metrics(), resolved_diffs_days=30)


async def count(database: Database, query: Select[Any]) -> int:
    return await database.read(lambda conn: conn.execute(query).scalar_one())


async def test_a_key_is_honoured_to_its_last_second_and_then_free(world: World) -> None:
    """A key is kept for seven days to the microsecond: until then the same request gets the same operation; then the
    key is forgotten, and a request that uses it is a new one."""
    database = world.gateway.database
    owner = await world.made("customers", customer(number=fresh()))
    key, body = fresh(), contract(owner["id"], number=fresh())
    first = await world.create("contracts", body, key=key)
    assert first.status_code == 201, first.text
    operation = first.headers["Twinrun-Operation"]
    row = await database.read(
        lambda conn: conn.execute(select(idem).where(idem.c.operation_id == operation)).one()
    )
    assert row.expires_at - row.created_at == 7 * DAY

    async def purge_at(now: int) -> int:
        return await database.transaction(lambda conn: idempotency.purge(conn, now=now, limit=10))

    assert await purge_at(row.expires_at - 1) == 0
    again = await world.create("contracts", body, key=key)
    assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
    assert again.headers["Twinrun-Operation"] == operation
    other = contract(owner["id"], number=fresh())
    assert (await world.create("contracts", other, key=key)).status_code == 422
    assert await purge_at(row.expires_at) == 1
    anew = await world.create("contracts", other, key=key)
    assert anew.status_code == 201, anew.text
    assert "Idempotent-Replayed" not in anew.headers
    assert anew.headers["Twinrun-Operation"] != operation
    assert anew.json()["id"] != first.json()["id"]
    await world.quiet()
    await world.check()


async def test_keys_that_are_over_go_in_batches(database: Database) -> None:
    """However many keys are over, all go in one round, a batch a transaction, and none that is not over."""
    over, live = 2 * housekeeping.BATCH + 7, 5

    def plant(connection: Connection) -> None:
        now = database.now(connection)
        insert_rows(
            connection,
            idem,
            [
                {
                    "scope": f"{number:064}", "fingerprint": "f", "created_at": 1,
                    "expires_at": now - number if number < over else now + DAY,
                }
                for number in range(over + live)
            ],
        )  # fmt: skip

    await database.transaction(plant)
    assert await keeper(database).run_once() == over
    assert await count(database, select(func.count()).select_from(idem)) == live
    assert await keeper(database).run_once() == 0


async def test_resolved_differences_go_after_their_time(database: Database) -> None:
    """A difference that was resolved longer ago than the settings keep it goes with its fields. One that is open
    stays, however old it is."""
    now = await database.read(database.now)
    resolved = {"open": None, "lately": now - 29 * DAY, "long ago": now - 31 * DAY}

    def plant(connection: Connection) -> None:
        insert_rows(
            connection,
            diff,
            [
                {
                    "id": name, "record_id": "inv_1", "entity": "invoice", "region": "UK", "verdict": "mismatch",
                    "authority": "legacy", "other": "cloud", "stage": "shadow", "origin": "read", "rechecks": 0,
                    "fingerprint": name, "differences": "[]", "difference_count": 1, "not_compared": "[]",
                    "money": "{}", "at": 1, "last_at": 1, "times": 1, "resolved_at": at,
                }
                for name, at in resolved.items()
            ],
        )  # fmt: skip
        insert_rows(
            connection,
            diff_field,
            [
                {
                    "diff_id": name, "field": "total", "class": "value", "verdict": "mismatch",
                    "entity": "invoice", "region": "UK",
                }
                for name in resolved
            ],
        )  # fmt: skip

    await database.transaction(plant)
    assert await keeper(database).run_once() == 1
    left = await database.read(lambda conn: set(conn.execute(select(diff.c.id)).scalars()))
    assert left == {"open", "lately"}
    assert await count(database, select(func.count()).select_from(diff_field)) == 2


async def test_what_is_left_to_do_is_counted_by_system_and_state(world: World) -> None:
    """With the mirror away its deliveries are counted as ready or unknown and the oldest gets older; when it is back
    all figures fall to nothing."""
    upkeep, registry = world.gateway.upkeep, world.gateway.metrics.registry

    def figure(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    def under_way() -> float:
        states = ("blocked", "ready", "sending", "unknown")
        return sum(figure("twinrun_deliveries_open", system="cloud", state=state) or 0.0 for state in states)

    world.sandbox.fault("cloud", "outage")
    answer = await world.create("customers", customer(number=fresh()))
    assert answer.status_code == 201
    await upkeep.figures()
    assert under_way() == 1.0
    oldest = figure("twinrun_delivery_oldest_age_seconds", system="cloud")
    assert oldest is not None
    assert oldest > 0
    await upkeep.figures()
    assert (figure("twinrun_delivery_oldest_age_seconds", system="cloud") or 0.0) > oldest
    assert figure("twinrun_delivery_oldest_age_seconds", system="legacy") == 0.0
    assert figure("twinrun_comparisons_waiting") is not None
    world.sandbox.heal()
    await world.reaches(answer, "settled")
    await upkeep.figures()
    assert (under_way(), figure("twinrun_delivery_oldest_age_seconds", system="cloud")) == (0.0, 0.0)


async def test_what_waits_for_a_person_is_counted_and_does_not_age(world: World) -> None:
    """A parked delivery is open and nobody's lag."""
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    answer = await world.create("customers", customer(number=fresh()))
    await world.reaches(answer, "attention")
    await world.gateway.upkeep.figures()
    sample = world.gateway.metrics.registry.get_sample_value
    assert sample("twinrun_deliveries_open", {"system": "cloud", "state": "parked"}) == 1.0
    assert sample("twinrun_delivery_oldest_age_seconds", {"system": "cloud"}) == 0.0


STATEMENTS: dict[str, tuple[Any, str]] = {
    "counting": (backlog._BY_SYSTEM, "ix_delivery_state_system_wake_at"),
    "keys": (
        select(idem.c.scope).where(idem.c.expires_at <= 5).order_by(idem.c.expires_at).limit(5),
        "ix_idem_expires_at",
    ),
    "differences": (
        select(diff.c.id).where(diff.c.resolved_at < 5).order_by(diff.c.resolved_at).limit(5),
        "ix_diff_resolved",
    ),
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_an_index_serves(database: Database, name: str) -> None:
    """Counting and looking for what is over cost what there is to count and to delete, not what the journal holds."""
    statement, index = STATEMENTS[name]

    def unit(connection: Connection) -> str:
        compiled = statement.compile(dialect=connection.dialect)
        values = compiled.construct_params()
        places = tuple(values[name] for name in compiled.positiontup or ())
        if database.sqlite:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", places)
            return " ".join(row.detail for row in rows)
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}", places).scalars())

    plan = await database.read(unit)
    assert index in plan, plan
    assert "SCAN " not in plan, plan
    assert "Seq Scan" not in plan, plan
