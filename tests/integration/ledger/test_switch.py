"""Moves of authority under traffic: fenced, drained, committed; and rule changes that are in force at once."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import update

from gateway.errors import RuleRefused, RuleVersionMoved, StoreUnavailable
from gateway.ledger.tables import delivery, slice_
from gateway.routing.stage import Stage
from gateway.settings import Settings
from gateway.switchover import moves
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh, invoice
from tests.systems.sandbox import Sandbox


async def test_there_and_back_under_traffic(world: World) -> None:
    """Authority goes to the cloud and back while writes keep coming: none lost, none doubled, none refused, one
    authority per epoch; what comes during the move is held for a moment and answered."""
    records = [await world.made("customers", customer(number=fresh())) for _ in range(6)]
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)
    stop = asyncio.Event()
    answers: list[httpx.Response] = []

    async def client(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            if turn % 4 == 0:
                answer = await world.create(
                    "customers", customer(number=fresh()), key=fresh(), Prefer="wait=25"
                )
            else:
                record = records[(number + turn) % len(records)]
                body = {"phone": f"{number} {turn}"}
                answer = await world.patch("customers", record["id"], body, key=fresh(), Prefer="wait=25")
            answers.append(answer)

    stages = [Stage.LIVE, Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN, Stage.LIVE, Stage.SHADOW]
    async with asyncio.TaskGroup() as clients:
        for number in range(8):
            clients.create_task(client(number))
        for stage in stages:
            before = len(answers)
            await world.until(lambda before=before: _more(answers, before + 10), "traffic")
            changed = await world.stage("customer", stage)
            assert (changed.stage, changed.draining) == (stage, False)
        stop.set()
    assert {answer.status_code for answer in answers} <= {200, 201}, {
        answer.text for answer in answers if answer.status_code >= 202
    }
    await world.quiet(60)
    by = {answer.headers["Twinrun-Answered-By"] for answer in answers}
    assert by == {"legacy", "cloud"}
    lines = await world.lines()
    assert len({line.epoch for line in lines}) >= 5
    await world.check()
    for record in records:
        held = {
            system: next(e for e in reversed(world.sandbox.effects(system, external_id=record["id"])))[
                "marker"
            ]
            for system in ("cloud",)
        }
        newest = max((line for line in lines if line.record == record["id"]), key=lambda line: line.seq)
        assert held["cloud"] == newest.marker


async def _more(answers: list[Any], wanted: int) -> bool:
    return len(answers) >= wanted


async def test_a_drain_that_does_not_end(settings: Settings, sandbox: Sandbox) -> None:
    """A move whose open deliveries do not end in time is given up: the slice stays, and what was held goes to the
    authority that was."""
    async with opened(msgspec.structs.replace(settings, drain_limit_s=1.0), sandbox) as world:
        record = await world.made("customers", customer(number=fresh()))
        await world.quiet()
        await world.stage("customer", Stage.SHADOW)
        world.sandbox.fault("cloud", "outage")
        stuck = await world.patch("customers", record["id"], {"phone": "1"})
        assert stuck.status_code == 200
        move = asyncio.create_task(world.stage("customer", Stage.LIVE, override=True))
        await world.until(lambda: _draining(world), "the fence")
        held = await world.patch("customers", record["id"], {"phone": "2"}, Prefer="respond-async")
        new = await world.create("customers", customer(number=fresh()), Prefer="respond-async")
        assert (await world.operation(held))["state"] == (await world.operation(new))["state"] == "held"
        withdrawn = await world.create("customers", customer(number=fresh()), Prefer="respond-async")
        gone = await world.client.delete(f"/v1/operations/{withdrawn.headers['Twinrun-Operation']}")
        assert gone.status_code == 200
        with pytest.raises(RuleRefused):
            await move
        assert (await world.reaches(held, "committed"))["authority"] == "legacy"
        assert (await world.reaches(new, "committed"))["authority"] == "legacy"
        world.sandbox.heal()
        await world.quiet()
        assert (await world.operation(withdrawn))["state"] == "cancelled"
        await world.check()
        # The same move again, now that the mirror is back.
        await world.stage("customer", Stage.LIVE)
        answer = await world.patch("customers", record["id"], {"phone": "3"})
        assert answer.headers["Twinrun-Answered-By"] == "cloud"
        await world.quiet()
        await world.check()


async def test_what_parks_during_the_drain_stops_the_move(world: World) -> None:
    """A mirror delivery that comes to wait for a person while the others drain is not drained: the authority stays,
    what was held goes to it, and the move is refused by its gate."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)
    outage = world.sandbox.fault("cloud", "outage")
    waiting = await world.patch("customers", record["id"], {"phone": "1"})
    assert waiting.status_code == 200
    move = asyncio.create_task(world.stage("customer", Stage.LIVE))
    await world.until(lambda: _draining(world), "the fence")
    held = await world.patch("customers", record["id"], {"phone": "2"}, Prefer="respond-async")
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    world.sandbox.heal("cloud", outage)
    with pytest.raises(RuleRefused) as refused:
        await move
    assert [error.code for error in refused.value.errors] == ["open_deliveries"]
    there = (await world.get("/admin/v1/rules")).json()["items"]
    (slice_now,) = (one for one in there if (one["entity"], one["region"]) == ("customer", REGION))
    assert (slice_now["stage"], slice_now["authority"]) == ("shadow", "legacy")
    assert (await world.reaches(held, "committed", "settled", "attention"))["authority"] == "legacy"


@pytest.mark.parametrize("entity", ["customer", "invoice"])
async def test_a_patch_waits_for_the_state_that_its_system_lacks(world: World, entity: str) -> None:
    """A move that is made although deliveries wait for a person leaves the new authority without those writes. The
    next write of such a record is a patch: it waits for the older state and does not take its place, whether the
    record's mirror takes only the newest state or each one. Sent again, both arrive, in order."""
    owner = await world.made("customers", customer(number=fresh()))
    record = (
        owner if entity == "customer" else await world.made("invoices", invoice(owner["id"]), key=fresh())
    )
    old, new = (
        ({"phone": "1"}, {"name": "Quay"}) if entity == "customer" else (_due("01"), {"number": fresh()})
    )
    await world.quiet()
    await world.stage(entity, Stage.SHADOW)
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    parked = await world.patch(f"{entity}s", record["id"], old, If_Match='"1"')
    told = await world.reaches(parked, "attention")
    await world.stage(entity, Stage.LIVE, override=True)
    patch = await world.patch(f"{entity}s", record["id"], new, If_Match='"2"', Prefer="wait=1")
    assert patch.status_code == 202
    assert (await world.operation(parked))["state"] == "attention"
    assert (await world.times(patch))["cloud"] == 0
    letter = next(line["id"] for line in told["deliveries"] if line["role"] == "mirror")
    assert (await world.client.post(f"/admin/v1/deliveries/{letter}/replay")).status_code == 200
    await world.reaches(parked, "settled")
    await world.reaches(patch, "settled")
    assert await world.times(parked) == await world.times(patch) == {"legacy": 1, "cloud": 1}
    await world.check()


def _due(day: str) -> dict[str, str]:
    return {"due_date": f"2026-05-{day}"}


async def test_creates_on_their_way_are_drained_with_the_rest(world: World) -> None:
    """A record whose create is on its way to the system that takes over does not stop a move: the drain brings it its
    id. One whose create ends without an id during the drain stops it, by the gate of the crosswalk."""
    await world.stage("customer", Stage.SHADOW)
    outage = world.sandbox.fault("cloud", "outage")
    coming = await world.made("customers", customer(number=fresh()))
    move = asyncio.create_task(world.stage("customer", Stage.LIVE))
    await world.until(lambda: _draining(world), "the fence")
    world.sandbox.heal("cloud", outage)
    assert (await move).authority == "cloud"
    answer = await world.patch("customers", coming["id"], {"phone": "1"})
    assert (answer.status_code, answer.headers["Twinrun-Answered-By"]) == (200, "cloud")
    await world.quiet()
    await world.check()

    await world.stage("customer", Stage.SHADOW)
    outage = world.sandbox.fault("cloud", "outage")
    gone = await world.create("customers", customer(number=fresh()))
    assert gone.status_code == 201
    move = asyncio.create_task(world.stage("customer", Stage.LIVE))
    await world.until(lambda: _draining(world), "the fence")
    await world.gateway.database.transaction(
        lambda conn: conn.execute(
            update(delivery)
            .where(delivery.c.operation_id == gone.headers["Twinrun-Operation"], delivery.c.system == "cloud")
            .values(state="skipped", wake_at=None)
        )
    )
    world.sandbox.heal("cloud", outage)
    with pytest.raises(RuleRefused) as refused:
        await move
    assert [error.code for error in refused.value.errors] == ["crosswalk"]
    assert not await _draining(world)


async def test_a_lost_commit_leaves_no_fence(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is away for the last commit of a move and there again: the slice stays, its fence is lifted at once,
    and what was held is written."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)

    def away(*arguments: Any, **more: Any) -> None:
        raise StoreUnavailable("away for a moment")

    with monkeypatch.context() as patch:
        patch.setattr(moves, "audit_rule", away)
        with pytest.raises(StoreUnavailable):
            await world.stage("customer", Stage.LIVE)
    assert not await _draining(world)
    answer = await world.patch("customers", record["id"], {"phone": "1"})
    assert (answer.status_code, answer.headers["Twinrun-Answered-By"]) == (200, "legacy")
    await world.quiet()
    await world.stage("customer", Stage.LIVE)
    await world.check()


async def test_two_moves_at_once(world: World) -> None:
    """Of two who move a slice from the same version one does, and the other is told that it moved."""
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)
    ended = await asyncio.gather(
        world.stage("customer", Stage.LIVE), world.stage("customer", Stage.LIVE), return_exceptions=True
    )
    raised = [one for one in ended if isinstance(one, Exception)]
    assert len(raised) == 1
    assert isinstance(raised[0], RuleVersionMoved | RuleRefused)
    assert not (await _slice(world)).draining


async def test_a_fence_whose_process_is_gone(settings: Settings, sandbox: Sandbox) -> None:
    """A fence that is older than its limit is lifted, and what it held goes to the authority that was."""
    async with opened(msgspec.structs.replace(settings, drain_limit_s=0.4), sandbox) as world:
        record = await world.made("customers", customer(number=fresh()))
        await world.quiet()

        def fence(connection: Any) -> None:
            now = world.gateway.database.now(connection)
            connection.execute(
                update(slice_)
                .where(slice_.c.entity == "customer", slice_.c.region == REGION)
                .values(draining=True, drain_since=now, epoch=slice_.c.epoch + 1, updated_at=now)
            )

        await world.gateway.database.transaction(fence)
        held = await world.patch("customers", record["id"], {"phone": "1"}, Prefer="respond-async")
        assert (await world.operation(held))["state"] == "held"
        await world.reaches(held, "settled")
        assert not (await _slice(world)).draining
        await world.check()


@pytest.mark.server
async def test_a_rule_is_in_force_everywhere(
    postgres_journal: str, settings: Settings, sandbox: Sandbox
) -> None:
    """A changed rule holds for the very next write in any process, and for its reads within a second."""
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    async with opened(shared, sandbox) as one, opened(shared, sandbox) as other:
        record = await one.made("customers", customer(number=fresh()))
        await one.quiet()
        await one.stage("customer", Stage.SHADOW)
        for stage, system in ((Stage.LIVE, "cloud"), (Stage.SHADOW, "legacy")):
            await one.stage("customer", stage)
            answer = await other.patch("customers", record["id"], {"phone": stage.value})
            assert answer.headers["Twinrun-Stage"] == stage.value
            assert answer.headers["Twinrun-Answered-By"] == system

            async def seen(system: str = system) -> bool:
                read = await other.get(f"/v1/customers/{record['id']}")
                return read.headers["Twinrun-Answered-By"] == system

            await other.until(seen, "reads follow", within_s=1.0)
            await one.quiet()
        await one.check()


@pytest.mark.server
async def test_two_processes_and_one_record(
    postgres_journal: str, settings: Settings, sandbox: Sandbox
) -> None:
    """Two processes that take writes for the same records, each also delivering what the other accepted: in order,
    once, and every caller gets its own answer, whoever sent its write."""
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    async with opened(shared, sandbox) as one, opened(shared, sandbox) as other:
        records = [await one.made("customers", customer(number=fresh())) for _ in range(4)]
        calls = [
            world.patch(
                "customers",
                records[turn % 4]["id"],
                {"phone": f"{name} {turn}"},
                key=fresh(),
                Prefer="wait=25",
            )
            for turn in range(24)
            for name, world in (("one", one), ("other", other))
        ]
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} == {200}
        versions: dict[str, list[int]] = {}
        for answer in answers:
            versions.setdefault(answer.json()["id"], []).append(answer.json()["version"])
        assert all(sorted(found) == list(range(2, 14)) for found in versions.values())
        await one.quiet()
        await one.check()


@pytest.mark.server
async def test_who_sees_a_record_first(postgres_journal: str, settings: Settings, sandbox: Sandbox) -> None:
    """Processes that see the same unknown records at the same moment make one canonical record of each; and a list
    that sees a create before its outcome is written down takes it for what it is."""
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    name = fresh()
    for number in range(20):
        values = {
            "Nummer": f"{name}-{number}",
            "Buchungskreis": "CH01",
            "Status": "A",
            "Name1": name,
            "Waehrung": "CHF",
        }
        sandbox.edit("legacy", "customer", "", values, action="insert")
    async with opened(shared, sandbox) as one, opened(shared, sandbox) as other:
        path = "/v1/customers?region=DACH&legal_entity=CH01&limit=200"
        lists = await asyncio.gather(*(world.every(path) for world in (one, other) * 4))
        seen = [{item["id"] for item in items if item["name"] == name} for items in lists]
        assert all(len(ids) == 20 for ids in seen)
        assert len(set().union(*seen)) == 20
        # Legacy keeps nothing of ours but the marker, and these creates have no number to be known by.
        made = [
            asyncio.create_task(
                one.create(
                    "customers", customer(region="DACH", legal_entity="CH01", name=name), Prefer="wait=25"
                )
            )
            for _ in range(12)
        ]
        while not all(call.done() for call in made):
            await other.every(path)
        answers = [call.result() for call in made]
        assert {answer.status_code for answer in answers} == {201}, [a.text for a in answers]
        last = {item["id"] for item in await other.every(path) if item["name"] == name}
        assert {answer.json()["id"] for answer in answers} <= last
        assert len(last) == 32
        await one.quiet()
        await one.check()


async def _draining(world: World) -> bool:
    return (await _slice(world)).draining


async def _slice(world: World) -> Any:
    return next(
        one for one in await world.gateway.slices.all() if (one.entity, one.region) == ("customer", REGION)
    )


async def test_no_authority_moves_in_a_freeze_window(settings: Settings, sandbox: Sandbox, tmp_path: Path) -> None:
    """Within a window a move of authority is refused with the window and its last day, readiness and simulation say so
    before, other stages change, and an override with its reason moves it all the same."""
    rules = tmp_path / "frozen"
    shutil.copytree(str(settings.rules), rules)
    (rules / "calendar.toml").write_text(
        '[[freezes]]\nname = "Audit"\nfirst = 2020-01-01\nlast = 2099-12-31\nentities = ["customer"]\n',
        encoding="utf-8",
    )
    async with opened(msgspec.structs.replace(settings, rules=str(rules)), sandbox) as world:
        await world.stage("customer", Stage.SHADOW)
        told = (await world.get(f"/admin/v1/readiness/customer/{REGION}")).json()
        (gate,) = [one for one in told["gates"] if one["name"] == "period"]
        assert (gate["verdict"], gate["measure"]) == ("fail", "Audit, until 2099-12-31")
        draft = {"rules": [{"entity": "customer", "region": REGION, "stage": "live"}]}
        simulated = await world.client.post("/admin/v1/rules/simulate", json=draft)
        assert simulated.json()["moves"][0]["frozen"] == "Audit, until 2099-12-31"
        with pytest.raises(RuleRefused) as refused:
            await world.stage("customer", Stage.LIVE)
        assert [(one.code, "Audit, until 2099-12-31" in one.message) for one in refused.value.errors] == [
            ("freeze", True)
        ]
        assert (await world.stage("customer", Stage.LIVE, override=True)).stage is Stage.LIVE
