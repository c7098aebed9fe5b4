"""Customer, project, time entry and invoice through ``/v1`` into the real ERP, and from there to the cloud.

In the US nothing is mirrored yet; in DACH every write goes to the real ERP first and then to the cloud.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
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

WRITTEN = ("customer", "project", "time_entry", "invoice")
Body = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def dual_write(stand: Stand) -> None:
    stand.staged("dual_write", *ENTITIES)


def body(stand: Stand, entity: str, region: str = "DACH") -> Body:
    """A record with all that it refers to."""
    company, currency = {"DACH": ("DE01", "EUR"), "US": ("US01", "USD")}[region]
    if entity == "customer":
        return customer(region=region)
    owner = stand.made("customer", customer(region=region))
    if entity == "invoice":
        return invoice(owner["id"], region=region, currency=currency)
    work = project(owner["id"], region=region, currency=currency)
    if entity == "project":
        return work
    consultant = stand.consultant(f"{company}-E001")
    return time_entry(consultant["id"], stand.made("project", work)["id"], region=region)


def in_erp(stand: Stand, record: Body) -> Body:
    """The record by the ERP's own interface."""
    model, fields = {
        "customer": (
            "party.party",
            [
                "name",
                "code",
                "active",
                "addresses.city",
                "contact_mechanisms.type",
                "contact_mechanisms.value",
            ],
        ),
        "project": ("project.work", ["name", "party", "company", "effort_duration", "status.name"]),
        "time_entry": (
            "timesheet.line",
            ["duration", "employee", "date", "company", "description", "work.origin"],
        ),
        "invoice": (
            "account.invoice",
            [
                *("party", "company", "currency.code", "state", "number", "untaxed_amount", "total_amount"),
                *(
                    "payment_term_date",
                    "move.state",
                    "lines.description",
                    "lines.quantity",
                    "lines.unit_price",
                ),
            ],
        ),
    }[record["entity"]]
    (row,) = stand.look.rows(
        model,
        [["id", "=", stand.native(record)], ["active", "in", [True, False]]]
        if model == "party.party"
        else [["id", "=", stand.native(record)]],
        fields,
    )
    return row


def seen(stand: Stand, record: Body) -> Body:
    """The same facts as the caller's body has them, read off the ERP's record."""
    row = in_erp(stand, record)
    refs = {"customer_id": "party", "resource_id": "employee"}
    found: Body = {name: row[native] for name, native in refs.items() if native in row}
    match record["entity"]:
        case "customer":
            found |= {"name": row["name"], "number": row["code"], "city": row["addresses."][0]["city"]}
            found |= {
                one["type"]: one["value"] for one in row["contact_mechanisms."] if one["type"] != "other"
            }
        case "project":
            found |= {"name": row["name"], "budget_hours": row["effort_duration"]}
        case "time_entry":
            found |= {"hours": row["duration"], "date": row["date"], "project_id": row["work."]["origin"]}
        case _:
            found |= {
                "total": row["total_amount"],
                "currency": row["currency."]["code"],
                "due_date": row["payment_term_date"],
            }
            found |= {"prices": [(one["quantity"], one["unit_price"]) for one in row["lines."]]}
    return found


def meant(stand: Stand, record: Body) -> Body:
    """What the ERP should hold of a record that was just made from ``body``."""

    def native(name: str, entity: str) -> int:
        return stand.native({"entity": entity, "id": record[name]})

    match record["entity"]:
        case "customer":
            return {
                "name": record["name"],
                "number": record["number"],
                "city": "Kiel",
                "email": record["email"],
                "phone": record["phone"],
            }
        case "project":
            return {
                "name": record["name"],
                "customer_id": native("customer_id", "customer"),
                "budget_hours": timedelta(hours=120.25),
            }
        case "time_entry":
            return {
                "resource_id": native("resource_id", "resource"),
                "hours": timedelta(hours=7.5),
                "date": TODAY,
                "project_id": f"project.work,{native('project_id', 'project')}",
            }
        case _:
            return {
                "customer_id": native("customer_id", "customer"),
                "total": Decimal("375.55"),
                "currency": record["currency"],
                "due_date": date.fromisoformat(DUE),
                "prices": [(2.5, Decimal("150.10")), (3.0, Decimal("0.10"))],
            }


@pytest.mark.parametrize("entity", WRITTEN)
def test_a_record_is_made_in_the_erp(stand: Stand, entity: str) -> None:
    """Before the migration begins a record goes to the real ERP and nowhere else, and reads back as it was sent."""
    sent = body(stand, entity, "US")
    answer = stand.create(entity, sent)
    assert answer.status_code == 201, answer.text
    assert (answer.headers["Twinrun-Stage"], answer.headers["Twinrun-Answered-By"]) == (
        "legacy_only",
        "legacy",
    )
    record = stand.read(answer.json())
    for shown in (answer.json(), record):
        assert {name: shown[name] for name in sent if name != "lines"} == {
            n: sent[n] for n in sent if n != "lines"
        }
    assert seen(stand, record) == meant(stand, record)
    operation = stand.operation(answer)
    assert [(one["system"], one["state"]) for one in operation["deliveries"]] == [("legacy", "applied")]
    assert record["external_refs"].keys() == {"legacy"}
    assert stand.in_cloud(marker=operation["marker"]) == []


@pytest.mark.parametrize("entity", WRITTEN)
def test_a_record_is_mirrored(stand: Stand, entity: str) -> None:
    """In dual write a record is made in the real ERP first, then once in the cloud; where the two products differ
    is told with its reason, and nothing that both hold is called a difference."""
    answer = stand.create(entity, body(stand, entity))
    assert answer.status_code == 201, answer.text
    operation = stand.settled(answer)
    record = stand.read(answer.json())
    assert seen(stand, record) == meant(stand, record)
    assert record["external_refs"].keys() == {"legacy", "cloud"}
    (effect,) = stand.in_cloud(marker=operation["marker"])
    assert (effect["action"], effect["key"]) == ("create", record["external_refs"]["cloud"])
    told = [one["event"] for one in operation["events"]]
    assert told.index("authority_applied") < told.index("mirror_applied")
    verdicts = stand.all_compared(entity)
    assert (verdicts["mismatch"], verdicts["unverifiable"]) == (0, 0)
    explained = {
        one["field"]: one["explained"] for diff in stand.diffs(record) for one in diff["differences"]
    }
    assert explained == DECLARED[entity]


#: Where the two products differ on a new record: a prospect is just active in the ERP, and lines have no number.
DECLARED = {
    "customer": {"state": "declared loss"},
    "project": {},
    "time_entry": {},
    "invoice": {"lines[].number": "declared loss"},
}


def test_what_the_erp_does_not_hold_is_ours(stand: Stand) -> None:
    """Fields and states that the product has no place for come back as they were sent, and are counted as not
    compared: silence is not agreement."""
    more = {
        "tax_id": "DE123456789",
        "currency": "EUR",
        "payment_terms_days": 30,
        "credit_limit": money("5000.00"),
    }
    answer = stand.create("customer", customer(**more))
    record = answer.json()
    stand.settled(answer)
    stand.all_compared("customer")
    assert {name: stand.read(record)[name] for name in more} == more
    (diff,) = stand.diffs(record)
    assert (diff["verdict"], set(more) - set(diff["not_compared"])) == ("explained", set())
    for state in ("active", "blocked", "active"):
        record = stand.moved(record, state)
        assert stand.read(record)["state"] == state
        assert in_erp(stand, record)["active"]
    record = stand.moved(record, "blocked", "archived")
    assert not in_erp(stand, record)["active"]
    assert stand.read(record)["state"] == "archived"


def test_a_number_that_the_erp_gives_goes_everywhere(stand: Stand) -> None:
    """A customer without a number gets one from the ERP: it is in the answer and in the cloud."""
    answer = stand.create("customer", customer(number=None))
    record = answer.json()
    assert record["number"] == in_erp(stand, record)["code"]
    (effect,) = stand.in_cloud(marker=stand.settled(answer)["marker"])
    assert effect["main"]["Number"] == record["number"]


def test_changes_arrive_and_leave_the_rest_alone(stand: Stand) -> None:
    """A patch changes what it names, in both; what somebody has changed in the ERP meanwhile stays and goes along."""
    record = stand.made("customer", customer())
    stand.look.call("model.party.party.write", [stand.native(record)], {"name": "Renamed by hand"})
    answer = stand.change(record, {"email": "new@nordlicht.example"})
    assert answer.status_code == 200, answer.text
    found = seen(stand, record)
    assert (found["name"], found["email"]) == ("Renamed by hand", "new@nordlicht.example")
    assert answer.json()["name"] == "Renamed by hand"
    stand.settled(answer)
    entry = stand.made("time_entry", body(stand, "time_entry"))
    entry = stand.changed(entry, {"hours": "3.25"})
    row = in_erp(stand, entry)
    assert row["duration"] == timedelta(hours=3.25)
    assert row["description"].startswith("Workshop in Kiel [tw:")
    assert entry["note"] == "Workshop in Kiel"


def test_new_lines_of_an_invoice_arrive_with_their_totals(stand: Stand) -> None:
    """A patch of the lines alone makes new totals, in the answer, in the ERP and in the cloud."""
    record = stand.made("invoice", body(stand, "invoice"))
    line = {"description": "One", "quantity": "1", "unit_price": money("12.34"), "amount": money("12.34")}
    answer = stand.change(record, {"lines": [line]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == money("12.34")
    assert in_erp(stand, record)["total_amount"] == Decimal("12.34")
    (effect,) = stand.in_cloud(marker=stand.settled(answer)["marker"])
    assert effect["main"]["TotalAmount"] == "12.34"


def test_an_invoice_is_posted(stand: Stand) -> None:
    """draft, ready, released, posted: each in the ERP by its own words, the posted one with its number and booked;
    the cloud follows, and the two still agree."""
    answer = stand.create("invoice", body(stand, "invoice"))
    record = answer.json()
    native = {"ready": "draft", "released": "validated", "posted": "posted"}
    for state, theirs in native.items():
        answer = stand.move(record, state)
        assert answer.status_code == 200, answer.text
        assert in_erp(stand, record)["state"] == theirs
        assert stand.read(record)["state"] == state
        (effect,) = stand.in_cloud(marker=stand.settled(answer)["marker"])
        assert effect["main"]["Status"].lower() == state
    booked = in_erp(stand, record)
    assert (booked["move."]["state"], booked["number"]) == ("posted", answer.json()["number"])
    stand.all_compared("invoice")
    assert stand.diffs(record, verdict="mismatch") == []


@pytest.mark.parametrize("entity", ["project", "time_entry"])
def test_states_that_a_product_has_or_has_not(stand: Stand, entity: str) -> None:
    """A project moves by its status in the ERP. A timesheet line has no states there: they are the gateway's and
    the cloud's, and the line itself does not change."""
    steps = {
        "project": ("approved", "active", "on_hold", "active"),
        "time_entry": ("submitted", "approved", "posted"),
    }
    record = stand.made(entity, body(stand, entity))
    for state in steps[entity]:
        answer = stand.move(record, state)
        assert answer.status_code == 200, answer.text
        stand.settled(answer)
        assert stand.read(record)["state"] == state
        if entity == "project":
            assert in_erp(stand, record)["status."]["name"].lower().replace(" ", "_") == state
    assert seen(stand, record) == meant(stand, record)
    assert stand.all_compared(entity)["mismatch"] == 0
