"""Exchanges recorded from a real ERP, read through its profile: no server, the same bytes.

Each file under tests/cases holds what was asked, what was answered, and what the exchange shows.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from adapters.build import open_adapter
from adapters.contract import Adapter, Write
from adapters.errors import AdapterError, Conflict, NotFound, OutcomeUnknown, Rejected, Unauthorised
from adapters.profile import load

CASES = Path(__file__).parents[2] / "cases" / "tryton60"
BASE = "http://erp.test"
OPTIONS: dict[str, Any] = {
    "database": "erp",
    "context": {"company": 1, "companies": [1, 2]},
    "where": {"customer": {"categories": 1}},
    "constants": {
        "invoice": {"journal": 1, "payment_term": 1, "account": 5, "lines[].account": 6},
    },
}


def recorded(name: str) -> dict[str, Any]:
    return json.loads((CASES / f"{name}.json").read_text("utf-8"))


def answer(httpx_mock: HTTPXMock, *names: str) -> None:
    """The recorded replies, in this order."""
    for name in names:
        reply = recorded(name)["reply"]
        body = reply["body"]
        content = body.encode() if isinstance(body, str) else json.dumps(body, ensure_ascii=False).encode()
        httpx_mock.add_response(
            url=f"{BASE}/erp/",
            status_code=reply["status"],
            content=content,
            headers={"Content-Type": reply["content_type"]},
        )


@pytest.fixture
def adapter() -> Adapter:
    auth = {"kind": "session", "username": "gateway", "password": "correct horse"}
    return open_adapter("legacy", load("tryton_6_0"), BASE, auth, OPTIONS, transport="httpcore")


async def test_a_party_is_a_customer(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """Relations in relations, rows by their type, a boolean that is a number: read as they came."""
    answer(httpx_mock, "login", "party_read")
    found = await adapter.fetch("customer", "9")
    assert found.marker == "op_0190aa"
    assert found.modified_at is None
    assert found.fields["state"] == "active"
    assert found.fields["email"] == "office@nordlicht.example"
    assert found.fields["phone"] is None
    assert found.fields["billing_address"] == {
        "line1": "Hafenweg 3",
        "line2": None,
        "city": "Kiel",
        "postal_code": "24103",
        "country": "DE",
    }


async def test_a_timesheet_line_is_a_time_entry(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """Seconds are hours, a reference is the project's id, and the marker is no part of the note."""
    answer(httpx_mock, "login", "time_read")
    found = await adapter.fetch("time_entry", "1")
    assert (found.fields["hours"], found.fields["date"]) == ("7.33", "2026-11-20")
    assert (found.fields["note"], found.marker) == ("Workshop", "op_0190ac")
    assert found.fields["project_id"] == str(recorded("project_create")["reply"]["body"]["result"][0])


@pytest.mark.parametrize(
    ("name", "state", "numbered"),
    [("invoice_read_draft", "draft", False), ("invoice_read_posted", "posted", True)],
)
async def test_an_invoice_before_and_after_posting(
    httpx_mock: HTTPXMock, adapter: Adapter, name: str, state: str, numbered: bool
) -> None:
    """Amounts are exact, with the decimals of their currency; the number is given at posting."""
    answer(httpx_mock, "login", name)
    found = await adapter.fetch("invoice", "1")
    assert (found.fields["state"], bool(found.fields["number"])) == (state, numbered)
    assert found.fields["total"] == {"amount": "474.99", "currency": "EUR"}
    assert found.fields["lines"][0] == {
        "description": "Consulting",
        "quantity": "2.5",
        "unit_price": {"amount": "150.00", "currency": "EUR"},
        "amount": {"amount": "375.00", "currency": "EUR"},
    }
    assert found.external_id == "inv_0190"


# fmt: off
REFUSALS: list[tuple[str, type[AdapterError], str]] = [
    # recorded                  what it means   in the product's own words
    ("party_duplicate_code",    Conflict,       "The code on party must be unique."),
    ("party_write_stale",       Conflict,       "Records were modified in the meanwhile"),
    ("party_read_missing",      NotFound,       "don't exist anymore"),
    ("project_unknown_company", Rejected,       "User in companies"),
    ("time_foreign_employee",   Rejected,       'The value for field "Employee"'),
    ("time_negative",           Rejected,       "must be positive"),
    ("invoice_without_address", Rejected,       "A value is required for field"),
    ("invoice_post_warning",    Rejected,       "generates a payment date"),
    ("invoice_post_no_period",  Rejected,       "you must create a period"),
    ("invoice_change_posted",   Rejected,       "because it is posted, paid or cancelled"),
    ("unknown_method",          Rejected,       "403 Forbidden"),
    ("broken_json",             OutcomeUnknown, "500 Internal Server Error"),
]
# fmt: on


@pytest.mark.parametrize(("name", "error", "says"), REFUSALS, ids=[row[0] for row in REFUSALS])
async def test_a_recorded_refusal_has_its_class(
    httpx_mock: HTTPXMock, adapter: Adapter, name: str, error: type[AdapterError], says: str
) -> None:
    """The class of an error says what may be done next; its words are the product's, not ours."""
    answer(httpx_mock, "login", name)
    write = Write(
        entity="invoice", marker="op_1", external_id="inv_1", native_id="1", fields={}, to_state="posted"
    )
    with pytest.raises(error) as caught:
        await adapter.transition(write)
    assert type(caught.value) is error
    assert says in caught.value.message


async def test_a_gone_session_is_opened_again(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """401 without a frame means log in again, once; then the same call."""
    answer(httpx_mock, "login", "session_unknown", "login", "invoice_post")
    write = Write(
        entity="invoice", marker="op_1", external_id="inv_1", native_id="1", fields={}, to_state="posted"
    )
    assert (await adapter.transition(write)).native_id == "1"


async def test_a_wrong_password_is_not_tried_again(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """A refused login is Unauthorised: a person must look at the settings."""
    answer(httpx_mock, "login_wrong_password")
    with pytest.raises(Unauthorised):
        await adapter.fetch("customer", "9")
