"""The real ERP through its profile: what is written arrives exactly, refusals and failures have their class.

Each test looks at the ERP from outside, too: the adapter is not asked to testify for itself.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.build import open_adapter
from adapters.contract import Adapter, Fields, Found, Idempotency, Query, Write
from adapters.errors import Conflict, NotFound, OutcomeUnknown, Rejected, Unavailable
from adapters.profile import load
from tests.systems.tryton60.look import Look
from tests.systems.tryton60.server import Tryton

pytestmark = pytest.mark.server

TODAY = date.today()
DUE = (TODAY + timedelta(days=30)).isoformat()
LAST_YEAR = TODAY.replace(year=TODAY.year - 1, month=6, day=1).isoformat()
_numbers = itertools.count(1)


def adapter_of(run: Tryton, *, timeout_s: float = 30.0) -> Adapter:
    settings = run.settings()
    profile = load(settings["profile"])
    profile = replace(profile, limits=replace(profile.limits, timeout_s=timeout_s))
    return open_adapter("legacy", profile, settings["base_url"], settings["auth"], settings["options"])


@dataclass
class Desk:
    """Writes with new markers and ids, and complete fields unless a test says otherwise."""

    adapter: Adapter
    run: Tryton
    legal_entity: str = "DE01"
    currency: str = "EUR"

    @property
    def company(self) -> dict[str, Any]:
        return self.run.seed["companies"][self.legal_entity]

    def write(self, entity: str, fields: Fields, **more: Any) -> Write:
        number = next(_numbers)
        return Write(
            entity=entity,
            marker=f"op_test{number:06d}",
            external_id=f"{entity[:3]}_{number:06d}",
            fields=fields,
            **more,
        )

    def money(self, amount: str) -> dict[str, str]:
        return {"amount": amount, "currency": self.currency}

    def customer(self, **more: Any) -> Fields:
        return {
            "name": "Nordlicht Werke AG",
            "number": f"K-{next(_numbers):06d}",
            "state": "active",
            "email": "office@nordlicht.example",
            "phone": "+49 431 12345",
            "billing_address": {
                "line1": "Hafenweg 3\nTor 2",
                "line2": "Haus B",
                "city": "Kiel",
                "postal_code": "24103",
                "country": "DE",
            },
            **more,
        }

    def project(self, customer: str, **more: Any) -> Fields:
        return {
            "name": "Rollout Süd",
            "legal_entity": self.legal_entity,
            "customer_id": customer,
            "state": "active",
            "billing_method": "time_and_materials",
            "currency": self.currency,
            "start_date": TODAY.replace(month=1, day=1).isoformat(),
            "budget_hours": "120.25",
            **more,
        }

    def time_entry(self, project: str, **more: Any) -> Fields:
        return {
            "legal_entity": self.legal_entity,
            "resource_id": str(next(iter(self.company["employees"].values()))),
            "project_id": project,
            "date": TODAY.isoformat(),
            "hours": "7.33",
            "billable": True,
            "note": "Workshop in Kiel",
            **more,
        }

    def invoice(self, customer: str, **more: Any) -> Fields:
        return {
            "legal_entity": self.legal_entity,
            "customer_id": customer,
            "currency": self.currency,
            "issue_date": TODAY.isoformat(),
            "due_date": DUE,
            "state": "draft",
            "lines": [
                {
                    "description": "Consulting\nin Kiel",
                    "quantity": "2.5",
                    "unit_price": self.money("150.10"),
                    "amount": self.money("375.25"),
                },
                {
                    "description": "Travel",
                    "quantity": "3",
                    "unit_price": self.money("0.10"),
                    "amount": self.money("0.30"),
                },
            ],
            "net_total": self.money("375.55"),
            "tax_total": self.money("0.00"),
            "total": self.money("375.55"),
            **more,
        }

    async def make(self, entity: str, fields: Fields) -> Found:
        receipt = await self.adapter.create(self.write(entity, fields))
        return await self.adapter.fetch(entity, receipt.native_id)


@pytest.fixture
async def desk(tryton: Tryton) -> AsyncIterator[Desk]:
    adapter = adapter_of(tryton)
    yield Desk(adapter, tryton)
    await adapter.close()


@pytest.fixture
def look(tryton: Tryton) -> Any:
    with tryton.look() as session:
        yield session


async def _record(desk: Desk, entity: str) -> tuple[Fields, Found]:
    """A new record of each kind, with what it refers to."""
    if entity == "customer":
        fields = desk.customer()
        return fields, await desk.make(entity, fields)
    customer = await desk.make("customer", desk.customer())
    if entity == "invoice":
        fields = desk.invoice(customer.native_id)
    elif entity == "project":
        fields = desk.project(customer.native_id)
    else:
        project = await desk.make("project", desk.project(customer.native_id))
        fields = desk.time_entry(project.native_id)
    return fields, await desk.make(entity, fields)


WRITTEN = ("customer", "project", "time_entry", "invoice")


@pytest.mark.parametrize("entity", WRITTEN)
async def test_what_is_written_reads_back_as_expected(desk: Desk, entity: str) -> None:
    """A record reads back exactly as ``expect`` says, for every field that the profile maps."""
    fields, found = await _record(desk, entity)
    expected = desk.adapter.expect(entity, fields)
    assert {name: found.fields[name] for name in expected} == expected
    assert set(expected) >= set(fields) & desk.adapter.facts(entity).mapped


@pytest.mark.parametrize("entity", WRITTEN)
async def test_a_record_is_found_by_its_marker(desk: Desk, entity: str) -> None:
    """A write whose outcome is unknown can be looked up: its marker finds it, and no other."""
    _, found = await _record(desk, entity)
    assert found.marker is not None
    again = await desk.adapter.find(entity, marker=found.marker)
    assert [one.native_id for one in again] == [found.native_id]
    assert await desk.adapter.find(entity, marker=found.marker + "x") == ()


async def test_an_invoice_is_found_by_our_id(desk: Desk) -> None:
    """The canonical id is kept as the invoice's reference."""
    customer = await desk.make("customer", desk.customer())
    write = desk.write("invoice", desk.invoice(customer.native_id))
    receipt = await desk.adapter.create(write)
    found = await desk.adapter.find("invoice", external_id=write.external_id)
    assert [(one.native_id, one.external_id) for one in found] == [(receipt.native_id, write.external_id)]


async def test_values_arrive_exactly(desk: Desk, look: Look) -> None:
    """Amounts arrive as decimals, hours as a duration, days as days: seen in the ERP itself."""
    customer = await desk.make("customer", desk.customer())
    project = await desk.make("project", desk.project(customer.native_id))
    entry = await desk.make("time_entry", desk.time_entry(project.native_id))
    invoice = await desk.make("invoice", desk.invoice(customer.native_id))
    (line,) = look.rows(
        "timesheet.line", [["id", "=", int(entry.native_id)]], ["duration", "date", "description", "company"]
    )
    assert line["duration"] == timedelta(hours=7, minutes=19, seconds=48)
    assert line["date"] == TODAY
    assert line["description"] == f"Workshop in Kiel [tw:{entry.marker}]"
    (document,) = look.rows(
        "account.invoice",
        [["id", "=", int(invoice.native_id)]],
        [
            "total_amount",
            "payment_term_date",
            "lines.unit_price",
            "lines.quantity",
            "lines.amount",
            "party",
            "account",
        ],
    )
    assert document["total_amount"] == Decimal("375.55")
    assert document["payment_term_date"] == date.fromisoformat(DUE)
    assert [(row["unit_price"], row["quantity"], row["amount"]) for row in document["lines."]] == [
        (Decimal("150.10"), 2.5, Decimal("375.25")),
        (Decimal("0.10"), 3.0, Decimal("0.30")),
    ]
    assert (document["party"], document["account"]) == (int(customer.native_id), desk.company["receivable"])


async def test_the_other_company_bills_in_its_own_books(desk: Desk, look: Look) -> None:
    """The legal entity of a record decides its company, accounts and currency, whatever the session's is."""
    desk.legal_entity, desk.currency = "US01", "USD"
    customer = await desk.make("customer", desk.customer())
    project = await desk.make("project", desk.project(customer.native_id))
    assert project.fields["currency"] == "USD"
    assert (await desk.make("time_entry", desk.time_entry(project.native_id))).fields[
        "legal_entity"
    ] == "US01"
    fields = desk.invoice(customer.native_id)
    invoice = await desk.make("invoice", fields)
    await desk.adapter.transition(
        desk.write("invoice", fields, native_id=invoice.native_id, to_state="posted")
    )
    (document,) = look.rows(
        "account.invoice",
        [["id", "=", int(invoice.native_id)]],
        ["state", "company", "move.company", "currency.code"],
    )
    assert document["state"] == "posted"
    assert document["move."]["company"] == document["company"] == desk.company["id"]
    assert document["currency."]["code"] == "USD"


async def test_an_invoice_is_posted_once(desk: Desk) -> None:
    """Posting gives the number; posting again changes nothing, so a repeated transition does no harm."""
    fields, draft = await _record(desk, "invoice")
    assert (draft.fields["state"], draft.fields["number"]) == ("draft", None)
    post = desk.write("invoice", fields, native_id=draft.native_id, to_state="posted")
    await desk.adapter.transition(post)
    first = await desk.adapter.fetch("invoice", draft.native_id)
    await desk.adapter.transition(post)
    assert (await desk.adapter.fetch("invoice", draft.native_id)).fields == first.fields
    assert first.fields["state"] == "posted"
    assert first.fields["number"]


async def test_an_invoice_goes_through_its_states(desk: Desk) -> None:
    """ready is still a draft there; released is validated; void is cancelled."""
    fields, draft = await _record(desk, "invoice")
    seen: list[str] = []
    for state in ("ready", "released", "void"):
        write = desk.write("invoice", {**fields, "state": state}, native_id=draft.native_id, to_state=state)
        await desk.adapter.transition(write)
        seen.append((await desk.adapter.fetch("invoice", draft.native_id)).fields["state"])
    assert seen == ["draft", "released", "void"]


@pytest.mark.parametrize("state", ["draft", "approved", "on_hold", "closed", "cancelled"])
async def test_a_project_moves_by_its_status(desk: Desk, state: str) -> None:
    """Every canonical state of a project is a status of its own."""
    fields, project = await _record(desk, "project")
    write = desk.write("project", {**fields, "state": state}, native_id=project.native_id, to_state=state)
    await desk.adapter.transition(write)
    assert (await desk.adapter.fetch("project", project.native_id)).fields["state"] == state


async def test_an_archived_customer_is_still_there(desk: Desk, look: Look) -> None:
    """Archiving hides a party from its users, not from us."""
    fields, customer = await _record(desk, "customer")
    archived = {**fields, "state": "archived"}
    await desk.adapter.transition(
        desk.write("customer", archived, native_id=customer.native_id, to_state="archived")
    )
    assert look.rows("party.party", [["code", "=", fields["number"]]], ["name"]) == []
    assert (await desk.adapter.fetch("customer", customer.native_id)).fields["state"] == "archived"
    page = await desk.adapter.search("customer", Query(where={"number": fields["number"]}))
    assert [one.fields["state"] for one in page.items] == ["archived"]


async def test_an_update_leaves_alone_what_it_does_not_name(desk: Desk, look: Look) -> None:
    """A direct entry beside ours stays: another address, another contact; ours is changed in its place."""
    fields, customer = await _record(desk, "customer")
    key = int(customer.native_id)
    look.call(
        "model.party.party.write",
        [key],
        {
            "addresses": [["create", [{"city": "Bremen"}]]],
            "contact_mechanisms": [
                ["create", [{"type": "email", "name": "Billing", "value": "bills@x.example"}]]
            ],
        },
    )
    changed = {**fields, "email": "new@nordlicht.example", "phone": None}
    changed["billing_address"] = {**fields["billing_address"], "city": "Lübeck", "line2": None}
    await desk.adapter.update(desk.write("customer", changed, native_id=customer.native_id))
    (party,) = look.rows(
        "party.party",
        [["id", "=", key]],
        ["addresses.city", "contact_mechanisms.type", "contact_mechanisms.name", "contact_mechanisms.value"],
    )
    assert sorted(row["city"] for row in party["addresses."]) == ["Bremen", "Lübeck"]
    contacts = {(row["type"], row["name"]): row["value"] for row in party["contact_mechanisms."]}
    marker = contacts.pop(("other", "twinrun"))
    assert marker.startswith("op_")
    assert contacts == {("email", None): "new@nordlicht.example", ("email", "Billing"): "bills@x.example"}
    again = await desk.adapter.fetch("customer", customer.native_id)
    assert again.marker == marker != customer.marker
    expected = desk.adapter.expect("customer", changed)
    assert {name: again.fields[name] for name in expected} == expected


async def test_lines_of_a_draft_are_replaced(desk: Desk) -> None:
    """An update carries the whole invoice: lines that it lacks are gone, new ones have an account."""
    fields, draft = await _record(desk, "invoice")
    line = {
        "description": "One",
        "quantity": "1",
        "unit_price": desk.money("12.34"),
        "amount": desk.money("12.34"),
    }
    for lines, total in (([line], "12.34"), ([line, line, line], "37.02")):
        await desk.adapter.update(
            desk.write("invoice", {**fields, "lines": lines}, native_id=draft.native_id)
        )
        now = await desk.adapter.fetch("invoice", draft.native_id)
        assert now.fields["lines"] == lines
        assert now.fields["total"] == desk.money(total)


async def test_a_number_is_given_where_we_send_none(desk: Desk) -> None:
    """Without a number of ours the party gets one of the product's range, and says which."""
    fields = desk.customer()
    del fields["number"]
    found = await desk.make("customer", fields)
    assert found.fields["number"]
    assert "number" in desk.adapter.facts("customer").assigned


async def test_resources_are_read(desk: Desk) -> None:
    """The employees of a legal entity are read with name and number; time refers to them."""
    page = await desk.adapter.search("resource", Query(where={"legal_entity": "DE01"}))
    assert {one.fields["number"] for one in page.items} == set(desk.company["employees"])
    one = await desk.adapter.fetch("resource", page.items[0].native_id)
    assert one.fields["kind"] == "employee"


async def test_only_customers_are_customers(desk: Desk) -> None:
    """Companies and employees are parties, too; a search for customers does not bring them."""
    await desk.make("customer", desk.customer())
    numbers = [one.fields["number"] for one in await _all(desk, "customer", Query(limit=3))]
    assert numbers
    assert not set(numbers) & {"DE01", "US01", *desk.company["employees"]}


async def test_pages_follow_each_other(desk: Desk) -> None:
    """A search goes through all records once, however small its pages are."""
    customer = await desk.make("customer", desk.customer())
    made = [await desk.make("project", desk.project(customer.native_id)) for _ in range(5)]
    found = await _all(desk, "project", Query(where={"customer_id": customer.native_id}, limit=2))
    assert [one.native_id for one in found] == [one.native_id for one in made]


async def test_changes_are_seen_also_before_the_first_update(desk: Desk, look: Look) -> None:
    """The product stamps a record at its first change only; a search by time finds new ones all the same."""
    old = await desk.make("customer", desk.customer())
    began = datetime.fromisoformat(str(_created(look, old)))
    new = await desk.make("customer", desk.customer())
    found = {one.native_id for one in await _all(desk, "customer", Query(updated_since=_created(look, new)))}
    assert new.native_id in found
    assert old.native_id not in found
    assert began < _created(look, new)


# --- refusals ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refusal:
    entity: str
    change: Callable[[Desk], Fields]
    says: str
    error: type[Rejected] = Rejected
    field: str | None = None


REFUSALS = {
    "a number that is taken": Refusal(
        "customer", lambda d: {"number": "DE01"}, "The code on party must be unique.", Conflict
    ),
    "an employee of another company": Refusal(
        "time_entry",
        lambda d: {"resource_id": str(d.run.seed["companies"]["US01"]["employees"]["US01-E001"])},
        'The value for field "Employee" in "Timesheet Line" is not valid according to its domain.',
    ),
    "negative hours": Refusal("time_entry", lambda d: {"hours": "-1"}, "must be positive"),
    "time before the project": Refusal(
        "time_entry",
        lambda d: {"date": "2020-01-01"},
        'The value for field "Work" in "Timesheet Line" is not valid',
    ),
    "no date": Refusal("time_entry", lambda d: {"date": None}, 'A value is required for field "Date"'),
    "a project that is not there": Refusal(
        "time_entry", lambda d: {"project_id": "999999"}, "there is no timesheet.work", field="project_id"
    ),
    "an unknown company": Refusal(
        "project", lambda d: {"legal_entity": "XX99"}, "there is no company.company", field="legal_entity"
    ),
    "a company without accounts": Refusal(
        "invoice", lambda d: {"legal_entity": "XX99"}, "is none of DE01, US01", field="legal_entity"
    ),
    "a currency that is not kept": Refusal(
        "invoice",
        lambda d: {"currency": "JPY", "lines": [], "net_total": None, "tax_total": None, "total": None},
        "there is no currency.currency with code = JPY",
        field="currency",
    ),
    "a line without a price": Refusal(
        "invoice",
        lambda d: {"lines": [{"description": "x", "quantity": "1"}]},
        'A value is required for field "Unit Price"',
    ),
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_says_why_and_leaves_nothing(desk: Desk, look: Look, refusal: Refusal) -> None:
    """What the ERP refuses is Rejected in the ERP's own words, and nothing of it is left there."""
    fields, _ = await _record(desk, refusal.entity)
    write = desk.write(refusal.entity, {**fields, **refusal.change(desk)})
    if refusal.entity == "customer":
        write = replace(write, fields={**desk.customer(), **refusal.change(desk)})
    with pytest.raises(refusal.error) as caught:
        await desk.adapter.create(write)
    assert refusal.says in caught.value.message
    assert caught.value.field == refusal.field
    assert await desk.adapter.find(refusal.entity, marker=write.marker) == ()


async def test_a_posted_invoice_is_not_changed(desk: Desk) -> None:
    """Once posted, an invoice refuses every change, and so do we in its words."""
    fields, draft = await _record(desk, "invoice")
    await desk.adapter.transition(desk.write("invoice", fields, native_id=draft.native_id, to_state="posted"))
    with pytest.raises(Rejected, match="because it is posted, paid or cancelled"):
        await desk.adapter.update(desk.write("invoice", fields, native_id=draft.native_id))
    with pytest.raises(Rejected, match="company setup does not allow it"):
        await desk.adapter.transition(
            desk.write("invoice", fields, native_id=draft.native_id, to_state="void")
        )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"issue_date": LAST_YEAR, "due_date": LAST_YEAR}, "in the past", id="overdue at birth"),
        pytest.param(
            {"issue_date": "2040-01-02", "due_date": "2040-02-02"}, "create a period", id="no period"
        ),
    ],
)
async def test_a_posting_that_is_refused_leaves_a_draft(desk: Desk, change: Fields, says: str) -> None:
    """A posting that needs a person's answer, or a period that is missing, is refused in words, not keys."""
    customer = await desk.make("customer", desk.customer())
    fields = desk.invoice(customer.native_id, **change)
    draft = await desk.make("invoice", fields)
    with pytest.raises(Rejected, match=says):
        await desk.adapter.transition(
            desk.write("invoice", fields, native_id=draft.native_id, to_state="posted")
        )
    assert (await desk.adapter.fetch("invoice", draft.native_id)).fields["state"] == "draft"


async def test_paid_is_not_ours_to_say(desk: Desk, look: Look) -> None:
    """A state that comes from the books is refused before anything is sent."""
    fields, draft = await _record(desk, "invoice")
    with pytest.raises(Rejected) as caught:
        await desk.adapter.transition(
            desk.write("invoice", fields, native_id=draft.native_id, to_state="paid")
        )
    assert (caught.value.code, caught.value.field) == ("transition_unavailable", "state")
    (row,) = look.rows("account.invoice", [["id", "=", int(draft.native_id)]], ["state"])
    assert row["state"] == "draft"


async def test_a_tax_that_would_get_lost_is_refused(desk: Desk, look: Look) -> None:
    """An invoice that the product would keep without its tax is refused before it is sent."""
    customer = await desk.make("customer", desk.customer())
    fields = desk.invoice(customer.native_id, tax_total=desk.money("71.35"), total=desk.money("446.90"))
    with pytest.raises(Rejected, match="can only be 0") as caught:
        await desk.adapter.create(desk.write("invoice", fields))
    assert caught.value.field == "tax_total"
    assert look.rows("account.invoice", [["party", "=", int(customer.native_id)]], ["state"]) == []


@pytest.mark.parametrize("entity", [*WRITTEN, "resource"])
async def test_what_is_not_there_is_not_found(desk: Desk, entity: str) -> None:
    """A missing record is NotFound, and so is the update of a missing customer.

    Of what belongs to a company the product only says that we may not change it: that stays Rejected.
    """
    with pytest.raises(NotFound):
        await desk.adapter.fetch(entity, "999999")
    if entity == "customer":
        with pytest.raises(NotFound, match="don't exist anymore"):
            await desk.adapter.update(desk.write(entity, desk.customer(), native_id="999999"))


async def test_a_stale_update_is_refused(desk: Desk, look: Look) -> None:
    """Somebody changed the record in the ERP since we read it: our update is a Conflict, and no change."""
    fields, project = await _record(desk, "project")
    await _until(lambda: _touch(look, int(project.native_id)) != project.native_version)
    write = desk.write("project", {**fields, "name": "Ours"}, native_id=project.native_id)
    with pytest.raises(Conflict, match="modified in the meanwhile"):
        await desk.adapter.update(replace(write, native_version=project.native_version))
    now = await desk.adapter.fetch("project", project.native_id)
    assert now.fields["name"] == "Direct edit"
    await desk.adapter.update(replace(write, native_version=now.native_version))
    assert (await desk.adapter.fetch("project", project.native_id)).fields["name"] == "Ours"


# --- sessions, outages, unknown outcomes ------------------------------------------------------------------


async def test_a_session_that_has_gone_is_renewed_once(desk: Desk) -> None:
    """Many calls that meet the end of the session at once log in once, and none of them fails."""
    await desk.make("customer", desk.customer())
    desk.run.end_sessions()
    found = await asyncio.gather(*(desk.adapter.search("resource", Query()) for _ in range(6)))
    assert all(page.items for page in found)
    assert desk.run.sessions() == 1


async def test_a_server_that_is_down_took_nothing(tryton_alone: Tryton) -> None:
    """Refused connections are Unavailable: the write may be sent again, by somebody else than us."""
    tryton_alone.start()
    adapter = adapter_of(tryton_alone)
    desk = Desk(adapter, tryton_alone)
    tryton_alone.kill()
    write = desk.write("customer", desk.customer())
    with pytest.raises(Unavailable):
        await adapter.create(write)
    assert not (await adapter.probe()).ok
    tryton_alone.start()
    assert (await adapter.probe()).ok
    assert await adapter.find("customer", marker=write.marker) == ()
    await adapter.create(write)
    assert len(await adapter.find("customer", marker=write.marker)) == 1
    await adapter.close()


async def test_a_lost_answer_is_found_again(tryton_alone: Tryton) -> None:
    """We gave up on an answer, and the write landed later: unknown, then found by its marker, once."""
    tryton_alone.start()
    patient = adapter_of(tryton_alone)
    desk = Desk(patient, tryton_alone)
    fields, _ = await _record(desk, "time_entry")
    hasty = adapter_of(tryton_alone, timeout_s=0.5)
    await hasty.probe()  # signed on, so that the write itself is what gets no answer
    # The first of its kind looks the project up; with that known, the next call is the write.
    await hasty.create(desk.write("time_entry", fields))
    write = desk.write("time_entry", fields)
    with tryton_alone.frozen(), pytest.raises(OutcomeUnknown):
        await hasty.create(write)
    assert len(await _until_async(lambda: patient.find("time_entry", marker=write.marker))) == 1
    await hasty.close()
    await patient.close()


async def test_a_server_that_dies_over_a_write_leaves_it_unknown(tryton_alone: Tryton) -> None:
    """Killed between request and answer: unknown to us, until the look-up after the restart."""
    tryton_alone.start()
    adapter = adapter_of(tryton_alone)
    desk = Desk(adapter, tryton_alone)
    await desk.make("customer", desk.customer())
    write = desk.write("customer", desk.customer())
    with tryton_alone.frozen():
        call = asyncio.create_task(adapter.create(write))
        await _until(lambda: _connected(tryton_alone.port))
        tryton_alone.kill()
        with pytest.raises(OutcomeUnknown):
            await call
    tryton_alone.start()
    assert await adapter.find("customer", marker=write.marker) == ()
    await adapter.close()


async def test_a_look_up_that_gets_no_answer_wrote_nothing(tryton_alone: Tryton) -> None:
    """The read before a write is not the write: without an answer to it nothing was sent that could land."""
    tryton_alone.start()
    patient = adapter_of(tryton_alone)
    desk = Desk(patient, tryton_alone)
    customer = await desk.make("customer", desk.customer())
    hasty = adapter_of(tryton_alone, timeout_s=0.5)
    await hasty.probe()
    write = desk.write("project", desk.project(customer.native_id))
    with tryton_alone.frozen(), pytest.raises(Unavailable):
        await hasty.create(write)
    assert await patient.find("project", marker=write.marker) == ()
    await hasty.close()
    await patient.close()


def test_the_profile_says_what_the_product_can_do(tryton: Tryton) -> None:
    """Nothing that we always send is unique there: every write is looked up before it is sent again."""
    adapter = adapter_of(tryton)
    classes = {entity: adapter.facts(entity).idempotency for entity in (*WRITTEN, "resource")}
    assert classes == {
        "customer": Idempotency.D_SEARCHABLE,
        "project": Idempotency.D_SEARCHABLE,
        "time_entry": Idempotency.D_SEARCHABLE,
        "invoice": Idempotency.D_SEARCHABLE,
        "resource": Idempotency.E_NOTHING,
    }
    assert all(adapter.facts(entity).conditional for entity in WRITTEN)


# --- waiting for a state ----------------------------------------------------------------------------------


async def _all(desk: Desk, entity: str, query: Query) -> list[Found]:
    found: list[Found] = []
    while True:
        page = await desk.adapter.search(entity, query)
        found.extend(page.items)
        if page.next_cursor is None:
            return found
        query = replace(query, cursor=page.next_cursor)


def _created(look: Look, found: Found) -> datetime:
    (row,) = look.rows("party.party", [["id", "=", int(found.native_id)]], ["create_date"])
    return row["create_date"]


def _touch(look: Look, project: int) -> str:
    look.call("model.project.work.write", [project], {"name": "Direct edit"})
    (row,) = look.rows("project.work", [["id", "=", project]], ["_timestamp"])
    return row["_timestamp"]


async def _until(holds: Callable[[], bool], deadline_s: float = 10.0) -> None:
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, "the state that is waited for did not come"
        await asyncio.sleep(0.05)


async def _until_async(
    look: Callable[[], Awaitable[tuple[Found, ...]]], deadline_s: float = 10.0
) -> tuple[Found, ...]:
    end = time.monotonic() + deadline_s
    while not (found := await look()):
        assert time.monotonic() < end, "the record that is waited for did not come"
        await asyncio.sleep(0.05)
    return found


def _connected(port: int) -> bool:
    """Somebody holds a connection to this port with bytes that the server has not read yet."""
    wanted = f":{port:04X}"
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(wanted) and state == "01" and int(queues.split(":")[1], 16) > 0:
            return True
    return False
