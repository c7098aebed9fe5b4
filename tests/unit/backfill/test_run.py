"""The pure parts of a backfill: which acts fit which state, the rate, and when a mirror counts as complete."""

from __future__ import annotations

import msgspec
import pytest

from gateway.backfill.run import ACTS, OPEN, Act, State, places, rate
from tests.unit.http.fake_backfiller import backfill

RUN = backfill(1, entity="invoice", region="UK", actor="ann", reason=None)


@pytest.mark.parametrize("act", Act)
def test_an_act_again_changes_nothing(act: Act) -> None:
    """Where an act leads to a state, the same act in that state leads there too."""
    for (_, one), after in ACTS.items():
        if one is act:
            assert ACTS[after, act] is after


@pytest.mark.parametrize("state", [State.DONE, State.FAILED])
def test_what_has_ended_by_itself_is_left_alone(state: State) -> None:
    """No act fits a run that is done or has failed, and every run that is open can be cancelled."""
    assert not [act for act in Act if (state, act) in ACTS]
    assert all(ACTS[State(one), Act.CANCEL] is State.CANCELLED for one in OPEN)


def test_a_fifth_of_what_the_target_bears() -> None:
    """A declared rate is shared, an undeclared one is taken from its places, and one place is always left."""
    assert rate(10.0, 16) == pytest.approx(2.0)
    assert rate(None, 16) == pytest.approx(32.0)
    assert [places(count) for count in (1, 4, 10, 16)] == [1, 1, 2, 3]


@pytest.mark.parametrize("name", ["failed", "differs", "unlinked"])
def test_complete_is_verified_and_nothing_open(name: str) -> None:
    """Not before it is verified, and not while a record is refused, differs, or has no link."""
    assert not RUN.complete
    done = msgspec.structs.replace(RUN, state=State.DONE, failed=0, differs=0, unlinked=0)
    assert done.complete
    assert not msgspec.structs.replace(done, **{name: 1}).complete


def test_remaining_is_never_below_nothing() -> None:
    """The source may have grown since it was counted; when all is taken, nothing remains."""
    assert msgspec.structs.replace(RUN, total=10, read=4).remaining == 6
    assert msgspec.structs.replace(RUN, total=10, read=12).remaining == 0
    assert msgspec.structs.replace(RUN, phase="verify", total=10, read=4).remaining == 0
