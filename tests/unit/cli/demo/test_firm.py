"""The bodies that the demo's clients send."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from gateway.canonical import BY_NAME, decode_draft
from gateway.cli.demo.firm import NEUTRAL, Body, Firm, money
from gateway.ids import SystemIds

ids = SystemIds()
BODIES: dict[str, Callable[[Firm], Body]] = {
    "customer": lambda firm: firm.customer(),
    "resource": lambda firm: firm.resource(),
    "project": lambda firm: firm.project(ids.new("cus_")),
    "time_entry": lambda firm: firm.time_entry(ids.new("res_"), ids.new("prj_")),
    "expense": lambda firm: firm.expense(ids.new("res_"), ids.new("prj_"), 12_345, "Night train"),
    "invoice": lambda firm: firm.invoice(ids.new("cus_"), ids.new("prj_")),
    "payment": lambda firm: firm.payment(ids.new("cus_")),
}


@pytest.mark.parametrize("entity", BODIES)
def test_every_body_is_one_that_the_contract_accepts(entity: str) -> None:
    """A demo that is refused shows nothing; invoices add up to the cent, whatever the dice say."""
    firm = Firm(7)
    for _ in range(50):
        decode_draft(BY_NAME[entity], msgspec.json.encode({**BODIES[entity](firm), "region": "DACH"}))


@pytest.mark.parametrize("entity", [name for name in BODIES if name not in NEUTRAL])
def test_what_has_no_neutral_field_has_a_note(entity: str) -> None:
    """Every record can be written once more without changing what it means."""
    assert "note" in BODIES[entity](Firm(7))


def test_numbers_are_never_used_twice() -> None:
    """A natural key that is taken would be refused."""
    firm = Firm(7)
    numbers = [firm.customer()["number"] for _ in range(50)] + [firm.resource()["number"] for _ in range(50)]
    assert len(set(numbers)) == 100


@pytest.mark.parametrize(("cents", "amount"), [(5, "0.05"), (100, "1.00"), (12_345, "123.45")])
def test_money_has_its_scale(cents: int, amount: str) -> None:
    """Cents become a decimal string with two places."""
    assert money(cents) == {"amount": amount, "currency": "EUR"}
