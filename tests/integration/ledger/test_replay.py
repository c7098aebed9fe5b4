"""Dead letters sent again over HTTP, with both simulated ERPs: each arrives once, and none over a newer state."""

from __future__ import annotations

from typing import Any

from tests.integration.ledger.world import World, customer, fresh, invoice

MIRROR = "cloud"
PATH = "/admin/v1/deliveries/replay"


async def followed(world: World, location: str) -> dict[str, Any]:
    """The replay once it is over."""

    async def over() -> Any:
        told = (await world.get(location)).json()
        return None if told["state"] == "running" else told

    return await world.until(over, location)


async def test_a_heap_is_sent_again(world: World) -> None:
    """A count by cause first, then a run that is followed to its end: every write is in both ERPs exactly once."""
    owner = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    fault = world.sandbox.fault(MIRROR, "error", status=400, on=["writes"])
    answers = [
        *[await world.create("customers", customer(number=fresh())) for _ in range(12)],
        *[
            await world.create("invoices", invoice(owner["id"], number=fresh()), key=fresh())
            for _ in range(8)
        ],
    ]
    for answer in answers:
        await world.reaches(answer, "attention")
    world.sandbox.heal(MIRROR, fault)
    counted = (await world.client.post(PATH, json={"dry_run": True, "entity": "invoice"})).json()
    assert (counted["count"], counted["superseded"], counted["refused"]) == (8, 0, 0)
    begun = await world.client.post(PATH, json={"reason": "mended", "until": counted["until"]})
    assert begun.status_code == 202, begun.text
    assert begun.json()["total"] == 20
    told = await followed(world, begun.headers["location"])
    assert (told["state"], told["done"], told["replayed"]) == ("done", 20, 20)
    for answer in answers:
        await world.reaches(answer, "settled")
        assert await world.times(answer) == {"legacy": 1, "cloud": 1}
    acts = (await world.get("/admin/v1/audit?action=replay.start")).json()["items"]
    assert [act["subject"] for act in acts] == [told["id"]]
    await world.check()


async def test_what_is_refused_again_waits_again(world: World) -> None:
    """While the cause is there a replay ends all the same: each letter was sent once more and is waiting anew."""
    world.sandbox.fault(MIRROR, "error", status=400, on=["writes"])
    answers = [await world.create("customers", customer(number=fresh())) for _ in range(5)]
    for answer in answers:
        await world.reaches(answer, "attention")
    begun = await world.client.post(PATH, json={"reason": "perhaps"})
    told = await followed(world, begun.headers["location"])
    assert told["replayed"] == 5
    await world.quiet()
    for answer in answers:
        operation = await world.operation(answer)
        mirror = next(line for line in operation["deliveries"] if line["role"] == "mirror")
        assert (operation["state"], mirror["state"], mirror["attempt"]) == ("attention", "parked", 2)
    await world.check()


async def test_a_newer_state_stands(world: World) -> None:
    """What a newer write has overtaken by the time of the replay is superseded: the newest value stays."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    world.sandbox.fault(MIRROR, "error", status=400, count=1, on=["writes"])
    first = await world.patch("customers", record["id"], {"phone": "1"})
    await world.reaches(first, "attention")
    second = await world.patch("customers", record["id"], {"phone": "2"})
    await world.reaches(second, "settled")
    begun = await world.client.post(PATH, json={"reason": "all that waits"})
    told = await followed(world, begun.headers["location"])
    # The newer write overtakes it at its claim already; whoever is first, it is never sent.
    assert told["replayed"] == 0
    await world.reaches(first, "settled")
    assert (await world.times(first))["cloud"] == 0
    await world.check()
