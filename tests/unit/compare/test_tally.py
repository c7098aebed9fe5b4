"""Counts between two commits."""

from __future__ import annotations

from gateway.compare.tally import Tally
from gateway.compare.verdict import Verdict

DAY = ("2026-05-31", "customer", "UK")


def test_adding_keeps_both() -> None:
    """Two tallies together count what each counted, and of one record the later moment stands."""
    one, other = Tally(), Tally()
    assert not one
    for tally, times, at in ((one, 2, 10), (other, 3, 5)):
        tally.outcome(DAY, "match", times)
        tally.not_compared(DAY, ("website",))
        tally.agreed["cus_1"] = at, Verdict.MATCH
    one.add(other)
    assert one.outcomes == {(*DAY, "match"): 5}
    assert one.fields == {(*DAY, "website", "not_compared", "not_compared"): 2}
    assert one.agreed == {"cus_1": (10, Verdict.MATCH)}
