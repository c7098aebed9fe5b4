"""The operations side, over stand-ins."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.audit import record
from gateway.clock import SystemClock
from gateway.compare.observation import Diff
from gateway.compare.verdict import Verdict
from gateway.database import Database, metadata
from gateway.database.engine import sqlite_engine
from gateway.errors import FieldError, RuleRefused, RuleVersionMoved
from tests.unit.http.fakes import World

Client = TestClient[Any]
UK = {"Authorization": "Bearer uk"}
INVOICES = {"Authorization": "Bearer invoices"}
CHANGE = {"stage": "dual_write", "reason": "The cloud side is filled", "expected_version": 1}


def test_rules_in_order_of_entities(client: Client) -> None:
    """Every slice, in the order in which entities depend on each other; a limited key sees its own."""
    items = client.get("/admin/v1/rules").json()["items"]
    assert [item["entity"] for item in items] == ["customer"] * 3 + ["invoice"] * 3
    assert items[0]["stage"] == "legacy_only"
    assert {item["region"] for item in client.get("/admin/v1/rules", headers=UK).json()["items"]} == {"UK"}
    assert {item["entity"] for item in client.get("/admin/v1/rules", headers=INVOICES).json()["items"]} == {
        "invoice"
    }


def test_rule_is_changed_by_who_asks(world: World, client: Client) -> None:
    """A change goes inwards with the caller's name and the version that it is based on."""
    answer = client.put("/admin/v1/rules/customer/UK", json=CHANGE)
    assert (answer.status_code, answer.json()["version"]) == (200, 2)
    assert world.slices.changes == [
        {
            "entity": "customer",
            "region": "UK",
            "stage": "dual_write",
            "reason": "The cloud side is filled",
            "expected_version": 1,
            "actor": "all",
            "override": False,
            "compare_sample": None,
            "storable": None,
        }
    ]


def test_rule_refusals_name_the_gate(world: World, client: Client) -> None:
    """422 names each gate that forbids the change; 409 says that somebody was faster."""
    world.slices.refuse = RuleRefused(
        errors=[FieldError(pointer="/stage", code="drained", message="2 are open")]
    )
    answer = client.put("/admin/v1/rules/customer/UK", json=CHANGE)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/stage", "code": "drained", "message": "2 are open"}]
    world.slices.refuse = RuleVersionMoved(version=4)
    answer = client.put("/admin/v1/rules/customer/UK", json=CHANGE)
    assert (answer.status_code, answer.json()["version"]) == (409, 4)


def test_rule_out_of_reach_is_not_there(world: World, client: Client) -> None:
    """A key cannot change, or see the history of, a slice outside its regions and entities."""
    assert client.put("/admin/v1/rules/customer/US", json=CHANGE, headers=UK).status_code == 404
    assert client.get("/admin/v1/rules/customer/US/history", headers=UK).status_code == 404
    assert client.put("/admin/v1/rules/customer/UK", json=CHANGE, headers=INVOICES).status_code == 404
    assert world.slices.changes == []


def test_history_page_by_page(client: Client) -> None:
    """The whole history comes in pages, each change once; a cursor is good for its own slice only."""
    seen: list[int] = []
    params: dict[str, str] = {"limit": "3"}
    while True:
        page = client.get("/admin/v1/rules/customer/UK/history", params=params).json()
        seen += [item["version"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == [7, 6, 5, 4, 3, 2, 1]
    assert client.get("/admin/v1/rules/customer/US/history", params=params).status_code == 400


def test_deliveries_page_by_page(world: World, client: Client) -> None:
    """Deliveries come in pages; a limited key gets only its own, and still reaches the end."""
    seen: list[str] = []
    params: dict[str, str] = {"limit": "4", "state": "parked"}
    while True:
        page = client.get("/admin/v1/deliveries", params=params, headers=UK).json()
        seen += [item["id"] for item in page["items"]]
        assert {item["region"] for item in page["items"]} <= {"UK"}
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert seen == ["dlv_7", "dlv_4", "dlv_1"]
    assert world.admin.asked[0]["state"] == "parked"


def test_replay(world: World, client: Client) -> None:
    """A replay goes inwards with the caller's name and reach."""
    answer = client.post("/admin/v1/deliveries/dlv_1/replay", headers=UK)
    assert answer.status_code == 200
    assert world.admin.asked == [
        {"id": "dlv_1", "actor": "uk", "regions": frozenset({"UK"}), "entities": None}
    ]
    assert client.post("/admin/v1/deliveries/nonsense/replay").status_code == 404


def test_journey_stays_within_reach(client: Client) -> None:
    """A journey is shown to a key that may see the record; for others there is no such record."""
    assert client.get("/admin/v1/records/cus_1/journey").json()["record"]["id"] == "cus_1"
    assert client.get("/admin/v1/records/cus_1/journey", headers=UK).status_code == 404
    assert client.get("/admin/v1/records/cus_1/journey", headers=INVOICES).status_code == 404
    assert client.get("/admin/v1/records/xyz_1/journey").status_code == 404


def diff(number: int, region: str) -> Diff:
    return Diff(
        id=f"dif_{number}",
        record_id="cus_1",
        entity="customer",
        region=region,
        verdict=Verdict.MISMATCH,
        why=None,
        authority="legacy",
        other="cloud",
        stage="shadow",
        operation_id=None,
        origin="read",
        rechecks=0,
        fingerprint="f",
        differences=(),
        difference_count=0,
        not_compared=(),
        money={},
        at=1_767_323_045_000_000,
        last_at=1_767_323_045_000_000,
        times=1,
        resolved_at=None,
        resolved_by=None,
    )


async def test_diffs_within_reach(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A diff shows moments in RFC 3339, and only to a key that may see its slice."""

    async def one(diff_id: str) -> Diff:
        return diff(1, "US")

    async def page(**asked: Any) -> list[Diff]:
        world.admin.asked.append(asked)
        return [diff(3, "US"), diff(2, "UK"), diff(1, "UK")][: asked["limit"]]

    monkeypatch.setattr(world.admin, "one", one)
    monkeypatch.setattr(world.admin, "page", page)
    found = client.get("/admin/v1/diffs/dif_1")
    assert found.json()["at"] == "2026-01-02T03:04:05.000000Z"
    assert client.get("/admin/v1/diffs/dif_1", headers=UK).status_code == 404
    listed = client.get(
        "/admin/v1/diffs?limit=2&verdict=mismatch&since=2026-01-01T00:00:00Z", headers=UK
    ).json()
    assert [item["id"] for item in listed["items"]] == ["dif_2"]
    assert listed["next_cursor"]
    assert world.admin.asked[0]["since"] == 1_767_225_600_000_000
    assert world.admin.asked[0]["regions"] == frozenset({"UK"})


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    engine = sqlite_engine(tmp_path / "audit.db")
    metadata.create_all(engine)
    engine.dispose()
    database = Database(f"sqlite:///{tmp_path / 'audit.db'}", clock=SystemClock())
    database.start()
    yield database
    await database.close()


async def test_audit(database: Database) -> None:
    """Acts come the newest first, page by page, narrowed by actor; a limited key sees none of them."""
    for number in range(5):
        await database.transaction(
            lambda connection, number=number: record(
                connection,
                at=number,
                actor="anna" if number % 2 else "bob",
                action="rule.set",
                subject=str(number),
                detail={},
            )
        )
    with TestClient(World(database).app()) as client:
        client.headers["Authorization"] = "Bearer all"
        page = client.get("/admin/v1/audit?limit=2").json()
        assert [act["subject"] for act in page["items"]] == ["4", "3"]
        following = client.get("/admin/v1/audit", params={"cursor": page["next_cursor"]}).json()
        assert [act["subject"] for act in following["items"]] == ["2", "1", "0"]
        assert following["next_cursor"] is None
        mine = client.get("/admin/v1/audit?actor=anna").json()
        assert [act["subject"] for act in mine["items"]] == ["3", "1"]
        assert client.get("/admin/v1/audit", headers=UK).status_code == 403
