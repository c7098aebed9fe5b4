"""The queue over HTTP, on each database: lists, one case, and what a person does with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema
import pytest

from gateway.cases import Cases, Kind
from tests.integration.cases.planted import Planted
from tests.unit.http.fakes import World

UK = {"Authorization": "Bearer uk"}
INVOICES = {"Authorization": "Bearer invoices"}


@pytest.fixture
async def client(cases: Cases) -> AsyncIterator[httpx.AsyncClient]:
    app = World(cases=cases).app()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, raise_app_exceptions=True),  # type: ignore[arg-type]
        base_url="http://gateway",
        headers={"Authorization": "Bearer all"},
    ) as client:
        yield client


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get("/openapi.json")).json()


def _fits(body: Any, name: str, document: dict[str, Any]) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)


async def _parked(planted: Planted, entity: str = "customer", region: str = "UK") -> str:
    write = await planted.write(
        entity, operation_state="attention", authority="applied", mirror="parked", region=region
    )
    return await planted.case(write, Kind.PARKED_DELIVERY, role="mirror", region=region)


async def test_a_case_is_told_in_words_of_finance(
    client: httpx.AsyncClient, planted: Planted, document: dict[str, Any]
) -> None:
    """Cause, remedy, owner, deadline, what is at stake and which decisions fit, as the document says."""
    case_id = await _parked(planted, "invoice")
    (line,) = (await client.get("/admin/v1/cases?state=open")).json()["items"]
    assert line["at_stake"] == {"amount": "1080.00", "currency": "GBP"}
    assert line["offers"] == ["replay", "accept_divergence"]
    assert line["two_persons"] == ["accept_divergence"]
    _fits(line, "CaseLine", document)
    whole = (await client.get(f"/admin/v1/cases/{case_id}")).json()
    assert whole["id"] == case_id
    assert [one["event"] for one in whole["history"]] == ["opened"]
    _fits(whole, "CaseInFull", document)


async def test_pages_hold_every_case_once(client: httpx.AsyncClient, planted: Planted) -> None:
    """The cursor leads through the whole list, and only through the list that it was made for."""
    wanted = {await _parked(planted) for _ in range(5)}
    found: list[str] = []
    address = "/admin/v1/cases?limit=2"
    cursor = None
    while True:
        told = (await client.get(address + (f"&cursor={cursor}" if cursor else ""))).json()
        found += [one["id"] for one in told["items"]]
        if (following := told["next_cursor"]) is None:
            break
        cursor = following
    assert len(found) == 5
    assert set(found) == wanted
    other = await client.get(f"/admin/v1/cases?limit=2&kind=poison&cursor={cursor}")
    assert (other.status_code, other.json()["type"]) == (400, "urn:twinrun:problem:foreign-cursor")


@pytest.mark.parametrize("name", ["state", "kind", "entity", "region"])
async def test_a_filter_that_can_mean_nothing_is_refused(client: httpx.AsyncClient, name: str) -> None:
    """400 names the parameter."""
    answer = await client.get(f"/admin/v1/cases?{name}=nonsense")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == name


async def test_a_key_sees_its_own(client: httpx.AsyncClient, planted: Planted) -> None:
    """Out of the key's regions or entities a case is not in the list and 404 by its id, whatever is done."""
    case_id = await _parked(planted, "customer", "US")
    for key in (UK, INVOICES):
        assert (await client.get("/admin/v1/cases", headers=key)).json()["items"] == []
        assert (await client.get(f"/admin/v1/cases/{case_id}", headers=key)).status_code == 404
        for act, body in (
            ("assign", {"owner": "Kim"}),
            ("comment", {"comment": "hello"}),
            ("resolve", {"as": "replay", "reason": "why not"}),
        ):
            answer = await client.post(f"/admin/v1/cases/{case_id}/{act}", json=body, headers=key)
            assert answer.status_code == 404, answer.text
    assert (await client.get(f"/admin/v1/cases/{case_id}")).json()["state"] == "open"


async def test_a_case_is_taken_talked_about_and_decided(
    client: httpx.AsyncClient, planted: Planted, document: dict[str, Any]
) -> None:
    """Each step answers with the case as it is then; who did it is the key's name."""
    case_id = await _parked(planted)
    base = f"/admin/v1/cases/{case_id}"
    taken = await client.post(f"{base}/assign", json={"owner": "Kim Lee"})
    assert (taken.status_code, taken.json()["owner"]) == (200, "Kim Lee")
    assert (await client.post(f"{base}/comment", json={"comment": "Asked the vendor"})).status_code == 200
    decided = await client.post(f"{base}/resolve", json={"as": "replay", "reason": "It is active now"})
    told = decided.json()
    assert (told["state"], told["resolution"], told["closed_by"]) == ("closed", "replay", "all")
    assert [one["event"] for one in told["history"]] == ["opened", "assigned", "commented", "closed"]
    assert told["offers"] == []
    assert told["delivery_state"] == "ready"
    _fits(told, "CaseInFull", document)
    again = await client.post(f"{base}/resolve", json={"as": "replay", "reason": "It is active now"})
    assert (again.status_code, again.json()["type"]) == (409, "urn:twinrun:problem:decision-stale")
    assert again.json()["detail"] == "the case was closed by all: replay"
    _fits(again.json(), "Problem", document)


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"as": "replay"}, 400, "/reason"),
        ({"as": "pray", "reason": "why not"}, 400, "/as"),
        ({"as": "replay", "reason": ""}, 400, "/reason"),
        ({"as": "replay", "reason": "  "}, 422, "/reason"),
        ({"as": "replay", "reason": "why not", "force": True}, 400, "/force"),
        ({"as": "not_applied_refuse", "reason": "why not"}, 422, "/as"),
        ({"as": "accept_divergence", "reason": "why not"}, 422, "/until"),
        ({"as": "accept_divergence", "reason": "why not", "until": "2020-01-01T00:00:00Z"}, 422, "/until"),
        ({"as": "replay", "reason": "why not", "until": "2999-01-01T00:00:00Z"}, 422, "/until"),
        ({"as": "replay", "reason": "why not", "native_id": "R-1"}, 422, "/native_id"),
    ],
)
async def test_what_is_wrong_with_a_decision_is_pointed_at(
    client: httpx.AsyncClient, planted: Planted, body: dict[str, Any], status: int, pointer: str
) -> None:
    """Problem and place; nothing is decided."""
    case_id = await _parked(planted)
    answer = await client.post(f"/admin/v1/cases/{case_id}/resolve", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert (await client.get(f"/admin/v1/cases/{case_id}")).json()["state"] == "open"


@pytest.mark.parametrize("case_id", ["cas_none", "inv_1", "%2e%2e"])
async def test_what_is_no_case_is_not_there(client: httpx.AsyncClient, case_id: str) -> None:
    """404 in the form of every refusal."""
    answer = await client.get(f"/admin/v1/cases/{case_id}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
