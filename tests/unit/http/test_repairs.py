"""Repairs at the rim: what goes inwards, what comes back, what is refused."""

from __future__ import annotations

import csv
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.compare import DifferenceClass
from gateway.repair.run import Chosen
from tests.unit.http.fake_repairer import HASH
from tests.unit.http.fakes import CALLERS, World

Client = TestClient[Any]
RUN = "/admin/v1/reconciliations/rcn_0198f0c2-9b41-7c10-8d22-000000000001"
PATH = f"{RUN}/repairs"
READER = {"Authorization": "Bearer reader"}
OTHER = {"Authorization": "Bearer invoices"}
PLAN = {"plan_hash": HASH}


def planned(client: Client, **wish: Any) -> str:
    """The address of a dry run."""
    answer = client.post(PATH, json={"dry_run": True, **wish})
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


def test_a_dry_run_is_asked_for_and_approved_by_another(client: Client, world: World) -> None:
    """Plan, request and approval are three acts; whoever asked is refused, and so is another hash."""
    at = planned(client, classes=["value"], fields=["lines[].amount"], reason="month end")
    assert world.repairer.chosen == [Chosen(classes=(DifferenceClass.VALUE,), fields=("lines[].amount",))]
    told = client.get(at).json()
    assert (told["state"], told["plan_hash"], told["writes"], told["money"]) == ("planned", HASH, 1, {"EUR": "0.01"})
    refused = client.post(f"{at}/request", json={"plan_hash": "0" * 64, "reason": "go"})
    assert (refused.status_code, refused.json()["plan_hash"]) == (409, HASH)
    assert client.post(f"{at}/request", json={**PLAN, "reason": "go"}).json()["state"] == "requested"
    own = client.post(f"{at}/approve", json=PLAN)
    assert (own.status_code, own.json()["type"]) == (403, "urn:twinrun:problem:second-person-needed")
    done = client.post(f"{at}/approve", json=PLAN, headers=OTHER).json()
    assert (done["state"], done["requested_by"], done["approved_by"]) == ("running", "all", "invoices")
    assert client.post(f"{at}/cancel").json()["state"] == "cancelled"
    assert client.post(f"{at}/approve", json=PLAN, headers=OTHER).status_code == 409
    listed = client.get(PATH, params={"limit": 1}).json()
    assert [one["href"] for one in listed["items"]] == [at]


def test_without_dry_run_it_is_asked_for_at_once(client: Client) -> None:
    """A second one over the same slice is refused, with where the first one is."""
    assert client.post(PATH, json={"reason": "go"}).json()["state"] == "requested"
    twice = client.post(PATH, json={"reason": "go"})
    assert (twice.status_code, twice.json()["type"]) == (409, "urn:twinrun:problem:repair-running")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"dry_run": True, "classes": ["odd"]}, "/classes", id="no such class"),
        pytest.param({"dry_run": True, "records": ["x"]}, "/records", id="no id"),
        pytest.param({"dry_run": "yes"}, "/dry_run", id="no boolean"),
        pytest.param({"dry_run": True, "delete": True}, "/delete", id="unknown member"),
    ],
)
def test_a_wrong_wish_is_refused_by_name(client: Client, world: World, body: dict[str, Any], pointer: str) -> None:
    """400 names the member, and nothing is planned."""
    answer = client.post(PATH, json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)
    assert world.repairer.repairs == {}


def test_records_as_pages_and_as_a_table(client: Client) -> None:
    """What would be written where, a page at a time or all as CSV, a line for each field; text of an ERP is no formula
    there, and a cursor of another repair is foreign."""
    at, other = planned(client), planned(client)
    first = client.get(f"{at}/records", params={"limit": 1}).json()
    (one,) = first["items"]
    assert (one["action"], one["system"], one["native_id"]) == ("update", "cloud", "C-1")
    assert one["changes"][0] == {
        "field": "total",
        "from": {"amount": "9.98", "currency": "EUR"},
        "to": {"amount": "9.99", "currency": "EUR"},
    }
    rest = client.get(f"{at}/records", params={"limit": 1, "cursor": first["next_cursor"]}).json()
    assert [each["record"] for each in rest["items"]] == ["inv_2"]
    foreign = client.get(f"{other}/records", params={"limit": 1, "cursor": first["next_cursor"]})
    assert foreign.status_code == 400
    narrowed = client.get(f"{at}/records", params={"action": "person"}).json()
    assert [each["record"] for each in narrowed["items"]] == ["inv_2"]
    sheet = client.get(f"{at}/records", headers={"Accept": "text/csv"})
    assert sheet.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(sheet.text.splitlines()))
    places = [(line["record"], line["field"]) for line in lines]
    assert places == [("inv_1", "total"), ("inv_1", "po_number"), ("inv_2", "")]
    assert lines[1]["to"] == "'=cmd()"
    assert client.get(f"{at}/records", headers={"Accept": "image/png"}).status_code == 406


def test_only_those_who_may(client: Client) -> None:
    """Looking does not plan, and what is outside of a key's slices is not there."""
    assert client.post(PATH, json={"dry_run": True}, headers=READER).status_code == 403
    at = planned(client)
    assert client.get(at, headers=READER).status_code == 403
    assert CALLERS["invoices"].entities == frozenset({"invoice"})
    assert client.get("/admin/v1/repairs/rpr_1").status_code == 404
    assert client.post("/admin/v1/reconciliations/nothing/repairs", json={"dry_run": True}).status_code == 404
