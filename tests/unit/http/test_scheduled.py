"""Changes of rules at a time over HTTP, over stand-ins: what goes inwards, and what is refused before."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.routing.stage import Stage
from tests.unit.http.fakes import World

Client = TestClient[Any]
BASE = "/admin/v1/scheduled-changes"
AT = "2027-01-09T22:00:00Z"
CHANGE: dict[str, Any] = {
    "stage": "shadow",
    "reason": "in the night",
    "expected_version": 1,
    "effective_at": AT,
}
SWITCH: dict[str, Any] = {
    "entity": "customer",
    "region": "UK",
    "stage": "live",
    "reason": "in the night",
    "at": AT,
}


def _as(client: Client, name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}"}


def test_a_change_with_a_moment_is_not_made_now(world: World, client: Client) -> None:
    """202 with the change, where it is found again, in the list too; the rule stays, and what else was asked for is
    kept with it."""
    before = client.get("/admin/v1/rules").json()
    answer = client.put("/admin/v1/rules/customer/UK", json={**CHANGE, "storable": False})
    assert answer.status_code == 202, answer.text
    told = answer.json()
    assert answer.headers["Location"] == f"{BASE}/{told['id']}" == told["href"]
    assert (told["state"], told["effective_at"]) == ("scheduled", "2027-01-09T22:00:00.000000Z")
    (wish,) = world.schedule.wishes
    assert (wish.stage, wish.expected_version, wish.rule, wish.two_person) == (
        Stage.SHADOW, 1, {"storable": False}, False,
    )  # fmt: skip
    assert client.get(told["href"]).json() == told
    assert client.get(BASE).json()["items"] == [told]
    assert client.get("/admin/v1/rules").json() == before


def test_a_switch_with_a_moment_waits_for_another_person(world: World, client: Client) -> None:
    """It is asked for as a switch and approved as a plan: not by whoever asked, not for another plan."""
    told = client.post("/admin/v1/switches", json=SWITCH).json()
    assert (told["state"], told["two_person"]) == ("requested", True)
    assert world.switches.wishes == []
    approve = f"{told['href']}/approve"
    own = client.post(approve, json={"plan_hash": "a" * 64})
    assert (own.status_code, own.json()["type"].rsplit(":", 1)[-1]) == (403, "second-person-needed")
    other = client.post(approve, json={"plan_hash": "b" * 64}, headers=_as(client, "uk"))
    assert (other.status_code, other.json()["plan_hash"]) == (409, "a" * 64)
    right = client.post(approve, json={"plan_hash": "a" * 64}, headers=_as(client, "uk"))
    assert (right.status_code, right.json()["state"]) == (200, "scheduled")


def test_an_end_needs_a_reason(client: Client) -> None:
    """A change is cancelled with a reason, which is kept; one that is not there is 404."""
    told = client.put("/admin/v1/rules/customer/UK", json=CHANGE).json()
    blank = client.post(f"{told['href']}/cancel", json={"reason": ""})
    assert (blank.status_code, blank.json()["errors"][0]["pointer"]) == (400, "/reason")
    ended = client.post(f"{told['href']}/cancel", json={"reason": "not this month"}).json()
    assert (ended["state"], ended["problem"]["message"]) == ("cancelled", "not this month")
    assert client.get(f"{BASE}/sch_0198f0c2-7b10-7f44-9a01-000000000099").status_code == 404
    assert client.get(f"{BASE}/swi_0198f0c2-7b10-7f44-9a01-000000000001").status_code == 404


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        ({"at": "tomorrow"}, 400, "/at"),
        ({"at": "2027-01-09T22:00:00"}, 400, "/at"),
        ({"emergency": True}, 422, "/at"),
        ({"region": "MARS"}, 400, "/region"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_bad_input_names_its_place(
    world: World, client: Client, changes: dict[str, Any], status: int, pointer: str
) -> None:
    """Nothing goes inwards, and the problem points at the member: a moment has a zone, and an emergency is now."""
    answer = client.post("/admin/v1/switches", json={**SWITCH, **changes})
    assert answer.status_code == status, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert world.schedule.wishes == []
