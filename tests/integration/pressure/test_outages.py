"""A system that fails is left alone within five calls, and its queue drains as soon as it is there again."""

from __future__ import annotations

import asyncio
import time

import httpx
import msgspec

from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.world import World, customer, fresh, payment, resource
from tests.integration.pressure.conftest import opened
from tests.systems.sandbox import Sandbox

AUTHORITY, MIRROR = "legacy", "cloud"
NO_WAIT = {"Prefer": "respond-async"}


async def _fails_until_it_opens(world: World) -> int:
    """Writes, one after the other, to an authority that fails each; returns how many calls it has seen."""
    world.sandbox.fault(AUTHORITY, "error", status=500, on=["writes"])
    for number in range(1, 6):
        await world.create("customers", customer(), **NO_WAIT)

        async def arrived(number: int = number) -> bool:
            return world.requests(AUTHORITY, "customer.create") >= number

        await world.until(arrived, f"call {number} has arrived", 10)
    return world.requests(AUTHORITY, "customer.create")


async def test_a_failing_system_is_left_alone_after_five_calls(settings: Settings, erps: Sandbox) -> None:
    """Its own log shows five calls and no more, whatever is asked for; each further write is accepted at once."""
    async with opened(settings, erps) as world:
        assert await _fails_until_it_opens(world) == 5
        began = time.monotonic()
        answers = await asyncio.gather(
            *(world.create("customers", customer(), Prefer="wait=25") for _ in range(30))
        )
        took = time.monotonic() - began
        assert {answer.status_code for answer in answers} == {202}
        assert took < 20.0, "none of them was kept waiting for the 25 seconds that it would have waited"
        assert (await world.get(f"/v1/customers/{answers[0].json()['record']}")).status_code in (404, 503)
        assert world.requests(AUTHORITY, "customer.create") == 5
        positions = [(await world.operation(answer))["queue_position"] for answer in answers]
        assert sorted(positions) == list(range(6, 36))

        async def left_alone() -> bool:
            told = await world.operation(answers[-1])
            return (
                told["deliveries"][0]["code"] == "breaker_open" and told["deliveries"][0]["state"] == "ready"
            )

        await world.until(left_alone, "it says why it waits", 5)
        assert world.requests(AUTHORITY, "customer.create") == 5
        assert (await world.client.get("/health/ready")).json()["systems"][AUTHORITY] == "down"


async def test_a_slice_that_does_not_store_refuses_at_once(settings: Settings, erps: Sandbox) -> None:
    """503 with Retry-After, not a byte to the system, and nothing of the write is kept."""
    async with opened(settings, erps) as world:
        owner = await world.made("customers", customer())
        await _fails_until_it_opens(world)
        await world.stage("payment", Stage.DUAL_WRITE, storable=False)

        async def known() -> bool:
            return not world.gateway.slices.cached("payment", "UK").storable

        await world.until(known, "the rule is known", 5)
        before = len(await world.lines())
        key = fresh("K")
        refused = await world.create("payments", payment(owner["id"]), key=key)
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) >= 1
        assert len(await world.lines()) == before
        assert world.requests(AUTHORITY, "payment.create") == 0
        world.sandbox.heal()


async def test_the_queue_drains_within_a_second_of_recovery(settings: Settings, erps: Sandbox) -> None:
    """An outage of three seconds: what was accepted meanwhile begins to arrive as soon as the system is back, although
    a breaker may stay open for thirty."""
    async with opened(settings, erps) as world:
        await world.made("customers", customer())
        outage = erps.fault(AUTHORITY, "outage")
        began = time.monotonic()
        accepted: list[httpx.Response] = []
        while time.monotonic() - began < 3.0:
            accepted.append(await world.create("customers", customer(), **NO_WAIT))
        assert {answer.status_code for answer in accepted} == {202}
        assert len(accepted) > 20
        mark = erps.last(AUTHORITY)
        erps.heal(AUTHORITY, outage)
        healed = time.monotonic()

        async def arrives() -> bool:
            return erps.last(AUTHORITY) > mark

        await world.until(arrives, "the first of them arrives", 10)
        assert time.monotonic() - healed < 8.0, "a second, and a few more for a busy machine"
        await world.quiet()
        for answer in accepted:
            assert (await world.operation(answer))["state"] == "settled"
        await world.check()


async def test_what_brings_money_in_goes_first(settings: Settings, erps: Sandbox) -> None:
    """Of a queue, billing documents drain before master data that was accepted before them."""
    async with opened(settings, erps) as world:
        owner = await world.made("customers", customer())
        await world.quiet()
        outage = erps.fault(AUTHORITY, "outage")
        for _ in range(5):
            await world.create("resources", resource(), **NO_WAIT)

        async def open_() -> bool:
            return world.gateway.pressure.shut(AUTHORITY) is not None

        await world.until(open_, "the breaker is open", 10)
        for _ in range(15):
            await world.create("resources", resource(), **NO_WAIT)
        for _ in range(6):
            await world.create("payments", payment(owner["id"]), key=fresh("K"), **NO_WAIT)
        mark = erps.last(AUTHORITY)
        erps.heal(AUTHORITY, outage)
        await world.quiet()
        order = [one["entity"] for one in erps.effects(AUTHORITY, since=mark)]
        assert sorted(set(order)) == ["payment", "resource"]
        assert order[:6] == ["payment"] * 6, order


async def test_one_call_at_a_time_at_first(settings: Settings, erps: Sandbox) -> None:
    """After an outage the system never sees more calls at once than it has answered since, and one."""
    async with opened(settings, erps) as world:
        await world.made("customers", customer())
        await world.quiet()
        outage = erps.fault(AUTHORITY, "outage")
        for _ in range(12):
            await world.create("customers", customer(), **NO_WAIT)

        async def open_() -> bool:
            return world.gateway.pressure.shut(AUTHORITY) is not None

        await world.until(open_, "the breaker is open", 10)
        target = world.gateway.pressure.target(AUTHORITY)
        assert target is not None
        seen: list[tuple[int, int]] = []
        resize = target.places.resize

        def noted(limit: int) -> None:
            resize(limit)
            seen.append((limit, target.places.taken))

        target.places.resize = noted  # type: ignore[method-assign]
        erps.fault(AUTHORITY, "latency", ms=30)
        erps.heal(AUTHORITY, outage)
        await world.quiet()
        limits = [limit for limit, _ in seen]
        assert limits[:5] == [1, 2, 3, 4, 5]
        assert all(taken <= limit for limit, taken in seen)


async def test_the_limits_of_what_is_stored(journal: str, settings: Settings, erps: Sandbox) -> None:
    """Beyond the number of a slice, and of a record, 503 and nothing kept; a write that was accepted is still told
    under its key, and nothing accepted is dropped."""
    limited = msgspec.structs.replace(settings, stored_writes=8, stored_writes_of_record=3)
    async with opened(limited, erps) as world:
        owner = await world.made("customers", customer())
        await world.quiet()
        outage = erps.fault(AUTHORITY, "outage")
        kept: list[httpx.Response] = [
            await world.patch("customers", owner["id"], {"name": f"Harbour {number}"}, **NO_WAIT)
            for number in range(3)
        ]
        refused = await world.patch("customers", owner["id"], {"name": "too many"}, **NO_WAIT)
        assert (refused.status_code, refused.json()["retryable"]) == (503, True), refused.text
        body, key = customer(), fresh("K")
        kept.append(await world.create("customers", body, key=key, **NO_WAIT))
        kept += [await world.create("customers", customer(), **NO_WAIT) for _ in range(4)]
        assert {answer.status_code for answer in kept} == {202}
        assert [answer.json()["queue_position"] for answer in kept] == list(range(1, 9))

        async def full() -> bool:
            return world.gateway.queues.of("customer", "UK").waiting == 8

        await world.until(full, "the slice is counted as full", 5)
        before = len(await world.lines())
        refused = await world.create("customers", customer(), **NO_WAIT)
        assert refused.status_code == 503, refused.text
        assert int(refused.headers["Retry-After"]) > 1
        assert len(await world.lines()) == before
        again = await world.create("customers", body, key=key, **NO_WAIT)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (202, "true")
        assert again.json()["queue_position"] == 4
        positions = [(await world.operation(answer))["queue_position"] for answer in kept]
        assert positions == list(range(1, 9))
        erps.heal(AUTHORITY, outage)
        await world.quiet()
        assert [(await world.operation(answer))["state"] for answer in kept] == ["settled"] * 8
        assert (await world.operation(kept[0]))["queue_position"] is None
        await world.check()
