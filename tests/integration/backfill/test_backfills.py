"""Backfills over two simulated ERPs, on both databases, judged from what the ERPs say was done to them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from gateway.backfill import Run
from gateway.backfill.run import Act, State
from gateway.crash import VARIABLE
from gateway.errors import BackfillRunning, BackfillStale, Invalid
from gateway.ledger import invariants
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh
from tests.integration.reconcile.test_runs import environment
from tests.systems.sandbox import Sandbox

ROOT = Path(__file__).parents[3]
ENTITY, COLLECTION = "customer", "customers"


async def firm(world: World, stage: Stage, count: int) -> list[dict[str, Any]]:
    """Customers that only the authority of a one-system stage has got."""
    await world.stage(ENTITY, stage, region=REGION, override=True)
    return list(
        await asyncio.gather(
            *(world.made(COLLECTION, customer(number=fresh("C")), key=fresh()) for _ in range(count))
        )
    )


async def ended(world: World, run: Run, *, by_hand: bool = False) -> Run:
    """The run once nobody works on it any more."""

    async def over() -> Run | None:
        if by_hand:
            await world.gateway.backfiller.run_once()
        now = await world.gateway.backfiller.get(run.id)
        return now if now.state not in (State.RUNNING, State.VERIFYING) else None

    return await world.until(over, f"{run.id} has ended", 60.0)


async def lawful(world: World) -> None:
    """What the monitor of the journal would say of all that is in it: nothing."""

    def unit(connection: Connection) -> dict[str, tuple[str, ...]]:
        seen = invariants.extent(connection, records=1_000_000)
        return invariants.broken(connection, seen, now=world.gateway.database.now(connection))

    found = await world.gateway.database.read(unit)
    assert {law: records for law, records in found.items() if records} == {}


def twin(made: dict[str, Any]) -> dict[str, str]:
    """A record that somebody has made in the cloud by hand, with the same number."""
    return {
        "Number": made["number"],
        "LegalEntity": made["legal_entity"],
        "Status": "Active",
        "Name": made["name"],
        "CurrencyCode": "GBP",
    }


def creates(world: World, system: str) -> Counter[str]:
    """How often each number was created in a system, by its own account."""
    found: Counter[str] = Counter()
    for effect in world.effects(system, entity=ENTITY, limit=5000):
        if effect["action"] == "create":
            found[effect["key"]] += 1
    return found


@pytest.mark.parametrize(
    ("alone", "together", "target"),
    [
        pytest.param(Stage.LEGACY_ONLY, Stage.DUAL_WRITE, "cloud", id="legacy to cloud"),
        pytest.param(Stage.CLOUD_ONLY, Stage.RAMP_DOWN, "legacy", id="cloud to legacy"),
    ],
)
async def test_an_empty_mirror_becomes_complete_while_live_writes_race(
    world: World, alone: Stage, together: Stage, target: str
) -> None:
    """Every record is in the mirror once, a live write that raced is the last word on both sides, a second run finds
    nothing to do."""
    made = await firm(world, alone, 60)
    await world.stage(ENTITY, together, region=REGION, override=True)
    run = await world.gateway.backfiller.start(ENTITY, REGION, actor="tests", reason="go")
    with pytest.raises(BackfillRunning):
        await world.gateway.backfiller.start(ENTITY, REGION, actor="tests")
    for one in made[::3]:
        answer = await world.patch(COLLECTION, one["id"], {"name": f"Live {one['number']}"}, key=fresh())
        assert answer.status_code == 200, answer.text
    done = await ended(world, run)
    await world.quiet()
    assert done.complete, done
    assert (done.total, done.read) == (60, 60)
    assert done.linked + done.created + done.present + done.superseded == 60
    assert set(creates(world, target).values()) == {1}
    assert len(creates(world, target)) == 60
    adapter = world.gateway.adapters[target]
    for one in made:
        told = (await world.get(f"/v1/{COLLECTION}/{one['id']}")).json()
        native = told["external_refs"][target]
        held = await adapter.fetch(ENTITY, native)
        assert held.fields["name"] == told["name"]
    await lawful(world)
    again = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
    assert (again.present, again.created, again.complete) == (60, 0, True)


async def test_live_writes_without_end_do_not_hold_it_up(world: World) -> None:
    """A record that is never quiet is compared some day; the run does not wait for that, and ends."""
    busy, *_ = await firm(world, Stage.LEGACY_ONLY, 3)
    await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
    run = await world.gateway.backfiller.start(ENTITY, REGION, actor="tests")
    over = asyncio.Event()

    async def caller() -> int:
        count = 0
        while not over.is_set():
            count += 1
            answer = await world.patch(COLLECTION, busy["id"], {"phone": f"+44 {count}"}, key=fresh())
            assert answer.status_code in (200, 202), answer.text
        return count

    writing = asyncio.create_task(caller())
    try:
        done = await ended(world, run)
    finally:
        over.set()
    assert await writing > 0
    assert (done.state, done.unlinked, done.failed) == (State.DONE, 0, 0)


async def test_killed_twice_in_a_chunk(settings: Settings, erps: Sandbox, tmp_path: Path) -> None:
    """kill -9 before a chunk's commit, twice: nothing of that chunk is there, whoever comes next takes it again, and
    every record is in the mirror once."""
    async with opened(settings, erps) as world:
        made = await firm(world, Stage.LEGACY_ONLY, 120)
        await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
        backfiller = world.gateway.backfiller
    async with opened(settings, erps, worker=False) as world:
        world.began = dict.fromkeys(world.began, 0)
        backfiller = world.gateway.backfiller
        run = await backfiller.start(ENTITY, REGION, actor="tests")
        for passage in (1, 2):
            before = await backfiller.get(run.id)
            log = tmp_path / f"killed{passage}.log"
            with log.open("w") as said:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "gateway.cli", "backfill", "start"),
                    *("--entity", ENTITY, "--region", REGION),
                    cwd=tmp_path,
                    env={
                        **os.environ,
                        **environment(settings),
                        "PYTHONPATH": str(ROOT),
                        VARIABLE: f"CP21:{passage}",
                    },
                    stdout=said,
                    stderr=said,
                )
            assert await process.wait() == -signal.SIGKILL, log.read_text()
            after = await backfiller.get(run.id)
            assert after.state is State.RUNNING
            assert after.read - before.read == 50 * (passage - 1)
    async with opened(settings, erps) as world:
        world.began = dict.fromkeys(world.began, 0)
        done = await ended(world, run)
        assert done.complete, done
        assert (done.read, done.created) == (120, 120)
        found = creates(world, "cloud")
        assert (len(found), set(found.values())) == (len(made), {1})
        await lawful(world)


async def test_a_record_that_fits_several_goes_to_a_person(world: World) -> None:
    """Neither linked nor created: a case names what it fits. One that fits exactly one record is linked, compared, and
    counted as such by readiness, and never written to."""
    one, two = await firm(world, Stage.LEGACY_ONLY, 2)
    for made in (one, one, two):
        world.sandbox.edit("cloud", ENTITY, "", twin(made), action="insert")
    await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
    before = len(world.effects("cloud"))
    done = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
    assert (done.ambiguous, done.linked, done.created, done.complete) == (1, 1, 0, False)
    assert done.unlinked == 1
    assert len(world.effects("cloud")) == before
    cases = (await world.get("/admin/v1/cases?kind=ambiguous_match")).json()["items"]
    assert [case["record"] for case in cases if case["record"] in (one["id"], two["id"])] == [one["id"]]
    kinds = (await world.get(f"/admin/v1/readiness/{ENTITY}/{REGION}")).json()["variants"]
    assert {(kind["records"], kind["compared"]) for kind in kinds if kind["field"] == "currency"} == {(2, 1)}
    await lawful(world)


async def test_paused_resumed_and_cancelled(settings: Settings, erps: Sandbox) -> None:
    """A paused run takes nothing, resumed it goes on from there, cancelled it has ended; the audit names each act, and
    over HTTP it is told and refused in the words of the contract."""
    async with opened(settings, erps, worker=False) as world:
        backfiller = world.gateway.backfiller
        # What is created for these is sent by nobody, so the run does not end by itself.
        await firm(world, Stage.LEGACY_ONLY, 2)
        with pytest.raises(Invalid, match="dual_write"):
            await backfiller.start(ENTITY, REGION, actor="tests")
        await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
        base = "/admin/v1/backfills"
        begun = await world.client.post(base, json={"entity": ENTITY, "region": REGION, "reason": "go live"})
        assert begun.status_code == 202, begun.text
        at = begun.headers["location"]
        twice = await world.client.post(base, json={"entity": ENTITY, "region": REGION})
        assert twice.status_code == 409
        resting = await world.client.post(f"{at}/pause", json={"reason": "  the nightly\n batch "})
        assert resting.json()["state"] == "paused"
        assert (await world.client.post(f"{at}/pause")).json()["state"] == "paused"
        assert await backfiller.run_once() == 0
        assert (await world.client.post(f"{at}/resume")).json()["state"] == "running"
        assert await backfiller.run_once() > 0
        assert (await world.client.post(f"{at}/cancel")).json()["state"] == "cancelled"
        refused = await world.client.post(f"{at}/resume")
        assert refused.status_code == 409
        with pytest.raises(BackfillStale):
            await backfiller.act(begun.json()["id"], Act.PAUSE, actor="ann")
        page = (await world.get(f"{base}?limit=1")).json()
        assert [one["id"] for one in page["items"]] == [begun.json()["id"]]
        acts = (await world.get("/admin/v1/audit?limit=50")).json()["items"]
        mine = [one["action"] for one in acts if one["subject"] == begun.json()["id"]]
        assert sorted(mine) == ["backfill.cancel", "backfill.pause", "backfill.resume", "backfill.start"]
        (paused,) = (
            one for one in acts if one["action"] == "backfill.pause" and one["subject"] == begun.json()["id"]
        )
        assert paused["detail"]["reason"] == "the nightly batch"


async def test_what_became_of_each_record_on_the_command_line(
    settings: Settings, erps: Sandbox, tmp_path: Path
) -> None:
    """`twinrun backfill records` gives the records of an outcome, for people and as JSON, and names what is allowed."""
    async with opened(settings, erps) as world:
        world.began = dict.fromkeys(world.began, 0)
        one, two = await firm(world, Stage.LEGACY_ONLY, 2)
        world.sandbox.edit("cloud", ENTITY, "", twin(one), action="insert")
        await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
        done = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
        assert (done.linked, done.created) == (1, 1)

    async def said(*arguments: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "backfill", "records", done.id, *arguments),
            cwd=tmp_path,
            env={**os.environ, **environment(settings), "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    code, out, _ = await said("--outcome", "linked")
    assert code == 0
    assert one["id"] in out
    assert two["id"] not in out
    code, out, _ = await said("--json")
    assert code == 0
    told = {item["record"]: item for item in msgspec.json.decode(out)["items"]}
    assert {record: item["outcome"] for record, item in told.items()} == {
        one["id"]: "linked",
        two["id"]: "created",
    }
    assert told[two["id"]]["delivery"]["state"] == "applied"
    code, _, err = await said("--outcome", "lost")
    assert code == 2
    assert "ambiguous" in err
