"""What a waiver covers, and what it leaves alone."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import BY_NAME
from gateway.compare import Difference, DifferenceClass, Diffs, Stake
from gateway.compare.observation import sample
from gateway.compare.waiver import WAIVED, Pair, Waiver, covers, fields_of, waived, waiver_of

KEY = b"a key of this test"
NOW = 1_000_000


def a_waiver(**changes: Any) -> Waiver:
    return Waiver(
        **{
            "id": "wai_1",
            "entity": "invoice",
            "region": "UK",
            "field": "total",
            "kind": "rounding",
            "reason": "half cents",
            "owner": "finance",
            "expires_at": NOW + 1,
            "created_at": 0,
            "created_by": "tests",
        }
        | changes
    )


def a_difference(**changes: Any) -> Difference:
    return Difference(
        **{
            "path": "total",
            "field": "total",
            "kind": DifferenceClass.ROUNDING,
            "control": "10.005",
            "candidate": "10.01",
            "stake": Stake(amount=Decimal("0.005"), currency="EUR"),
        }
        | changes
    )


def explained(found: Difference, *waivers: Waiver, now: int = NOW) -> str | None:
    (one,) = waived(Diffs(differences=(found,), compared=1), waivers, now=now, key=KEY).differences
    return one.explained


def test_what_is_covered_is_explained_by_name() -> None:
    """A covered difference names its waiver and keeps its values and its money."""
    before = a_difference()
    after = waived(Diffs(differences=(before,), compared=1), [a_waiver()], now=NOW, key=KEY)
    assert after.open == ()
    assert after.differences[0] == msgspec.structs.replace(before, explained=WAIVED + "wai_1")
    assert waiver_of(sample(after.differences[0], KEY)) == "wai_1"


@pytest.mark.parametrize(
    ("found", "waiver", "now"),
    [
        (a_difference(field="net_total"), a_waiver(), NOW),
        (a_difference(kind=DifferenceClass.AMOUNT), a_waiver(), NOW),
        (a_difference(), a_waiver(), NOW + 1),
        (a_difference(), a_waiver(revoked_at=NOW), NOW),
        (a_difference(), a_waiver(pair=Pair(authority="10.005", other="10.00")), NOW),
        (a_difference(candidate=None), a_waiver(pair=Pair(authority="10.005", other="")), NOW),
    ],
    ids=["field", "class", "expired", "revoked", "other value", "nothing is not an empty text"],
)
def test_what_it_is_not_about_stays_open(found: Difference, waiver: Waiver, now: int) -> None:
    """Another field, class or pair of values, and every difference once the waiver is over, is as open as without."""
    assert explained(found, waiver, now=now) is None


def test_a_pair_is_told_as_the_diff_shows_it() -> None:
    """Of personal values the fingerprints are the pair: the same two values are covered, others are not."""
    found = a_difference(
        field="email", path="email", kind=DifferenceClass.VALUE, control="a@x.example", candidate="b@x.example",
        stake=None, personal=True,
    )  # fmt: skip
    shown = sample(found, KEY)
    assert "x.example" not in str(shown.authority)
    waiver = a_waiver(field="email", kind="value", pair=Pair(authority=shown.authority, other=shown.other))
    assert explained(found, waiver) == WAIVED + "wai_1"
    assert explained(msgspec.structs.replace(found, candidate="c@x.example"), waiver) is None


def test_what_has_a_reason_already_keeps_it() -> None:
    """A waiver takes over nothing that is explained without it."""
    assert explained(a_difference(explained="declared loss"), a_waiver()) == "declared loss"


_differences = st.builds(
    a_difference,
    field=st.sampled_from(["total", "net_total", "lines[].amount"]),
    kind=st.sampled_from(list(DifferenceClass)),
    explained=st.sampled_from([None, "declared loss"]),
    candidate=st.sampled_from(["10.00", "10.01", None]),
)
_waivers = st.builds(
    a_waiver,
    field=st.sampled_from(["total", "net_total"]),
    kind=st.sampled_from([kind.value for kind in DifferenceClass]),
    expires_at=st.integers(NOW - 1, NOW + 2),
    pair=st.none() | st.just(Pair(authority="10.005", other="10.01")),
)


@given(st.lists(_differences, max_size=6), st.lists(_waivers, max_size=4))
def test_waiving_only_ever_explains(found: list[Difference], waivers: list[Waiver]) -> None:
    """No difference is lost, changed or taken from its own reason; open stays what no waiver in force
    covers."""
    before = Diffs(differences=tuple(found), compared=3)
    after = waived(before, waivers, now=NOW, key=KEY)
    assert [msgspec.structs.replace(one, explained=None) for one in after.differences] == [
        msgspec.structs.replace(one, explained=None) for one in found
    ]
    in_force = [one for one in waivers if one.expires_at > NOW]
    assert after.open == tuple(
        one for one in before.open if not any(covers(waiver, sample(one, KEY)) for waiver in in_force)
    )
    assert (after.compared, after.not_compared) == (before.compared, before.not_compared)


@pytest.mark.parametrize("entity", list(BY_NAME))
def test_every_compared_field_can_be_named(entity: str) -> None:
    """The record as a whole, fields of the record and of its rows are fields to waive; what is never
    compared is not."""
    fields = fields_of(entity)
    assert "" in fields
    assert "custom_fields" in fields or fields > {""}
    assert "id" not in fields
    assert ("lines[].amount" in fields) == (entity == "invoice")
