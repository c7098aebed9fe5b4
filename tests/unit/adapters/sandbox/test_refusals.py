"""What both simulated ERPs refuse on business rules: the same law, each in its own words."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.sandbox.refusals import REASONS
from tests.unit.adapters.sandbox.dialects import Cloud, Legacy, first_key

Erp = Legacy | Cloud

#: One value in the wire form of either dialect.
WIRE: dict[str, dict[str, Any]] = {
    "legacy": {"day": "01.02.2026", "hours": "1,5", "yes": "J", "money": "119,00", "large": "120,00"},
    "cloud": {"day": "2026-02-01", "hours": 1.5, "yes": True, "money": 119.0, "large": 120.0},
}


def entry(erp: Erp) -> dict[str, Any]:
    wire = WIRE[erp.name]
    return erp.native(
        "time_entry",
        {
            "resource_id": first_key(erp, "resource"),
            "project_id": first_key(erp, "project"),
            "date": wire["day"],
            "hours": wire["hours"],
            "billable": wire["yes"],
        },
    )


def invoice(erp: Erp, tax_code: str = "standard", customer: str | None = None) -> dict[str, Any]:
    fields = erp.native(
        "invoice",
        {
            "customer_id": customer or first_key(erp, "customer"),
            "currency": "EUR",
            "issue_date": WIRE[erp.name]["day"],
        },
    )
    if erp.name == "cloud":
        code = {"standard": "Standard"}.get(tax_code, tax_code)
        line: Any = [{"LineNo": 1, "Amount": 100.0, "TaxAmount": 19.0, "TaxCode": code}]
    else:
        code = {"standard": "N"}.get(tax_code, tax_code)
        amounts = "<Betrag>100,00</Betrag><Steuerbetrag>19,00</Steuerbetrag>"
        line = f"<Position>{amounts}<Steuerkz>{code}</Steuerkz></Position>"
    return fields | erp.native("invoice", {"lines": line})


def payment(erp: Erp, bill: str) -> dict[str, Any]:
    wire = WIRE[erp.name]
    fields = erp.native(
        "payment",
        {
            "customer_id": first_key(erp, "customer"),
            "received_on": wire["day"],
            "amount.amount": wire["money"],
            "amount.currency": "EUR",
        },
    )
    rows: Any = [{"InvoiceNo": bill, "Amount": 120.0}]
    if erp.name == "legacy":
        rows = f"<Zuordnung><Rechnung>{bill}</Rechnung><Betrag>120,00</Betrag></Zuordnung>"
    return fields | erp.native("payment", {"allocations": rows})


def state(erp: Erp, entity: str, word: str) -> dict[str, str]:
    table = erp.simulator.shelves[entity].table
    return {table.status.name: next(code for code, meant in table.word_of.items() if meant == word)}


def refused(erp: Erp, reply: Any, reason: str, field: str | None) -> None:
    expected = REASONS[reason]
    status, code, where = erp.problem(reply)
    assert (status, code) == (422, expected.legacy if erp.name == "legacy" else expected.cloud)
    assert where == field


def key_of(erp: Erp, entity: str, reply: Any) -> str:
    assert reply.status_code == 201, reply.text
    return erp.record(reply)[erp.simulator.shelves[entity].table.key]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("project_id", "nobody", "unknown_reference"),
        ("resource_id", "nobody", "unknown_reference"),
        ("legal_entity", "XX99", "unknown_legal_entity"),
        ("state", "?", "unknown_code"),
    ],
)
async def test_a_bad_field_is_named(erp: Erp, field: str, value: str, reason: str) -> None:
    """The refusal says which native field is meant."""
    bad = erp.native("time_entry", {field: value})
    refused(erp, await erp.create("time_entry", entry(erp) | bad), reason, next(iter(bad)))
    assert await erp.effects() == []


async def test_required_fields_are_required(erp: Erp) -> None:
    """A create without one is refused; the field is named."""
    name = next(iter(erp.native("customer", {"name": ""})))
    refused(erp, await erp.create("customer", erp.native("customer", {"phone": "1"})), "required", name)


async def test_a_reference_inside_a_list_is_checked(erp: Erp) -> None:
    """The path leads into the list, counted as the dialect counts."""
    path = {"legacy": "Zuordnungen/1/Rechnung", "cloud": "Allocations/0/InvoiceNo"}[erp.name]
    refused(erp, await erp.create("payment", payment(erp, "nobody")), "unknown_reference", path)


async def test_a_blocked_customer_is_not_invoiced(erp: Erp) -> None:
    """Blocked or archived: no new invoice. Active again: fine."""
    fields = erp.native("customer", {"name": "B"}) | state(erp, "customer", "blocked")
    customer = key_of(erp, "customer", await erp.create("customer", fields))
    field = next(iter(erp.native("invoice", {"customer_id": ""})))
    refused(erp, await erp.create("invoice", invoice(erp, customer=customer)), "customer_blocked", field)
    await erp.update("customer", customer, state(erp, "customer", "active"))
    assert (await erp.create("invoice", invoice(erp, customer=customer))).status_code == 201


@pytest.mark.parametrize("word", ["closed", "cancelled"])
async def test_a_closed_project_takes_no_time(erp: Erp, word: str) -> None:
    """Time on a closed project is refused; an entry that was there before can still be changed."""
    project, given = first_key(erp, "project"), entry(erp)
    old = key_of(erp, "time_entry", await erp.create("time_entry", given))
    await erp.update("project", project, state(erp, "project", word))
    field = next(iter(erp.native("time_entry", {"project_id": ""})))
    refused(erp, await erp.create("time_entry", given), "project_closed", field)
    note = erp.native("time_entry", {"note": "late"})
    assert (await erp.update("time_entry", old, note)).status_code == 200


async def test_an_unknown_tax_code_is_refused(erp: Erp) -> None:
    """Only the codes that are set up."""
    path = {"legacy": "Positionen/1/Steuerkz", "cloud": "Lines/0/TaxCode"}[erp.name]
    refused(erp, await erp.create("invoice", invoice(erp, tax_code="Q")), "unknown_tax_code", path)


async def test_totals_must_add_up(erp: Erp) -> None:
    """A total one cent or more off the lines is refused; totals left out are filled in."""
    given = invoice(erp)
    wrong = erp.native("invoice", {"total": WIRE[erp.name]["large"]})
    refused(erp, await erp.create("invoice", given | wrong), "totals", next(iter(wrong)))
    record = erp.record(await erp.create("invoice", given))
    assert record[next(iter(wrong))] in ("119,00", 119.0)


async def test_allocations_stay_within_the_payment(erp: Erp) -> None:
    """More than was paid cannot be allocated."""
    bill = key_of(erp, "invoice", await erp.create("invoice", invoice(erp)))
    field = next(iter(erp.native("payment", {"allocations": ""})))
    refused(erp, await erp.create("payment", payment(erp, bill)), "over_allocated", field)


async def test_a_posted_invoice_is_fixed(erp: Erp) -> None:
    """Content and way back are refused; the same content again, its balance and being paid are not."""
    given = invoice(erp)
    key = key_of(erp, "invoice", await erp.create("invoice", given | state(erp, "invoice", "posted")))
    due = erp.native("invoice", {"due_date": WIRE[erp.name]["day"]})
    refused(erp, await erp.update("invoice", key, due), "posted", next(iter(due)))
    status = next(iter(state(erp, "invoice", "draft")))
    refused(erp, await erp.update("invoice", key, state(erp, "invoice", "draft")), "posted", status)
    paid = state(erp, "invoice", "partially_paid") | erp.native(
        "invoice", {"balance": WIRE[erp.name]["money"]}
    )
    assert (await erp.update("invoice", key, given | paid)).status_code == 200
    deleted = await erp.http.delete(f"{erp.path('invoice')}{_one(erp, key)}", headers={"If-Match": "*"})
    assert deleted.status_code == 422


async def test_a_draft_can_be_deleted(erp: Erp) -> None:
    """It is gone, and the log says so."""
    key = key_of(erp, "invoice", await erp.create("invoice", invoice(erp)))
    deleted = await erp.http.delete(f"{erp.path('invoice')}{_one(erp, key)}", headers={"If-Match": "*"})
    assert deleted.status_code == 204
    assert (await erp.fetch("invoice", key)).status_code == 404
    assert [effect["action"] for effect in await erp.effects()] == ["create", "delete"]


def _one(erp: Erp, key: str) -> str:
    return f"/{key}" if erp.name == "legacy" else f"('{key}')"
