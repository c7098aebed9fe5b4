"""When single values are equal, and in which way they part if not."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.canonical.policy import Compare, Rule
from gateway.compare.difference import DifferenceClass as C
from gateway.compare.tolerance import TELL, number_of


@pytest.mark.parametrize("word", Compare)
def test_every_word_of_a_policy_has_its_way(word: Compare) -> None:
    """A policy cannot name a comparison that nobody carries out; containers and ignored fields are the
    differ's."""
    assert (word in TELL) != (word in (Compare.NESTED, Compare.KEYED, Compare.IGNORED))


@pytest.mark.parametrize(
    ("word", "left", "right", "kind"),
    [
        pytest.param(
            Compare.INSTANT, "2026-01-01T12:00:00Z", "2026-01-01T13:00:00+01:00", None, id="same moment"
        ),
        pytest.param(
            Compare.INSTANT,
            "2026-01-01T12:00:00Z",
            "2026-01-01T12:00:00+01:00",
            C.TIME_ZONE,
            id="offset changed",
        ),
        pytest.param(
            Compare.INSTANT, "2026-01-01T12:00:00Z", "2026-01-01T12:00:00", C.TIME_ZONE, id="offset dropped"
        ),
        pytest.param(
            Compare.INSTANT, "2026-01-01T12:00:00Z", "2026-01-01T17:45:00Z", C.TIME_ZONE, id="quarter hours"
        ),
        pytest.param(Compare.INSTANT, "2026-01-01T12:00:00Z", "2026-01-01T12:00:01Z", C.VALUE, id="a second"),
        pytest.param(Compare.INSTANT, "2026-01-01T12:00:00Z", "2026-01-04T12:00:00Z", C.VALUE, id="days"),
        pytest.param(Compare.INSTANT, "2026-01-01T12:00:00Z", "noon", C.TYPE, id="no moment"),
        pytest.param(Compare.SET, ["a", "b"], ["b", "a"], None, id="set in any order"),
        pytest.param(Compare.SET, ["a", "b"], ["a"], C.SIZE, id="set size"),
        pytest.param(Compare.SET, ["a", "b"], ["a", "c"], C.VALUE, id="set member"),
        pytest.param(Compare.SET, ["a", "a", "b"], ["a", "b", "b"], C.VALUE, id="set repeats"),
        pytest.param(Compare.EXACT, ["a", "b"], ["b", "a"], C.ORDER, id="list order"),
        pytest.param(Compare.EXACT, ["a"], ["a", "b"], C.SIZE, id="list size"),
        pytest.param(Compare.EXACT, {"a": 1}, {"a": True}, C.VALUE, id="object with true for 1"),
        pytest.param(Compare.EXACT, {"a": 1, "b": 2}, {"b": 2, "a": 1}, None, id="object key order"),
        pytest.param(Compare.EXACT, "EUR", "eur", C.CASE_OR_SPACE, id="code case"),
        pytest.param(Compare.EXACT, 1, 1.0, C.TYPE, id="a float is another type"),
        pytest.param(Compare.DECIMAL, "7.5", "7.50", None, id="scale"),
        pytest.param(Compare.DECIMAL, "7.33", "7.3", C.ROUNDING, id="rounded hours"),
        pytest.param(Compare.DECIMAL, "7.33", "7.34", C.VALUE, id="other hours"),
        pytest.param(Compare.DECIMAL, "7.5", 7.5, C.TYPE, id="float hours"),
        pytest.param(Compare.DECIMAL, "7.5", "seven", C.TYPE, id="no number"),
        pytest.param(Compare.DECIMAL, "1", "1e999999", C.TYPE, id="absurd exponent"),
    ],
)
def test_the_ways(word: Compare, left: Any, right: Any, kind: C | None) -> None:
    """Both directions give the same answer."""
    for a, b in ((left, right), (right, left)):
        parted = TELL[word](a, b, Rule(compare=word))
        assert (None if parted is None else parted[0]) is kind


def test_folding_is_what_the_rule_says() -> None:
    """Case and blanks are forgiven where the rule says so, and are a class of their own where it does not."""
    tell = TELL[Compare.TEXT]
    assert tell("Ab  c ", "ab c", Rule(compare=Compare.TEXT, fold_case=True, fold_space=True)) is None
    assert tell("Ab  c ", "ab c", Rule(compare=Compare.TEXT)) == (C.CASE_OR_SPACE, None)
    assert tell("Ab  c ", "ab d", Rule(compare=Compare.TEXT, fold_case=True, fold_space=True)) == (
        C.VALUE,
        None,
    )


def test_a_tolerance_ends_exactly_where_it_says() -> None:
    """The tolerance itself is still equal, and not a digit more."""
    rule = Rule(compare=Compare.MONEY, tolerance=Decimal("0.05"))
    value = {"amount": "1.00", "currency": "EUR"}
    assert TELL[Compare.MONEY](value, {"amount": "1.05", "currency": "EUR"}, rule) is None
    assert TELL[Compare.MONEY](value, {"amount": "1.06", "currency": "EUR"}, rule) is not None


@pytest.mark.parametrize(("currency", "kind"), [("JPY", C.ROUNDING), ("EUR", C.AMOUNT), ("XXX", C.AMOUNT)])
def test_minor_units_are_the_currencys(currency: str, kind: C) -> None:
    """Less than one unit of a currency without decimals is rounding; in one with cents it is money."""
    left, right = {"amount": "100.25", "currency": currency}, {"amount": "100.75", "currency": currency}
    parted = TELL[Compare.MONEY](left, right, Rule(compare=Compare.MONEY))
    assert parted is not None
    assert parted[0] is kind


@pytest.mark.parametrize("value", [True, 1.5, None, "NaN", "Infinity", "", [], "1_0", "1e3", "٣"], ids=str)
def test_what_is_not_a_number(value: Any) -> None:
    """Floats, booleans, infinities and words are never taken for numbers."""
    assert number_of(value) is None
