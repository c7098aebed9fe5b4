"""Switches over HTTP, over stand-ins: what goes inwards, and what is refused before."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.routing.stage import Stage
from tests.unit.http.fakes import World

Client = TestClient[Any]
BASE = "/admin/v1/switches"
WISH: dict[str, Any] = {
    "entity": "customer",
    "region": "UK",
    "stage": "live",
    "reason": "a week without a mismatch",
}


def _as(client: Client, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


def test_a_request_goes_inwards_whole(world: World, client: Client) -> None:
    """201 with Location and the hash of the evidence; a version that is left out is that of the rule now."""
    answer = client.post(BASE, json=WISH)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert answer.headers["Location"] == f"{BASE}/{told['id']}" == told["href"]
    assert (told["state"], told["to_stage"], told["to_authority"]) == ("requested", "live", "cloud")
    assert told["requested_at"] == "2025-12-29T09:20:00.000000Z"
    (wish,) = world.switches.wishes
    assert (wish.stage, wish.override) == (Stage.LIVE, False)
    assert client.get(told["href"]).json() == told
    assert client.get(BASE).json()["items"] == [told]


def test_an_emergency_is_asked_for_by_its_word(world: World, client: Client) -> None:
    """`emergency` asks to leave the authority; the answer counts what would become of the writes under way, and an
    ordinary switch has no such counts."""
    told = client.post(BASE, json={**WISH, "stage": "shadow", "emergency": True}).json()
    assert (told["kind"], told["to_stage"], told["to_authority"]) == ("emergency", "shadow", "legacy")
    assert told["counts"] == {"at": "requested", "stranded": 2, "recalled": 5, "undelivered": 0, "released": 0}
    ordinary = client.post(BASE, json=WISH).json()
    assert (ordinary["kind"], ordinary["counts"]) == ("switch", None)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"emergency": "yes"}, "/emergency"),
        ({"entity": "planet"}, "/entity"),
        ({"region": "MARS"}, "/region"),
        ({"stage": "everywhere"}, "/stage"),
        ({"reason": ""}, "/reason"),
        ({"expected_version": -1}, "/expected_version"),
        ({"approve": True}, "/approve"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_names_its_place(
    world: World, client: Client, changes: dict[str, Any], pointer: str
) -> None:
    """Nothing goes inwards, and the problem points at the member."""
    answer = client.post(BASE, json={**WISH, **changes})
    assert answer.status_code == 400, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert world.switches.wishes == []


def test_what_an_approval_is_told(client: Client) -> None:
    """Whoever asked may not approve; another hash is refused with the one that is so; a hash has 64 digits."""
    made = client.post(BASE, json=WISH).json()
    approve = f"{made['href']}/approve"
    own = client.post(approve, json={"evidence_hash": "a" * 64})
    assert (own.status_code, own.json()["type"].rsplit(":", 1)[-1]) == (403, "second-person-needed")
    other = client.post(approve, json={"evidence_hash": "b" * 64}, headers=_as(client, "uk"))
    assert (other.status_code, other.json()["evidence_hash"]) == (409, "a" * 64)
    short = client.post(approve, json={"evidence_hash": "a"}, headers=_as(client, "uk"))
    assert (short.status_code, short.json()["errors"][0]["pointer"]) == (400, "/evidence_hash")
    right = client.post(approve, json={"evidence_hash": "a" * 64}, headers=_as(client, "uk"))
    assert (right.status_code, right.json()["approved_by"]) == (200, "uk")


def test_an_end_needs_a_reason(client: Client) -> None:
    """A switch is aborted with a reason; an id of another kind is not there."""
    made = client.post(BASE, json=WISH).json()
    assert client.post(f"{made['href']}/abort", json={}).status_code == 400
    ended = client.post(f"{made['href']}/abort", json={"reason": "not now"})
    assert (ended.status_code, ended.json()["state"]) == (200, "aborted")
    assert client.get(f"{BASE}/op_1").status_code == 404


def test_a_draft_goes_inwards(world: World, client: Client) -> None:
    """The draft names each slice once, with a stage that there is, and reaches no further than the key."""
    path = "/admin/v1/rules/simulate"
    rule = {"entity": "customer", "region": "UK", "stage": "live"}
    told = client.post(path, json={"rules": [rule], "days": 3})
    assert (told.status_code, told.json()["days"]) == (200, 3)
    assert world.simulation.draft == {("customer", "UK"): Stage.LIVE}
    for body, status, pointer in (
        ({"rules": []}, 400, "/rules"),
        ({"rules": [rule, rule]}, 422, "/rules/1"),
        ({"rules": [{**rule, "stage": "x"}]}, 400, "/rules/0/stage"),
        ({"rules": [rule], "days": 91}, 400, "/days"),
    ):
        refused = client.post(path, json=body)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (status, pointer)
