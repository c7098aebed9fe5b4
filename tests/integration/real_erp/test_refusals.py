"""What the real ERP refuses comes back as 422 with the ERP's own reason, and leaves nothing anywhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.real_erp.stand import (
    DUE,
    ENTITIES,
    TODAY,
    Stand,
    customer,
    invoice,
    money,
    project,
    time_entry,
)

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", autouse=True)
def dual_write(stand: Stand) -> None:
    stand.staged("dual_write", *ENTITIES)


@dataclass
class Firm:
    customer: dict[str, Any]
    project: dict[str, Any]
    consultant: dict[str, Any]
    foreigner: dict[str, Any]
    nowhere: dict[str, Any]


@pytest.fixture(scope="module")
def firm(stand: Stand, dual_write: None) -> Firm:
    owner = stand.made("customer", customer())
    return Firm(
        customer=owner,
        project=stand.made("project", project(owner["id"])),
        consultant=stand.consultant(),
        foreigner=stand.consultant("US01-E001"),
        nowhere=stand.made("customer", customer(billing_address=None)),
    )


@dataclass(frozen=True)
class Refusal:
    entity: str
    body: Callable[[Firm], dict[str, Any]]
    says: str
    pointer: str = ""


def _hour(firm: Firm, **more: Any) -> dict[str, Any]:
    return time_entry(firm.consultant["id"], firm.project["id"], **more)


TAXED = {
    "description": "Fee",
    "quantity": "1",
    "unit_price": money("100.00"),
    "amount": money("100.00"),
    "tax_amount": money("19.00"),
}
REFUSALS = {
    "a number that somebody else in the ERP has": Refusal(
        "customer", lambda firm: customer(number="DE01"), "The code on party must be unique."
    ),
    "a company that the ERP does not keep": Refusal(
        "project",
        lambda firm: project(firm.customer["id"], legal_entity="CH01"),
        "there is no company.company with party.code = CH01",
        "/legal_entity",
    ),
    "an employee of another company": Refusal(
        "time_entry",
        lambda firm: time_entry(firm.foreigner["id"], firm.project["id"]),
        'The value for field "Employee" in "Timesheet Line" is not valid according to its domain.',
    ),
    "time before the project": Refusal(
        "time_entry",
        lambda firm: _hour(firm, date="2020-01-01"),
        'The value for field "Work" in "Timesheet Line" is not valid according to its domain.',
    ),
    "an invoice to nowhere": Refusal(
        "invoice", lambda firm: invoice(firm.nowhere["id"]), "there is no party.address", "/customer_id"
    ),
    "a tax that would get lost": Refusal(
        "invoice", lambda firm: invoice(firm.customer["id"], lines=[TAXED]), "can only be 0", "/tax_total"
    ),
    "a resource": Refusal(
        "resource",
        lambda firm: {"region": "DACH", "name": "Robin", "kind": "employee"},
        "legacy does not offer to create resources",
    ),
}


def _no_more(stand: Stand) -> dict[str, list[int]]:
    models = ("party.party", "project.work", "timesheet.line", "account.invoice", "company.employee")
    return {model: [row["id"] for row in stand.look.rows(model, [], [])] for model in models}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_a_create_is_refused_in_the_words_of_the_erp(stand: Stand, firm: Firm, refusal: Refusal) -> None:
    """422 with the reason and the field; no record in the ERP, no write in the cloud, and a second try with the same
    key is told the same."""
    sent = refusal.body(firm)
    before = _no_more(stand)
    key = uuid.uuid4().hex
    answers = [stand.create(refusal.entity, sent, Idempotency_Key=key) for _ in range(2)]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem = answer.json()
        assert refusal.says in problem["detail"]
        assert (problem["system"], problem["retryable"]) == ("legacy", False)
        assert refusal.pointer == (problem["errors"][0]["pointer"] if problem.get("errors") else "")
    assert answers[1].headers["Idempotent-Replayed"] == "true"
    operation = stand.operation(answers[0].json()["operation"])
    assert (operation["state"], [one["state"] for one in operation["deliveries"]]) == (
        "rejected",
        ["rejected", "skipped"],
    )
    assert stand.in_cloud(marker=operation["marker"]) == []
    assert _no_more(stand) == before


def test_a_number_of_ours_is_taken(stand: Stand, firm: Firm) -> None:
    """A number that a record of the gateway has is refused before the ERP is asked, and says whose it is."""
    answer = stand.create("customer", customer(number=firm.customer["number"]))
    assert answer.status_code == 409
    assert answer.headers["Location"] == stand.path(firm.customer)


def test_a_posted_invoice_stays_as_it_is(stand: Stand, firm: Firm) -> None:
    """Once posted, the ERP takes no change and we say so in its words; paid comes from a payment, not from us."""
    posted = stand.moved(stand.made("invoice", invoice(firm.customer["id"])), "ready", "released", "posted")
    answer = stand.change(posted, {"due_date": (TODAY + timedelta(days=60)).isoformat()})
    assert answer.status_code == 422
    assert "because it is posted, paid or cancelled" in answer.json()["detail"]
    answer = stand.move(posted, "partially_paid")
    assert answer.status_code == 422
    assert answer.json()["code"] == "transition_unavailable"
    now = stand.read(posted)
    assert (now["state"], now["version"], now["due_date"]) == (
        "posted",
        posted["version"],
        posted["due_date"],
    )
    assert now == stand.read(now)


def test_a_posting_that_the_erp_refuses_leaves_it_where_it_was(stand: Stand, firm: Firm) -> None:
    """An invoice of a day for which the books are not open yet: the move is refused in the ERP's words, and can be
    made once the reason is gone."""
    far = {"issue_date": "2040-01-02", "due_date": "2040-02-02"}
    record = stand.moved(stand.made("invoice", invoice(firm.customer["id"], **far)), "ready", "released")
    answer = stand.move(record, "posted")
    assert answer.status_code == 422
    assert "create a period" in answer.json()["detail"]
    assert stand.read(record)["state"] == "released"
    now = stand.changed(record, {"issue_date": TODAY.isoformat(), "due_date": DUE})
    assert stand.moved(now, "posted")["number"]
