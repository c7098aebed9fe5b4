"""Edits made in the ERPs themselves, over two simulated ERPs, on both databases, judged by what the ERPs say was done
to them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.routing.stage import Stage
from tests.integration.backfill.test_backfills import lawful
from tests.integration.change_feed.desk import cases, edit, followed, held, paired, written
from tests.integration.ledger.world import REGION, World, customer, fresh, project

ENTITY, COLLECTION = "customer", "customers"
SYSTEMS = ("legacy", "cloud")


async def known(world: World, count: int = 1, **fields: Any) -> list[dict[str, Any]]:
    """Customers that both systems hold, and that the feeds have seen."""
    body = {"phone": "1", "website": "https://a.example", "email": "a@b.example", "language": "en", **fields}
    made = await asyncio.gather(
        *(paired(world, COLLECTION, customer(number=fresh("C"), **body)) for _ in range(count))
    )
    await followed(world)
    return list(made)


async def told(world: World, record: dict[str, Any]) -> dict[str, Any]:
    return (await world.get(f"/v1/{COLLECTION}/{record['id']}")).json()


async def decided(world: World, case: dict[str, Any], how: str) -> None:
    answer = await world.client.post(
        f"/admin/v1/cases/{case['id']}/resolve", json={"as": how, "reason": "asked the person who made it"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "closed", answer.text


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.LIVE], ids=str)
async def test_an_edit_in_either_system_is_carried_over_once(world: World, stage: Stage) -> None:
    """One write in the other system, none where the edit was made; callers see it; nobody is asked."""
    one, two = await known(world, 2)
    await world.stage(ENTITY, stage, region=REGION, override=True)
    await followed(world)
    before = {system: written(world, system, ENTITY) for system in SYSTEMS}
    edit(world, "legacy", ENTITY, one, phone="+44 20 5550 1")
    edit(world, "cloud", ENTITY, two, phone="+44 20 5550 2", email="c@d.example")
    await followed(world)
    first, second = await told(world, one), await told(world, two)
    assert (first["phone"], second["phone"], second["email"]) == (
        "+44 20 5550 1",
        "+44 20 5550 2",
        "c@d.example",
    )
    now = {system: written(world, system, ENTITY) - before[system] for system in SYSTEMS}
    assert now["cloud"] == {one["external_refs"]["cloud"]: 1}
    assert now["legacy"] == {two["external_refs"]["legacy"]: 1}
    assert (await held(world, "cloud", ENTITY, one))["phone"] == "+44 20 5550 1"
    assert (await held(world, "legacy", ENTITY, two))["email"] == "c@d.example"
    assert await cases(world) == []
    journey = (await world.get(f"/admin/v1/records/{two['id']}/journey")).json()
    assert "foreign_change" in str(journey)
    await lawful(world)


async def test_a_state_is_moved_in_the_other_system_too(world: World) -> None:
    """What somebody has approved in the one system is approved in the other, with the fields that changed with it."""
    owner = (await known(world))[0]
    made = await paired(world, "projects", project(owner["id"], number=fresh("P")), key=fresh())
    await followed(world, entity="project")
    edit(world, "legacy", "project", made, state="F", name="Pier survey")
    await followed(world, entity="project")
    found = await held(world, "cloud", "project", made)
    assert (found["state"], found["name"]) == ("approved", "Pier survey")
    told_ = (await world.get(f"/v1/projects/{made['id']}")).json()
    assert (told_["state"], told_["version"]) == ("approved", made["version"] + 1)
    await lawful(world)


async def test_edits_of_different_fields_in_both_systems_merge(world: World) -> None:
    """Each system gets the other's field and keeps its own."""
    (one,) = await known(world)
    edit(world, "legacy", ENTITY, one, phone="2")
    edit(world, "cloud", ENTITY, one, website="https://b.example")
    await followed(world)
    for system in SYSTEMS:
        found = await held(world, system, ENTITY, one)
        assert (found["phone"], found["website"]) == ("2", "https://b.example")
    assert await cases(world) == []
    await lawful(world)


@pytest.mark.parametrize(
    ("how", "legacy", "cloud"),
    [
        pytest.param("carry_over", "Cloud name", "Cloud name", id="carry over"),
        pytest.param("revert", "Harbour Engineering", "Harbour Engineering", id="revert"),
        pytest.param("dismiss", "Harbour Engineering", "Cloud name", id="leave it"),
    ],
)
async def test_an_edit_where_the_field_is_not_owned_goes_to_a_person(
    world: World, how: str, legacy: str, cloud: str
) -> None:
    """Nothing is written until it is decided, the decision is carried out once, and holds up no write meanwhile."""
    (one,) = await known(world)
    before = {system: written(world, system, ENTITY) for system in SYSTEMS}
    edit(world, "cloud", ENTITY, one, name="Cloud name")
    await followed(world)
    assert {system: written(world, system, ENTITY) - before[system] for system in SYSTEMS} == {
        "legacy": {},
        "cloud": {},
    }
    (case,) = await cases(world, "ownership_conflict")
    assert (case["record"], case["system"]) == (one["id"], "cloud")
    assert "name" in case["message"]
    answer = await world.patch(COLLECTION, one["id"], {"phone": "3"}, key=fresh())
    assert answer.status_code == 200, answer.text
    await followed(world)
    assert (await held(world, "cloud", ENTITY, one))["name"] == "Cloud name"
    await decided(world, case, how)
    await followed(world)
    assert (await held(world, "legacy", ENTITY, one))["name"] == legacy
    assert (await held(world, "cloud", ENTITY, one))["name"] == cloud
    assert await cases(world, "ownership_conflict") == []
    await lawful(world)


async def test_rules_put_back_and_accept(world: World) -> None:
    """``revert`` writes the owner's value back once, ``accept`` carries over what is not owned."""
    (one,) = await known(world)
    edit(world, "cloud", ENTITY, one, language="de", payment_terms_days=45)
    await followed(world)
    for system in SYSTEMS:
        found = await held(world, system, ENTITY, one)
        assert (found["language"], found["payment_terms_days"]) == ("en", 45)
    assert await cases(world) == []
    await lawful(world)


@pytest.mark.parametrize(
    ("how", "amount"),
    [pytest.param("carry_over", "300", id="cloud's"), pytest.param("revert", "200", id="legacy's")],
)
async def test_money_edited_in_both_goes_to_a_person_whatever_the_rule(
    world: World, how: str, amount: str
) -> None:
    """The last writer never wins: neither value is written over, and the person's choice is in both systems."""
    (one,) = await known(world, credit_limit={"amount": "100.00", "currency": "GBP"})
    edit(world, "legacy", ENTITY, one, credit_limit__amount="200,00")
    edit(world, "cloud", ENTITY, one, credit_limit__amount="300.00")
    await followed(world)
    (case,) = await cases(world, "ownership_conflict")
    assert (await held(world, "legacy", ENTITY, one))["credit_limit"]["amount"] == "200.00"
    assert (await held(world, "cloud", ENTITY, one))["credit_limit"]["amount"] == "300.00"
    await decided(world, case, how)
    await followed(world)
    for system in SYSTEMS:
        assert (await held(world, system, ENTITY, one))["credit_limit"]["amount"] == f"{amount}.00"
    await lawful(world)


@pytest.mark.parametrize("stage", [Stage.DUAL_WRITE, Stage.LIVE], ids=str)
async def test_no_update_is_lost_while_live_writes_race(world: World, stage: Stage) -> None:
    """Edits in the mirror and in the authority, and writes of callers to other fields of the same records, all at
    once: at the end both systems have all three, whether the mirror refuses a stale write or not."""
    made = await known(world, 20)
    await world.stage(ENTITY, stage, region=REGION, override=True)

    async def write(one: dict[str, Any]) -> None:
        answer = await world.patch(COLLECTION, one["id"], {"registration_number": "R-1"}, key=fresh())
        assert answer.status_code in (200, 202), answer.text

    for one in made:
        edit(world, "cloud", ENTITY, one, phone=f"m{one['number'][-3:]}")
        writing = asyncio.create_task(write(one))
        edit(world, "legacy", ENTITY, one, website=f"https://{one['number'][-3:]}.example")
        await writing
    await followed(world, passes=3)
    for one in made:
        for system in SYSTEMS:
            found = await held(world, system, ENTITY, one)
            assert (found["phone"], found["website"], found["registration_number"]) == (
                f"m{one['number'][-3:]}", f"https://{one['number'][-3:]}.example", "R-1",
            ), (system, one["id"])  # fmt: skip
    assert await cases(world) == []
    await lawful(world)


@pytest.mark.parametrize(
    ("stage", "mirror"), [(Stage.DUAL_WRITE, "cloud"), (Stage.LIVE, "legacy")], ids=["dual_write", "live"]
)
async def test_an_edit_that_a_write_of_the_same_field_meets_goes_to_a_person(
    world: World, stage: Stage, mirror: str
) -> None:
    """A caller's write is on its way to the mirror while somebody edits the field there: the write goes on, and the
    edit is in a case, not gone."""
    (one,) = await known(world)
    await world.stage(ENTITY, stage, region=REGION, override=True)
    fault = world.sandbox.fault(mirror, "error", on=["writes"], status=503)
    answer = await world.patch(COLLECTION, one["id"], {"phone": "written"}, key=fresh())
    assert answer.status_code == 200, answer.text

    async def failed() -> bool:
        told = await world.operation(answer)
        return any(each["system"] == mirror and each["code"] for each in told["deliveries"])

    await world.until(failed, "the mirror has failed once")
    edit(world, mirror, ENTITY, one, phone="edited")
    world.sandbox.heal(mirror, fault)
    await followed(world)
    assert {(await held(world, system, ENTITY, one))["phone"] for system in SYSTEMS} == {"written"}
    (case,) = await cases(world, "ownership_conflict")
    assert "phone" in case["message"]
    await decided(world, case, "carry_over")
    await followed(world)
    assert {(await held(world, system, ENTITY, one))["phone"] for system in SYSTEMS} == {"edited"}
    await lawful(world)


async def test_systems_that_edit_in_turn_are_stopped(world: World) -> None:
    """A to B in the one, back to A in the other: a case, and nothing of the record is carried over until it is
    decided."""
    (one,) = await known(world)
    edit(world, "legacy", ENTITY, one, phone="2")
    await followed(world)
    edit(world, "cloud", ENTITY, one, phone="1")
    await followed(world)
    (case,) = await cases(world, "edit_loop")
    assert (await held(world, "legacy", ENTITY, one))["phone"] == "2"
    edit(world, "legacy", ENTITY, one, website="https://c.example")
    await followed(world)
    assert (await held(world, "cloud", ENTITY, one))["website"] == "https://a.example"
    (case,) = await cases(world, "edit_loop")
    await decided(world, case, "carry_over")
    await followed(world)
    for system in SYSTEMS:
        found = await held(world, system, ENTITY, one)
        assert (found["phone"], found["website"]) == ("1", "https://c.example")
    await lawful(world)


async def test_more_than_five_edits_a_minute_are_stopped(world: World) -> None:
    """The sixth is not carried over."""
    (one,) = await known(world)
    for number in range(6):
        edit(world, "legacy", ENTITY, one, phone=f"n{number}")
        await followed(world, passes=1)
    assert (await held(world, "cloud", ENTITY, one))["phone"] == "n4"
    assert len(await cases(world, "edit_loop")) == 1
    await lawful(world)


async def test_an_edit_that_the_authority_refuses_is_a_case(world: World) -> None:
    """What is not carried over is in somebody's hands."""
    (one,) = await known(world)
    edit(world, "cloud", ENTITY, one, payment_terms_days=20)
    fault = world.sandbox.fault("legacy", "error", on=["writes"], status=422)
    await followed(world)
    world.sandbox.heal("legacy", fault)
    assert [case["record"] for case in await cases(world, "edit_refused")] == [one["id"]]
    await lawful(world)


async def test_a_write_whose_answer_was_lost_is_no_edit(world: World) -> None:
    """Seen before it is confirmed, it is our own: no operation of the feed, and one effect."""
    (one,) = await known(world)
    world.sandbox.fault("cloud", "answer_lost", on=["writes"], count=1)
    answer = await world.patch(COLLECTION, one["id"], {"name": "Renamed"}, key=fresh())
    assert answer.status_code == 200, answer.text
    await followed(world)
    assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    feeds = await world.gateway.follower.list(entity=ENTITY, region=REGION)
    assert {one.carried + one.conflicts for one in feeds} == {0}
    await lawful(world)
