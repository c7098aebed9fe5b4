"""What was tried before is tried again within a budget; what was never tried needs none."""

from __future__ import annotations

import msgspec
import pytest

from gateway.ledger import budget
from gateway.ledger.budget import CAP
from gateway.settings import Settings
from tests.integration.ledger.world import World, customer, fresh
from tests.integration.pressure.conftest import opened
from tests.systems.sandbox import Sandbox

MIRROR = "cloud"
TOKENS = 3
FAILING = 10


async def test_repeats_need_a_token_and_first_calls_do_not(
    settings: Settings, erps: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten deliveries fail once and there are tokens for three: three are repeated, new ones go past the others, and
    the others go as tokens come."""
    # Here tokens come of successes alone, however long a slow machine takes.
    monkeypatch.setattr(budget, "TRICKLE_S", 3600.0)
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
        target.budget.spend(int(CAP))
        mark = erps.stats(MIRROR)["requests"]["customer.update"]
        new = await world.create("customers", customer(number=fresh()))
        await world.reaches(new, "settled")
        assert erps.stats(MIRROR)["requests"]["customer.update"] == mark + 1
        assert len(await _open(world)) == FAILING
        for _ in range(TOKENS * 10):
            target.budget.succeeded()

        async def three() -> bool:
            return len(await _open(world)) <= FAILING - TOKENS

        await world.until(three, "three were repeated", 15)
        # One more may have come of the successes themselves.
        assert len(await _open(world)) >= FAILING - TOKENS - 1
        for _ in range(FAILING * 10):
            target.budget.succeeded()
        await world.quiet()
        for answer in failed:
            assert (await world.operation(answer))["state"] == "settled"
        await world.check()


async def _open(world: World) -> list[str]:
    return [line.operation for line in await world.lines() if line.state == "ready"]


async def _reached(world: World, number: int) -> None:
    async def there() -> bool:
        return len(await _open(world)) == number

    await world.until(there, f"{number} deliveries have failed once", 10)
