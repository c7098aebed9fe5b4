"""The laws of the journal as the monitor holds them: a journal in order keeps them, each kind of damage is found."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.util import await_only

from gateway.clock import SystemClock
from gateway.crosswalk.tables import crosswalk
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.ledger.invariants import INVARIANTS, LAST, STATEMENTS, broken, extent, parameters
from gateway.ledger.tables import attempt, delivery, event, lane, operation, record, slice_
from gateway.routing.stage import Stage
from gateway.telemetry import Log, Metrics
from gateway.worker.invariants import Invariants
from tests.integration.ledger.world import World, contract, customer, fresh

HOUR = 3_600_000_000
RECORDS = ("inv_1", "cus_2")
SYSTEMS = (("legacy", "authority"), ("cloud", "mirror"))


@pytest.fixture
async def database(journal: str) -> AsyncIterator[Database]:
    opened = Database(journal, clock=SystemClock())
    opened.start()
    yield opened
    await opened.close()


@pytest.fixture
async def healthy(database: Database) -> Database:
    """Two records, an invoice and a customer, each with three writes: two that both systems have, and one that the
    authority has and that is ready for the mirror. All of it is two hours old."""

    def unit(connection: Connection) -> None:
        at = database.now(connection) - 2 * HOUR
        base: dict[str, Any] = {"created_at": at, "updated_at": at}
        rows: dict[Any, list[dict[str, Any]]] = {}
        for record_id in RECORDS:
            entity = {"inv_": "invoice", "cus_": "customer"}[record_id[:4]]
            owner = {"record_id": record_id, "entity": entity, "region": "UK"}
            rows.setdefault(slice_, []).append(
                {
                    "entity": entity, "region": "UK", "stage": "dual_write", "authority": "legacy", "epoch": 3,
                    "version": 1, "compare_sample": 1, "storable": True, "draining": False, "note": "",
                    "updated_at": at,
                }
            )  # fmt: skip
            rows.setdefault(record, []).append(
                {
                    "id": record_id, "entity": entity, "region": "UK", "version": 3, "seq": 3, "open_writes": 0,
                    "external_refs": "{}", **base,
                }
            )  # fmt: skip
            for seq in (1, 2, 3):
                op = f"op_{record_id}_{seq}"
                rows.setdefault(operation, []).append(
                    {
                        "id": op, **owner, "seq": seq, "kind": "update", "confirming": False, "epoch": 3,
                        "state": "committed" if seq == 3 else "settled", "stage": "dual_write",
                        "authority": "legacy", "mirror": "cloud", "change": "{}", "marker": f"T{record_id}{seq}",
                        "client": "tests", "trace": "{}", "waited_until": at, **base,
                    }
                )  # fmt: skip
                for system, role in SYSTEMS:
                    line = f"dlv_{record_id}_{seq}_{role}"
                    ready = role == "mirror" and seq == 3
                    rows.setdefault(delivery, []).append(
                        {
                            "id": line, "operation_id": op, **owner, "system": system, "role": role, "seq": seq,
                            "epoch": 3, "state": "ready" if ready else "applied", "attempt": 0 if ready else 1,
                            "maybe_sent": 0, "probes": 0, "lease_expiries": 0, "wake_at": at if ready else None,
                            "source": None if ready else "answer", **base,
                        }
                    )  # fmt: skip
                    if not ready:
                        rows.setdefault(attempt, []).append(
                            {
                                "delivery_id": line,
                                "number": 1,
                                "started_at": at,
                                "ended_at": at,
                                "outcome": "applied",
                            }
                        )
                        rows.setdefault(event, []).append(
                            {
                                "operation_id": op, "record_id": record_id, "delivery_id": line, "at": at,
                                "event": f"{role}_applied", "detail": system,
                            }
                        )  # fmt: skip
            for system, role in SYSTEMS:
                rows.setdefault(lane, []).append(
                    {
                        "record_id": record_id, "system": system, "inflight": None,
                        "applied_seq": 3 if role == "authority" else 2,
                        "wake_at": at if role == "mirror" else None,
                    }
                )  # fmt: skip
                rows.setdefault(crosswalk, []).append(
                    {
                        "record_id": record_id, "system": system, "entity": entity,
                        "native_id": f"N-{record_id}", "linked_at": at,
                    }
                )  # fmt: skip
        for table, lines in rows.items():
            insert_rows(connection, table, lines)

    await database.transaction(unit)
    return database


def looked(connection: Connection, now: int, *, sweep: bool = False) -> dict[str, tuple[str, ...]]:
    """The laws that are broken, with their records. ``sweep``: as in a journal that nobody has touched lately."""
    seen = extent(connection, records=100 if sweep else 0, after=10**9 if sweep else 0)
    return {name: found for name, found in broken(connection, seen, now=now).items() if found}


#: What is done to the journal, the laws that it breaks, and the records that are to be named.
Damage = tuple[str, dict[str, tuple[str, ...]]]
_INV, _CUS = ("inv_1",), ("cus_2",)
_CASE = (
    "INSERT INTO case_ (id, dedupe_key, subject, kind, state, owner, entity, region, record_id, operation_id,"
    " opened_at, due_at, updated_at) VALUES ('cas_1', 'k', 'dlv_inv_1_3_mirror', 'parked_delivery', 'open', 'x',"
    " 'invoice', 'UK', 'inv_1', 'op_inv_1_3', 1, 1, 1)"
)

DAMAGES: dict[str, Damage] = {
    "two in flight in one lane": (
        (
            "UPDATE delivery SET state = 'unknown', wake_at = 1 WHERE record_id = 'inv_1' AND role = 'mirror'"
            " AND seq > 1;"
            "UPDATE lane SET inflight = 'dlv_inv_1_3_mirror' WHERE record_id = 'inv_1' AND system = 'cloud'"
        ),
        {"one_in_flight": _INV, "lane_holder": _INV},
    ),
    "in flight, and the lane does not know": (
        "UPDATE delivery SET state = 'sending', lease_until = 1 WHERE id = 'dlv_inv_1_3_mirror'",
        {"lane_holder": _INV},
    ),
    "a lane held by what has ended": (
        "UPDATE lane SET inflight = 'dlv_cus_2_2_mirror' WHERE record_id = 'cus_2' AND system = 'cloud'",
        {"lane_holder": _CUS},
    ),
    "a lane held by what there is not": (
        "UPDATE lane SET inflight = 'dlv_gone' WHERE record_id = 'cus_2' AND system = 'legacy'",
        {"lane_holder": _CUS},
    ),
    "a lane held by a mirror that waits for a person": (
        (
            f"UPDATE delivery SET state = 'parked' WHERE id = 'dlv_inv_1_3_mirror'; {_CASE};"
            "UPDATE lane SET inflight = 'dlv_inv_1_3_mirror' WHERE record_id = 'inv_1' AND system = 'cloud'"
        ),
        {"lane_holder": _INV},
    ),
    "an older write applied after a newer one": (
        "UPDATE operation_event SET position = position + 1000 WHERE delivery_id = 'dlv_inv_1_1_authority'",
        {"lane_order": _INV},
    ),
    "an older write of master data applied last": (
        "UPDATE operation_event SET position = position + 1000 WHERE delivery_id = 'dlv_cus_2_1_mirror'",
        {"lane_order": _CUS},
    ),
    "a lane that has forgotten how far it was": (
        "UPDATE lane SET applied_seq = 1 WHERE record_id = 'cus_2' AND system = 'legacy'",
        {"applied_seq": _CUS},
    ),
    "applied by the mirror, and not by the authority": (
        "UPDATE delivery SET state = 'rejected' WHERE id = 'dlv_inv_1_1_authority'",
        {"mirror_first": _INV},
    ),
    "on its way to the mirror, and not applied by the authority": (
        (
            "UPDATE delivery SET state = 'sending', lease_until = 1 WHERE id = 'dlv_inv_1_3_mirror';"
            "UPDATE lane SET inflight = 'dlv_inv_1_3_mirror', wake_at = NULL"
            " WHERE record_id = 'inv_1' AND system = 'cloud';"
            "UPDATE delivery SET state = 'ready', wake_at = 1 WHERE id = 'dlv_inv_1_3_authority';"
            "UPDATE lane SET applied_seq = 2, wake_at = 1 WHERE record_id = 'inv_1' AND system = 'legacy'"
        ),
        {"mirror_first": _INV},
    ),
    "a mirror that nobody has unblocked": (
        "UPDATE delivery SET state = 'blocked' WHERE id = 'dlv_inv_1_3_mirror'",
        {"blocked_mirror": _INV},
    ),
    "a mirror that waits for a refused write": (
        (
            "UPDATE delivery SET state = 'blocked' WHERE id = 'dlv_inv_1_3_mirror';"
            "UPDATE delivery SET state = 'rejected' WHERE id = 'dlv_inv_1_3_authority'"
        ),
        {"blocked_mirror": _INV},
    ),
    "an epoch that there is not yet": (
        "UPDATE operation SET epoch = 4 WHERE id = 'op_inv_1_2'",
        {"epochs": _INV},
    ),
    "a write of this epoch at the other system": (
        "UPDATE operation SET authority = 'cloud' WHERE id = 'op_cus_2_3'",
        # Each of them may be the one that is wrong.
        {"epochs": _CUS},
    ),
    "two authorities in one epoch that is over": (
        "UPDATE slice SET epoch = 5; UPDATE operation SET authority = 'cloud' WHERE id = 'op_cus_2_1'",
        {"epochs": _CUS},
    ),
    "an old epoch that goes on after the new one began": (
        "UPDATE operation SET epoch = 2, authority = 'cloud' WHERE id = 'op_inv_1_3'",
        {"epochs": _INV},
    ),
    "on its way to a system that is not the authority any more": (
        (
            "UPDATE delivery SET state = 'ready', wake_at = 1, source = NULL WHERE id = 'dlv_inv_1_3_authority';"
            "UPDATE delivery SET state = 'blocked' WHERE id = 'dlv_inv_1_3_mirror';"
            "UPDATE operation SET state = 'accepted' WHERE id = 'op_inv_1_3';"
            "UPDATE lane SET applied_seq = 2, wake_at = 1 WHERE record_id = 'inv_1' AND system = 'legacy';"
            "UPDATE slice SET authority = 'cloud', epoch = 4"
        ),
        {"epochs": _INV},
    ),
    "a link of another kind": (
        "UPDATE crosswalk SET entity = 'payment' WHERE record_id = 'inv_1' AND system = 'cloud'",
        {"crosswalk": _INV},
    ),
    "one record of a system linked twice": (
        (
            "DROP INDEX uq_crosswalk_native; UPDATE record SET entity = 'invoice' WHERE id = 'cus_2';"
            "UPDATE crosswalk SET entity = 'invoice', native_id = 'N-inv_1' WHERE record_id = 'cus_2'"
        ),
        {"crosswalk": ("cus_2", "inv_1")},
    ),
    "a link to nothing": (
        "DELETE FROM record WHERE id = 'inv_1'",
        {"crosswalk": _INV},
    ),
    "applied, and no link": (
        "DELETE FROM crosswalk WHERE record_id = 'cus_2' AND system = 'cloud'",
        {"crosswalk": _CUS},
    ),
    "two attempts that were both applied": (
        (
            "INSERT INTO attempt (delivery_id, number, started_at, outcome)"
            " VALUES ('dlv_inv_1_2_mirror', 2, 1, 'applied')"
        ),
        {"one_effect": _INV},
    ),
    "one marker for two writes": (
        "UPDATE operation SET marker = 'Tinv_11' WHERE id = 'op_inv_1_2'",
        {"one_effect": _INV},
    ),
    "an effect of what was refused": (
        (
            "INSERT INTO late_outcome (delivery_id, number, at, outcome, native_id)"
            " VALUES ('dlv_inv_1_3_mirror', 1, 1, 'applied', 'N-inv_1');"
            "UPDATE delivery SET state = 'skipped' WHERE id = 'dlv_inv_1_3_mirror';"
            "UPDATE operation SET state = 'settled' WHERE id = 'op_inv_1_3'"
        ),
        {"one_effect": _INV},
    ),
    "a second effect, told too late": (
        (
            "INSERT INTO late_outcome (delivery_id, number, at, outcome, native_id)"
            " VALUES ('dlv_cus_2_1_mirror', 1, 1, 'applied', 'N-other')"
        ),
        {"one_effect": _CUS},
    ),
    "an operation that rests without anybody": (
        "UPDATE delivery SET state = 'skipped' WHERE id = 'dlv_inv_1_3_mirror'",
        {"unfinished": _INV},
    ),
    "a delivery that waits for nobody": (
        (
            "UPDATE delivery SET state = 'parked' WHERE id = 'dlv_inv_1_3_mirror';"
            "UPDATE operation SET state = 'attention' WHERE id = 'op_inv_1_3'"
        ),
        {"parked_without_case": _INV},
    ),
    "a ready delivery that nobody would claim": (
        "UPDATE lane SET wake_at = NULL WHERE record_id = 'cus_2'",
        {"forgotten": _CUS},
    ),
    "a ready delivery without a lane": (
        "DELETE FROM lane WHERE record_id = 'inv_1' AND system = 'cloud'",
        {"forgotten": _INV},
    ),
    "of unknown outcome, and no look due": (
        (
            "UPDATE delivery SET state = 'unknown', wake_at = NULL WHERE id = 'dlv_inv_1_3_mirror';"
            "UPDATE lane SET inflight = 'dlv_inv_1_3_mirror' WHERE record_id = 'inv_1' AND system = 'cloud'"
        ),
        {"forgotten": _INV},
    ),
    "being sent without an end": (
        (
            "UPDATE delivery SET state = 'sending' WHERE id = 'dlv_inv_1_3_mirror';"
            "UPDATE lane SET inflight = 'dlv_inv_1_3_mirror' WHERE record_id = 'inv_1' AND system = 'cloud'"
        ),
        {"forgotten": _INV},
    ),
}

#: What looks like damage and is none.
HARMLESS: dict[str, str] = {
    "applied, and a repair is to make it anew": (
        "DELETE FROM crosswalk WHERE record_id = 'cus_2' AND system = 'cloud';"
        "UPDATE operation SET origin = 'repair' WHERE id = 'op_cus_2_3'"
    ),
    "unresolved at the authority, with its lane held": (
        "UPDATE delivery SET state = 'parked' WHERE id = 'dlv_inv_1_3_authority';"
        "UPDATE delivery SET state = 'blocked' WHERE id = 'dlv_inv_1_3_mirror';"
        "UPDATE operation SET state = 'unresolved' WHERE id = 'op_inv_1_3';"
        "UPDATE lane SET inflight = 'dlv_inv_1_3_authority', applied_seq = 2"
        " WHERE record_id = 'inv_1' AND system = 'legacy';"
        "UPDATE lane SET wake_at = NULL WHERE record_id = 'inv_1' AND system = 'cloud';"
        + _CASE.replace("_mirror", "_authority")
    ),
    "ready behind one that waits for a person": (
        "UPDATE delivery SET state = 'parked' WHERE id = 'dlv_inv_1_2_mirror';"
        "UPDATE operation SET state = 'attention' WHERE id = 'op_inv_1_2';"
        "UPDATE lane SET wake_at = NULL, applied_seq = 1 WHERE record_id = 'inv_1' AND system = 'cloud';"
        + _CASE.replace("_3_", "_2_").replace("inv_1_3", "inv_1_2")
    ),
    "writes that are held while the authority moves": (
        "UPDATE slice SET draining = {true}, epoch = 4;"
        "UPDATE delivery SET state = 'blocked' WHERE record_id = 'inv_1' AND seq = 3;"
        "UPDATE operation SET state = 'held', epoch = 4 WHERE id = 'op_inv_1_3';"
        "UPDATE lane SET applied_seq = 2, wake_at = NULL WHERE record_id = 'inv_1'"
    ),
    "an operation that has only just stopped": (
        "UPDATE delivery SET state = 'skipped' WHERE id = 'dlv_inv_1_3_mirror';"
        "UPDATE operation SET updated_at = updated_at + 7000000000 WHERE id = 'op_inv_1_3'"
    ),
    "an epoch that a person's word closed after the next had begun": (
        "UPDATE operation SET epoch = 2, authority = 'cloud' WHERE id = 'op_inv_1_3';"
        "UPDATE delivery SET source = 'probe' WHERE id = 'dlv_inv_1_3_authority'"
    ),
}


class _Undone(Exception):
    """Ends a unit whose changes are not to stay; carries what it has found."""

    def __init__(self, found: dict[str, tuple[str, ...]]) -> None:
        self.found = found


async def after(database: Database, damage: str, *, sweep: bool = False) -> dict[str, tuple[str, ...]]:
    """What is broken once the damage is done. The journal is in order again when this returns."""

    def unit(connection: Connection) -> None:
        for statement in damage.replace("{true}", "1" if database.sqlite else "true").split(";"):
            done = connection.execute(text(statement))
            assert done.rowcount != 0, f"changed nothing: {statement}"
        raise _Undone(looked(connection, database.now(connection), sweep=sweep))

    with pytest.raises(_Undone) as undone:
        await database.transaction(unit)
    return undone.value.found


@pytest.mark.parametrize(
    "sweep", [pytest.param(False, id="touched"), pytest.param(True, id="walked through")]
)
async def test_each_damage_breaks_its_law(healthy: Database, sweep: bool) -> None:
    """A journal in order breaks no law. Damaged in one way, it breaks the law that forbids it, and the record is
    named; by the look at what was touched, and by the walk through what nobody touches."""
    assert await healthy.read(lambda conn: looked(conn, healthy.now(conn), sweep=sweep)) == {}
    found = {name: await after(healthy, damage, sweep=sweep) for name, (damage, _) in DAMAGES.items()}
    assert found == {name: expected for name, (_, expected) in DAMAGES.items()}


async def test_what_is_lawful_is_not_reported(healthy: Database) -> None:
    """An alarm without a cause would teach people to look away."""
    found = {name: await after(healthy, change) for name, change in HARMLESS.items()}
    assert found == {name: {} for name in HARMLESS}


def test_every_law_has_its_damage() -> None:
    """No law is there that no test has seen broken."""
    assert {name for _, laws in DAMAGES.values() for name in laws} == {one.name for one in INVARIANTS}


#: Tables that grow with the journal. The others are as long as there are slices, open cases or late answers.
LARGE = {"operation", "delivery", "lane", "record", "crosswalk", "operation_event", "attempt"}


async def test_no_law_reads_a_large_table_whole(healthy: Database) -> None:
    """Every access to a table that grows with the journal is by an index and bounded by a condition on it."""

    def unit(connection: Connection) -> dict[str, list[str]]:
        seen = extent(connection, records=2)
        found: dict[str, list[str]] = {}
        for one in INVARIANTS:
            statement, values = STATEMENTS[one.name], parameters(one, seen, now=healthy.now(connection))
            if healthy.sqlite:
                rows = connection.execute(text(f"EXPLAIN QUERY PLAN {statement.text}"), values)
                scans = [row.detail for row in rows if row.detail.startswith("SCAN ")]
                found[one.name] = [scan for scan in scans if _table(scan.split()[1], statement.text) in LARGE]
            else:
                plan = connection.execute(
                    text(f"EXPLAIN (FORMAT JSON) {statement.text}"), values
                ).scalar_one()
                found[one.name] = list(_unbounded(json.loads(plan) if isinstance(plan, str) else plan))
        return {name: scans for name, scans in found.items() if scans}

    assert await healthy.read(unit) == {}


def _table(alias: str, statement: str) -> str:
    """The table behind an alias of a statement."""
    names = dict(re.findall(r"(?:FROM|JOIN) (\w+) (\w+)(?=[\s)])", statement))
    return next((table for table, short in names.items() if short == alias and table in LARGE), alias)


def _unbounded(node: Any) -> Iterator[str]:
    """Accesses of a PostgreSQL plan that go through a whole large table."""
    if isinstance(node, list):
        for one in node:
            yield from _unbounded(one)
        return
    plan = node.get("Plan", node)
    kind, table = plan["Node Type"], plan.get("Relation Name")
    by_index = kind in ("Index Scan", "Index Only Scan", "Bitmap Index Scan") and "Index Cond" in plan
    if table in LARGE and not by_index and kind != "Bitmap Heap Scan":
        yield f"{kind} on {table}"
    if kind == "Bitmap Index Scan" and not by_index:
        yield f"{kind} on {plan.get('Index Name')}"
    yield from _unbounded(plan.get("Plans", []))


@pytest.mark.parametrize("journal", [pytest.param("postgresql", marks=pytest.mark.server)], indirect=True)
async def test_no_law_goes_through_what_is_done(healthy: Database) -> None:
    """Whatever the server's statistics say, no law goes by the state of what has ended, of which there is as much as
    the journal is long; here they are from a moment when nothing was applied yet."""
    ended = re.compile(r"'(?:applied|rejected|skipped|superseded|settled)'")

    def unit(connection: Connection) -> None:
        connection.execute(text("UPDATE delivery SET state = 'ready'"))
        columns = ", ".join(column.name for column in delivery.columns if column.name not in ("id", "record_id"))
        connection.execute(
            text(
                f"INSERT INTO delivery (id, record_id, {columns})"
                f" SELECT id || n, record_id || n % 10, {columns} FROM delivery, generate_series(1, 500) n"
            )
        )
        connection.execute(text("ANALYZE"))
        seen = extent(connection, records=2)
        found: dict[str, tuple[str, ...]] = {}
        for one in INVARIANTS:
            plan = connection.execute(
                text(f"EXPLAIN (FORMAT JSON) {STATEMENTS[one.name].text}"),
                parameters(one, seen, now=healthy.now(connection)),
            ).scalar_one()
            conditions = _index_conditions(json.loads(plan) if isinstance(plan, str) else plan)
            found[one.name] = tuple(line for line in conditions if ended.search(line))
        raise _Undone({name: lines for name, lines in found.items() if lines})

    with pytest.raises(_Undone) as undone:
        await healthy.transaction(unit)
    assert undone.value.found == {}


def _index_conditions(node: Any) -> Iterator[str]:
    """What the indexes of a PostgreSQL plan are asked for."""
    if isinstance(node, list):
        for one in node:
            yield from _index_conditions(one)
        return
    plan = node.get("Plan", node)
    if "Index Cond" in plan:
        yield plan["Index Cond"]
    yield from _index_conditions(plan.get("Plans", []))


async def test_real_traffic_breaks_no_law(world: World) -> None:
    """Writes, refusals, lost answers, a mirror that is away and a move of authority leave a journal in which every law
    holds, looked at all the while."""
    seen = Invariants(database=world.gateway.database, metrics=Metrics(), log=Log())
    stop = asyncio.Event()

    async def look() -> None:
        while not stop.is_set():
            await seen.run_once()
            assert {name: records for name, records in seen.broken.items() if records} == {}

    looking = asyncio.create_task(look())
    owner = await world.made("customers", customer(number=fresh()))
    world.sandbox.fault("legacy", "answer_lost", count=2, on=["writes"])
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    answers = await asyncio.gather(
        *(world.create("customers", customer(number=fresh()), Prefer="wait=25") for _ in range(8)),
        *(world.patch("customers", owner["id"], {"phone": str(turn)}, Prefer="wait=25") for turn in range(8)),
        world.create("contracts", contract(owner["id"], number=fresh()), key=fresh(), Prefer="wait=25"),
    )
    assert {answer.status_code for answer in answers} <= {200, 201, 202}
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)
    await world.stage("customer", Stage.LIVE, override=True)
    assert (await world.patch("customers", owner["id"], {"phone": "1"})).status_code == 200
    await world.quiet()
    stop.set()
    await looking
    seen = Invariants(database=world.gateway.database, metrics=Metrics(), log=Log())
    assert await seen.run_once() == 0
    await world.check()


async def test_a_broken_law_is_told_once_and_counted(
    healthy: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """What is broken is in the log with its records at every look, and in the counter once; mended, the gauge falls
    and the counter stays."""
    metrics = Metrics()
    monitor = Invariants(database=healthy, metrics=metrics, log=Log())

    def figures() -> tuple[float | None, float | None]:
        labels = {"invariant": "forgotten"}
        return (
            metrics.registry.get_sample_value("twinrun_invariant_violations_total", labels),
            metrics.registry.get_sample_value("twinrun_invariant_broken", labels),
        )

    assert figures() == (0.0, 0.0)
    assert (await monitor.run_once(), figures()) == (0, (0.0, 0.0))
    await healthy.transaction(lambda conn: conn.execute(text("UPDATE lane SET wake_at = NULL")))
    for _ in range(2):
        caplog.clear()
        assert (await monitor.run_once(), figures()) == (1, (2.0, 2.0))
        (told,) = (line for line in caplog.records if line.levelno == logging.ERROR)
        facts = told.__dict__["facts"]
        assert (facts["invariant"], facts["records"]) == ("forgotten", ["cus_2", "inv_1"])
    await healthy.transaction(lambda conn: conn.execute(text("UPDATE lane SET wake_at = 1")))
    assert (await monitor.run_once(), figures()) == (0, (2.0, 0.0))


@pytest.mark.parametrize("journal", [pytest.param("postgresql", marks=pytest.mark.server)], indirect=True)
async def test_one_process_looks_at_a_time(healthy: Database, caplog: pytest.LogCaptureFixture) -> None:
    """While one process looks, another leaves that round out; it does not wait, and it does not take what it has not
    seen for in order."""
    await healthy.transaction(lambda conn: conn.execute(text("UPDATE lane SET wake_at = NULL")))
    other = Invariants(database=healthy, metrics=Metrics(), log=Log())
    inside, leave = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def hold(connection: Connection) -> None:
        assert connection.execute(text("SELECT pg_try_advisory_xact_lock(7405)")).scalar_one()
        inside.set()
        await_only(leave.wait())

    holding = loop.create_task(healthy.transaction(hold))
    await inside.wait()
    assert (await other.run_once(), caplog.records) == (0, [])
    leave.set()
    await holding
    assert await other.run_once() == 1


@pytest.mark.parametrize("journal", [pytest.param("postgresql", marks=pytest.mark.server)], indirect=True)
async def test_what_has_grown_is_counted_before_a_look(healthy: Database) -> None:
    """A table that the server has not counted since it grew is counted before the laws are asked about it, and one
    that has not grown since is left alone."""
    monitor = Invariants(database=healthy, metrics=Metrics(), log=Log())

    def grow(rows: int) -> Callable[[Connection], None]:
        def unit(connection: Connection) -> None:
            connection.execute(text("ALTER TABLE late_outcome SET (autovacuum_enabled = off)"))  # nobody else counts
            connection.execute(
                text(
                    "INSERT INTO late_outcome (delivery_id, number, at, outcome)"
                    " SELECT 'none', n, 0, 'not_applied' FROM generate_series(1, :rows) n"
                ),
                {"rows": rows},
            )
            connection.execute(text("SELECT pg_stat_force_next_flush()"))

        return unit

    def counted(connection: Connection) -> int:
        known = text("SELECT reltuples FROM pg_class WHERE relname = 'late_outcome'")
        return int(connection.execute(known).scalar_one())

    found: list[int] = []
    for rows in (999, 1, 999, 1):
        await healthy.transaction(grow(rows))
        assert await monitor.run_once() == 0
        found.append(await healthy.read(counted))
    assert found == [-1, 1000, 1000, 2000]


async def test_each_event_is_looked_at_twice_and_no_more(healthy: Database) -> None:
    """A look begins where the one before it was new, because a commit that was under way may have left its events below
    those that were there already; what two looks have seen is left to the walk through all records."""
    monitor = Invariants(database=healthy, metrics=Metrics(), log=Log())
    newest = await healthy.read(lambda conn: extent(conn).upto)
    begins: list[tuple[int, str]] = []
    for _ in range(4):
        begins.append((max(0, monitor._after), monitor._swept))
        assert await monitor.run_once() == 0
    assert begins == [(0, ""), (0, ""), (newest, ""), (newest, "")]


async def test_the_walk_goes_on_where_it_stopped_and_begins_anew(healthy: Database) -> None:
    """Chunk by chunk every record is gone through, and after the last one comes the first."""

    def unit(connection: Connection) -> list[tuple[str, str]]:
        chunks: list[tuple[str, str]] = []
        swept = ""
        while not chunks or swept != LAST:
            seen = extent(connection, swept=swept, records=1)
            chunks.append((seen.swept, seen.until))
            swept = seen.until
        return chunks

    assert await healthy.read(unit) == [("", "cus_2"), ("cus_2", "inv_1"), ("inv_1", LAST)]
