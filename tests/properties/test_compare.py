"""Laws of comparing that hold for any document."""

from __future__ import annotations

import copy
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import BY_NAME
from gateway.compare.differ import compared_values, diff
from gateway.compare.difference import DifferenceClass as C
from gateway.compare.difference import Stake
from gateway.compare.observation import samples

INVOICE = BY_NAME["invoice"]
RESOURCE = BY_NAME["resource"]

texts = st.text("aÄ \u00a0bß9€", max_size=8)
names = st.text("abcdÄöß漢", min_size=4, max_size=12)
amounts = st.decimals(-(10**12), 10**12, places=2)
money = st.builds(
    lambda amount, currency: {"amount": str(amount), "currency": currency},
    amounts,
    st.sampled_from(["EUR", "USD"]),
)
lines = st.fixed_dictionaries(
    {},
    optional={
        "number": st.integers(1, 5),
        "description": texts,
        "quantity": st.decimals(0, 1000, places=2).map(str),
        "unit_price": money,
        "amount": money,
        "tax_code": texts,
        "project_id": names,
        "surprise": texts,
    },
)
invoices = st.fixed_dictionaries(
    {"customer_id": names, "currency": st.sampled_from(["EUR", "USD"]), "lines": st.lists(lines, max_size=5)},
    optional={
        "number": texts,
        "issue_date": st.dates().map(str),
        "state": st.sampled_from(["draft", "ready", "X"]),
        "total": money,
        "custom_fields": st.dictionaries(names, texts, max_size=2),
    },
)


def shuffled(value: Any, draw: Any) -> Any:
    """The same document with its keys and the rows of its lists in another order."""
    if isinstance(value, dict):
        return {key: shuffled(value[key], draw) for key in draw(st.permutations(list(value)))}
    if isinstance(value, list):
        return [shuffled(member, draw) for member in draw(st.permutations(value))]
    return value


@given(invoices, st.data())
def test_equal_documents_never_part(document: dict[str, Any], data: st.DataObject) -> None:
    """Whatever order keys and keyed rows come in, a document does not differ from itself, and looks
    unchanged."""
    other = shuffled(document, data.draw)
    assert diff(INVOICE, document, other).differences == ()
    assert compared_values(INVOICE, document) == compared_values(INVOICE, other)


@given(invoices, invoices)
def test_differences_are_symmetric(left: dict[str, Any], right: dict[str, Any]) -> None:
    """Swapping the sides swaps missing and extra, and leaves every other class, its place and its money
    alone."""
    turned = {C.MISSING: C.EXTRA, C.EXTRA: C.MISSING}

    def facts(found: Any, *, turn: bool) -> list[tuple[str, str]]:
        return sorted(
            (each.field, turned.get(each.kind, each.kind) if turn else each.kind)
            for each in found.differences
        )

    there, back = diff(INVOICE, left, right), diff(INVOICE, right, left)
    assert facts(there, turn=False) == facts(back, turn=True)
    assert there.not_compared == back.not_compared
    assert there.compared == back.compared


@given(amounts, st.integers(1, 10**6))
def test_every_cent_is_found(amount: Decimal, cents: int) -> None:
    """Any whole number of cents is a difference of exactly that amount."""
    apart = Decimal(cents).scaleb(-2)
    left = {"total": {"amount": str(amount), "currency": "EUR"}}
    right = {"total": {"amount": str(amount + apart), "currency": "EUR"}}
    (found,) = diff(INVOICE, left, right).differences
    assert found.stake == Stake(amount=apart, currency="EUR")


@given(invoices)
def test_every_field_is_compared_or_said_not_to_be(document: dict[str, Any]) -> None:
    """Change anything that holds something, and it is a difference or was named as not compared."""
    for name in document:
        changed = copy.deepcopy(document)
        changed[name] = {"changed": "entirely"}
        found = diff(INVOICE, document, changed)
        assert name in found.not_compared or any(each.path.startswith(name) for each in found.differences)


@given(names, names, st.binary(min_size=16, max_size=32))
def test_personal_values_are_never_stored(left: str, right: str, key: bytes) -> None:
    """What is stored of a personal field is a keyed hash that still tells equal from different."""
    control = {"name": left, "email": left + "@example.com"}
    candidate = {"name": right, "email": right + "@example.org"}
    kept = [
        each for each in samples(diff(RESOURCE, control, candidate).differences, key) if each.field == "email"
    ]
    assert kept
    stored = msgspec.json.encode(kept).decode()
    assert "example" not in stored
    assert left.casefold() not in stored.casefold().replace("email", "")
    assert kept[0].authority != kept[0].other
