"""Switches and readiness from the command line, beside a gateway that serves."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.cli.commands import run
from gateway.routing.stage import Stage
from tests.integration.ledger.world import REGION, World, customer, fresh, project
from tests.systems.sandbox import SYSTEMS

Captured = pytest.CaptureFixture[str]


@pytest.fixture
async def beside(world: World, journal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The settings of the world in the environment of the commands."""
    monkeypatch.setenv("TWINRUN_DATABASE", journal)
    for name in SYSTEMS:
        monkeypatch.setenv(f"TWINRUN_SYSTEMS__{name.upper()}__BASE_URL", world.sandbox.urls[name])
    monkeypatch.chdir(tmp_path)
    return world


async def _run(capsys: Captured, *words: str) -> tuple[int, Any]:
    """The exit code and the document of one command."""
    code = await asyncio.to_thread(run, [*words, "--json"])
    said = capsys.readouterr().out
    return code, json.loads(said) if said.startswith(("{", "[")) else said


async def _key(world: World, folder: Path, role: str) -> str:
    key, _ = await world.gateway.keys.create(role, role=role, actor="tests")
    path = folder / f"{role}.key"
    await asyncio.to_thread(path.write_text, key)
    return str(path)


async def test_two_people_at_two_terminals(beside: World, tmp_path: Path, capsys: Captured) -> None:
    """One asks; the same person may not approve; another does, with the hash of the evidence, and waits until it has
    ended. The list and the single switch say who did what."""
    world = beside
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)
    operator, approver = await _key(world, tmp_path, "operator"), await _key(world, tmp_path, "approver")
    code, asked = await _run(
        capsys, "switch", "request", "customer", REGION, "live", "--reason", "ready", "--key-file", operator
    )
    assert (code, asked["state"], asked["requested_by"]) == (0, "requested", "operator")
    approve = ("switch", "approve", asked["id"], "--evidence", asked["evidence_hash"], "--key-file")
    code, _ = await _run(capsys, *approve, operator)
    assert code == 2  # its key lacks the scope
    code, _ = await _run(
        capsys, "switch", "approve", asked["id"], "--evidence", "0" * 64, "--key-file", approver
    )
    assert code == 2
    code, ended = await _run(capsys, *approve, approver)
    assert (code, ended["state"], ended["approved_by"]) == (0, "committed", "approver")
    assert (await world.get("/admin/v1/switches")).json()["items"][0] == ended
    code, listed = await _run(capsys, "switch", "--entity", "customer")
    assert [one["id"] for one in listed["items"]] == [asked["id"]]
    code, one = await _run(capsys, "switch", "status", asked["id"])
    assert one == ended
    code, _ = await _run(capsys, "switch", "abort", asked["id"], "--reason", "too late")
    assert code == 2


async def test_an_emergency_at_two_terminals(beside: World, tmp_path: Path, capsys: Captured) -> None:
    """One asks to leave the cloud and is shown what would be stranded; nobody approves without a key; an approver does,
    and the legacy leads."""
    world = beside
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)
    code, _ = await _run(capsys, "switch", "emergency", "customer", REGION, "--reason", "down")
    assert code == 1  # the legacy leads
    await world.stage("customer", Stage.LIVE)
    world.sandbox.fault("cloud", "outage")
    ask = ("switch", "emergency", "customer", REGION, "--reason", "the cloud is down", "--key-file")
    code, asked = await _run(capsys, *ask, await _key(world, tmp_path, "operator"))
    assert (code, asked["kind"], asked["evidence"]["stranded"]["count"]) == (0, "emergency", 0)
    approve = ("switch", "approve", asked["id"], "--evidence", asked["evidence_hash"])
    code, _ = await _run(capsys, *approve)
    assert code == 2
    code, ended = await _run(capsys, *approve, "--key-file", await _key(world, tmp_path, "approver"))
    assert (code, ended["state"], ended["to_authority"]) == (0, "committed", "legacy")
    assert await asyncio.to_thread(run, ["switch", "status", asked["id"]]) == 0
    shown = capsys.readouterr()
    assert "0 writes are stranded" in shown.err
    assert "0 stranded, 0 taken back" in shown.err


async def test_a_change_at_a_time(beside: World, tmp_path: Path, capsys: Captured) -> None:
    """Asked for, listed, approved by another person where two are needed, cancelled with a reason; a moment that cannot
    be read and one that is over are bad input, and a leap is refused by its gate."""
    world = beside
    schedule = ("rules", "schedule", "customer", REGION, "shadow", "--reason", "in the night", "--at")
    code, told = await _run(capsys, *schedule, "2030-01-05T22:00:00Z")
    assert code == 2  # farther ahead than a year
    code, _ = await _run(capsys, *schedule, "tomorrow")
    assert code == 2
    at = (datetime.now(UTC) + timedelta(days=2)).isoformat()
    code, told = await _run(capsys, *schedule, at)
    assert (code, told["state"], told["from_stage"]) == (0, "scheduled", "dual_write")
    code, _ = await _run(capsys, "rules", "schedule", "customer", REGION, "cloud_only", "--reason", "x", "--at", at)
    assert code == 1
    operator, approver = await _key(world, tmp_path, "operator"), await _key(world, tmp_path, "approver")
    later = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    move = ("rules", "schedule", "customer", REGION, "live", "--reason", "at the weekend", "--at", later)
    code, asked = await _run(capsys, *move, "--two-person", "--key-file", operator)
    assert (code, asked["state"], asked["from_stage"]) == (0, "requested", "shadow")
    approve = ("rules", "approve", asked["id"], "--plan", asked["plan_hash"], "--key-file")
    assert (await _run(capsys, *approve, operator))[0] == 2
    code, approved = await _run(capsys, *approve, approver)
    assert (code, approved["state"], approved["approved_by"]) == (0, "scheduled", "approver")
    code, listed = await _run(capsys, "rules", "scheduled", "--entity", "customer")
    assert [one["id"] for one in listed["items"]] == [asked["id"], told["id"]]
    code, ended = await _run(capsys, "rules", "unschedule", asked["id"], "--reason", "not this month")
    assert (code, ended["state"]) == (0, "cancelled")
    assert (await world.get(f"/admin/v1/scheduled-changes/{asked['id']}")).json() == ended
    assert await asyncio.to_thread(run, ["rules", "scheduled"]) == 0
    assert "not this month" in capsys.readouterr().out
    assert (await _run(capsys, "rules", "guards"))[1]["items"] == []


async def test_who_asks_at_the_terminal_does_not_approve_there(beside: World, capsys: Captured) -> None:
    """Without a key a person at the terminal is one person: what they have asked for another has to approve."""
    world = beside
    await world.stage("customer", Stage.SHADOW)
    code, asked = await _run(capsys, "switch", "request", "customer", REGION, "live", "--reason", "ready")
    assert code == 0
    code, _ = await _run(capsys, "switch", "approve", asked["id"], "--evidence", asked["evidence_hash"])
    assert code == 2
    code, ended = await _run(capsys, "switch", "abort", asked["id"], "--reason", "not now")
    assert (code, ended["state"]) == (0, "aborted")


async def test_readiness_ends_with_its_verdict(beside: World, tmp_path: Path, capsys: Captured) -> None:
    """Exit code 3 for too little evidence, 1 for what fails; JSON is that of the API; CSV and a page on request."""
    world = beside
    await world.stage("customer", Stage.SHADOW)
    code, told = await _run(capsys, "readiness", "--entity", "customer", "--region", REGION)
    assert (code, told["verdict"]) == (3, "inconclusive")
    served = (await world.get(f"/admin/v1/readiness?entity=customer&region={REGION}")).json()
    assert {**told["items"][0], "at": None} == {**served["items"][0], "at": None}
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    code, told = await _run(capsys, "readiness", "--entity", "customer", "--region", REGION)
    assert (code, told["verdict"]) == (1, "fail")
    assert await asyncio.to_thread(run, ["readiness", "--as", "csv", "--entity", "customer"]) == 1
    assert capsys.readouterr().out.startswith("entity,region,stage")
    assert await asyncio.to_thread(run, ["readiness", "--as", "html", "--region", REGION]) == 1
    assert "<!doctype html>" in capsys.readouterr().out
    assert await asyncio.to_thread(run, ["readiness", "--region", "MARS"]) == 2


async def test_a_draft_against_the_recorded_writes(beside: World, capsys: Captured) -> None:
    """Each recorded write is routed again: those of a slice that the draft moves are led by the other system, others
    stay; a dependency that would break is named, and ends with code 1; nothing is changed."""
    world = beside
    owner = await world.made("customers", customer(number=fresh()))
    for number in range(3):
        await world.patch("customers", owner["id"], {"phone": str(number)})
    await world.made("projects", project(owner["id"]))
    before = (await world.get("/admin/v1/rules")).json()
    slice_ = f"customer/{REGION}"
    code, told = await _run(capsys, "rules", "simulate", "--to", f"{slice_}=live")
    assert code == 0
    (move,) = told["moves"]
    assert (move["writes"], move["rerouted"], move["leap"], move["switches"]) == (4, 4, True, True)
    load = {one["system"]: one for one in told["load"]}
    assert (load["legacy"]["first"], load["legacy"]["draft_first"]) == (5, 1)
    assert (load["cloud"]["first"], load["cloud"]["draft_first"]) == (0, 4)
    assert (load["cloud"]["then"], load["cloud"]["draft_then"]) == (5, 1)
    body = {"rules": [{"entity": "project", "region": REGION, "stage": "live"}], "days": 1}
    served = (await world.client.post("/admin/v1/rules/simulate", json=body)).json()
    assert [(one["entity"], one["depends_on"], one["writes"]) for one in served["breaks"]] == [
        ("project", "customer", 1)
    ]
    code, _ = await _run(capsys, "rules", "simulate", "--to", f"project/{REGION}=live")
    assert code == 1
    code, _ = await _run(capsys, "rules", "simulate", "--to", "customer/MARS=live")
    assert code == 2
    assert (await world.get("/admin/v1/rules")).json() == before
    await world.quiet()
