"""Bulk replays at the rim: what goes inwards, what comes back, what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay_runs import Refusal
from tests.unit.http.fakes import World, replay_run

Client = TestClient[Any]
PATH = "/admin/v1/deliveries/replay"
UK = {"Authorization": "Bearer uk"}
ALL: dict[str, Any] = {"regions": None, "entities": None}


def test_a_dry_run_counts_and_begins_nothing(client: Client, world: World) -> None:
    """It needs no reason, and says up to which moment it counted."""
    answer = client.post(PATH, json={"system": "cloud", "code": "VAT", "dry_run": True})
    assert answer.status_code == 200
    assert answer.json() == {
        "dry_run": True,
        "count": 0,
        "superseded": 0,
        "refused": 0,
        "until": "2026-01-02T03:04:05.000000Z",
        "causes": [],
    }
    assert world.replays.asked == [{"forecast": Narrowed(system="cloud", code="VAT"), **ALL}]


def test_a_run_begins_and_is_followed(client: Client, world: World) -> None:
    """202 names where it stands; there it is found, listed and cancelled."""
    wish = {"entity": "invoice", "region": "UK", "cause": "0a1b", "reason": "known now"}
    answer = client.post(PATH, json={**wish, "since": "2026-01-01T01:00:00+01:00"})
    assert (answer.status_code, answer.headers["location"]) == (202, "/admin/v1/replays/rpl_1")
    body = answer.json()
    assert body["filter"] == {
        "entity": "invoice", "region": "UK", "cause": "0a1b", "since": "2026-01-01T00:00:00.000000Z",
    }  # fmt: skip
    assert (body["id"], body["state"], body["total"], body["done"]) == ("rpl_1", "running", 4, 0)
    started = world.replays.asked[-1]
    assert (started["actor"], started["reason"]) == ("all", "known now")
    assert started["start"].since == datetime(2026, 1, 1, tzinfo=UTC)
    assert client.get(answer.headers["location"]).json() == body
    assert client.get("/admin/v1/replays").json() == {"items": [body], "next_cursor": None}
    cancelled = client.post("/admin/v1/replays/rpl_1/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")


def test_progress_and_refusals_are_told(client: Client, world: World) -> None:
    """How many were decided on, each way, and why some were not sent."""
    refusal = Refusal(delivery="dlv_9", operation="op_9", reason="a newer write is there")
    run = replay_run(7, replayed=2, superseded=1, refused=1, state="done", refusals=(refusal,))
    world.replays.runs = [run]
    body = client.get("/admin/v1/replays/rpl_7").json()
    assert (body["done"], body["total"]) == (4, 4)
    assert body["refusals"] == [
        {"delivery": "dlv_9", "operation": "op_9", "reason": "a newer write is there"}
    ]
    assert client.post("/admin/v1/replays/rpl_7/cancel").status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        pytest.param({"system": "elsewhere", "reason": "x"}, 400, "/system", id="system"),
        pytest.param({"entity": "cat", "reason": "x"}, 400, "/entity", id="entity"),
        pytest.param({"region": "MARS", "reason": "x"}, 400, "/region", id="region"),
        pytest.param({"since": "yesterday", "reason": "x"}, 400, "/since", id="since"),
        pytest.param({"all": True, "reason": "x"}, 400, "/all", id="unknown member"),
        pytest.param({"system": "cloud"}, 422, "/reason", id="no reason"),
    ],
)
def test_what_cannot_be_meant(
    client: Client, world: World, body: dict[str, Any], status: int, pointer: str
) -> None:
    """A wrong filter is refused with its place; an ignored one would send more than was meant."""
    answer = client.post(PATH, json=body)
    assert answer.status_code == status
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert world.replays.asked == []


def test_a_limited_key(client: Client, world: World) -> None:
    """Its reach goes inwards with every question, and a region that is not its own is refused."""
    assert client.post(PATH, json={"reason": "x"}, headers=UK).status_code == 202
    client.get("/admin/v1/replays", headers=UK)
    client.get("/admin/v1/replays/rpl_1", headers=UK)
    client.post("/admin/v1/replays/rpl_1/cancel", headers=UK)
    scoped = [one for one in world.replays.asked if "regions" in one]
    assert {one["regions"] for one in scoped} == {frozenset({"UK"})}
    assert len(scoped) == 4
    assert client.post(PATH, json={"region": "US", "reason": "x"}, headers=UK).status_code == 403


def test_pages(client: Client, world: World) -> None:
    """The newest first; the cursor goes on where the page ended."""
    world.replays.runs = [replay_run(number) for number in (5, 4, 3, 2, 1)]
    first = client.get("/admin/v1/replays?limit=2").json()
    assert [one["id"] for one in first["items"]] == ["rpl_5", "rpl_4"]
    second = client.get("/admin/v1/replays", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in second["items"]] == ["rpl_3", "rpl_2"]
    assert client.get("/admin/v1/replays/nonsense").status_code == 404
