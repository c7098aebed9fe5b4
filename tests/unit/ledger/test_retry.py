"""When something is tried, or looked for, again."""

from __future__ import annotations

import pytest

from gateway.ids import SystemIds
from gateway.ledger.retry import CAP_S, PROBE_CAP_S, backoff_s, probe_s


class _Dice(SystemIds):
    """The fraction of a wait is what the test says."""

    def __init__(self, fraction: float) -> None:
        self._fraction = fraction

    def fraction(self) -> float:
        return self._fraction


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (9, 256.0), (10, CAP_S), (100_000, CAP_S)]
)
def test_a_wait_is_anywhere_up_to_its_doubled_base(attempt: int, longest: float) -> None:
    """Full jitter: from next to nothing to the doubled base, never beyond the cap, however often it was tried."""
    assert backoff_s(attempt, _Dice(1.0)) == longest
    assert backoff_s(attempt, _Dice(0.5)) == longest / 2
    assert backoff_s(attempt, _Dice(0.0)) == 0.05


def test_looks_come_less_and_less_often() -> None:
    """Each look waits twice as long as the one before, up to the cap."""
    waits = [probe_s(probes) for probes in range(12)]
    assert waits == sorted(waits)
    assert waits[:3] == [0.5, 1.0, 2.0]
    assert waits[-1] == probe_s(100_000) == PROBE_CAP_S
