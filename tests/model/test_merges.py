"""Merges that few drawn histories come to: a link moves."""

from __future__ import annotations

import pytest

from gateway.routing.stage import Stage
from tests.model.machine import Ledger

PRODUCT = {
    "kind": "D", "conditional": False, "unique_numbers": False, "numbers": False, "answers_record": True,
}  # fmt: skip


@pytest.mark.parametrize("back", [False, True])
def test_a_merge_that_moves_a_link(back: bool) -> None:
    """Where only the loser is in the mirror, the winner has its record there after the merge, and the mirror is told
    what it is now; from then on there is no way back."""
    history = Ledger()
    try:
        history.begin(
            seed=3, legacy=PRODUCT, cloud=PRODUCT, stages=(Stage.LEGACY_ONLY,) * 3, storable=True, alone=False,
            eager=True, customers=1, closely=True,
        )  # fmt: skip
        history.merge(
            which=0, other=0, both=True, rounds=10, busy=None, takes_s=1.0, referred=False, late=True
        )
        (done,) = history.world.history().joined
        assert (done.kind, done.turned, [*done.links]) == ("merge", False, ["cloud"])
        history.work(0, 3)
        history.laws()
        if back:
            history.split(which=0, rounds=3, takes_s=1.0)
            history.work(0, 3)
            assert [one.kind for one in history.world.history().joined] == ["merge"]
        history.laws()
    finally:
        history.teardown()
