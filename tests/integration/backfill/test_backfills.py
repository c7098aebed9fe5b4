"""Backfills over two simulated ERPs, on both databases, judged from what the ERPs say was done to them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.backfill import Run
from gateway.backfill.run import Act, State
from gateway.crash import VARIABLE
from gateway.errors import BackfillRunning, BackfillStale, Invalid
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh
from tests.integration.reconcile.test_runs import environment
from tests.systems.sandbox import Sandbox

ROOT = Path(__file__).parents[3]
ENTITY, COLLECTION = "customer", "customers"


async def firm(world: World, stage: Stage, count: int) -> list[dict[str, Any]]:
    """Customers that only the authority of a one-system stage has got."""
    await world.stage(ENTITY, stage, region=REGION, override=True)
    return list(
        await asyncio.gather(
            *(world.made(COLLECTION, customer(number=fresh("C")), key=fresh()) for _ in range(count))
        )
    )


async def ended(world: World, run: Run, *, by_hand: bool = False) -> Run:
    """The run once nobody works on it any more."""

    async def over() -> Run | None:
        if by_hand:
            await world.gateway.backfiller.run_once()
        now = await world.gateway.backfiller.get(run.id)
        return now if now.state not in (State.RUNNING, State.VERIFYING) else None

    return await world.until(over, f"{run.id} has ended", 60.0)


def creates(world: World, system: str) -> Counter[str]:
    """How often each number was created in a system, by its own account."""
    found: Counter[str] = Counter()
    for effect in world.effects(system, entity=ENTITY, limit=5000):
        if effect["op"] == "create":
            found[effect["key"]] += 1
    return found


@pytest.mark.parametrize(
    ("alone", "together", "target"),
    [
        pytest.param(Stage.LEGACY_ONLY, Stage.DUAL_WRITE, "cloud", id="legacy to cloud"),
        pytest.param(Stage.CLOUD_ONLY, Stage.RAMP_DOWN, "legacy", id="cloud to legacy"),
    ],
)
async def test_an_empty_mirror_becomes_complete_while_live_writes_race(
    world: World, alone: Stage, together: Stage, target: str
) -> None:
    """Every record is in the mirror once, a live write that raced is the last word on both sides, a second run finds
    nothing to do."""
    made = await firm(world, alone, 60)
    await world.stage(ENTITY, together, region=REGION, override=True)
    run = await world.gateway.backfiller.start(ENTITY, REGION, actor="tests", reason="go")
    with pytest.raises(BackfillRunning):
        await world.gateway.backfiller.start(ENTITY, REGION, actor="tests")
    for one in made[::3]:
        answer = await world.patch(COLLECTION, one["id"], {"name": f"Live {one['number']}"}, key=fresh())
        assert answer.status_code == 200, answer.text
    done = await ended(world, run)
    await world.quiet()
    assert done.complete, done
    assert (done.total, done.read) == (60, 60)
    assert done.linked + done.created + done.present + done.superseded == 60
    assert set(creates(world, target).values()) == {1}
    assert len(creates(world, target)) == 60
    adapter = world.gateway.adapters[target]
    for one in made:
        (held,) = await adapter.find(ENTITY, external_id=one["id"]) or (None,)
        told = (await world.get(f"/v1/{COLLECTION}/{one['id']}")).json()
        native = told["external_refs"][target]
        held = await adapter.fetch(ENTITY, native)
        assert held.fields["name"] == told["name"]
    again = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
    assert (again.present, again.created, again.complete) == (60, 0, True)
