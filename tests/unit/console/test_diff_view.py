"""How values are shown side by side, and how fields become a tree."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.compare import FieldSummary
from gateway.console.diff_view import LONGEST_MARKED, Shown, side_by_side, tree
from tests.console.fakes import a_summary


def marked(shown: Shown) -> str:
    """The text with its differing parts in brackets."""
    return "".join(f"[{part.text}]" if part.differs else part.text for part in shown.segments)


def euro(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


@pytest.mark.parametrize(
    ("authority", "other", "left", "right"),
    [
        ("Nordlys AS", "Nordlys ASA", "Nordlys AS", "Nordlys AS[A]"),
        ("Sao  Paulo", "Sao Paulo", "Sao[␣] Paulo", "Sao Paulo"),
        ("a b", "a\u00a0b", "a[␣]b", "a[⍽]b"),
        (euro("10.50"), euro("10.51"), "10.5[0] EUR", "10.5[1] EUR"),
        (True, False, "[true]", "[false]"),
        ("travel", "sundries", "[travel]", "[sundries]"),
        (30, 31, "3[0]", "3[1]"),
        ("res_1", {"unresolved": "4711"}, None, None),
    ],
    ids=["longer", "blank", "another blank", "money", "boolean", "other word", "number", "unresolved"],
)  # fmt: skip
def test_what_differs_is_marked_to_the_character(
    authority: Any, other: Any, left: str | None, right: str | None
) -> None:
    """A cent, a blank and a hard blank are seen at once; what both sides have is not marked."""
    shown = side_by_side(authority, other)
    if left is not None and right is not None:
        assert (marked(shown[0]), marked(shown[1])) == (left, right)
    plain = "".join(part.text for part in shown[1].segments)
    assert plain != "".join(part.text for part in shown[0].segments)


@pytest.mark.parametrize("present", ["", "x", False, 0, {"a": 1}, []])
def test_nothing_is_something_else_than_empty(present: Any) -> None:
    """Absent is shown as such; an empty text, zero, false and an empty list are values."""
    left, right = side_by_side(present, None)
    assert (left.absent, right.absent) == (False, True)
    right, left = side_by_side(None, present)
    assert (left.absent, right.absent) == (False, True)


def test_a_personal_value_stays_a_fingerprint() -> None:
    """Fingerprints are shown as fingerprints and not compared by their letters."""
    left, right = side_by_side("hmac:3f9ac01b77de", "hmac:3f9ac0000000")
    assert left.masked
    assert right.masked
    assert left.segments[0].text == "3f9ac01b77de"
    assert len(left.segments) == len(right.segments) == 1


def test_long_texts_are_not_marked_by_character() -> None:
    """Marking costs the square of the length, so it ends at a limit; the texts are shown whole."""
    text = "x" * (LONGEST_MARKED + 1)
    left, right = side_by_side(text, text + "y")
    assert [part.differs for part in left.segments] == [True]
    assert right.segments[0].text == text + "y"


def field(name: str, kind: str, verdict: str, count: int, **money: str) -> FieldSummary:
    sums = {currency: Decimal(amount) for currency, amount in money.items()}
    return FieldSummary(
        field=name, kind=kind, verdict=verdict, count=count, share=0.0, money=sums, example=None
    )


def test_fields_nest_as_in_the_record() -> None:
    """Members stand below their container, counts add up, and most mismatches come first."""
    found = a_summary(
        "invoice",
        "EMEA",
        (
            field("total", "amount", "mismatch", 2, EUR="0.03"),
            field("lines[].amount", "rounding", "mismatch", 5, EUR="0.05", USD="1.00"),
            field("lines[].tax_code", "code_mapping", "late", 90),
            field("billing_address.city", "value", "explained", 70),
        ),
        match=900,
        mismatch=7,
    )
    nodes = tree([found])
    assert [(node.name, node.count, node.mismatched) for node in nodes] == [
        ("lines[]", 95, 5),
        ("total", 2, 2),
        ("billing_address", 70, 0),
    ]
    assert [(child.name, child.field) for child in nodes[0].children] == [
        ("amount", "lines[].amount"),
        ("tax_code", "lines[].tax_code"),
    ]


def test_the_same_cent_is_at_stake_once() -> None:
    """A container shows the largest of its members by currency, not their sum: line, net and total share a
    cent."""
    found = a_summary(
        "invoice",
        "EMEA",
        (
            field("lines[].amount", "amount", "mismatch", 1, EUR="0.01", USD="2"),
            field("lines[].tax_amount", "amount", "mismatch", 1, EUR="0.03"),
        ),
        mismatch=1,
    )
    (lines,) = tree([found])
    assert lines.money == {"EUR": Decimal("0.03"), "USD": Decimal(2)}


def test_slices_add_up_by_field_and_class() -> None:
    """The same field in two slices is one node, and money of two currencies is never one sum."""
    one = a_summary("invoice", "EMEA", (field("total", "amount", "mismatch", 2, EUR="1"),), mismatch=2)
    two = a_summary("invoice", "AMER", (field("total", "amount", "mismatch", 3, USD="1"),), mismatch=3)
    (total,) = tree([one, two])
    assert [(found.count, dict(found.money)) for found in total.classes] == [
        (5, {"EUR": Decimal(1), "USD": Decimal(1)})
    ]


def test_what_was_not_compared_is_no_difference() -> None:
    """The tree has what parted; a verdict narrows it; a difference of the whole record has a node of its
    own."""
    found = a_summary(
        "invoice",
        "EMEA",
        (
            field("custom_fields", "not_compared", "not_compared", 900),
            field("", "error_against_success", "mismatch", 1),
            field("total", "rounding", "late", 4),
        ),
        mismatch=1,
        late=4,
    )
    assert [node.name for node in tree([found])] == ["(whole record)", "total"]
    assert [node.name for node in tree([found], verdict="late")] == ["total"]
