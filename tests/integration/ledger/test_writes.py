"""Writes as they go when nothing is in their way: authority first, then the mirror, in order, once."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.ledger.world import World, customer, fresh, invoice, project, time_entry


async def test_a_create_is_mirrored(world: World) -> None:
    """201 means that the authority has it; the mirror gets it once, after the authority."""
    answer = await world.create("customers", customer(number=fresh()))
    assert answer.status_code == 201
    assert answer.headers["Twinrun-Answered-By"] == "legacy"
    assert (await world.times(answer))["legacy"] == 1
    told = await world.reaches(answer, "settled")
    assert {line["system"]: line["state"] for line in told["deliveries"]} == {
        "legacy": "applied",
        "cloud": "applied",
    }
    assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    await world.check()


async def test_documents_that_refer_to_each_other(world: World) -> None:
    """References go to each system under that system's own ids, as soon as it has them."""
    owner = await world.made("customers", customer(number=fresh()))
    work = await world.made("projects", project(owner["id"], number=fresh()))
    person = await world.made(
        "resources", {"region": "UK", "name": "Robin", "kind": "employee", "number": fresh()}
    )
    await world.made("time-entries", time_entry(person["id"], work["id"]), key=fresh())
    await world.made("invoices", invoice(owner["id"], project_id=work["id"], number=fresh()), key=fresh())
    await world.quiet()
    await world.check()
    assert len(world.effects("cloud")) == 5


async def test_a_burst_of_updates_of_one_record(world: World) -> None:
    """An authority's lane is strictly in order: every write of a burst has its effect, in the order of acceptance,
    and the last one accepted is what both systems hold. The mirror may leave out states that were overtaken."""
    record = await world.made("customers", customer(number=fresh()))
    path = f"/v1/customers/{record['id']}"
    answers = await asyncio.gather(
        *(
            world.patch("customers", record["id"], {"payment_terms_days": days}, Prefer="wait=20")
            for days in range(1, 41)
        )
    )
    assert [answer.status_code for answer in answers] == [200] * 40, [
        a.text for a in answers if a.status_code != 200
    ]
    assert sorted(answer.json()["version"] for answer in answers) == list(range(2, 42))
    await world.quiet()
    assert len(world.effects("legacy")) == 41
    await world.check()
    last = max(answers, key=lambda answer: answer.json()["version"]).json()
    assert (await world.get(path)).json()["payment_terms_days"] == last["payment_terms_days"]
    newest = world.effects("cloud")[-1]
    assert (
        newest["marker"] == (await world.operation(max(answers, key=lambda a: a.json()["version"])))["marker"]
    )


async def test_a_strict_mirror_leaves_nothing_out(world: World) -> None:
    """A billing document's mirror gets every write, in order."""
    owner = await world.made("customers", customer(number=fresh()))
    answer = await world.create("invoices", invoice(owner["id"]), key=fresh())
    id_ = answer.json()["id"]
    for version, day in enumerate(range(1, 11), start=1):
        changed = await world.patch(
            "invoices", id_, {"due_date": f"2026-05-{day:02}"}, If_Match=f'"{version}"'
        )
        assert changed.status_code == 200, changed.text
    await world.quiet()
    assert len(world.effects("cloud", entity="invoice")) == 11
    await world.check()


async def test_many_clients_and_few_records(world: World) -> None:
    """64 clients that update ten records at once: no write is lost, doubled or out of order, and no commit of one
    waits for another for ever."""
    records = [await world.made("customers", customer(number=fresh())) for _ in range(10)]
    codes: list[int] = []

    async def client(number: int) -> None:
        for turn in range(5):
            record = records[(number * 7 + turn * 3) % len(records)]
            answer = await world.patch(
                "customers", record["id"], {"phone": f"{number:03} {turn:03}"}, key=fresh(), Prefer="wait=25"
            )
            codes.append(answer.status_code)

    await asyncio.gather(*(client(number) for number in range(64)))
    assert set(codes) <= {200, 202}
    await world.quiet(60)
    assert len(world.effects("legacy")) == 10 + 64 * 5
    await world.check()


async def test_a_write_waits_for_its_turn_only_in_its_own_lane(world: World) -> None:
    """A record whose authority call hangs holds nobody else up."""
    slow = await world.made("customers", customer(number=fresh()))
    quick = await world.made("customers", customer(number=fresh()))
    world.sandbox.fault("legacy", "latency", ms=1000, count=1, on=["update"])
    first = asyncio.create_task(world.patch("customers", slow["id"], {"phone": "1"}))
    await world.until(lambda: _hits(world), "the first update is on its way")
    answer = await asyncio.wait_for(world.patch("customers", quick["id"], {"phone": "2"}), 0.8)
    assert answer.status_code == 200
    assert not first.done()
    assert (await first).status_code == 200
    await world.quiet()
    await world.check()


async def _hits(world: World) -> bool:
    return all(one["hits"] for one in world.sandbox.faults("legacy"))


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
async def test_a_caller_that_does_not_wait(world: World, prefer: str) -> None:
    """``respond-async`` is answered 202 with the operation's address as soon as the write is on disk."""
    world.sandbox.fault("legacy", "latency", ms=400, count=1, on=["create"])
    answer = await world.create("customers", customer(number=fresh()), Prefer=prefer)
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/v1/operations/{answer.headers['Twinrun-Operation']}"
    assert (await world.operation(answer))["state"] == "accepted"
    await world.reaches(answer, "settled")
    await world.check()


async def test_a_caller_that_waits_a_little(world: World) -> None:
    """``wait=1`` is answered after a second when the authority takes longer, and the write goes on."""
    world.sandbox.fault("legacy", "latency", ms=1250, count=1, on=["create"])
    answer = await world.create("customers", customer(number=fresh()), Prefer="wait=1")
    assert answer.status_code == 202
    await world.reaches(answer, "settled")
    assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    await world.check()


async def test_a_caller_that_hangs_up(world: World) -> None:
    """What a caller has begun goes on when it hangs up, at whatever moment that is."""
    key = fresh()
    world.sandbox.fault("legacy", "latency", ms=300, on=["writes"])
    calls: list[asyncio.Task[object]] = []
    keys = [f"{key}-{number}" for number in range(12)]
    for number, one in enumerate(keys):
        call = asyncio.create_task(world.create("customers", customer(number=f"{key}-{number}"), key=one))
        for _ in range(number * 3):
            await asyncio.sleep(0)  # a different point of the way for each
        await asyncio.sleep(0.0005 * number)
        call.cancel()
        calls.append(call)
    await asyncio.gather(*calls, return_exceptions=True)
    world.sandbox.heal()
    began = asyncio.get_running_loop().time()
    await world.quiet()
    # Nothing had to wait for its lease: whoever hangs up does not take the sending down with it.
    assert asyncio.get_running_loop().time() - began < 2.0
    for one, number in zip(keys, range(len(keys)), strict=True):
        again = await world.create("customers", customer(number=f"{key}-{number}"), key=one)
        while again.status_code == 409 and asyncio.get_running_loop().time() - began < 20:
            # The call that was hung up on is only now being carried out: its caller is told to ask again.
            await asyncio.sleep(float(again.headers["Retry-After"]))
            again = await world.create("customers", customer(number=f"{key}-{number}"), key=one)
        assert again.status_code == 201, again.text
    await world.quiet()
    assert len(world.effects("legacy")) == len(keys)
    await world.check()
