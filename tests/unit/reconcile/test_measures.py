"""What a record weighs: control totals, the pack, and what cannot be given."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from gateway.canonical import BY_NAME
from gateway.reconcile.measures import BUCKETS, Line, bucket, lines, not_available, period


def euros(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def weighed(entity: str, document: dict[str, Any], measure: str) -> list[tuple[str, str, Decimal]]:
    mapped = frozenset(BY_NAME[entity].policy.members(""))
    found = lines(BY_NAME[entity], document, mapped)
    return [(one.group, one.currency, one.amount) for one in found if one.measure == measure]


@pytest.mark.parametrize(
    ("state", "owed"),
    [
        ("draft", False),
        ("released", False),
        ("posted", True),
        ("partially_paid", True),
        ("paid", False),
        ("void", False),
    ],
)
def test_open_items_are_what_is_owed(state: str, owed: bool) -> None:
    """A posted invoice with a balance is open, by its due date; one that is not posted, paid or void is not."""
    invoice = {"state": state, "balance": euros("12.34"), "due_date": "2026-03-31", "total": euros("20.00")}
    found = weighed("invoice", invoice, "ar_open")
    assert found == ([("2026-03-31", "EUR", Decimal("12.34"))] if owed else [])
    assert weighed("invoice", {**invoice, "balance": euros("0.00")}, "ar_open") == []


def test_billings_are_by_the_project_of_the_line() -> None:
    """A line's own project counts, else the invoice's; drafts are not billed."""
    invoice = {
        "state": "paid",
        "project_id": "prj_1",
        "lines": [{"amount": euros("1.00")}, {"amount": euros("2.00"), "project_id": "prj_2"}],
    }
    assert weighed("invoice", invoice, "billed_to_date") == [("prj_1", "EUR", 1), ("prj_2", "EUR", 2)]
    assert weighed("invoice", {**invoice, "state": "ready"}, "billed_to_date") == []


@pytest.mark.parametrize(
    ("payment", "left"),
    [
        ({"amount": euros("10.00"), "state": "received"}, "10.00"),
        ({"amount": euros("10.00"), "state": "applied", "allocations": [{"amount": euros("9.99")}]}, "0.01"),
        ({"amount": euros("10.00"), "state": "applied", "allocations": [{"amount": euros("10.00")}]}, None),
        ({"amount": euros("10.00"), "state": "reversed"}, None),
    ],
    ids=["all", "a cent", "none", "reversed"],
)
def test_unapplied_cash_is_what_no_invoice_has_taken(payment: dict[str, Any], left: str | None) -> None:
    """Money received less what is allocated; a reversed payment is none."""
    assert weighed("payment", payment, "unapplied_cash") == (
        [] if left is None else [("", "EUR", Decimal(left))]
    )


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, Decimal("100.33")),
        ({"state": "posted"}, Decimal("100.33")),
        ({"state": "invoiced"}, None),
        ({"state": "draft"}, None),
        ({"billable": False}, None),
    ],
    ids=["approved", "posted", "invoiced", "draft", "not billable"],
)
def test_unbilled_time_is_valued_to_the_cent(changes: dict[str, Any], value: Decimal | None) -> None:
    """Hours times rate, rounded half up for each entry, as an invoice would."""
    entry = {
        "hours": "1.505",
        "rate": euros("66.665"),
        "billable": True,
        "state": "approved",
        "project_id": "prj_1",
    }
    found = weighed("time_entry", {**entry, **changes}, "unbilled_time")
    assert found == ([] if value is None else [("prj_1", "EUR", value)])


def test_time_without_a_rate_counts_in_hours() -> None:
    """Nothing is valued by guesswork."""
    entry = {"hours": "2.5", "billable": True, "state": "approved"}
    assert weighed("time_entry", entry, "unbilled_time") == []
    assert weighed("time_entry", entry, "unbilled_hours") == [("", "", Decimal("2.5"))]


def test_unbilled_expense() -> None:
    """Approved and billable, by project."""
    expense = {"amount": euros("8.00"), "billable": True, "state": "approved", "project_id": "prj_1"}
    assert weighed("expense", expense, "unbilled_expense") == [("prj_1", "EUR", 8)]
    assert weighed("expense", {**expense, "state": "reimbursed"}, "unbilled_expense") == []


def test_what_is_no_amount_weighs_nothing() -> None:
    """A float, a broken amount or one without a currency is a difference of type, never a total."""
    for value in (1.5, {"amount": 1.5, "currency": "EUR"}, {"amount": "1"}, "1.00", None):
        assert lines(BY_NAME["invoice"], {"total": value}, frozenset({"total"})) == []
    assert lines(BY_NAME["invoice"], {"total": euros("1.00")}, frozenset()) == []
    assert lines(BY_NAME["invoice"], {"total": euros("1.00")}, frozenset({"total"})) == [
        Line("total", "", "EUR", Decimal("1.00"))
    ]


@pytest.mark.parametrize(
    ("due", "expected"),
    [
        ("2026-11-27", "not due"),
        ("2026-11-26", "not due"),
        ("2026-11-25", "1-30 days"),
        ("2026-10-27", "1-30 days"),
        ("2026-10-26", "31-60 days"),
        ("2026-08-28", "61-90 days"),
        ("2026-08-27", "over 90 days"),
        ("", "no due date"),
    ],
)
def test_ageing_by_days_overdue(due: str, expected: str) -> None:
    """An item that falls due today is not overdue; the edges of each bucket belong to it."""
    assert bucket(due, date(2026, 11, 26)) == expected
    assert expected in BUCKETS


def test_what_cannot_be_given_is_told_with_its_reason() -> None:
    """A figure whose fields a system lacks is named with the system and the field; a trial balance always is."""
    invoice = BY_NAME["invoice"]
    full = frozenset(invoice.policy.members(""))
    told = {
        one.measure: one.reason
        for one in not_available(invoice, {"legacy": full, "cloud": full - {"balance"}})
    }
    assert told["ar_open"] == "cloud does not hold balance"
    assert "billed_to_date" not in told
    assert {"trial_balance", "deferred_revenue", "wip_cost"} <= told.keys()


def test_a_record_without_its_day_has_no_period() -> None:
    """The month is that of the business day."""
    assert period(BY_NAME["expense"], {"date": "2026-03-31"}) == "2026-03"
    assert period(BY_NAME["expense"], {}) == period(BY_NAME["customer"], {"date": "2026-03-31"}) == ""
