"""When a system is well, which is when it may be compared as well."""

from __future__ import annotations

from adapters.door import Seen, Urgency, urgent
from adapters.profile import Limits
from gateway.clock import SystemClock
from gateway.ledger.breaker import State
from gateway.ledger.target import Target


def _target() -> Target:
    return Target(
        "legacy",
        Limits(concurrency=4),
        clock=SystemClock(),
        pace=None,
        pause_s=0.0,
        callers=8,
        opened=lambda target: None,
        held=lambda target, seconds, reason: None,
    )


async def _fail(target: Target) -> None:
    while target.breaker.state is State.CLOSED:
        target.leave(await target.enter(), Seen.UNREACHED)


async def test_after_an_outage_a_system_that_nobody_calls_is_well() -> None:
    """It answers again and nothing is asked of it: comparing need not wait for traffic that may never come."""
    target = _target()
    await _fail(target)
    assert not target.well
    target.breaker.asked(0.0)
    target.breaker.probed(ok=True, now=0.0)
    assert target.breaker.state is State.RAMPING
    assert target.well


async def test_while_it_is_tried_with_calls_a_system_is_not_well() -> None:
    """As long as it is not known to bear all of its places, whatever is under way there goes before comparing."""
    target = _target()
    await _fail(target)
    target.breaker.asked(0.0)
    target.breaker.probed(ok=True, now=0.0)
    with urgent(Urgency.MIRROR):
        turn = await target.enter()
    assert not target.well
    target.leave(turn, Seen.ANSWERED)
    assert target.well
