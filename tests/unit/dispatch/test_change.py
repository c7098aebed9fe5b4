"""What a change makes of a record, and what else changes with it."""

from __future__ import annotations

from typing import Any

from gateway.canonical import BY_NAME
from gateway.dispatch.change import post_image, whole_change

INVOICE = BY_NAME["invoice"]


def eur(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def line(price: str) -> dict[str, Any]:
    return {"number": 1, "description": "x", "quantity": "1", "unit_price": eur(price), "amount": eur(price)}


BASE = {
    "customer_id": "cus_01890000-0000-7000-8000-000000000000",
    "currency": "EUR",
    "issue_date": "2026-03-31",
    "lines": [line("10.00")],
    "net_total": eur("10.00"),
    "tax_total": eur("0.00"),
    "total": eur("10.00"),
    "balance": eur("10.00"),
    "state": "draft",
}


def test_new_lines_bring_their_totals() -> None:
    """A system that is sent only what changed is sent the totals that follow from new lines, too."""
    change = {"lines": [line("12.34")]}
    image = post_image(INVOICE, "update", BASE, change)
    whole = whole_change("update", BASE, image, change)
    assert whole == {
        "lines": [line("12.34")],
        "net_total": eur("12.34"),
        "total": eur("12.34"),
        "balance": eur("12.34"),
    }


def test_what_does_not_change_is_not_sent() -> None:
    """Somebody in the ERP may have changed another field meanwhile: only what this write changes goes there."""
    change = {"due_date": "2026-05-31"}
    image = post_image(INVOICE, "update", BASE, change)
    assert whole_change("update", BASE, image, change) == change


def test_a_transition_is_its_target() -> None:
    """Nothing follows from a transition or a create but what they say."""
    change = {"to": "ready", "reason": None}
    image = post_image(INVOICE, "transition", BASE, change)
    assert whole_change("transition", BASE, image, change) == change
    assert whole_change("create", None, {"name": "a", "state": "prospect"}, {"name": "a"}) == {"name": "a"}
