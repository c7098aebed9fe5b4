"""Records that are one, where a region has cohorts: they are merged within one place, and go into a cohort together."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.commands import run
from gateway.errors import Invalid, RuleRefused
from tests.integration.cohorts.conftest import WAVE, lawful, places, rule_files
from tests.integration.ledger.test_merges import ask, conditions, merged, parted
from tests.integration.ledger.test_switches import Desk, desk_of
from tests.integration.ledger.world import REGION, World, customer, fresh, project, resource, time_entry
from tests.systems.sandbox import SYSTEMS


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Cohort and region at one stage, and nobody begins in the cohort by himself."""
    return rule_files(tmp_path / "rules", stage="dual_write")


@pytest.fixture
async def desk(world: World) -> Desk:
    return await desk_of(world)


async def firm(world: World) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """A resource, three projects of one customer, and hours on each."""
    client = await world.made("customers", customer(number=fresh("C")))
    person = await world.made("resources", resource(number=fresh("R")))
    works = [await world.made("projects", project(client["id"], number=fresh("P"))) for _ in range(3)]
    hours = [
        await world.made("time-entries", time_entry(person["id"], work["id"]), key=fresh()) for work in works
    ]
    await world.quiet()
    return person, works, hours


async def test_what_is_one_goes_together(world: World, desk: Desk) -> None:
    """A root comes into a cohort with its tombstones and with whatever names them, and what names a tombstone later
    follows too; a tombstone by itself is no root. Afterwards the two can be parted, and both are in the cohort."""
    person, (loser, winner, other), hours = await firm(world)
    done = await merged(desk, loser["id"], winner["id"])
    assign = world.gateway.assigning.assign
    with pytest.raises(Invalid, match=f"was merged into {winner['id']}"):
        await assign(WAVE, [loser["id"]], actor="anna", reason="x")
    everything = [one["id"] for one in (loser, winner, other, *hours)]
    assert await places(world, *everything) == [REGION] * 6
    brought = await assign(WAVE, [winner["id"]], actor="anna", reason="x")
    assert (brought.roots, brought.records) == ((winner["id"],), {"project": 1, "time_entry": 2})
    assert await places(world, *everything) == [WAVE, WAVE, REGION, WAVE, WAVE, REGION]
    (standing,) = await world.gateway.assigning.standing()
    assert standing.roots == 1, "a tombstone is not counted beside the record that it is taken for"
    late = await world.made("time-entries", time_entry(person["id"], loser["id"]), key=fresh())
    assert await places(world, late["id"]) == [WAVE]
    await world.quiet()
    back = await parted(desk, done)
    assert (back["region"], back["state"]) == (WAVE, "done")
    assert await places(world, loser["id"], winner["id"]) == [WAVE, WAVE]
    answer = await world.patch("projects", loser["id"], {"cost_center": "77"}, If_Match="*")
    assert answer.status_code == 200, answer.text
    await world.quiet()
    await lawful(world)


async def test_what_is_apart_is_not_merged(
    world: World,
    desk: Desk,
    journal: str,
    rules: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two of one region in two places are refused by that name; two of one cohort are merged there, and are listed
    there over HTTP and on the command line. While a merge waits for another person neither of its records is brought
    anywhere."""
    _, (one, two, stays), _ = await firm(world)
    assign = world.gateway.assigning.assign
    asked = (await ask(desk, one["id"], two["id"])).json()
    for each in (one, two):
        with pytest.raises(RuleRefused, match="1 records have a merge or a split that waits for another person"):
            await assign(WAVE, [each["id"]], actor="anna", reason="x")
    aborted = await desk.post("operator", f"{asked['href']}/abort", {"reason": "after the wave"})
    assert aborted.status_code == 200, aborted.text
    await assign(WAVE, [one["id"], two["id"]], actor="anna", reason="x")
    assert conditions(await ask(desk, stays["id"], one["id"])) == ["cohort"]
    assert conditions(await ask(desk, one["id"], stays["id"])) == ["cohort"]
    done = await merged(desk, one["id"], two["id"])
    assert done["region"] == WAVE
    listed = (await world.get(f"/admin/v1/merges?region={WAVE}")).json()["items"]
    assert [each["id"] for each in listed] == [done["id"]]
    monkeypatch.setenv("TWINRUN_DATABASE", journal)
    monkeypatch.setenv("TWINRUN_RULES", str(rules))
    for name in SYSTEMS:
        monkeypatch.setenv(f"TWINRUN_SYSTEMS__{name.upper()}__BASE_URL", world.sandbox.urls[name])
    monkeypatch.chdir(rules.parent)
    assert await asyncio.to_thread(run, ["merge", "status", "--region", WAVE, "--json"]) == 0
    assert [each["id"] for each in json.loads(capsys.readouterr().out)["items"]] == [done["id"]]
    await world.quiet()
    await lawful(world)
