"""A cohort moves on its own: its authority, its fence and its gates are those of its own slices."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import RuleRefused
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.cohorts.conftest import WAVE, lawful, rule_files
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh, project, resource, time_entry
from tests.systems.sandbox import Sandbox


@pytest.fixture
def rules(tmp_path: Path, numbers: tuple[str, ...]) -> Path:
    """The cohort in shadow, one step before its authority moves; its region behind it."""
    return rule_files(tmp_path / "rules", stage="shadow", numbers=numbers)


async def pair(world: World, numbers: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A project of the cohort, and one of its region."""
    client = await world.made("customers", customer(number=fresh("C")))
    ours = await world.made("projects", project(client["id"], number=numbers[0]))
    other = await world.made("projects", project(client["id"], number=fresh("P")))
    await world.quiet()
    return ours, other


async def test_there_and_back_while_the_region_stays(world: World, numbers: tuple[str, ...]) -> None:
    """The authority of a cohort goes to the cloud and back under writes to both: none is lost, doubled or refused, and
    what is not in the cohort is led by its own authority throughout, in the one epoch that it had."""
    ours, other = await pair(world, numbers)
    stop = asyncio.Event()
    answers: dict[str, list[httpx.Response]] = {ours["id"]: [], other["id"]: []}

    async def client(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            for record_id, told in answers.items():
                body = {"practice": f"{number} {turn}"}
                told.append(
                    await world.patch("projects", record_id, body, key=fresh(), Prefer="wait=25")
                )

    async with asyncio.TaskGroup() as clients:
        for number in range(4):
            clients.create_task(client(number))
        for stage in (Stage.LIVE, Stage.SHADOW, Stage.LIVE):
            before = len(answers[other["id"]])
            await world.until(lambda before=before: _more(answers[other["id"]], before + 8), "traffic")
            changed = await world.stage("project", stage, region=WAVE)
            assert (changed.stage, changed.region, changed.cohort) == (stage, WAVE, "wave1")
        stop.set()
    for told in answers.values():
        assert {answer.status_code for answer in told} == {200}, {a.text for a in told if a.status_code != 200}
    by = {id_: {answer.headers["Twinrun-Answered-By"] for answer in told} for id_, told in answers.items()}
    assert by == {ours["id"]: {"legacy", "cloud"}, other["id"]: {"legacy"}}
    await world.quiet(60)
    lines = await world.lines()
    assert {line.epoch for line in lines if line.record == other["id"]} == {1}
    assert len({line.epoch for line in lines if line.record == ours["id"]}) >= 4
    await lawful(world)


async def _more(answers: list[Any], wanted: int) -> bool:
    return len(answers) >= wanted


async def test_its_fence_holds_nobody_else(world: World, numbers: tuple[str, ...]) -> None:
    """While the cohort drains, its writes are held and answered 202; those of its region are answered as ever. When it
    has drained, the held ones go to the new authority."""
    ours, other = await pair(world, numbers)
    world.sandbox.fault("cloud", "outage")
    waiting = await world.patch("projects", ours["id"], {"practice": "before"}, key=fresh())
    assert waiting.headers["Twinrun-Answered-By"] == "legacy"
    moving = asyncio.create_task(world.stage("project", Stage.LIVE, region=WAVE))

    async def draining() -> bool:
        return (await world.gateway.slices.all()) and any(
            one.draining for one in await world.gateway.slices.all() if one.region == WAVE
        )

    await world.until(draining, "the fence")
    held = await world.patch("projects", ours["id"], {"practice": "held"}, key=fresh(), Prefer="wait=0")
    assert held.status_code == 202
    for turn in range(5):
        answer = await world.patch("projects", other["id"], {"practice": str(turn)}, key=fresh())
        assert (answer.status_code, answer.headers["Twinrun-Answered-By"]) == (200, "legacy")
    assert {one.region for one in await world.gateway.slices.all() if one.draining} == {WAVE}
    world.sandbox.heal()
    changed = await moving
    assert changed.authority == "cloud"
    done = await world.reaches(held, "settled", "committed")
    assert done["authority"] == "cloud"
    await world.quiet()
    await lawful(world)


async def test_it_waits_for_what_it_refers_to(world: World, numbers: tuple[str, ...]) -> None:
    """Hours of a cohort may not run ahead of its projects, whatever its region's are; and its region's customers may
    not go back behind it."""
    with pytest.raises(RuleRefused) as refused:
        await world.stage("time_entry", Stage.LIVE, region=WAVE)
    assert "project, which it refers to, is shadow: move project to live first" in refused.value.detail
    await world.stage("project", Stage.LIVE, region=WAVE)
    await world.stage("time_entry", Stage.LIVE, region=WAVE)
    with pytest.raises(RuleRefused) as refused:
        await world.stage("customer", Stage.SHADOW)
    told = " ".join(one.message for one in refused.value.errors)
    assert f"project in {WAVE} would be live while customer, which it refers to, is shadow in {REGION}" in told


async def test_its_evidence_is_its_own(settings: Settings, sandbox: Sandbox, numbers: tuple[str, ...]) -> None:
    """Readiness, reconciliation and backfill of a cohort are about the records that are pinned to it, and those of its
    region about the others."""
    async with opened(settings, sandbox) as world:
        ours, other = await pair(world, numbers)
        person = await world.made("resources", resource(number=fresh("R")))
        for id_ in (ours["id"], ours["id"], other["id"]):
            await world.made("time-entries", time_entry(person["id"], id_), key=fresh())
        await world.quiet()
        gateway = world.gateway
        counts: dict[str, tuple[int, int]] = {}
        for place in (WAVE, REGION):
            run = await gateway.reconciler.start("time_entry", place, actor="tests")

            async def over(id_: str = run.id) -> Any:
                found = await gateway.reconciler.get(id_)
                return found if found.state == "done" else None

            done = await world.until(over, "reconciled", 60)
            counts[place] = (done.read_authority, done.read_mirror)
            filled = await gateway.backfiller.start("time_entry", place, actor="tests")

            async def brought(id_: str = filled.id) -> Any:
                found = await gateway.backfiller.get(id_)
                return found if found.state == "done" else None

            taken = await world.until(brought, "backfilled", 60)
            assert place == REGION or taken.present == 2
        assert counts[WAVE] == (2, 2)
        assert min(counts[REGION]) >= 1
        reports = await gateway.readiness.all(entity="project")
        assert {(one.region, one.stage.value) for one in reports if REGION in one.region} == {
            (WAVE, "shadow"),
            (REGION, "dual_write"),
        }
        feeds = await gateway.follower.list(entity="project", region=WAVE)
        assert {one.region for one in feeds} == {WAVE}
