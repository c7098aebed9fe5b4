"""What a backfill finds in a target: entries that share a timesheet, references that are not there, and what the gate
of readiness then says."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from gateway.backfill.run import Outcome
from gateway.readiness.gates import Outcome as Verdict
from gateway.routing.stage import Stage
from tests.integration.backfill.test_backfills import COLLECTION, ENTITY, ended, firm, lawful, twin
from tests.integration.ledger.world import REGION, World, customer, fresh, project, resource, time_entry


async def staff(world: World, stage: Stage) -> dict[str, Any]:
    """A resource and two projects, made while their slices are in ``stage``."""
    for entity in ("customer", "resource", "project"):
        await world.stage(entity, stage, region=REGION, override=True)
    client = await world.made("customers", customer(number=fresh("C")), key=fresh())
    return {
        "resource": await world.made("resources", resource(number=fresh("R")), key=fresh()),
        "projects": [
            await world.made("projects", project(client["id"], number=fresh("P")), key=fresh())
            for _ in range(2)
        ],
    }


async def test_entries_of_one_timesheet_are_told_apart(world: World) -> None:
    """Entries that share their timesheet's number are different ones: of another day, project or task each is created
    for itself, also two that nothing tells apart; the one that the target holds is linked and not written to."""
    made = await staff(world, Stage.DUAL_WRITE)
    await world.quiet()
    await world.stage("time_entry", Stage.LEGACY_ONLY, region=REGION, override=True)
    sheet = fresh("TS")
    person, (one, two) = made["resource"], made["projects"]
    wishes: list[dict[str, Any]] = [
        {"date": "2026-03-02"},
        {"date": "2026-03-03"},
        {"date": "2026-03-03", "project": two},
        {"date": "2026-03-03", "task_code": "TRAVEL"},
        {"date": "2026-03-04"},
        {"date": "2026-03-04"},
    ]
    entries = [
        await world.made(
            "time-entries",
            time_entry(
                person["id"],
                wish.pop("project", one)["id"],
                timesheet_ref=sheet,
                **wish,
            ),
            key=fresh(),
        )
        for wish in wishes
    ]
    known = [
        (await world.get(f"/v1/{kind}/{record['id']}")).json()
        for kind, record in (("resources", person), ("projects", one))
    ]
    held = [
        world.sandbox.edit(
            "cloud",
            "time_entry",
            "",
            {
                "TimesheetRef": sheet,
                "LegalEntity": entries[0]["legal_entity"],
                "Status": "Draft",
                "WorkerNo": known[0]["external_refs"]["cloud"],
                "ProjectNo": known[1]["external_refs"]["cloud"],
                "WorkDate": day,
                "Hours": "7.5",
                "Billable": True,
            },
            action="insert",
        )["key"]
        for day in ("2026-03-02", "2026-03-03")
    ]
    await world.stage("time_entry", Stage.DUAL_WRITE, region=REGION, override=True)
    done = await ended(world, await world.gateway.backfiller.start("time_entry", REGION, actor="tests"))
    await world.quiet()
    items = {item.record_id: item for item in await world.gateway.backfiller.records(done.id)}
    outcomes = [items[entry["id"]].outcome for entry in entries]
    # Of the second entry there the target shows no task, so it may be either of the two of that day and project.
    assert outcomes == [
        Outcome.LINKED,
        Outcome.AMBIGUOUS,
        Outcome.CREATED,
        Outcome.AMBIGUOUS,
        Outcome.CREATED,
        Outcome.CREATED,
    ]
    assert entries[3]["id"] in (items[entries[1]["id"]].why or "")
    refs = {
        entry["id"]: (await world.get(f"/v1/time-entries/{entry['id']}")).json()["external_refs"].get("cloud")
        for entry in entries
    }
    linked = [ref for ref in refs.values() if ref is not None]
    assert len(set(linked)) == len(linked) == 4, refs
    assert refs[entries[0]["id"]] == held[0]
    assert done.failed == 0, done
    made_there = Counter(
        effect["external_id"]
        for effect in world.effects("cloud", entity="time_entry")
        if effect["action"] == "create"
    )
    assert set(made_there.values()) == {1}
    for key in held:
        assert [effect["action"] for effect in world.effects("cloud", key=key)] == ["direct_edit"]
    await lawful(world)


async def test_what_it_refers_to_has_to_be_there_first(world: World) -> None:
    """Blocked, with the entity to be backfilled first in the reason, and nothing is written; once that is done, the
    next run creates them."""
    made = await staff(world, Stage.LEGACY_ONLY)
    await world.stage("time_entry", Stage.LEGACY_ONLY, region=REGION, override=True)
    for day in ("2026-03-02", "2026-03-03"):
        body = time_entry(
            made["resource"]["id"], made["projects"][0]["id"], date=day, timesheet_ref=fresh("TS")
        )
        await world.made("time-entries", body, key=fresh())
    for entity in ("customer", "resource", "project", "time_entry"):
        await world.stage(entity, Stage.DUAL_WRITE, region=REGION, override=True)
    before = len(world.effects("cloud"))
    backfiller = world.gateway.backfiller
    done = await ended(world, await backfiller.start("time_entry", REGION, actor="tests"))
    assert (done.blocked, done.created, done.complete, done.unlinked) == (2, 0, False, 2)
    assert len(world.effects("cloud")) == before
    answer = await world.get(f"/admin/v1/backfills/{done.id}/records?outcome=blocked&limit=1")
    (told,) = answer.json()["items"]
    assert told["why"].endswith("backfill resource first") or told["why"].endswith("backfill project first")
    assert (told["delivery"], told["case"]) == (None, None)
    assert answer.json()["next_cursor"] is not None
    for entity in ("customer", "resource", "project"):
        assert (await ended(world, await backfiller.start(entity, REGION, actor="tests"))).complete
    again = await ended(world, await backfiller.start("time_entry", REGION, actor="tests"))
    assert (again.created, again.blocked, again.complete) == (2, 0, True)
    await lawful(world)


async def verdict(world: World) -> Verdict:
    """What the gate says of the slice now."""
    told = (await world.get(f"/admin/v1/readiness/{ENTITY}/{REGION}")).json()
    return Verdict(next(gate["verdict"] for gate in told["gates"] if gate["name"] == "backfill"))


async def test_the_gate_of_readiness(world: World) -> None:
    """Inconclusive as long as no backfill was seen through, fail where one was and a record has no link, pass once
    every record has."""
    one, *_ = await firm(world, Stage.LEGACY_ONLY, 3)
    for _ in range(2):
        world.sandbox.edit("cloud", ENTITY, "", twin(one), action="insert")
    await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
    assert await verdict(world) is Verdict.INCONCLUSIVE
    done = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
    assert (done.ambiguous, done.unlinked) == (1, 1)
    items = (await world.get(f"/admin/v1/backfills/{done.id}/records?outcome=ambiguous")).json()["items"]
    (told,) = items
    cases = (await world.get("/admin/v1/cases?kind=ambiguous_match")).json()["items"]
    assert told["case"] == next(case["id"] for case in cases if case["record"] == one["id"])
    assert told["delivery"]["state"] == "parked"
    assert await verdict(world) is Verdict.FAIL
    for held in world.effects("cloud", entity=ENTITY):
        if held["main"].get("Number") == one["number"]:
            world.sandbox.edit("cloud", ENTITY, held["key"], {"Number": fresh("X")})
    answer = await world.client.post(
        f"/admin/v1/cases/{told['case']}/resolve",
        json={"as": "replay", "reason": "the doubles were renumbered"},
    )
    assert answer.status_code == 200, answer.text
    await world.quiet()

    async def linked() -> bool:
        return "cloud" in (await world.get(f"/v1/{COLLECTION}/{one['id']}")).json()["external_refs"]

    await world.until(linked, "the case's record has its link")
    assert await verdict(world) is Verdict.PASS


@pytest.mark.parametrize("number", [3, 120])
async def test_a_linked_set_takes_few_calls(world: World, number: int) -> None:
    """What the target holds already is looked for by whole pages of keys: a handful of calls for a chunk, and not one
    or two for each record."""
    made = await firm(world, Stage.LEGACY_ONLY, number)
    for one in made:
        world.sandbox.edit("cloud", ENTITY, "", twin(one), action="insert")
    await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
    before = world.requests("cloud", f"{ENTITY}.search")
    done = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
    assert (done.linked, done.created, done.unlinked) == (number, 0, 0)
    asked = world.requests("cloud", f"{ENTITY}.search") - before
    assert 1 <= asked <= 4 * (number // 50 + 1)
