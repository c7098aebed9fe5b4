"""What was tried before is tried again within a budget; what was never tried needs none."""

from __future__ import annotations

import time

import msgspec

from gateway.ledger.budget import CAP, PER_SUCCESS, TRICKLE_S
from gateway.settings import Settings
from tests.integration.ledger.world import World, customer, fresh
from tests.integration.pressure.conftest import opened
from tests.systems.sandbox import Sandbox

MIRROR = "cloud"
TOKENS = 3
FAILING = 10


async def test_repeats_need_a_token_and_first_calls_do_not(settings: Settings, erps: Sandbox) -> None:
    """Ten deliveries fail once and there are tokens for three: three are repeated, new ones go past the others, and
    the others go as tokens come."""
    patient = msgspec.structs.replace(settings, breaker_pause_s=0.2)
    async with opened(patient, erps) as world:
        await world.made("customers", customer(number=fresh()))
        await world.quiet()
        target = world.gateway.pressure.target(MIRROR)
        assert target is not None
        # A success after each, so that the breaker has no say in it.
        failed = []
        for _ in range(FAILING):
            target.budget.spend(int(CAP))
            erps.fault(MIRROR, "error", status=503, count=1, on=["update"])
            answer = await world.create("customers", customer(number=fresh()))
            assert answer.status_code == 201
            failed.append(answer)
            await _reached(world, len(failed))
            await world.made("customers", customer(number=fresh()))
        open_ = await _open(world)
        assert len(open_) == FAILING
        # What came by itself until now is spent with the rest; what comes from here on is counted.
        began = time.monotonic()
        target.budget.whole(began)
        target.budget.spend(int(CAP))
        mark = erps.stats(MIRROR)["requests"]["customer.update"]
        new = await world.create("customers", customer(number=fresh()))
        await world.reaches(new, "settled")
        repeated = erps.stats(MIRROR)["requests"]["customer.update"] - mark - 1
        assert 0 <= repeated <= _trickled(began)
        assert len(await _open(world)) >= FAILING - _trickled(began)
        for _ in range(TOKENS * 10):
            target.budget.succeeded()

        async def three() -> bool:
            return len(await _open(world)) <= FAILING - TOKENS

        await world.until(three, "three were repeated", 15)
        assert len(await _open(world)) >= FAILING - TOKENS - 1 - _trickled(began)
        for _ in range(FAILING * 10):
            target.budget.succeeded()
        await world.quiet()
        for answer in failed:
            assert (await world.operation(answer))["state"] == "settled"
        await world.check()


def _trickled(began: float) -> int:
    """How many tokens a slow machine may have seen come since ``began``, with a success or two among them."""
    return int((time.monotonic() - began) / TRICKLE_S + 2 * PER_SUCCESS)


async def _open(world: World) -> list[str]:
    return [line.operation for line in await world.lines() if line.state == "ready"]


async def _reached(world: World, number: int) -> None:
    async def there() -> bool:
        return len(await _open(world)) == number

    await world.until(there, f"{number} deliveries have failed once", 10)
