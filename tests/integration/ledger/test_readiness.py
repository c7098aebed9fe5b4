"""Readiness as it is measured in the journal, beside the two simulated ERPs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import update

from gateway.compare.tables import compare_job
from gateway.readiness import gates, signing
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh
from tests.systems.sandbox import Sandbox

PATH = f"/admin/v1/readiness/customer/{REGION}"


async def _gates(world: World) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    told = (await world.get(PATH)).json()
    return told, {gate["name"]: gate for gate in told["gates"]}


async def _compared(world: World, many: int) -> None:
    async def done() -> bool:
        _, found = await _gates(world)
        return found["compares"]["sample"] >= many

    await world.until(done, f"{many} comparisons")


async def test_a_slice_that_is_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With evidence enough the slice lacks nothing but the sets that were never reconciled; its kinds are counted; the
    hash stays the same while only traffic grows, and moves with the rule."""
    monkeypatch.setattr(gates, "LEAST_COMPARES", 30)
    told, found = await _gates(world)
    assert told["verdict"] == "inconclusive"
    assert found["compares"]["verdict"] == found["lag"]["verdict"] == "inconclusive"
    await asyncio.gather(
        *(
            world.made(
                "customers", customer(number=fresh(), currency=("GBP", "EUR")[n % 2]), Prefer="wait=25"
            )
            for n in range(32)
        )
    )
    await world.quiet()
    await _compared(world, 32)
    await world.stage("customer", Stage.SHADOW)
    await world.stage("customer", Stage.LIVE)
    await world.stage("customer", Stage.SHADOW)
    told, found = await _gates(world)
    open_ = {name: gate for name, gate in found.items() if gate["verdict"] != "pass"}
    assert set(open_) == {"reconciliation"}, open_
    assert (told["stage"], told["next"], told["verdict"]) == ("shadow", "live", "inconclusive")
    kinds = {(one["field"], one["value"]): (one["records"], one["compared"]) for one in told["variants"]}
    assert kinds["currency", "EUR"] == kinds["currency", "GBP"] == (16, 16)
    assert kinds["state", "prospect"] == (32, 32), kinds
    days = await world.gateway.readiness.trend("customer", REGION)
    assert (len(days), days[-1].compares, days[-1].match) == (30, 32, 32)
    before = told["evidence_hash"]
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await _compared(world, 33)
    told, _ = await _gates(world)
    assert told["evidence_hash"] == before
    await world.stage("customer", Stage.DUAL_WRITE)
    told, _ = await _gates(world)
    assert told["evidence_hash"] != before


async def test_what_stands_in_the_way(world: World) -> None:
    """A record that parts, a delivery that waits for a person with its case, a kind that was never compared: each fails
    or holds back its own gate, and is named."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    native = world.sandbox.effects("cloud", external_id=record["id"])[-1]["key"]
    world.sandbox.edit("cloud", "customer", native, {"Name": "Somebody else"})
    await world.stage("customer", Stage.SHADOW)
    await world.get(f"/v1/customers/{record['id']}")

    async def parted() -> bool:
        _, found = await _gates(world)
        return found["mismatches"]["verdict"] == "fail"

    await world.until(parted, "the mismatch")
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    await world.made("customers", customer(number=fresh(), currency="CHF"))
    await world.quiet()
    told, found = await _gates(world)
    assert told["verdict"] == "fail"
    assert found["deliveries"]["measure"] == "1 parked, 0 unknown"
    assert (found["cases"]["verdict"], found["cases"]["measure"]) == ("fail", "1")
    assert found["crosswalk"]["verdict"] == "fail"
    assert found["coverage"]["details"] == ["never compared: currency CHF, 1 records"]


async def test_what_waits_to_be_compared_is_not_covered(world: World) -> None:
    """A record whose comparison is still to come counts as seen, not as compared."""
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await _compared(world, 1)
    await world.gateway.database.transaction(
        lambda conn: conn.execute(update(compare_job).values(due_at=2**50))
    )
    _, found = await _gates(world)
    assert found["coverage"]["verdict"] == "pass"
    await world.gateway.comparer.stop()
    await world.made("customers", customer(number=fresh(), currency="SEK"))
    _, found = await _gates(world)
    assert "never compared: currency SEK, 1 records" in found["coverage"]["details"]


async def test_the_way_back_is_told(world: World) -> None:
    """Before the switch there is none; after it the slice can go back; at the end of the way it cannot."""
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    backs: list[str | None] = []
    for stage in (Stage.SHADOW, Stage.LIVE, Stage.RAMP_DOWN, Stage.CLOUD_ONLY):
        await world.stage("customer", stage)
        told, _ = await _gates(world)
        backs.append(told["way_back"]["verdict"])
    assert backs == [None, "pass", "pass", "fail"]


async def test_a_signed_report(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else than who made the last change signs the hash of what there is. It counts once, for as long as the
    evidence stands and for half an hour at most; the audit keeps it."""
    headers: dict[str, dict[str, str]] = {}
    for name in ("operator", "approver"):
        key, _ = await world.gateway.keys.create(name, role="admin", actor="tests")
        headers[name] = {"Authorization": f"Bearer {key}"}

    async def sign(who: str, evidence: str) -> httpx.Response:
        body = {"evidence_hash": evidence}
        return await world.client.post(f"{PATH}/sign", json=body, headers=headers[who])

    rule = next(one for one in await world.gateway.slices.all() if (one.entity, one.region) == ("customer", REGION))
    change = {"stage": "shadow", "reason": "compare", "expected_version": rule.version}
    moved = await world.client.put(f"/admin/v1/rules/customer/{REGION}", json=change, headers=headers["operator"])
    assert moved.status_code == 200, moved.text
    told, _ = await _gates(world)
    assert told["signatures"] == []
    own = await sign("operator", told["evidence_hash"])
    assert (own.status_code, own.json()["type"].rsplit(":", 1)[-1]) == (403, "second-person-needed")
    other = await sign("approver", "0" * 64)
    assert (other.status_code, other.json()["evidence_hash"]) == (409, told["evidence_hash"])
    for _ in range(2):
        signed = await sign("approver", told["evidence_hash"])
        assert [one["signed_by"] for one in signed.json()["signatures"]] == ["approver"]
    assert (await _gates(world))[0]["signatures"] == signed.json()["signatures"]
    with monkeypatch.context() as patch:
        patch.setattr(signing, "VALID_S", 0)
        assert (await _gates(world))[0]["signatures"] == []
    await world.stage("customer", Stage.DUAL_WRITE)
    assert (await _gates(world))[0]["signatures"] == []
    acts = (await world.get("/admin/v1/audit?action=readiness.sign")).json()["items"]
    assert {(act["actor"], act["subject"], act["detail"]["evidence"]) for act in acts} == {
        ("approver", f"customer/{REGION}", told["evidence_hash"])
    }


async def test_a_slice_that_may_go_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything measured and in order: compared, rehearsed, the whole sets reconciled with nothing unexplained. Then
    somebody writes into the mirror behind our back, and the next reconciliation holds the slice back."""
    monkeypatch.setattr(gates, "LEAST_COMPARES", 30)
    erps = Sandbox(tmp_path, scale="empty")
    try:
        own = {
            name: msgspec.structs.replace(one, base_url=erps.urls[name]) for name, one in settings.systems.items()
        }
        async with opened(msgspec.structs.replace(settings, systems=own), erps) as world:
            made = await asyncio.gather(
                *(world.made("customers", customer(number=fresh()), Prefer="wait=25") for _ in range(32))
            )
            await world.quiet()
            await _compared(world, 32)
            for stage in (Stage.SHADOW, Stage.LIVE, Stage.SHADOW):
                await world.stage("customer", stage)
            await _reconcile(world)
            told, found = await _gates(world)
            assert told["verdict"] == "pass", [gate for gate in found.values() if gate["verdict"] != "pass"]
            native = world.sandbox.effects("cloud", external_id=made[0]["id"])[-1]["key"]
            world.sandbox.edit("cloud", "customer", native, {"Name": "Somebody else"})
            await _reconcile(world)
            told, found = await _gates(world)
            assert (told["verdict"], found["reconciliation"]["verdict"]) == ("fail", "fail")
            assert found["reconciliation"]["measure"].endswith("1 unexplained")
    finally:
        erps.stop()


async def _reconcile(world: World) -> None:
    begun = await world.client.post(
        "/admin/v1/reconciliations", json={"entity": "customer", "region": REGION, "reason": "test"}
    )
    assert begun.status_code in (201, 202), begun.text

    async def done() -> bool:
        return (await world.get(begun.headers["Location"])).json()["state"] != "running"

    await world.until(done, "the reconciliation", within_s=60)
    ended = (await world.get(begun.headers["Location"])).json()
    assert ended["state"] == "done", ended
