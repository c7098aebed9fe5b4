"""Backfills at the rim: what goes inwards, what comes back, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.backfill.run import Item, Outcome
from tests.unit.http.fakes import World

Client = TestClient[Any]
PATH = "/admin/v1/backfills"
UK = {"Authorization": "Bearer uk"}
WISH = {"entity": "invoice", "region": "UK"}


def begun(client: Client, **wish: str) -> str:
    """The address of a backfill."""
    answer = client.post(PATH, json={**WISH, **wish})
    assert answer.status_code == 202, answer.text
    return answer.headers["location"]


def test_each_act_takes_its_reason_along(client: Client, world: World) -> None:
    """A reason goes inwards with the act; without a body, or with an empty object, the act is done all the same."""
    at = begun(client)
    assert client.post(f"{at}/pause", json={"reason": "nightly batch"}).json()["state"] == "paused"
    assert client.post(f"{at}/resume").json()["state"] == "running"
    assert client.post(f"{at}/cancel", json={}).json()["state"] == "cancelled"
    assert world.backfiller.reasons == ["nightly batch", None, None]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"reason": ""}, "/reason", id="empty"),
        pytest.param({"reason": 7}, "/reason", id="no text"),
        pytest.param({"because": "so"}, "/because", id="unknown member"),
    ],
)
def test_a_wrong_reason_is_refused_by_name(
    client: Client, world: World, body: dict[str, Any], pointer: str
) -> None:
    """400 names the member, and nothing is done."""
    answer = client.post(f"{begun(client)}/pause", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer)
    assert world.backfiller.reasons == []


def test_what_became_of_each_record_page_by_page(client: Client, world: World) -> None:
    """Filtered by outcome, with why, the write and the case; a cursor of another run or another filter is foreign."""
    at, other = begun(client), begun(client, entity="customer")
    run_id = at.rpartition("/")[2]
    world.backfiller.items[run_id] = [
        Item(record_id="inv_1", outcome=Outcome.CREATED, delivery_id="dlv_1", delivery_state="applied"),
        Item(
            record_id="inv_2",
            outcome=Outcome.AMBIGUOUS,
            why="cloud holds several",
            delivery_id="dlv_2",
            delivery_state="parked",
            case_id="cas_2",
        ),
        Item(record_id="inv_3", outcome=Outcome.BLOCKED, why="/customer_id: backfill customer first"),
        Item(record_id="inv_4", outcome=Outcome.CREATED, delivery_id="dlv_4"),
    ]
    assert client.get(at).json()["records_href"] == f"{at}/records"
    first = client.get(f"{at}/records", params={"limit": 2}).json()
    assert first["items"] == [
        {
            "record": "inv_1",
            "outcome": "created",
            "why": None,
            "delivery": {"id": "dlv_1", "state": "applied"},
            "case": None,
        },
        {
            "record": "inv_2",
            "outcome": "ambiguous",
            "why": "cloud holds several",
            "delivery": {"id": "dlv_2", "state": "parked"},
            "case": "cas_2",
        },
    ]
    cursor = first["next_cursor"]
    rest = client.get(f"{at}/records", params={"limit": 2, "cursor": cursor}).json()
    assert [one["record"] for one in rest["items"]] == ["inv_3", "inv_4"]
    assert rest["next_cursor"] is None
    made = client.get(f"{at}/records", params={"outcome": "created"}).json()["items"]
    assert [one["record"] for one in made] == ["inv_1", "inv_4"]
    assert made[1]["delivery"] == {"id": "dlv_4", "state": None}
    for foreign in (f"{other}/records?cursor={cursor}", f"{at}/records?outcome=created&cursor={cursor}"):
        assert client.get(foreign).status_code == 400
    assert client.get(f"{at}/records?outcome=lost").status_code == 400


def test_records_of_a_slice_that_a_key_may_not_see(client: Client) -> None:
    """They are not there: 404, as the run itself."""
    at = begun(client, region="DACH")
    for address in (at, f"{at}/records"):
        assert client.get(address, headers=UK).status_code == 404
