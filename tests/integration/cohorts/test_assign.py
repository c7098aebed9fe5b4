"""Roots that are there already are brought into a cohort, with all that hangs on them, or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection

from gateway.audit import acts
from gateway.backfill.run import Act
from gateway.cohorts import Assigning
from gateway.database import Database
from gateway.errors import Invalid, NotFoundHere, RuleRefused
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.cohorts.conftest import WAVE, lawful, places, rule_files
from tests.integration.cohorts.test_pins import below
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh, project, resource, time_entry
from tests.systems.sandbox import SYSTEMS, Sandbox

MEMBERS = ("project", "time_entry", "expense", "invoice", "payment")


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Cohort and region at one stage, and nobody begins in the cohort by himself."""
    return rule_files(tmp_path / "rules", stage="dual_write")


async def firm(world: World) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    """A resource, and two projects of one customer with all that hangs on them."""
    client = await world.made("customers", customer(number=fresh("C")))
    person = await world.made("resources", resource(number=fresh("R")))
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for name in ("goes", "stays"):
        work = await world.made("projects", project(client["id"], number=fresh("P")))
        made[name] = {"projects": work, **await below(world, person["id"], client["id"], work["id"])}
    await world.quiet()
    return person, made


def ids(records: dict[str, dict[str, Any]]) -> list[str]:
    return [one["id"] for one in records.values()]


async def test_a_wave_of_projects(world: World) -> None:
    """A project comes into the cohort with its hours, expenses, invoices and payments; what hangs on others stays. No
    system hears of it, the audit does, and asking again changes nothing. Then the cohort goes on alone."""
    person, made = await firm(world)
    before = {system: world.sandbox.last(system) for system in SYSTEMS}
    done = await world.gateway.assigning.assign(
        WAVE, [made["goes"]["projects"]["id"]], actor="anna", reason="the first wave"
    )
    assert done.records == dict.fromkeys(MEMBERS, 1)
    assert set(await places(world, *ids(made["goes"]))) == {WAVE}
    assert set(await places(world, *ids(made["stays"]))) == {REGION}
    assert {system: world.sandbox.last(system) for system in SYSTEMS} == before
    again = await world.gateway.assigning.assign(
        WAVE, [made["goes"]["projects"]["id"]], actor="anna", reason="once more"
    )
    assert (again.records, again.roots) == ({}, ())
    found = await world.gateway.database.read(lambda conn: acts(conn, action="cohort.assign", limit=10))
    assert [(one.actor, one.subject) for one in found] == [("anna", WAVE)] * 2
    for entity in MEMBERS:
        await world.stage(entity, Stage.SHADOW, region=WAVE)
        await world.stage(entity, Stage.LIVE, region=WAVE)
    for name, system in (("goes", "cloud"), ("stays", "legacy")):
        for collection, one in made[name].items():
            changed = await world.patch(
                collection, one["id"], {"custom_fields": {"a": "1"}}, If_Match="*", key=fresh()
            )
            assert (changed.status_code, changed.headers["Twinrun-Answered-By"]) == (200, system)
        more = await world.made(
            "time-entries", time_entry(person["id"], made[name]["projects"]["id"]), key=fresh()
        )
        assert await places(world, more["id"]) == [WAVE if name == "goes" else REGION]
    await world.quiet()
    await lawful(world)


async def test_what_stands_against_it(world: World) -> None:
    """Nothing is brought in while something is open for one of the records, while the stages differ, or while a set is
    being read; nor what is no root, is not there, or has gone into another cohort. Each says what to do, and nobody has
    moved."""
    _, made = await firm(world)
    root = made["goes"]["projects"]["id"]
    assign = world.gateway.assigning.assign

    async def refused(kind: type[Exception], *wanted: str) -> str:
        with pytest.raises(kind) as found:
            await assign(WAVE, wanted or [root], actor="anna", reason="x")
        assert set(await places(world, *ids(made["goes"]))) == {REGION}
        return str(found.value)

    assert "is no project" in await refused(Invalid, made["goes"]["payments"]["customer_id"])
    assert "there is no project" in await refused(NotFoundHere, "prj_01a21eda-5e92-77a8-a9a8-434748515b7f")
    world.sandbox.fault("cloud", "outage")
    await world.patch("expenses", made["goes"]["expenses"]["id"], {"note": "open"}, key=fresh())
    said = await refused(RuleRefused)
    assert f"1 records have deliveries under way, or waiting for a person: {made['goes']['expenses']['id']}" in said
    world.sandbox.heal()
    await world.quiet()
    await world.stage("invoice", Stage.SHADOW, region=WAVE)
    assert f"invoice is shadow in {WAVE} and dual_write in {REGION}" in await refused(RuleRefused)
    await world.stage("invoice", Stage.DUAL_WRITE, region=WAVE)
    run = await world.gateway.backfiller.start("expense", REGION, actor="tests")
    await world.gateway.backfiller.act(run.id, Act.PAUSE, actor="tests")
    assert "1 backfills are under way" in await refused(RuleRefused)


async def test_writes_meanwhile_keep_together(world: World, numbers: tuple[str, ...]) -> None:
    """Hours that are entered while their project is being brought into the cohort come with it, or the act is refused
    and asked for again: at the end a project and all that hangs on it are in one place."""
    person, made = await firm(world)
    root = made["goes"]["projects"]["id"]
    stop = asyncio.Event()
    entries: list[str] = []

    async def enter() -> None:
        while not stop.is_set():
            one = await world.made("time-entries", time_entry(person["id"], root), key=fresh())
            entries.append(one["id"])

    async def bring() -> bool:
        try:
            await world.gateway.assigning.assign(WAVE, [root], actor="anna", reason="x")
        except RuleRefused:
            return False
        return True

    async with asyncio.TaskGroup() as work:
        for _ in range(3):
            work.create_task(enter())
        tries = 0
        while not await bring():
            tries += 1
            await asyncio.sleep(0.02 * (tries % 5))
            if tries == 20:
                # Somebody always enters hours: the act is asked for when nobody does.
                stop.set()
        stop.set()
    await world.quiet()
    assert set(await places(world, root, *entries)) == {WAVE}
    await lawful(world)


class Between:
    """The journal, where something happens after all has been looked up and before the commit."""

    def __init__(self, database: Database, happens: Callable[[], Awaitable[None]]) -> None:
        self._happens = happens
        self.read = database.read
        self.now = database.now
        self._transaction = database.transaction

    async def transaction(self, unit: Callable[[Connection], Any]) -> Any:
        await self._happens()
        return await self._transaction(unit)


@pytest.mark.parametrize("open_", [False, True], ids=["ended", "open"])
async def test_what_comes_last_is_not_left_behind(world: World, open_: bool) -> None:
    """Hours that are entered after the followers of a project were looked up are found under the locks: they come with
    it, or, while they are being made, hold the act up."""
    person, made = await firm(world)
    root = made["goes"]["projects"]["id"]
    entries: list[str] = []

    async def enter() -> None:
        if open_:
            world.sandbox.fault("legacy", "outage")
        answer = await world.create(
            "time-entries", time_entry(person["id"], root), key=fresh(), Prefer="wait=0" if open_ else "wait=20"
        )
        told = answer.json()
        entries.append(told["record"] if open_ else told["id"])
        if not open_:
            await world.quiet()

    between = Between(world.gateway.database, enter)
    # It is the database in all that assigning asks of it.
    assigning = Assigning(database=between, cohorts=world.gateway.ruleset.cohorts)  # type: ignore[arg-type]
    if open_:
        with pytest.raises(RuleRefused, match="1 records have deliveries under way"):
            await assigning.assign(WAVE, [root], actor="anna", reason="x")
        assert set(await places(world, root, *entries)) == {REGION}
        world.sandbox.heal()
        await world.quiet()
        await world.gateway.assigning.assign(WAVE, [root], actor="anna", reason="x")
    else:
        await assigning.assign(WAVE, [root], actor="anna", reason="x")
    assert set(await places(world, root, *entries)) == {WAVE}


async def test_what_is_known_goes_with_the_record(world: World) -> None:
    """A difference that is open is the cohort's from then on, by its list and by its gates, and not its region's."""
    _, made = await firm(world)
    work = made["goes"]["projects"]
    told = (await world.get(f"/v1/projects/{work['id']}")).json()
    world.sandbox.edit("cloud", "project", told["external_refs"]["cloud"], {"Practice": "by hand"})
    await world.patch("projects", work["id"], {"cost_center": "77"})

    async def found(place: str) -> set[str]:
        items = (await world.get(f"/admin/v1/diffs?entity=project&region={place}&verdict=mismatch")).json()["items"]
        return {one["record_id"] for one in items if one["record_id"] == work["id"]}

    async def seen() -> bool:
        return bool(await found(REGION))

    await world.until(seen, "the difference")
    await world.quiet()
    await world.gateway.assigning.assign(WAVE, [work["id"]], actor="anna", reason="x")
    assert (await found(WAVE), await found(REGION)) == ({work["id"]}, set())
    report = await world.gateway.readiness.one("project", WAVE)
    (gate,) = [one for one in report.gates if one.name == "mismatches"]
    assert gate.verdict == "fail"


async def test_edits_are_followed_on(settings: Settings, sandbox: Sandbox) -> None:
    """An edit in an ERP that no feed has come to is carried over by the feed of the cohort that its record has come
    into meanwhile, once."""
    fed = msgspec.structs.replace(settings, change_feed=True, change_feed_period_s=0.1)
    async with opened(fed, sandbox) as world:
        _, made = await firm(world)
        work = made["goes"]["projects"]

        async def following() -> bool:
            feeds = await world.gateway.follower.list(system="legacy", entity="project", region=REGION)
            return feeds[0].state == "following"

        await world.until(following, "the feed")
    told_refs = (await _links(settings, sandbox, work["id"]))["legacy"]
    sandbox.edit("legacy", "project", told_refs, {"Bereich": "Bridges"})
    async with opened(fed, sandbox, worker=False) as world:
        await world.gateway.assigning.assign(WAVE, [work["id"]], actor="anna", reason="x")
    async with opened(fed, sandbox) as world:

        async def carried() -> bool:
            effects = world.effects("cloud", external_id=work["id"])
            return bool(effects)

        await world.until(carried, "the edit in the cloud")
        await world.quiet()
        assert (await world.get(f"/v1/projects/{work['id']}")).json()["practice"] == "Bridges"
        assert len(world.effects("cloud", external_id=work["id"])) == 1
        lines = [line for line in await world.lines() if line.record == work["id"]]
        assert max(line.seq for line in lines) == 2


async def _links(settings: Settings, sandbox: Sandbox, record_id: str) -> dict[str, str]:
    async with opened(settings, sandbox, worker=False) as world:
        return (await world.get(f"/v1/projects/{record_id}")).json()["external_refs"]


def test_commands(sqlite_journal: str, rules: Path, tmp_path: Path) -> None:
    """The rules of cohorts go round by files: exported, read back, nothing differs. The list names every cohort, and
    assigning says what is wrong by its exit code."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TWINRUN_")},
        "TWINRUN_DATABASE": sqlite_journal,
        "TWINRUN_RULES": str(rules),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }

    def run(*words: str, **more: str) -> tuple[int, str]:
        program = "import sys; from gateway.cli import main; sys.exit(main())"
        done = subprocess.run(
            [sys.executable, "-c", program, "rules", *words], cwd=tmp_path, env={**environment, **more},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    code, text = run("set", "project", WAVE, "shadow", "--reason", "ahead")
    assert (code, WAVE in text) == (0, True), text
    code, text = run("plan", "--json")
    assert code == 1
    assert [(one["entity"], one["region"]) for one in json.loads(text)["items"]] == [("project", WAVE)]
    code, text = run("export", "exported")
    assert code == 0, text
    folder = tmp_path / "exported"
    assert (folder / "cohorts.toml").is_file()
    assert run("plan", TWINRUN_RULES=str(folder))[0] == 0
    code, text = run("apply", "--reason", "as it was", "--json")
    assert (code, len(json.loads(text)["applied"])) == (0, 1)
    code, text = run("cohorts", "--json")
    assert [(one["place"], one["root"], one["roots"]) for one in json.loads(text)["items"]] == [(WAVE, "project", 0)]
    code, text = run("show", "--region", WAVE, "--json")
    assert {one["cohort"] for one in json.loads(text)["items"]} == {"wave1"}
    assert run("assign", "UK.nobody", "--projects", "prj_1", "--reason", "x")[0] == 2
    assert run("assign", WAVE, "--customers", "cus_1", "--reason", "x")[0] == 2
