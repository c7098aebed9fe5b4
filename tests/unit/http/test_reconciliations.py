"""Reconciliations at the rim: what goes inwards, what comes back, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.reconcile import Term
from gateway.reconcile.run import SourceUse, UnreadableRow
from gateway.reconcile.sources import Unreadable
from tests.unit.http.fake_reconciler import AT, finished, parted, reconciliation
from tests.unit.http.fakes import World

Client = TestClient[Any]
PATH = "/admin/v1/reconciliations"
UK = {"Authorization": "Bearer uk"}
WISH = {"entity": "invoice", "region": "UK"}


def test_it_begins_and_is_followed(client: Client, world: World) -> None:
    """202 names where it stands; there it is found, listed and cancelled, and how far it has come is told."""
    answer = client.post(PATH, json={**WISH, "reason": "month end"})
    assert (answer.status_code, answer.headers["location"]) == (202, f"{PATH}/rcn_1")
    body = answer.json()
    assert world.reconciler.asked[-1] == {"start": ("invoice", "UK"), "actor": "all", "reason": "month end"}
    assert (body["state"], body["phase"], body["authority"], body["mirror"]) == (
        "running",
        "authority",
        "legacy",
        "cloud",
    )
    assert body["read"] == {"authority": 0, "mirror": 0}
    assert body["report"] is None
    assert client.get(answer.headers["location"]).json() == body
    listed = {name: value for name, value in body.items() if name not in ("report", "unreadable")}
    assert client.get(f"{PATH}?state=running").json() == {"items": [listed], "next_cursor": None}
    cancelled = client.post(f"{PATH}/rcn_1/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


def test_a_report_is_exact(client: Client, world: World) -> None:
    """A cent beside ten thousand millions is told as text at the scale of its currency, and the bridge adds up."""
    world.reconciler.runs = [finished(7)]
    body = client.get(f"{PATH}/rcn_7").json()
    (line,) = body["report"]["bridge"]
    assert line == {
        "measure": "total",
        "currency": "EUR",
        "authority": "9999999999.99",
        "mirror": "9999999994.98",
        "late": "5.00",
        "queued": "0.00",
        "in_case": "0.00",
        "waived": "0.00",
        "unexplained": "0.01",
        "residual": "0.00",
        "records": {"late": 1, "queued": 0, "in_case": 0, "waived": 0, "unexplained": 1},
    }
    (total,) = body["report"]["totals"]
    assert (total["difference"], total["legal_entity"], total["period"]) == ("5.01", None, "2026-03")
    (pack,) = body["report"]["pack"]
    assert (pack["label"], pack["group"], pack["difference"]) == ("AR open items", "31-60 days", "0.00")
    assert body["report"]["not_available"][0]["measure"] == "trial_balance"
    assert body["verdict"] == "fail"
    assert client.post(f"{PATH}/rcn_7/cancel").status_code == 409


def test_a_term_leads_to_its_records_page_by_page(client: Client, world: World) -> None:
    """The filters go inwards, a quantity has no currency, and a cursor of another run is foreign."""
    world.reconciler.runs = [finished(1), finished(2)]
    world.reconciler.parted = [parted(number) for number in range(1, 4)]
    asked = {"term": "unexplained", "measure": "total", "currency": "EUR", "limit": 2}
    first = client.get(f"{PATH}/rcn_1/records", params=asked).json()
    assert [one["record"] for one in first["items"]] == ["inv_1", "inv_2"]
    assert first["items"][0]["amounts"] == [
        {"measure": "total", "currency": "EUR", "authority": "9.90", "mirror": "9.90", "part": "0.00"},
        {"measure": "hours", "currency": None, "authority": "1.5", "mirror": "0", "part": "1.5"},
    ]
    told = world.reconciler.asked[-1]
    assert (told["term"], told["measure"], told["currency"]) == (Term.UNEXPLAINED, "total", "EUR")
    more = {**asked, "cursor": first["next_cursor"]}
    second = client.get(f"{PATH}/rcn_1/records", params=more).json()
    assert ([one["record"] for one in second["items"]], second["next_cursor"]) == (["inv_3"], None)
    assert client.get(f"{PATH}/rcn_2/records", params=more).status_code == 400


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"entity": "planet"}, 400, "/entity"),
        ({"region": "MARS"}, 400, "/region"),
        ({"reason": ""}, 400, "/reason"),
        ({"until": "x"}, 400, "/until"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_names_its_place(
    world: World, client: Client, changes: dict[str, Any], status: int, pointer: str
) -> None:
    """Nothing goes inwards, and the problem points at the member."""
    answer = client.post(PATH, json={**WISH, **changes})
    assert answer.status_code == status, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert world.reconciler.asked == []


@pytest.mark.parametrize("query", ["term=wrong", "measure=", "entity=invoice"])
def test_bad_filters_are_refused_by_name(world: World, client: Client, query: str) -> None:
    """A filter that means nothing is never taken for no filter."""
    world.reconciler.runs = [finished(1)]
    answer = client.get(f"{PATH}/rcn_1/records?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == query.partition("=")[0]


def test_one_at_a_time(client: Client, world: World) -> None:
    """A second one over the same slice is refused with the way to the first."""
    world.reconciler.runs = [reconciliation(1)]
    answer = client.post(PATH, json=WISH)
    assert (answer.status_code, answer.headers["location"]) == (409, f"{PATH}/rcn_1")
    assert answer.json()["type"] == "urn:twinrun:problem:reconciliation-running"


def test_a_key_reconciles_only_what_it_sees(world: World, client: Client) -> None:
    """Nothing elsewhere is begun, and what is asked is asked within the key's regions."""
    refused = client.post(PATH, json={**WISH, "region": "DACH"}, headers=UK)
    assert refused.status_code == 403
    assert world.reconciler.asked == []
    world.reconciler.runs = [finished(1)]
    for path in ("", "/rcn_1", "/rcn_1/records"):
        client.get(PATH + path, headers=UK)
    assert {one["regions"] for one in world.reconciler.asked} == {frozenset({"UK"})}


def test_what_is_no_id_is_not_there(client: Client) -> None:
    """404, whatever is asked of it."""
    for path in ("/rpl_1", "/rpl_1/records"):
        assert client.get(PATH + path).status_code == 404
    assert client.post(f"{PATH}/rpl_1/cancel").status_code == 404


def test_a_side_may_be_read_from_a_source(client: Client, world: World) -> None:
    """Its name goes inwards; what it was read from, its moment and its rows that could not be read come back. What is
    no name is refused at the rim."""
    answer = client.post(PATH, json={**WISH, "sources": ["nightly"]})
    assert answer.status_code == 202
    assert world.reconciler.asked[-1]["sources"] == ("nightly",)
    use = SourceUse(name="nightly", made_at=AT, unreadable=3)
    row = UnreadableRow(side="authority", row=Unreadable(line=17, field="total", reason="is not a number", rows=3))
    world.reconciler.runs = [finished(7, sources={"authority": use}, unreadable=(row,))]
    body = client.get(f"{PATH}/rcn_7").json()
    made_at = "2025-12-29T09:20:00.000000Z"
    assert body["sources"] == {"authority": {"name": "nightly", "made_at": made_at, "unreadable": 3}}
    assert body["unreadable"] == [
        {
            "side": "authority",
            "source": "nightly",
            "line": 17,
            "field": "total",
            "reason": "is not a number",
            "rows": 3,
        }
    ]
    for wrong in ([""], ["a\nb"], ["a", "b", "c"], "nightly", [1]):
        assert client.post(PATH, json={**WISH, "sources": wrong}).status_code == 400, wrong
