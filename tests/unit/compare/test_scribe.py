"""By whose clock it is told what comparing has found, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.compare.conclusion import MICROS, Scribe
from gateway.database import to_micros
from gateway.ids import SystemIds

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class _Clock:
    """A process's clock, which may be off, and may be set while the process runs."""

    def __init__(self, off: timedelta) -> None:
        self.at = NOON + off
        self.passed = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("writing down what was compared waits for nothing")


def _scribe(off: timedelta) -> tuple[Scribe, _Clock]:
    clock = _Clock(off)
    return Scribe(clock=clock, ids=SystemIds(), key=b"key"), clock


def test_what_is_found_has_the_time_of_the_database() -> None:
    """Two processes whose clocks are two hours apart tell one after the other in that order, and of one day."""
    ahead, _ = _scribe(timedelta(hours=13))
    behind, clock = _scribe(timedelta(hours=-1))
    ahead.seen(to_micros(NOON))
    behind.seen(to_micros(NOON))
    clock.passed += 1.5
    assert behind.now() - ahead.now() == int(1.5 * MICROS)
    assert ahead.today() == behind.today() == "2026-03-02"


def test_a_clock_that_is_set_meanwhile_changes_nothing() -> None:
    """What has passed is told by the clock that never goes back."""
    scribe, clock = _scribe(timedelta(0))
    scribe.seen(to_micros(NOON))
    clock.at -= timedelta(hours=3)
    clock.passed += 2.0
    assert scribe.now() == to_micros(NOON + timedelta(seconds=2))


def test_before_anybody_has_looked_the_own_clock_counts() -> None:
    """A process that has not asked the database yet has nothing else."""
    scribe, clock = _scribe(timedelta(minutes=5))
    assert scribe.now() == to_micros(clock.at)
