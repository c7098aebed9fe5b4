"""What a caller may rely on when it repeats itself, when two want the same, and when it says what it has seen."""

from __future__ import annotations

import asyncio

import pytest

from gateway.ledger.tables import natural_key
from tests.integration.ledger.world import World, customer, fresh, invoice, project, time_entry


async def test_the_same_request_again(world: World) -> None:
    """Same key and body: the same operation, byte for byte the same answer, marked as a replay, and no new effect."""
    key, body = fresh(), customer(number=fresh())
    first = await world.create("customers", body, key=key)
    await world.reaches(first, "settled")
    again = await world.create("customers", body, key=key)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Twinrun-Operation"] == first.headers["Twinrun-Operation"]
    assert again.headers["ETag"] == first.headers["ETag"]
    changed = await world.patch("customers", first.json()["id"], {"phone": "1"}, key=key)
    assert changed.status_code == 200, "the scope of a key is a route: elsewhere it is another key"
    late = await world.create("customers", body, key=key)
    assert late.content == first.content, (
        "a replay tells what the operation did, not what has become of the record"
    )
    await world.quiet()
    await world.check()


@pytest.mark.parametrize("what", ["body", "record"])
async def test_the_same_key_for_something_else(world: World, what: str) -> None:
    """Same key, other request: 422, and nothing happens."""
    key = fresh()
    one = await world.made("customers", customer(number=fresh()))
    two = await world.made("customers", customer(number=fresh()))
    assert (await world.patch("customers", one["id"], {"phone": "1"}, key=key)).status_code == 200
    before = len(world.effects("legacy"))
    if what == "body":
        other = await world.patch("customers", one["id"], {"phone": "2"}, key=key)
    else:
        other = await world.patch("customers", two["id"], {"phone": "1"}, key=key)
    assert other.status_code == 422
    assert other.json()["type"].endswith("key-reused")
    assert len(world.effects("legacy")) == before


async def test_the_same_request_while_the_first_still_runs(world: World) -> None:
    """A twin of a running request is told to come back, and where it will find out."""
    key, body = fresh(), customer(number=fresh())
    world.sandbox.fault("legacy", "latency", ms=700, count=1, on=["create"])
    first = asyncio.create_task(world.create("customers", body, key=key))
    await world.until(lambda: _struck(world), "the first is on its way")
    twin = await world.create("customers", body, key=key)
    assert twin.status_code == 409
    assert twin.json()["type"].endswith("twin-running")
    assert twin.json()["retryable"] is True
    assert int(twin.headers["Retry-After"]) >= 1
    done = await first
    assert twin.headers["Location"] == f"/v1/operations/{done.headers['Twinrun-Operation']}"
    await world.quiet()
    assert len(world.effects("legacy")) == 1


async def test_twins_that_race(world: World) -> None:
    """Of twenty equal requests with one key, one is done; the others are told that it runs, or what it did."""
    key, body = fresh(), customer(number=fresh())
    answers = await asyncio.gather(*(world.create("customers", body, key=key) for _ in range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert (
        sum(answer.status_code == 201 and "Idempotent-Replayed" not in answer.headers for answer in answers)
        == 1
    )
    await world.quiet()
    assert len(world.effects("legacy")) == len(world.effects("cloud")) == 1
    await world.check()


async def test_a_refusal_is_repeated_in_the_same_words(world: World) -> None:
    """A refusal that would come again is kept under its key, the system's own and the gateway's."""
    number = fresh()
    await world.made("customers", customer(number=number))
    for body in (
        customer(number=number),
        customer(number=fresh(), legal_entity="UK01", currency="GBP", parent_id=None),
    ):
        key = fresh()
        first = await world.create("customers", {k: v for k, v in body.items() if v is not None}, key=key)
        again = await world.create("customers", {k: v for k, v in body.items() if v is not None}, key=key)
        assert again.status_code == first.status_code
        assert again.json() == first.json()
        assert again.headers["Idempotent-Replayed"] == "true"


async def test_creates_that_want_the_same_number(world: World) -> None:
    """Of creates with one number exactly one is made; the others get 409 and the address of the one that has it."""
    number = fresh()
    answers = await asyncio.gather(
        *(
            world.create("customers", customer(number=number, name=f"Rival {i}"), key=fresh())
            for i in range(12)
        )
    )
    won = [answer for answer in answers if answer.status_code == 201]
    assert len(won) == 1
    for lost in answers:
        if lost is not won[0]:
            assert lost.status_code == 409
            assert lost.json()["type"].endswith("natural-key-taken")
            assert lost.headers["Location"] == f"/v1/customers/{won[0].json()['id']}"
    await world.quiet()
    assert len(world.effects("legacy")) == len(world.effects("cloud")) == 1
    await world.check()


async def test_a_changed_number_frees_the_old_one(world: World) -> None:
    """A number is taken as long as a record has it or is about to have it, and no longer."""
    old, new = fresh(), fresh()
    first = await world.made("customers", customer(number=old))
    assert (await world.patch("customers", first["id"], {"number": new})).status_code == 200
    assert (await world.create("customers", customer(number=new))).status_code == 409
    second = await world.made("customers", customer(number=old))
    taken = await world.patch("customers", first["id"], {"number": old})
    assert taken.status_code == 409
    assert taken.headers["Location"] == f"/v1/customers/{second['id']}"
    await world.quiet()
    await world.check()


async def test_a_refused_change_of_number_takes_nothing(world: World) -> None:
    """A number that a refused update asked for is free for others."""
    record = await world.made("customers", customer(number=fresh()))
    wanted = fresh()
    stale = await world.patch("customers", record["id"], {"number": wanted}, If_Match='"7"')
    assert stale.status_code == 412
    await world.made("customers", customer(number=wanted))
    another = fresh()
    world.sandbox.fault("legacy", "error", status=400, count=1, on=["update"])
    refused = await world.patch("customers", record["id"], {"number": another})
    assert refused.status_code == 422, refused.text
    await world.made("customers", customer(number=another))
    await world.quiet()
    await world.check()


async def test_a_number_that_an_erp_gave_is_taken(world: World) -> None:
    """What a system already holds counts as soon as it was seen."""
    number = fresh()
    world.sandbox.edit("legacy", "customer", "", _legacy_customer(number), action="insert")
    page = await world.get(f"/v1/customers?region=UK&number={number}")
    seen = page.json()["items"]
    assert [item["number"] for item in seen] == [number]
    taken = await world.create("customers", customer(number=number))
    assert taken.status_code == 409
    assert taken.headers["Location"] == f"/v1/customers/{seen[0]['id']}"
    rows = await world.gateway.database.read(lambda conn: conn.execute(natural_key.select()).all())
    assert [(row.value, row.record_id) for row in rows] == [(number, seen[0]["id"])]


async def test_conditional_writes(world: World) -> None:
    """A stale version is 412, a condition behind an unconfirmed write 409, and billing documents need one."""
    owner = await world.made("customers", customer(number=fresh()))
    assert (await world.patch("customers", owner["id"], {"phone": "1"}, If_Match='"1"')).status_code == 200
    stale = await world.patch("customers", owner["id"], {"phone": "2"}, If_Match='"1"')
    assert stale.status_code == 412
    bill = (await world.create("invoices", invoice(owner["id"]), key=fresh())).json()
    missing = await world.patch("invoices", bill["id"], {"due_date": "2026-05-01"})
    assert missing.status_code == 428
    world.sandbox.fault("legacy", "latency", ms=600, count=1, on=["update"])
    first = asyncio.create_task(world.patch("customers", owner["id"], {"phone": "3"}, If_Match='"2"'))
    await world.until(lambda: _struck(world), "the first is on its way")
    behind = await world.patch("customers", owner["id"], {"phone": "4"}, If_Match='"3"')
    assert behind.status_code == 409
    assert behind.json()["type"].endswith("pending-write")
    assert behind.json()["retryable"] is True
    assert (await first).status_code == 200
    await world.quiet()
    await world.check()


async def test_two_who_have_seen_the_same_version(world: World) -> None:
    """Of writes with the same condition exactly one is done."""
    record = await world.made("customers", customer(number=fresh()))
    answers = await asyncio.gather(
        *(world.patch("customers", record["id"], {"phone": str(i)}, If_Match='"1"') for i in range(10))
    )
    codes = sorted(answer.status_code for answer in answers)
    assert codes.count(200) == 1
    assert set(codes) <= {200, 409, 412}
    await world.quiet()
    assert len(world.effects("legacy")) == 2
    await world.check()


async def test_an_illegal_move_names_the_legal_ones(world: World) -> None:
    """A move that the lifecycle does not have is refused with those that it has, before anything is sent."""
    record = await world.made("customers", customer(number=fresh()))
    wrong = await world.move("customers", record["id"], "archived")
    assert wrong.status_code == 409
    assert wrong.json()["legal"] == ["active"]
    right = await world.move("customers", record["id"], "active")
    assert (right.status_code, right.json()["state"]) == (200, "active")
    await world.quiet()
    assert len(world.effects("legacy")) == 2
    await world.check()


async def test_moves_that_queue_are_judged_by_what_they_find(world: World) -> None:
    """A move behind another write is judged against what that one leaves: of two equal moves the second is illegal."""
    record = await world.made("customers", customer(number=fresh()))
    world.sandbox.fault("legacy", "latency", ms=300, on=["update"])
    answers = await asyncio.gather(*(world.move("customers", record["id"], "active") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    refused = [answer for answer in answers if answer.status_code == 409]
    assert all(set(answer.json()["legal"]) == {"blocked", "archived"} for answer in refused), [
        a.text for a in refused
    ]
    onward = await asyncio.gather(
        world.move("customers", record["id"], "blocked"),
        world.patch("customers", record["id"], {"phone": "9"}),
    )
    assert [answer.status_code for answer in onward] == [200, 200]
    await world.quiet()
    await world.check()


async def test_cancel(world: World) -> None:
    """What was not sent can be withdrawn and has no effect; what was sent cannot. Its key still tells so."""
    record = await world.made("customers", customer(number=fresh()))
    world.sandbox.fault("legacy", "latency", ms=600, count=1, on=["update"])
    first = await world.patch("customers", record["id"], {"phone": "1"}, Prefer="respond-async")
    key, number = fresh(), fresh()
    second = await world.patch("customers", record["id"], {"number": number}, key=key, Prefer="respond-async")
    third = await world.patch("customers", record["id"], {"website": "three.example"}, Prefer="respond-async")
    sent = await world.client.delete(f"/v1/operations/{first.headers['Twinrun-Operation']}")
    assert sent.status_code == 409
    gone = await world.client.delete(f"/v1/operations/{second.headers['Twinrun-Operation']}")
    assert (gone.status_code, gone.json()["state"]) == (200, "cancelled")
    twice = await world.client.delete(f"/v1/operations/{second.headers['Twinrun-Operation']}")
    assert twice.status_code == 409
    await world.reaches(third, "settled")
    await world.made("customers", customer(number=number))
    again = await world.patch("customers", record["id"], {"number": number}, key=key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (
        again.headers.get("Twinrun-Operation", again.json().get("operation"))
        == second.headers["Twinrun-Operation"]
    )
    await world.quiet()
    assert await world.times(second) == {"legacy": 0, "cloud": 0}
    await world.check()


async def test_cancel_against_the_claim(world: World) -> None:
    """Whoever cancels while a worker takes the delivery wins or loses, but never both."""
    records = [await world.made("customers", customer(number=fresh())) for _ in range(12)]

    async def one(record_id: str) -> None:
        await world.patch("customers", record_id, {"phone": "1"}, Prefer="respond-async")
        queued = await world.patch("customers", record_id, {"phone": "2"}, Prefer="respond-async")
        answer = await world.client.delete(f"/v1/operations/{queued.headers['Twinrun-Operation']}")
        ended = await world.reaches(queued, "cancelled", "settled")
        assert (answer.status_code == 200) == (ended["state"] == "cancelled")

    await asyncio.gather(*(one(record["id"]) for record in records))
    await world.quiet()
    await world.check()


async def test_references(world: World) -> None:
    """A reference to nothing is 422 and is not sent; one to a record whose create was refused is 424."""
    owner = await world.made("customers", customer(number=fresh()))
    nothing = await world.create("projects", project(owner["id"].replace("0", "1")))
    assert nothing.status_code == 422
    assert nothing.json()["errors"][0]["pointer"] == "/customer_id"
    person = await world.made("resources", {"region": "UK", "name": "Robin", "kind": "employee"})
    world.sandbox.fault("legacy", "latency", ms=500, count=1, entity=["project"])
    world.sandbox.fault("legacy", "error", status=400, count=1, entity=["project"])
    parent = await world.create("projects", project(owner["id"], number=fresh()), Prefer="respond-async")
    record_id = (await world.operation(parent))["record"]
    child = await world.create(
        "time-entries", time_entry(person["id"], record_id), key=fresh(), Prefer="wait=10"
    )
    assert (await world.operation(parent))["state"] == "rejected"
    assert child.status_code == 424, child.text
    await world.quiet()
    assert await world.times(child.json()["operation"]) == {"legacy": 0, "cloud": 0}
    await world.check()


async def _struck(world: World) -> bool:
    return all(one["hits"] for one in world.sandbox.faults("legacy"))


def _legacy_customer(number: str) -> dict[str, str]:
    return {
        "Nummer": number,
        "Buchungskreis": "UK01",
        "Status": "A",
        "Name1": "Known before us",
        "Waehrung": "GBP",
    }
