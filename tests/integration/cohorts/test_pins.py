"""Records keep to their cohort: where they are written, read and shown, on each database."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.cohorts.conftest import WAVE, lawful, places, rule_files, without_cohorts
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import (
    REGION,
    World,
    customer,
    expense,
    fresh,
    invoice,
    payment,
    project,
    resource,
    time_entry,
)
from tests.systems.sandbox import SYSTEMS, Sandbox


async def natives(world: World, record_id: str) -> dict[str, str]:
    """What the systems call a record."""
    view = await world.gateway.records.one(record_id)
    assert view is not None
    return {system: link.native_id for system, link in view.links.items()}


async def below(world: World, resource_id: str, customer_id: str, project_id: str) -> dict[str, dict[str, Any]]:
    """One record of each entity that hangs on a project."""
    made = {
        "time-entries": await world.made("time-entries", time_entry(resource_id, project_id), key=fresh()),
        "expenses": await world.made("expenses", expense(resource_id, project_id), key=fresh()),
        "invoices": await world.made(
            "invoices", invoice(customer_id, project_id=project_id, number=fresh("I")), key=fresh()
        ),
    }
    paid = [{"invoice_id": made["invoices"]["id"], "amount": {"amount": "100.00", "currency": "GBP"}}]
    made["payments"] = await world.made("payments", payment(customer_id, allocations=paid), key=fresh())
    return made


async def test_a_project_pins_what_hangs_on_it(world: World, numbers: tuple[str, ...]) -> None:
    """A project of the cohort is led by the cloud while its region stays with the legacy ERP, and its hours, expenses,
    invoices and payments follow it. Each write goes to its own authority first; callers see one region."""
    client = await world.made("customers", customer(number=fresh("C")))
    person = await world.made("resources", resource(number=fresh("R")))
    made: dict[str, dict[str, dict[str, Any]]] = {}
    for name, number in (("wave", numbers[0]), ("other", fresh("P"))):
        work = await world.made("projects", project(client["id"], number=number))
        made[name] = {"projects": work, **await below(world, person["id"], client["id"], work["id"])}
    plain = await world.made("invoices", invoice(client["id"], number=fresh("I")), key=fresh())
    assert {one["region"] for records in made.values() for one in records.values()} == {REGION}
    assert set(await places(world, *(one["id"] for one in made["wave"].values()))) == {WAVE}
    assert set(await places(world, *(one["id"] for one in made["other"].values()), plain["id"])) == {REGION}
    for name, system in (("wave", "cloud"), ("other", "legacy")):
        for collection, one in made[name].items():
            read = await world.get(f"/v1/{collection}/{one['id']}")
            assert (read.headers["Twinrun-Answered-By"], read.json()["region"]) == (system, REGION)
            changed = await world.patch(
                collection, one["id"], {"custom_fields": {"seen": "1"}}, If_Match="*", key=fresh()
            )
            assert changed.status_code == 200, changed.text
            assert changed.headers["Twinrun-Answered-By"] == system
            told = await world.operation(changed)
            assert (told["authority"], told["region"]) == (system, REGION)
            assert {line["region"] for line in told["deliveries"]} == {REGION}
    for collection in made["wave"]:
        pages = await world.pages(f"/v1/{collection}?region={REGION}&limit=200")
        ids = [one["id"] for page in pages for one in page.json()["items"]]
        assert {made["wave"][collection]["id"], made["other"][collection]["id"]} <= set(ids)
        assert len(ids) == len(set(ids))
        answered = ", ".join(page.headers["Twinrun-Answered-By"] for page in pages)
        assert list(dict.fromkeys(answered.split(", "))) == ["legacy", "cloud"]
    await world.quiet()
    when = {
        (system, effect["marker"]): effect["time"]
        for system in SYSTEMS
        for effect in world.effects(system, limit=5000)
    }
    lines = await world.lines()
    for name, system in (("wave", "cloud"), ("other", "legacy")):
        other = {"cloud": "legacy", "legacy": "cloud"}[system]
        for one in made[name].values():
            markers = {line.marker for line in lines if line.record == one["id"]}
            assert len(markers) == 2
            assert all(when[system, marker] < when[other, marker] for marker in markers), (name, one["id"])
    await lawful(world)


async def test_two_cohorts_of_a_region_under_writes(
    settings: Settings, sandbox: Sandbox, rules: Path, numbers: tuple[str, ...]
) -> None:
    """Two cohorts and their region are at three stages, and many write to all of them at once: each record is where its
    project is, each write goes to its own authority first, none is lost and none doubled."""
    second = f'[[cohorts]]\nname = "wave2"\nregion = "{REGION}"\nroot = "project"\nnumbers = ["{numbers[3]}"]\n'
    rule_files(rules, stage="live", numbers=numbers[:3], more=second)
    async with opened(settings, sandbox) as world:
        for entity in ("project", "time_entry"):
            await world.stage(entity, Stage.SHADOW, region=f"{REGION}.wave2")
        client = await world.made("customers", customer(number=fresh("C")))
        person = await world.made("resources", resource(number=fresh("R")))
        made: dict[str, list[str]] = {}

        async def work_on(place: str, stage: str, number: str) -> None:
            work = await world.made("projects", project(client["id"], number=number))
            made.setdefault(place, []).append(work["id"])
            for turn in range(6):
                answer = await world.create("time-entries", time_entry(person["id"], work["id"]), key=fresh())
                assert (answer.status_code, answer.headers["Twinrun-Stage"]) == (201, stage), answer.text
                made[place].append(answer.json()["id"])
                changed = await world.patch("projects", work["id"], {"practice": str(turn)}, Prefer="wait=25")
                assert changed.status_code == 200, changed.text

        async with asyncio.TaskGroup() as clients:
            for number in numbers[:3]:
                clients.create_task(work_on(WAVE, "live", number))
            clients.create_task(work_on(f"{REGION}.wave2", "shadow", numbers[3]))
            for _ in range(3):
                clients.create_task(work_on(REGION, "dual_write", fresh("P")))
        for place, ids in made.items():
            assert set(await places(world, *ids)) == {place}
        await world.quiet(60)
        await lawful(world)


async def test_callers_know_no_cohorts(world: World) -> None:
    """A place is no region: neither in a body nor in a filter of callers. The operations side addresses slices by
    it."""
    refused = await world.create("projects", {**project("cus_x"), "region": WAVE})
    assert refused.status_code == 400
    asked = await world.get(f"/v1/projects?region={WAVE}")
    assert (asked.status_code, asked.json()["errors"][0]["code"]) == (400, "unknown_region")
    rules = (await world.get("/admin/v1/rules")).json()["items"]
    seen = {(one["entity"], one["region"]): (one["stage"], one.get("cohort")) for one in rules}
    assert seen["project", WAVE] == ("live", "wave1")
    assert seen["project", REGION] == ("dual_write", None)
    assert ("customer", WAVE) not in seen
    document = (await world.get("/openapi.json")).json()
    body = document["components"]["schemas"]["ProjectDraft"]["properties"]["region"]["enum"]
    assert WAVE not in body
    assert REGION in body
    assert WAVE in document["components"]["schemas"]["SwitchWish"]["properties"]["region"]["enum"]
    missing = await world.client.post(
        "/admin/v1/reconciliations", json={"entity": "customer", "region": WAVE}
    )
    assert (missing.status_code, missing.json()["errors"][0]["code"]) == (400, "unknown_region")


async def test_edited_rules_move_nobody(
    settings: Settings, sandbox: Sandbox, rules: Path, numbers: tuple[str, ...]
) -> None:
    """Whatever becomes of the rule files, a pinned project and what hangs on it stay; only new roots go elsewhere. A
    cohort that is in no file any more goes on with those that it has."""
    async with opened(settings, sandbox) as world:
        client = await world.made("customers", customer(number=fresh("C")))
        person = await world.made("resources", resource(number=fresh("R")))
        work = await world.made("projects", project(client["id"], number=numbers[0]))
        entry = await world.made("time-entries", time_entry(person["id"], work["id"]), key=fresh())
        await world.quiet()
        began = world.began
    rule_files(rules, stage="dual_write", numbers=numbers[1:2])
    async with opened(settings, sandbox) as world:
        assert await places(world, work["id"], entry["id"]) == [WAVE, WAVE]
        more = await world.made("time-entries", time_entry(person["id"], work["id"]), key=fresh())
        other = await world.made("projects", project(client["id"], number=numbers[2]))
        assert await places(world, more["id"], other["id"]) == [WAVE, REGION]
        await world.quiet()
    without_cohorts(rules)
    async with opened(settings, sandbox) as world:
        last = await world.made("time-entries", time_entry(person["id"], work["id"]), key=fresh())
        fresh_one = await world.made("projects", project(client["id"], number=numbers[1]))
        assert await places(world, last["id"], fresh_one["id"]) == [WAVE, REGION]
        changed = await world.patch("projects", work["id"], {"practice": "Water"})
        assert changed.headers["Twinrun-Answered-By"] == "cloud"
        assert (await world.get(f"/v1/projects?region={REGION}&limit=200")).status_code == 200
        await world.quiet()
        world.began = began
        await lawful(world)


async def test_a_cohort_without_a_rule_begins_where_its_region_is(
    settings: Settings, sandbox: Sandbox, rules: Path
) -> None:
    """A cohort that no rule names is seeded from its region's slice as it has become, not as the files began it."""
    without_cohorts(rules)
    async with opened(settings, sandbox) as world:
        await world.stage("project", Stage.SHADOW)
    (rules / "cohorts.toml").write_text(
        f'[[cohorts]]\nname = "wave1"\nregion = "{REGION}"\nroot = "project"\npercent = 100\n', encoding="utf-8"
    )
    async with opened(settings, sandbox) as world:
        known = {(one.entity, one.region): one for one in await world.gateway.slices.all()}
        assert known["project", WAVE].stage is Stage.SHADOW
        assert known["expense", WAVE].stage is Stage.DUAL_WRITE
        client = await world.made("customers", customer(number=fresh("C")))
        work = await world.made("projects", project(client["id"], number=fresh("P")))
        assert await places(world, work["id"]) == [WAVE]


async def test_what_a_system_shows_first_follows_what_it_names(
    world: World, numbers: tuple[str, ...]
) -> None:
    """Hours that somebody enters in an ERP itself are pinned by their project. A project that an ERP had by itself is
    in the region's own slice, whatever its number: the cohort's authority may not have it."""
    client = await world.made("customers", customer(number=fresh("C")))
    person = await world.made("resources", resource(number=fresh("R")))
    work = await world.made("projects", project(client["id"], number=numbers[0]))
    entry = await world.made("time-entries", time_entry(person["id"], work["id"]), key=fresh())
    await world.quiet()
    native = {id_: await natives(world, id_) for id_ in (client["id"], person["id"], work["id"])}
    hours = {
        "WorkerNo": native[person["id"]]["cloud"],
        "ProjectNo": native[work["id"]]["cloud"],
        "LegalEntity": work["legal_entity"],
        "Status": "Draft",
        "WorkDate": "2026-03-03",
        "Hours": "3.0000",
        "Billable": True,
    }
    world.sandbox.edit("cloud", "time_entry", "", hours, action="insert")
    shown = await world.every(f"/v1/time-entries?region={REGION}&project_id={work['id']}")
    assert {one["id"] for one in shown} > {entry["id"]}
    assert set(await places(world, *(one["id"] for one in shown))) == {WAVE}
    old = {
        "Nummer": numbers[1],
        "Buchungskreis": work["legal_entity"],
        "Status": "E",
        "Bezeichnung": "Older than we",
        "Kunde": native[client["id"]]["legacy"],
        "Abrechnungsart": "A",
        "Waehrung": "GBP",
    }
    world.sandbox.edit("legacy", "project", "", old, action="insert")
    (found,) = await world.every(f"/v1/projects?region={REGION}&number={numbers[1]}")
    assert await places(world, found["id"]) == [REGION]
