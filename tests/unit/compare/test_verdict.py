"""What looks come to: a table of what was seen, and what it decides."""

from __future__ import annotations

import pytest

from gateway.compare.difference import Difference, DifferenceClass, Diffs
from gateway.compare.verdict import (
    LookAgain,
    Settled,
    Sight,
    Verdict,
    Why,
    at_first_sight,
    fingerprint,
    judge,
    may_be_late,
)

PARTED = Difference(path="name", field="name", kind=DifferenceClass.VALUE, control="a", candidate="b")
LOSS = Difference(
    path="name",
    field="name",
    kind=DifferenceClass.VALUE,
    control="a",
    candidate="b",
    explained="declared loss",
)
NOISY = Difference(
    path="name", field="name", kind=DifferenceClass.VALUE, control="a", candidate="b", explained="noise"
)

EQUAL = Diffs(compared=3)
EMPTY = Diffs()
EXPLAINED = Diffs(differences=(LOSS,), compared=3)
OPEN = Diffs(differences=(PARTED,), compared=3)
BOTH = Diffs(differences=(LOSS, PARTED), compared=3)
WOBBLY = Diffs(differences=(NOISY,), compared=3)

S1 = Sight(fingerprint="f1", sides="s1")
S2 = Sight(fingerprint="f2", sides="s2")
MOVED = Sight(fingerprint="f1", sides="s2")


def settled(verdict: Verdict, why: Why | None = None) -> Settled:
    return Settled(verdict=verdict, why=why)


@pytest.mark.parametrize(
    ("diffs", "verdict"),
    [
        pytest.param(EQUAL, settled(Verdict.MATCH), id="equal"),
        pytest.param(EXPLAINED, settled(Verdict.EXPLAINED), id="explained"),
        pytest.param(EMPTY, settled(Verdict.UNVERIFIABLE, Why.NOTHING_COMPARED), id="nothing compared"),
        pytest.param(OPEN, None, id="suspected"),
        pytest.param(BOTH, None, id="one explained does not excuse the other"),
    ],
)
def test_first_sight(diffs: Diffs, verdict: Settled | None) -> None:
    """A first look may find agreement; it never finds a mismatch, and nothing compared is not agreement."""
    assert at_first_sight(diffs) == verdict


@pytest.mark.parametrize(
    ("diffs", "sight", "before", "more", "decision"),
    [
        pytest.param(EQUAL, S1, None, {}, settled(Verdict.MATCH), id="equal at once"),
        pytest.param(EQUAL, S1, S2, {}, settled(Verdict.LATE), id="equal later is late"),
        pytest.param(EXPLAINED, S1, S2, {}, settled(Verdict.LATE), id="explained later is late"),
        pytest.param(
            EMPTY, S1, S2, {}, settled(Verdict.UNVERIFIABLE, Why.NOTHING_COMPARED), id="emptied is not late"
        ),
        pytest.param(OPEN, S1, None, {}, LookAgain(sight=S1, changes=0), id="suspected"),
        pytest.param(OPEN, S1, S1, {}, settled(Verdict.MISMATCH), id="it stands"),
        pytest.param(OPEN, S1, S2, {}, LookAgain(sight=S1, changes=1), id="another difference"),
        pytest.param(
            OPEN, MOVED, S1, {}, LookAgain(sight=MOVED, changes=1), id="same difference, sides moved"
        ),
        pytest.param(OPEN, S1, S2, {"changes": 2}, LookAgain(sight=S1, changes=3), id="changed a third time"),
        pytest.param(
            OPEN, S1, S2, {"changes": 3}, settled(Verdict.UNVERIFIABLE, Why.UNSTABLE), id="never at rest"
        ),
        pytest.param(
            OPEN,
            S1,
            S1,
            {"confirmations": 2},
            LookAgain(sight=Sight(fingerprint="f1", sides="s1", stood=1), changes=0),
            id="one confirmation of two",
        ),
        pytest.param(
            OPEN,
            S1,
            Sight(fingerprint="f1", sides="s1", stood=1),
            {"confirmations": 2},
            settled(Verdict.MISMATCH),
            id="two of two",
        ),
        pytest.param(
            OPEN, S1, S1, {"wobbled": True}, LookAgain(sight=S1, changes=1), id="the authority wobbles"
        ),
        pytest.param(
            OPEN,
            S1,
            S1,
            {"wobbled": True, "changes": 3},
            settled(Verdict.MISMATCH),
            id="wrong, and noisy",
        ),
        pytest.param(
            WOBBLY,
            S1,
            S1,
            {"wobbled": True, "changes": 3},
            settled(Verdict.EXPLAINED),
            id="noise that the authority showed",
        ),
    ],
)
def test_later_looks(
    diffs: Diffs, sight: Sight, before: Sight | None, more: dict[str, int], decision: Settled | LookAgain
) -> None:
    """Only what stands on unchanged sides is a mismatch; what moved is looked at again, and not for ever."""
    assert judge(diffs, sight, before, **more) == decision


def test_fingerprint_is_of_the_set() -> None:
    """Order does not matter, each value does, and without the key it cannot be made."""
    other = Difference(path="state", field="state", kind=DifferenceClass.VALUE, control="x", candidate="y")
    assert fingerprint((PARTED, other), b"k") == fingerprint((other, PARTED), b"k")
    assert fingerprint((PARTED,), b"k") != fingerprint((PARTED, other), b"k")
    changed = Difference(path="name", field="name", kind=DifferenceClass.VALUE, control="a", candidate="c")
    assert fingerprint((PARTED,), b"k") != fingerprint((changed,), b"k")
    assert fingerprint((PARTED,), b"k") != fingerprint((PARTED,), b"l")


def test_a_lagging_side_is_looked_at_early_at_the_end_and_then_no_more() -> None:
    """Looks are due a tenth of the time after the write and at its end; from then on, and where nothing of ours is
    unseen, what parts is wrong."""
    assert may_be_late(None, 300, now=1_000) is None
    assert may_be_late(1_000, 300, now=1_000) == 1_030
    assert may_be_late(1_000, 300, now=1_030) == 1_300
    assert may_be_late(1_000, 300, now=1_299) == 1_300
    assert may_be_late(1_000, 300, now=1_300) is None
