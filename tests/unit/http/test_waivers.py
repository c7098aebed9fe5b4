"""Waivers over HTTP, over stand-ins: what goes inwards, and what is refused before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.compare.waiver import Pair
from gateway.database import to_micros
from tests.unit.http.fakes import World

Client = TestClient[Any]
WISH: dict[str, Any] = {
    "entity": "customer",
    "region": "UK",
    "field": "name",
    "class": "value",
    "reason": "legal forms are spelled in two ways",
    "owner": "data steward",
    "expires_at": "2099-01-01T00:00:00+01:00",
}


def test_a_wish_goes_inwards_whole(world: World, client: Client) -> None:
    """201 with Location; moments are UTC, the pair is kept as given, and a null in it is a value."""
    answer = client.post("/admin/v1/waivers", json={**WISH, "pair": {"authority": "Ltd", "other": None}})
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert answer.headers["Location"] == f"/admin/v1/waivers/{told['id']}"
    assert (told["class"], told["state"], told["expires_at"]) == (
        "value",
        "active",
        "2098-12-31T23:00:00.000000Z",
    )
    (wish,) = world.waivers.wishes
    assert wish.pair == Pair(authority="Ltd", other=None)
    assert wish.expires_at == to_micros(datetime(2098, 12, 31, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"class": "strange"}, 400, "/class"),
        ({"entity": "planet"}, 400, "/entity"),
        ({"region": "MARS"}, 400, "/region"),
        ({"reason": ""}, 400, "/reason"),
        ({"expires_at": "2099-01-01"}, 400, "/expires_at"),
        ({"until": "2099-01-01T00:00:00Z"}, 400, "/until"),
        ({"pair": {"authority": 1}}, 400, "/pair/other"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_names_its_place(
    world: World, client: Client, changes: dict[str, Any], status: int, pointer: str
) -> None:
    """Nothing goes inwards, and the problem points at the member."""
    answer = client.post("/admin/v1/waivers", json={**WISH, **changes})
    assert answer.status_code == status, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert world.waivers.wishes == []


def test_a_key_waives_only_what_it_sees(world: World, client: Client) -> None:
    """A key of one region waives nothing elsewhere, and one of one entity nothing else."""
    elsewhere = {**WISH, "region": next(r for r in ("DACH", "AMER", "EMEA") if r in _regions(client))}
    refused = client.post("/admin/v1/waivers", json=elsewhere, headers={"Authorization": "Bearer uk"})
    assert refused.status_code == 403
    refused = client.post("/admin/v1/waivers", json=WISH, headers={"Authorization": "Bearer invoices"})
    assert refused.status_code in (403, 404)
    assert world.waivers.wishes == []


def test_what_is_no_id_is_not_there(client: Client) -> None:
    """404, whatever the method."""
    for method in ("GET", "DELETE"):
        assert client.request(method, "/admin/v1/waivers/dif_1").status_code == 404


def _regions(client: Client) -> set[str]:
    return {item["region"] for item in client.get("/admin/v1/rules").json()["items"]}
