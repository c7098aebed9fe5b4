"""What goes wrong between the gateway and an ERP. Whatever it is: at most one effect, none forgotten, none unsaid."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from itertools import cycle
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from gateway.canonical import BY_NAME
from gateway.ledger.tables import delivery, operation
from gateway.routing.stage import Stage
from tests.integration.ledger.world import (
    World,
    contract,
    customer,
    expense,
    fresh,
    invoice,
    payment,
    project,
    resource,
    time_entry,
)

#: Which system a fault strikes, seen from a slice in dual_write.
AUTHORITY, MIRROR = "legacy", "cloud"


async def test_the_erp_refuses(world: World) -> None:
    """What the authority refuses is 422 in its own words; no system has it, and its number is free again."""
    owner = await world.made("customers", customer(number=fresh()))
    assert (await world.move("customers", owner["id"], "active")).status_code == 200
    assert (await world.move("customers", owner["id"], "blocked")).status_code == 200
    await world.quiet()
    number = fresh()
    refused = await world.create("invoices", invoice(owner["id"], number=number), key=fresh())
    assert refused.status_code == 422, refused.text
    told = refused.json()
    assert told["type"].endswith("refused")
    assert told["system"] == AUTHORITY
    assert "gesperrt" in told["detail"].lower() or "blocked" in told["detail"].lower(), told["detail"]
    assert (await world.operation(told["operation"]))["state"] == "rejected"
    await world.quiet()
    assert await world.times(told["operation"]) == {"legacy": 0, "cloud": 0}
    assert (await world.move("customers", owner["id"], "active")).status_code == 200
    assert (
        await world.create("invoices", invoice(owner["id"], number=number), key=fresh())
    ).status_code == 201
    await world.quiet()
    await world.check()


async def test_the_mirror_refuses(world: World) -> None:
    """A mirror's refusal never reaches the caller: the delivery is parked, the operation asks for attention, and a
    replay after the cause is gone settles it."""
    world.sandbox.fault(MIRROR, "error", status=400, count=1, on=["writes"])
    answer = await world.create("customers", customer(number=fresh()))
    assert answer.status_code == 201
    told = await world.reaches(answer, "attention")
    parked = next(line for line in told["deliveries"] if line["role"] == "mirror")
    assert parked["state"] == "parked"
    assert parked["message"]
    assert await _open_cases(world, answer) == [("parked_delivery", parked["id"])]
    replayed = await world.client.post(f"/admin/v1/deliveries/{parked['id']}/replay")
    assert replayed.status_code == 200, replayed.text
    await world.reaches(answer, "settled")
    assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    twice = await world.client.post(f"/admin/v1/deliveries/{parked['id']}/replay")
    assert twice.status_code == 409
    assert await _open_cases(world, answer) == []
    await world.check()


async def test_a_parked_delivery_stops_only_its_own_strict_lane(world: World) -> None:
    """Later writes of a billing document wait behind a parked one, others go on; after the replay all go, in order."""
    owner = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    world.sandbox.fault(MIRROR, "error", status=400, count=1, on=["writes"])
    first = await world.create("invoices", invoice(owner["id"]), key=fresh())
    told = await world.reaches(first, "attention")
    id_ = first.json()["id"]
    second = await world.patch("invoices", id_, {"due_date": "2026-05-01"}, If_Match='"1"')
    third = await world.patch("invoices", id_, {"due_date": "2026-05-02"}, If_Match='"2"')
    assert (second.status_code, third.status_code) == (200, 200)
    other = await world.create("invoices", invoice(owner["id"]), key=fresh())
    await world.reaches(other, "settled")
    assert (await world.times(second))["cloud"] == 0
    parked = next(line["id"] for line in told["deliveries"] if line["role"] == "mirror")
    assert (await world.client.post(f"/admin/v1/deliveries/{parked}/replay")).status_code == 200
    for one in (first, second, third):
        await world.reaches(one, "settled")
    await world.check()


async def test_a_newer_state_overtakes_a_parked_one(world: World) -> None:
    """In a mirror's lane of master data a newer state makes a parked one needless."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    world.sandbox.fault(MIRROR, "error", status=400, count=1, on=["writes"])
    first = await world.patch("customers", record["id"], {"phone": "1"})
    await world.reaches(first, "attention")
    second = await world.patch("customers", record["id"], {"phone": "2"})
    await world.reaches(second, "settled")
    told = await world.reaches(first, "settled")
    assert {line["state"] for line in told["deliveries"] if line["role"] == "mirror"} == {"superseded"}
    assert await _open_cases(world, first) == []
    await world.check()


@pytest.mark.parametrize("kind", ["outage", "refuse"])
async def test_the_authority_is_down_and_the_slice_stores(world: World, kind: str) -> None:
    """Writes are accepted with a receipt that can be followed, and drained in order when it is back."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    world.sandbox.fault(AUTHORITY, kind)
    answers = [
        await world.patch("customers", record["id"], {"phone": str(turn)}, Prefer="respond-async")
        for turn in range(5)
    ]
    new = await world.create("customers", customer(number=fresh()), Prefer="wait=1")
    assert {answer.status_code for answer in (*answers, new)} == {202}
    assert (await world.operation(new))["state"] == "accepted"
    world.sandbox.heal()
    for answer in (*answers, new):
        await world.reaches(answer, "settled")
    await world.quiet()
    assert world.effects(AUTHORITY, entity="customer")[-1]
    await world.check()


async def test_the_authority_is_down_and_the_slice_does_not_store(world: World) -> None:
    """503 with Retry-After, nothing kept, and the same key works again."""
    await world.stage("customer", Stage.DUAL_WRITE, storable=False)
    key, body = fresh(), customer(number=fresh())
    world.sandbox.fault(AUTHORITY, "outage")
    for _ in range(2):
        refused = await world.create("customers", body, key=key)
        assert refused.status_code == 503, refused.text
        assert refused.json()["type"].endswith("not-accepted")
        assert int(refused.headers["Retry-After"]) >= 1
    world.sandbox.heal()
    done = await world.create("customers", body, key=key)
    assert done.status_code == 201
    assert "Idempotent-Replayed" not in done.headers
    await world.quiet()
    assert len(world.effects(AUTHORITY)) == len(world.effects(MIRROR)) == 1
    await world.check()


async def test_who_was_told_that_it_is_accepted_keeps_it(world: World) -> None:
    """A write that was answered 202 is not given back because its slice does not store: it is kept, and both systems
    have it once the authority is back."""
    await world.stage("customer", Stage.DUAL_WRITE, storable=False)
    world.sandbox.fault(AUTHORITY, "outage")
    told = await world.create("customers", customer(number=fresh()), Prefer="respond-async")
    assert told.status_code == 202, told.text

    async def tried() -> bool:
        (delivery, *_) = (await world.operation(told))["deliveries"]
        return delivery["attempt"] >= 1

    await world.until(tried, "an attempt")
    assert (await world.operation(told))["state"] == "accepted"
    world.sandbox.heal()
    await world.reaches(told, "settled")
    await world.quiet()
    assert len(world.effects(AUTHORITY)) == len(world.effects(MIRROR)) == 1
    await world.check()


async def test_the_mirror_is_down(world: World) -> None:
    """The caller does not notice; the mirror has it when it is back."""
    world.sandbox.fault(MIRROR, "outage")
    answer = await world.create("customers", customer(number=fresh()))
    assert answer.status_code == 201
    changed = await world.patch("customers", answer.json()["id"], {"phone": "1"})
    assert changed.status_code == 200
    assert (await world.operation(answer))["state"] == "committed"
    world.sandbox.heal()
    await world.reaches(answer, "settled")
    await world.reaches(changed, "settled")
    await world.check()


#: Faults after which nobody can know by the answer whether the write was done.
AMBIGUOUS: dict[str, dict[str, Any]] = {
    "answer lost": {"kind": "answer_lost"},
    "answer lost by reset": {"kind": "answer_lost", "how": "reset"},
    "hangs after the effect": {"kind": "hang", "s": 6, "effect": True},
    "500 with effect": {"kind": "error", "status": 500, "effect": True},
    "500 without effect": {"kind": "error", "status": 500},
    "503 with effect": {"kind": "error", "status": 503, "effect": True},
    "504 without effect": {"kind": "error", "status": 504},
    "garbage with effect": {"kind": "garbage"},
    "garbage without effect": {"kind": "garbage", "effect": False},
    "request lost": {"kind": "drop"},
    "request lost by reset": {"kind": "drop", "how": "reset"},
    "lands late": {"kind": "late", "s": 0.7},
    "lands very late": {"kind": "late", "s": 1.9},
}


#: For each entity a body (given the ids of those it refers to), a patch, a later patch and a move.
SUBJECTS: dict[str, tuple[Any, dict[str, Any], dict[str, Any], str]] = {
    "customer": (lambda ids: customer(number=fresh()), {"phone": "1"}, {"phone": "2"}, "active"),
    "resource": (lambda ids: resource(number=fresh()), {"grade": "A"}, {"grade": "B"}, "active"),
    "project": (
        lambda ids: project(ids["customer"], number=fresh()), {"practice": "A"}, {"practice": "B"}, "approved"
    ),
    "contract": (lambda ids: contract(ids["customer"]), {"title": "A"}, {"title": "B"}, "sent"),
    "time_entry": (
        lambda ids: time_entry(ids["resource"], ids["project"]), {"note": "A"}, {"note": "B"}, "submitted"
    ),
    "expense": (
        lambda ids: expense(ids["resource"], ids["project"]), {"note": "A"}, {"note": "B"}, "submitted"
    ),
    "invoice": (
        lambda ids: invoice(ids["customer"]), {"due_date": "2026-05-01"}, {"due_date": "2026-05-02"}, "ready"
    ),
    "payment": (lambda ids: payment(ids["customer"]), {"method": "A"}, {"method": "B"}, "applied"),
}  # fmt: skip
COLLECTIONS = {name: BY_NAME[name].collection for name in SUBJECTS}

#: By then the last of them has landed.
LANDED_S = 2.0


@pytest.mark.parametrize("shift", [0, pytest.param(3, id="other entities", marks=pytest.mark.slow)])
@pytest.mark.parametrize("system", [AUTHORITY, MIRROR])
@pytest.mark.parametrize("what", ["create", "update", "transition"])
async def test_an_outcome_that_nobody_knows(world: World, system: str, what: str, shift: int) -> None:
    """Whatever happened to the request, there is exactly one effect in each system at the end, and the caller was
    told 2xx: at once if it was found in time, else with a receipt that ends well. The next writes come after it. All
    faults strike at once, each the first write of a record of its own, so that they are waited for together."""
    ids = {
        "customer": (await world.made("customers", customer(number=fresh())))["id"],
        "resource": (await world.made("resources", resource()))["id"],
    }
    ids["project"] = (await world.made("projects", project(ids["customer"])))["id"]
    await world.quiet()
    order = [*SUBJECTS][shift:] + [*SUBJECTS][:shift]
    struck = dict(zip(AMBIGUOUS, cycle(order), strict=False))
    records = dict.fromkeys(AMBIGUOUS, "")
    if what != "create":
        for name, entity in struck.items():
            body, *_ = SUBJECTS[entity]
            records[name] = (await world.made(COLLECTIONS[entity], body(ids), key=fresh()))["id"]
        await world.quiet()
    for name, entity in struck.items():
        world.sandbox.fault(system, count=1, on=["writes"], entity=[entity], **AMBIGUOUS[name])
    landed = asyncio.ensure_future(_landed(world, system))

    async def one(entity: str, record_id: str) -> None:
        body, patch, later, to = SUBJECTS[entity]
        collection = COLLECTIONS[entity]
        # What goes wrong at the mirror never reaches the caller, however slow the machine: it is waited for.
        wait = "wait=20" if system == MIRROR else "wait=1"
        if what == "create":
            answer = await world.create(collection, body(ids), key=fresh(), Prefer=wait)
        elif what == "update":
            answer = await world.patch(collection, record_id, patch, If_Match="*", Prefer=wait)
        else:
            answer = await world.move(collection, record_id, to, key=fresh(), Prefer=wait)
        assert answer.status_code in (200, 201, 202), answer.text
        if system == MIRROR:
            assert answer.status_code != 202
        record_id = (await world.operation(answer))["record"]
        after = await world.patch(collection, record_id, later, If_Match="*", Prefer="respond-async")
        await world.reaches(answer, "settled")
        await world.reaches(after, "settled")
        times = await world.times(answer)
        assert times[AUTHORITY] == 1
        assert times[MIRROR] <= 1, "a newer state may have gone instead"
        await landed
        told = (await world.get(f"/v1/{collection}/{record_id}")).json()
        assert {name: told[name] for name in later} == later

    *ended, _ = await asyncio.gather(
        *(one(entity, records[name]) for name, entity in struck.items()), landed, return_exceptions=True
    )
    failed = {name: raised for name, raised in zip(struck, ended, strict=True) if raised is not None}
    assert failed == {}
    assert all(fault["hits"] == 1 for fault in world.sandbox.faults(system))
    await world.check()


async def _landed(world: World, system: str) -> None:
    """Each fault has struck, and what lands late has landed; nothing else tells that nothing more comes."""
    await world.until(lambda: _struck(world, system), "each fault strikes")
    await asyncio.sleep(LANDED_S)


async def test_a_lost_answer_is_found_in_time(world: World) -> None:
    """An effect whose answer was lost is found by looking, and the caller still gets its 201; whoever found it sends
    the write on to the mirror, which waits for no lease."""
    world.sandbox.fault(AUTHORITY, "answer_lost", count=1, on=["writes"])
    answer = await world.create("customers", customer(number=fresh()))
    assert answer.status_code == 201, answer.text
    told = await world.reaches(answer, "settled")
    authority, mirror = sorted(told["deliveries"], key=lambda line: line["role"])
    assert (authority["source"], mirror["source"], mirror["attempt"]) == ("probe", "answer", 1)
    await world.check()


async def test_many_lost_answers_and_late_landings(world: World) -> None:
    """A storm: a part of all writes to both systems is lost, lost after the effect, late, answered with 500 or with
    nonsense. Every write ends once in both."""
    records = [await world.made("customers", customer(number=fresh())) for _ in range(6)]
    for system in (AUTHORITY, MIRROR):
        for kind, more in (
            ("answer_lost", {}),
            ("drop", {}),
            ("late", {"s": 1.0}),
            ("error", {"effect": True}),
            ("garbage", {}),
            ("throttle", {"retry_after_s": 0.3}),
        ):
            world.sandbox.fault(system, kind, probability=0.06, on=["writes"], **more)

    async def client(number: int) -> None:
        for turn in range(4):
            record = records[(number + turn) % len(records)]
            if turn % 2:
                answer = await world.create(
                    "customers", customer(number=fresh()), key=fresh(), Prefer="wait=1"
                )
            else:
                answer = await world.patch(
                    "customers", record["id"], {"phone": f"{number} {turn}"}, key=fresh(), Prefer="wait=1"
                )
            assert answer.status_code in (200, 201, 202), answer.text

    await asyncio.gather(*(client(number) for number in range(12)))
    world.sandbox.heal()
    await world.quiet(90)
    assert len(world.effects(AUTHORITY)) == 6 + 48
    await world.check()


@pytest.mark.parametrize("spelling", ["seconds", "date"])
@pytest.mark.parametrize("system", [AUTHORITY, MIRROR])
async def test_a_pause_that_a_system_asks_for(world: World, system: str, spelling: str) -> None:
    """After a 429 nothing is written there before Retry-After, by this delivery or by another."""
    pause_s = 4
    # The 429 is seen here up to a second late, and a date has whole seconds, so it may ask for up to one less.
    surely_s = pause_s - (2.2 if spelling == "date" else 1.2)
    owners = [await world.made("customers", customer(number=fresh())) for _ in range(3)]
    await world.quiet()
    before = len(world.effects(system))
    fault = world.sandbox.fault(
        system, "throttle", count=1, on=["writes"], retry_after_s=pause_s, spelling=spelling
    )
    first = await world.patch("customers", owners[0]["id"], {"phone": "1"}, Prefer="respond-async")
    await world.until(lambda: _struck(world, system), "the 429")
    began = time.time()
    others = [
        await world.patch("customers", owner["id"], {"phone": "1"}, Prefer="respond-async")
        for owner in owners[1:]
    ]
    counted = _writes(world, system)
    await asyncio.sleep(max(0.0, began + surely_s - time.time()))
    assert _writes(world, system) == counted, "called before the pause was over"
    for answer in (first, *others):
        await world.reaches(answer, "settled")
    done = world.effects(system)[before:]
    assert min(_at(effect) for effect in done) >= began + surely_s
    world.sandbox.heal(system, fault)
    await world.check()


@pytest.mark.parametrize("what", ["create in the cloud", "update in legacy"])
async def test_a_request_that_the_network_doubles(world: World, what: str) -> None:
    """A doubled request has one effect where the system knows it again. (A create in a system that knows nothing
    again is not promised.)"""
    if what == "create in the cloud":
        world.sandbox.fault(MIRROR, "double", on=["writes"])
        answer = await world.create("customers", customer(number=fresh()))
    else:
        record = await world.made("customers", customer(number=fresh()))
        world.sandbox.fault(AUTHORITY, "double", on=["writes"])
        answer = await world.patch("customers", record["id"], {"phone": "1"})
    assert answer.status_code in (200, 201)
    await world.reaches(answer, "settled")
    assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    await world.check()


@pytest.mark.parametrize("system", [AUTHORITY, MIRROR])
async def test_an_erp_that_reads_late(world: World, system: str) -> None:
    """Reads that answer an older state do not make a write look absent, and it is not sent twice."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    world.sandbox.fault(system, "read_lag", s=1.5)
    world.sandbox.fault(system, "answer_lost", count=2, on=["writes"])
    new = await world.create("customers", customer(number=fresh()), Prefer="wait=1")
    changed = await world.patch("customers", record["id"], {"phone": "1"}, Prefer="wait=1")
    await world.reaches(new, "settled")
    await world.reaches(changed, "settled")
    assert await world.times(new) == await world.times(changed) == {"legacy": 1, "cloud": 1}
    await world.check()


async def test_a_reference_that_is_still_on_its_way(world: World) -> None:
    """A time entry on a project that the authority has not got yet waits for it; both drain, the project first."""
    owner = await world.made("customers", customer(number=fresh()))
    person = await world.made("resources", {"region": "UK", "name": "Robin", "kind": "employee"})
    await world.quiet()
    world.sandbox.fault(AUTHORITY, "outage")
    parent = await world.create("projects", project(owner["id"], number=fresh()), Prefer="wait=0")
    record_id = (await world.operation(parent))["record"]
    child = await world.create(
        "time-entries", time_entry(person["id"], record_id), key=fresh(), Prefer="wait=0"
    )
    assert (parent.status_code, child.status_code) == (202, 202)
    world.sandbox.heal()
    await world.reaches(parent, "settled")
    await world.reaches(child, "settled")
    for system in (AUTHORITY, MIRROR):
        assert [effect["entity"] for effect in world.effects(system)][-2:] == ["project", "time_entry"]
    await world.check()


async def test_one_system_that_hangs(world: World) -> None:
    """A mirror that answers nothing takes no place from what goes to the other system."""
    records = [await world.made("customers", customer(number=fresh())) for _ in range(4)]
    await world.quiet()
    hang = world.sandbox.fault(MIRROR, "hang", s=30, on=["writes"])
    made = await asyncio.gather(*(world.create("customers", customer(number=fresh())) for _ in range(24)))
    assert {answer.status_code for answer in made} == {201}
    # Writes that queue are taken over by the same loops as the mirror's.
    began = time.monotonic()
    answers = await asyncio.gather(
        *(
            world.patch("customers", record["id"], {"phone": str(turn)}, Prefer="wait=25")
            for record in records
            for turn in range(5)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    assert time.monotonic() - began < 20, "none has waited for the thirty seconds of the mirror"
    world.sandbox.heal(MIRROR, hang)
    await world.quiet(60)
    await world.check()


async def test_a_number_that_the_mirror_has_given_to_another(world: World) -> None:
    """A mirror that holds the number already, as another record of ours, is not written over: a person decides."""
    number = fresh()
    first = await world.made("customers", customer(number=number, name="First"))
    await world.quiet()
    assert (await world.patch("customers", first["id"], {"number": fresh()})).status_code == 200
    await world.quiet()
    native = world.effects("cloud")[-1]["key"]
    world.sandbox.edit("cloud", "customer", native, {"Number": number})
    second = await world.create("customers", customer(number=number, name="Second"))
    assert second.status_code == 201
    told = await world.reaches(second, "attention")
    parked = next(line for line in told["deliveries"] if line["role"] == "mirror")
    assert (parked["state"], parked["code"]) == ("parked", "collision")
    assert await _open_cases(world, second) == [("collision", parked["id"])]
    assert (await world.times(second))["cloud"] == 0
    await world.check()


async def test_a_write_is_refused_after_its_caller_was_told_that_it_is_accepted(world: World) -> None:
    """An answer of 202 that ends in a refusal is a person's: nobody else would hear of it."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    outage = world.sandbox.fault(AUTHORITY, "outage")
    later = await world.patch("customers", record["id"], {"phone": "1"}, Prefer="respond-async")
    assert later.status_code == 202
    world.sandbox.fault(AUTHORITY, "error", status=400, count=1, on=["writes"])
    world.sandbox.heal(AUTHORITY, outage)
    told = await world.reaches(later, "rejected")
    line = next(line for line in told["deliveries"] if line["role"] == "authority")
    assert await _open_cases(world, later) == [("refused_after_acceptance", line["id"])]
    world.sandbox.fault(AUTHORITY, "error", status=400, count=1, on=["writes"])
    at_once = await world.patch("customers", record["id"], {"phone": "2"})
    assert at_once.status_code == 422
    found = await world.get("/admin/v1/cases?state=open")
    assert [one["record"] for one in found.json()["items"]].count(record["id"]) == 1
    await world.check()


async def test_a_look_that_failed_has_not_shown_that_there_is_nothing(world: World) -> None:
    """A write of a system that can only be searched is sent again after two looks that were answered, not after looks
    that broke."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    world.sandbox.fault(AUTHORITY, "error", status=504, count=1, on=["writes"])
    blind = world.sandbox.fault(AUTHORITY, "error", status=500, on=["reads"])
    answer = await world.patch("customers", record["id"], {"phone": "1"}, Prefer="respond-async")
    told = await world.operation(answer)
    line = next(one["id"] for one in told["deliveries"] if one["role"] == "authority")

    async def looked_twice() -> bool:
        return sum(one["hits"] for one in world.sandbox.faults(AUTHORITY) if one["id"] == blind) >= 2

    await world.until(looked_twice, "two looks that failed")
    database = world.gateway.database
    found = await database.read(
        lambda conn: conn.execute(
            select(delivery.c.state, delivery.c.probes).where(delivery.c.id == line)
        ).one()
    )
    assert tuple(found) == ("unknown", 0)
    world.sandbox.heal(AUTHORITY, blind)
    await world.reaches(answer, "settled")
    assert (await world.times(answer))["legacy"] == 1
    await world.check()


async def test_a_reference_that_nobody_brings_becomes_a_person_s(world: World) -> None:
    """A mirror waits for the records that a write refers to; after a day of that, a person has it."""
    await world.stage("customer", Stage.LEGACY_ONLY)
    owner = await world.made("customers", customer(number=fresh()))
    answer = await world.create("projects", project(owner["id"]))
    assert answer.status_code == 201
    line = next(one for one in (await world.operation(answer))["deliveries"] if one["role"] == "mirror")

    async def waits() -> bool:
        told = (await world.operation(answer))["deliveries"]
        return next(one["code"] for one in told if one["role"] == "mirror") == "reference_missing"

    await world.until(waits, "the mirror waits for the customer")
    assert await _open_cases(world, answer) == []
    operation_id = (await world.operation(answer))["id"]
    await world.gateway.database.transaction(
        lambda conn: conn.execute(
            operation.update()
            .where(operation.c.id == operation_id)
            .values(created_at=operation.c.created_at - 25 * 3600 * 1_000_000)
        )
    )
    await world.reaches(answer, "attention")
    assert await _open_cases(world, answer) == [("reference_missing", line["id"])]
    await world.stage("customer", Stage.DUAL_WRITE)
    await world.made("customers", customer(number=fresh()))


async def _open_cases(world: World, answer: httpx.Response) -> list[tuple[str, str]]:
    """Kind and delivery of the open cases about what this answer began."""
    operation = (await world.operation(answer))["id"]
    found = await world.client.get("/admin/v1/cases", params={"state": "open", "limit": 200})
    assert found.status_code == 200, found.text
    return [(one["kind"], one["delivery"]) for one in found.json()["items"] if one["operation"] == operation]


async def _struck(world: World, system: str) -> bool:
    return all(one["hits"] for one in world.sandbox.faults(system))


def _writes(world: World, system: str) -> int:
    counted = world.sandbox.stats(system)["requests"]
    return sum(number for what, number in counted.items() if what.endswith((".create", ".update")))


def _at(effect: dict[str, Any]) -> float:
    at = effect["time"]
    return at / 1e6 if isinstance(at, int) else datetime.fromisoformat(at).timestamp()
