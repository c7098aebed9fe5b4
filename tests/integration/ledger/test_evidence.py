"""The hash of a readiness report: it stands still under traffic, and moves with whatever a person has to weigh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.readiness import gates
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.test_readiness import _compared, _gates, _reconcile
from tests.integration.ledger.world import REGION, World, customer, fresh, project
from tests.systems.sandbox import Sandbox

#: Seconds of traffic under which one hash stands, and between two looks at it.
STANDS_S, LOOK_S = 10.0, 0.2
RECORDS = 32


@pytest.fixture
async def ready(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[World, list[dict[str, Any]]]]:
    """A slice of which every gate passes, in shadow, with its records."""
    monkeypatch.setattr(gates, "LEAST_COMPARES", 30)
    erps = Sandbox(tmp_path, scale="empty")
    try:
        own = {
            name: msgspec.structs.replace(one, base_url=erps.urls[name]) for name, one in settings.systems.items()
        }
        async with opened(msgspec.structs.replace(settings, systems=own), erps) as world:
            made = await asyncio.gather(
                *(world.made("customers", customer(number=fresh()), Prefer="wait=25") for _ in range(RECORDS))
            )
            await world.quiet()
            await _compared(world, RECORDS)
            for stage in (Stage.SHADOW, Stage.LIVE, Stage.SHADOW):
                await world.stage("customer", stage)
            await _reconcile(world)
            assert (await _gates(world))[0]["verdict"] == "pass"
            yield world, made
    finally:
        erps.stop()


async def test_the_hash_stands_under_traffic(ready: tuple[World, list[dict[str, Any]]]) -> None:
    """While writes come in, deliveries are under way and comparisons are made, a slice that passes has one hash for ten
    seconds, so that whoever has looked at the report can still sign it; the figures beside it move."""
    world, made = ready
    over = asyncio.Event()

    async def traffic(own: list[dict[str, Any]]) -> None:
        number = 0
        while not over.is_set():
            number += 1
            for one in own:
                answer = await world.patch("customers", one["id"], {"phone": str(number)})
                assert answer.status_code == 200, answer.text

    # Some records are left alone: what waits to be compared covers no kind.
    writers = [asyncio.create_task(traffic(made[n : n + 4])) for n in (0, 4, 8)]
    try:
        found: list[tuple[str, str, tuple[str, ...], tuple[Any, ...]]] = []
        clock = asyncio.get_running_loop().time
        end = clock() + STANDS_S
        while clock() < end:
            told, seen = await _gates(world)
            figures = (seen["deliveries"]["details"], seen["compares"]["measure"], seen["lag"]["measure"])
            verdicts = tuple(one["verdict"] for one in told["gates"])
            found.append((told["evidence_hash"], told["verdict"], verdicts, figures))
            await asyncio.sleep(LOOK_S)
    finally:
        over.set()
        await asyncio.gather(*writers)
    assert {verdict for _, verdict, _, _ in found} == {"pass"}
    assert len({hashed for hashed, _, _, _ in found}) == 1
    assert len({str(figures) for _, _, _, figures in found}) > 3, "nothing moved"
    key, _ = await world.gateway.keys.create("approver", role="admin", actor="tests")
    answer = await world.client.post(
        f"/admin/v1/readiness/customer/{REGION}/sign",
        json={"evidence_hash": found[0][0]},
        headers={"Authorization": f"Bearer {key}"},
    )
    assert answer.status_code == 200, answer.text


async def test_the_hash_moves_with_what_is_to_be_weighed(ready: tuple[World, list[dict[str, Any]]]) -> None:
    """A new mismatch, another one in its stead, a waiver, and another stage or epoch: each makes another hash, also
    where no verdict changes, and going back to what was makes none of the old ones."""
    world, made = ready
    hashes = [(await _gates(world))[0]["evidence_hash"]]

    async def another(what: str) -> dict[str, Any]:
        async def moved() -> dict[str, Any] | None:
            told, _ = await _gates(world)
            return told if told["evidence_hash"] not in hashes else None

        told = await world.until(moved, what)
        hashes.append(told["evidence_hash"])
        return told

    async def parts(record: dict[str, Any], name: str) -> None:
        native = world.sandbox.effects("cloud", external_id=record["id"])[-1]["key"]
        world.sandbox.edit("cloud", "customer", native, {"Name": name})
        verdict = "match" if name == record["name"] else "mismatch"

        async def seen() -> bool:
            await world.get(f"/v1/customers/{record['id']}")
            items = (await world.get(f"/admin/v1/diffs?entity=customer&verdict={verdict}")).json()["items"]
            return verdict == "match" or record["id"] in {one["record_id"] for one in items}

        await world.until(seen, f"{record['id']} is a {verdict}")

    await parts(made[0], "Somebody else")
    told = await another("a new mismatch")
    assert told["verdict"] == "fail"
    await parts(made[1], "Somebody else")
    await another("one more")
    await parts(made[0], made[0]["name"])
    await another("the first is over: another record than before")
    wish = {
        "entity": "customer", "region": REGION, "field": "phone", "class": "value", "reason": "to be cleaned",
        "owner": "steward", "expires_at": (datetime.now(UTC) + timedelta(days=20)).isoformat(),
    }  # fmt: skip
    for _ in range(2):
        assert (await world.client.post("/admin/v1/waivers", json=wish)).status_code == 201
        await another("a waiver")
        wish["field"] = "email"
    for stage in (Stage.DUAL_WRITE, Stage.SHADOW):
        await world.stage("customer", stage)
        await another(stage)


async def test_who_would_wait_for_what_a_stage_keeps_from_them(world: World) -> None:
    """The gate of the dependants fails, and names them, as long as the next stage takes a mirror away to which
    entities that refer to this one still write; no move is refused for it."""
    owner = await world.made("customers", customer(number=fresh("C")))
    await world.made("projects", project(owner["id"], number=fresh("P")))
    await world.quiet()
    for stage in (Stage.SHADOW, Stage.LIVE):
        await world.stage("customer", stage)
        _, found = await _gates(world)
        assert found["dependants"]["verdict"] == "pass"
    await world.stage("customer", Stage.RAMP_DOWN)
    _, found = await _gates(world)
    gate = found["dependants"]
    assert (gate["verdict"], gate["measure"]) == ("fail", "4 would wait for it")
    assert [one.partition(" ")[0] for one in gate["details"]] == ["contract", "project", "invoice", "payment"]
    assert gate["details"][1] == (
        f"project in {REGION} is dual_write and still writes to legacy, which would get no new customer any more: "
        "move project out of legacy first"
    )
    assert (await world.stage("customer", Stage.CLOUD_ONLY)).stage is Stage.CLOUD_ONLY
    _, found = await _gates(world)
    assert found["dependants"]["verdict"] == "pass"


async def test_without_the_feed_nothing_is_required_of_it(world: World) -> None:
    """Where edits are not followed the gate of the feeds passes, and says that it is not required, and why."""
    _, found = await _gates(world)
    gate = found["change_feed"]
    assert gate["verdict"] == "pass"
    assert gate["measure"] == "not required: change_feed is false in the settings: set it to true"
