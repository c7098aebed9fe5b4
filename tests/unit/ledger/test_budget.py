"""How many calls may be repeats."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.budget import CAP, PER_SUCCESS, TRICKLE_S, Budget


def test_ten_successes_are_worth_one_repeat() -> None:
    """A tenth of a token for each success."""
    budget = Budget(0.0)
    budget.spend(budget.whole(0.0))
    for _ in range(9):
        budget.succeeded()
    assert budget.whole(0.0) == 0
    budget.succeeded()
    assert budget.whole(0.0) == 1


def test_it_never_starves() -> None:
    """Without any success one repeat comes every ten seconds, and what is saved up has a cap."""
    budget = Budget(0.0)
    budget.spend(int(CAP))
    assert budget.whole(TRICKLE_S - 0.1) == 0
    assert budget.whole(TRICKLE_S) == 1
    assert budget.whole(1e6) == CAP


@given(st.lists(st.tuples(st.sampled_from(["success", "repeat"]), st.floats(0, 30)), max_size=300))
def test_calls_are_bounded_by_what_was_asked_for(steps: list[tuple[str, float]]) -> None:
    """Repeats <= 50 + a tenth of the successes + a tenth of the seconds, in any history."""
    budget, now, successes, repeats = Budget(0.0), 0.0, 0, 0
    for what, wait in steps:
        now += wait
        if what == "success":
            budget.succeeded()
            successes += 1
        elif budget.whole(now):
            budget.spend(1)
            repeats += 1
        assert repeats <= CAP + PER_SUCCESS * successes + now / TRICKLE_S + 1e-6
