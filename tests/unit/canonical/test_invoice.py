"""The arithmetic of invoices: what is filled in, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.canonical import BY_NAME, decode_draft, decode_patch, merge
from gateway.errors import Invalid

INVOICE = BY_NAME["invoice"]


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def _draft(currency: str = "EUR", **fields: Any) -> dict[str, Any]:
    body = {
        "region": "UK",
        "customer_id": "cus_1",
        "currency": currency,
        "issue_date": "2026-02-28",
        **fields,
    }
    return decode_draft(INVOICE, json.dumps(body).encode()).document


def _refused(**fields: Any) -> list[tuple[str, str]]:
    with pytest.raises(Invalid) as caught:
        _draft(**fields)
    return [(error.pointer, error.code) for error in caught.value.errors]


def _patched(document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return merge(INVOICE, document, decode_patch(INVOICE, json.dumps(patch).encode()))


def _totals(document: dict[str, Any]) -> tuple[str, ...]:
    return tuple(document[name]["amount"] for name in ("net_total", "tax_total", "total", "balance"))


def test_totals_are_filled_in() -> None:
    """Absent totals follow from the lines; the balance of a new invoice is all of it."""
    document = _draft(lines=[{"amount": eur("10"), "tax_amount": eur("1.90")}, {"amount": eur("0.05")}])
    assert _totals(document) == ("10.05", "1.90", "11.95", "11.95")


@pytest.mark.parametrize(
    ("quantity", "price", "currency", "amount"),
    [
        ("3", "33.33", "EUR", "99.99"),
        ("0.5", "0.01", "EUR", "0.01"),
        ("-0.5", "0.01", "EUR", "-0.01"),
        ("1.005", "1.00", "EUR", "1.01"),
        ("1.5", "1", "JPY", "2"),
        ("2.5", "1", "JPY", "3"),
        ("0.0005", "1.000", "KWD", "0.001"),
        ("0.000001", "999999999.99", "EUR", "1000.00"),
        ("999999.999999", "999999999.99", "EUR", "999999999989000.00"),
    ],
)
def test_line_amounts_are_rounded_half_up(quantity: str, price: str, currency: str, amount: str) -> None:
    """Quantity times unit price is exact until it is rounded once, half-up, to the minor unit."""
    line = {"quantity": quantity, "unit_price": {"amount": price, "currency": currency}}
    document = _draft(currency, lines=[line])
    assert document["lines"][0]["amount"] == {"amount": amount, "currency": currency}
    given = {**line, "amount": {"amount": amount, "currency": currency}}
    assert _draft(currency, lines=[given]) == document


def test_line_numbers_are_filled_in() -> None:
    """Lines without a number get the free ones from 1; given numbers stay."""
    line = {"amount": eur("1")}
    assert [row["number"] for row in _draft(lines=[line] * 3)["lines"]] == [1, 2, 3]
    mixed = _draft(lines=[line, {**line, "number": 1}, line, {**line, "number": 7}])
    assert [row["number"] for row in mixed["lines"]] == [2, 1, 3, 7]


LINE = {"quantity": "2", "unit_price": eur("5"), "amount": eur("10"), "tax_amount": eur("1.90")}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"lines": [{**LINE, "amount": eur("10.01")}]}, [("/lines/0/amount/amount", "does_not_add_up")]),
        ({"lines": [LINE], "net_total": eur("10.01")}, [("/net_total/amount", "does_not_add_up")]),
        ({"lines": [LINE], "tax_total": eur("1.91")}, [("/tax_total/amount", "does_not_add_up")]),
        ({"lines": [LINE], "total": eur("11.91")}, [("/total/amount", "does_not_add_up")]),
        ({"lines": [LINE], "balance": eur("11.91")}, [("/balance/amount", "out_of_range")]),
        ({"lines": [LINE], "balance": eur("-0.01")}, [("/balance/amount", "out_of_range")]),
        ({"lines": [LINE, {"description": "nothing"}]}, [("/lines/1", "amount_missing")]),
        ({"lines": [{"quantity": "2"}]}, [("/lines/0", "amount_missing")]),
        ({"lines": [{**LINE, "number": 1}, {**LINE, "number": 1}]}, [("/lines/1/number", "duplicate")]),
        ({"lines": [LINE], "due_date": "2026-01-01"}, [("/due_date", "before")]),
        (
            {"lines": [{**LINE, "amount": {"amount": "10", "currency": "USD"}}]},
            [("/lines/0/amount/currency", "currency_mixed")],
        ),
        (
            {"lines": [LINE], "total": {"amount": "1", "currency": "USD"}},
            [("/total/currency", "currency_mixed")],
        ),
        (
            {"lines": [{"quantity": "999999999", "unit_price": eur("999999999")}]},
            [
                (f"/{path}/amount", "too_large")
                for path in ("lines/0/amount", "net_total", "total", "balance")
            ],
        ),
    ],
    ids=lambda value: value[0][0] + "-" + value[0][1] if isinstance(value, list) else "",
)
def test_what_does_not_add_up(fields: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    """What is given is never corrected: it adds up to the cent, or each wrong place is named."""
    assert _refused(**fields) == expected


def test_given_totals_that_add_up() -> None:
    """Given totals stay as they are, a partly paid balance with them."""
    document = _draft(lines=[LINE], net_total=eur("10"), total=eur("11.90"), balance=eur("5"))
    assert _totals(document) == ("10.00", "1.90", "11.90", "5.00")


def test_tax_of_the_whole_invoice() -> None:
    """Tax may be stated for the invoice alone, and then survives new lines that state none either."""
    document = _draft(lines=[{"amount": eur("10")}], tax_total=eur("1.90"))
    assert _totals(document) == ("10.00", "1.90", "11.90", "11.90")
    assert _totals(_patched(document, {"lines": [{"amount": eur("20")}]})) == (
        "20.00",
        "1.90",
        "21.90",
        "21.90",
    )


def test_credit_note() -> None:
    """A negative total is allowed; its balance lies between it and nothing."""
    assert _totals(_draft(lines=[{"amount": eur("-10")}])) == ("-10.00", "0.00", "-10.00", "-10.00")
    assert _refused(lines=[{"amount": eur("-10")}], balance=eur("1")) == [("/balance/amount", "out_of_range")]


def test_new_lines_bring_new_totals() -> None:
    """A patch of the lines computes the totals again, and what was paid stays paid."""
    document = _draft(lines=[LINE], balance=eur("4.90"))
    patched = _patched(document, {"lines": [LINE, LINE]})
    assert _totals(patched) == ("20.00", "3.80", "23.80", "16.80")
    assert [row["number"] for row in patched["lines"]] == [1, 2]
    assert _totals(_patched(document, {"lines": [{"amount": eur("8")}]})) == ("8.00", "0.00", "8.00", "1.00")


@pytest.mark.parametrize(
    "patch",
    [
        {"lines": [LINE, LINE], "total": eur("11.90")},
        {"total": eur("12")},
        {"net_total": {"amount": "11"}},
        {"currency": "USD"},
        {"lines": [{"amount": eur("1")}]},  # seven were paid; less than that cannot be owed in all
    ],
    ids=str,
)
def test_patches_that_do_not_add_up(patch: dict[str, Any]) -> None:
    """A patch whose result does not add up is refused as a whole."""
    with pytest.raises(Invalid):
        _patched(_draft(lines=[LINE], balance=eur("4.90")), patch)


def test_totals_taken_away_come_back() -> None:
    """Null for a total lets it be computed again."""
    document = _draft(lines=[LINE])
    assert _patched(document, {"net_total": None, "total": None, "balance": None}) == document
