"""Reads that the real ERP answers: pages, filters, references, and records that it held long before us."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.integration.real_erp.stand import TODAY, Stand, customer, invoice, number, project, time_entry

pytestmark = pytest.mark.server


def old_customer(stand: Stand, **more: Any) -> int:
    """A customer whom somebody has entered in the ERP itself."""
    values = {
        "name": "Altbestand KG",
        "code": number("A"),
        "categories": [["add", [stand.erp.seed["customer_category"]]]],
        "addresses": [["create", [{"city": "Bremen", "street": "Markt 1"}]]],
        **more,
    }
    (native,) = stand.look.call("model.party.party.create", [values])
    return native


def old_project(stand: Stand, party: int, company: str = "DE01", **more: Any) -> int:
    values = {
        "name": "Altprojekt",
        "type": "project",
        "party": party,
        "company": stand.erp.seed["companies"][company]["id"],
        "timesheet_available": True,
        "project_invoice_method": "timesheet",
        "status": stand.erp.seed["project_statuses"]["Active"],
        **more,
    }
    (native,) = stand.look.call("model.project.work.create", [values])
    return native


def test_a_record_that_the_erp_already_holds_is_adopted_once(stand: Stand) -> None:
    """By reference and by list it is the same record with the same id, and so is what it refers to."""
    party = old_customer(stand)
    native = old_project(stand, party)
    answer = stand.by_ref("project", native)
    assert answer.status_code == 200, answer.text
    record = answer.json()
    assert (record["name"], record["state"], record["region"], record["legal_entity"]) == (
        "Altprojekt",
        "active",
        "DACH",
        "DE01",
    )
    owner = stand.by_ref("customer", party)
    assert owner.json()["id"] == record["customer_id"]
    assert owner.json()["billing_address"]["city"] == "Bremen"
    assert stand.by_ref("project", native).json() == record
    listed = stand.listed("project", region="DACH", customer_id=record["customer_id"])
    assert listed == [record]


def test_an_adopted_record_is_changed_like_any_other(stand: Stand) -> None:
    """What was adopted takes writes: they go to the record that the ERP has, and make no second one."""
    native = old_project(stand, old_customer(stand))
    record = stand.by_ref("project", native).json()
    changed = stand.moved(stand.changed(record, {"name": "Neuer Name"}), "on_hold")
    rows = stand.look.rows("project.work", [["name", "=", "Neuer Name"]], ["status.name"])
    assert [(row["id"], row["status."]["name"]) for row in rows] == [(native, "On hold")]
    assert changed["version"] == 3


def test_a_customer_of_no_one_company_needs_a_region(stand: Stand) -> None:
    """Customers belong to all companies there: by reference alone nobody can say which region an unknown one is of,
    and the answer says what to do. A caller of one region only needs no more than its key."""
    native = old_customer(stand)
    answer = stand.by_ref("customer", native)
    assert answer.status_code == 404
    assert "list customers of the region" in answer.json()["detail"]
    key = stand.service.make_key(f"us-{uuid.uuid4().hex[:6]}", "read", "--regions", "US")
    answer = stand.api.get(
        f"/v1/customers/by-ref/legacy/{native}", headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["region"] == "US"
    assert stand.by_ref("customer", native).json() == answer.json()


def test_companies_and_employees_are_no_customers(stand: Stand) -> None:
    """The ERP keeps them as parties, too; the settings tell them apart, for lists and for references."""
    numbers = {one.get("number") for one in stand.listed("customer", region="DACH")}
    assert numbers
    assert not numbers & {"DE01", "US01", "DE01-E001"}
    company = stand.erp.seed["companies"]["DE01"]["party"]
    assert stand.by_ref("customer", company).status_code == 404
    assert stand.by_ref("project", 999_999).status_code == 404


def test_pages_follow_each_other(stand: Stand) -> None:
    """However small the pages are, each record comes once, in the ERP's order, by the filter that the ERP applies."""
    owner = stand.made("customer", customer())
    made = [stand.made("project", project(owner["id"]))["id"] for _ in range(5)]
    for limit in (1, 2, 5):
        found = stand.listed("project", region="DACH", customer_id=owner["id"], limit=limit)
        assert [one["id"] for one in found] == made


@pytest.mark.parametrize("entity", ["customer", "resource", "project", "time_entry", "invoice"])
def test_a_list_shows_what_a_read_shows(stand: Stand, entity: str) -> None:
    """Every entity is listed from the ERP, and each item is the record as it reads alone."""
    owner = stand.made("customer", customer())
    if entity == "invoice":
        stand.made("invoice", invoice(owner["id"]))
    if entity == "time_entry":
        work = stand.made("project", project(owner["id"]))
        stand.made("time_entry", time_entry(stand.consultant()["id"], work["id"]))
    found = stand.listed(entity, region="DACH", limit=200)
    assert found
    assert {one["region"] for one in found} == {"DACH"}
    assert found[-1] == stand.read(found[-1])


def test_regions_are_told_apart_by_company(stand: Stand) -> None:
    """A list of one region has only records of its legal entities; without a region it has all of them."""
    answers = {region: stand.listed("resource", region=region) for region in ("DACH", "US", "UK")}
    companies = stand.erp.seed["companies"]
    assert {one["number"] for one in answers["DACH"]} == set(companies["DE01"]["employees"])
    assert {one["number"] for one in answers["US"]} == set(companies["US01"]["employees"])
    assert answers["UK"] == []
    assert len(stand.listed("resource", limit=2)) == len(answers["DACH"]) + len(answers["US"])


def test_a_state_that_only_we_know_is_a_filter(stand: Stand) -> None:
    """What the ERP cannot select by is selected here: a day by the ERP, a state of a timesheet line by us."""
    owner = stand.made("customer", customer())
    work = stand.made("project", project(owner["id"]))
    entries = [stand.made("time_entry", time_entry(stand.consultant()["id"], work["id"])) for _ in range(3)]
    stand.moved(entries[1], "submitted")
    query = {"region": "DACH", "project_id": work["id"], "date": TODAY.isoformat()}
    assert [one["id"] for one in stand.listed("time_entry", **query, state="submitted")] == [entries[1]["id"]]
    assert len(stand.listed("time_entry", **query, state="draft")) == 2


def test_a_session_that_has_ended_is_nobody_elses_business(stand: Stand) -> None:
    """After a long idle time the ERP lets nobody in: many callers at once do not notice, reading or writing."""
    record = stand.made("customer", customer())
    stand.erp.end_sessions()

    def call(turn: int) -> int:
        if turn % 2:
            return stand.api.get(stand.path(record)).status_code
        return stand.create("customer", customer()).status_code

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(call, range(8)))
    assert codes == [201, 200] * 4
    assert stand.erp.sessions() == 1
