"""Repairs that meet records which were merged into others, on both databases."""

from __future__ import annotations

import pytest

from gateway.reconcile import Term
from gateway.repair.run import Action, Outcome
from tests.integration.backfill.test_backfills import lawful
from tests.integration.ledger.test_merges import merged
from tests.integration.ledger.test_switches import Desk, desk_of
from tests.integration.ledger.world import World
from tests.integration.repair.planted import (
    ENTITY,
    MIRROR,
    carried_out,
    deleted,
    edited,
    firm,
    native,
    outcomes,
    planned,
    reconciled,
    records,
    writes,
)


@pytest.fixture
async def desk(world: World) -> Desk:
    return await desk_of(world)


async def test_a_tombstone_is_left_alone(world: World, desk: Desk) -> None:
    """A record that was merged between the plan and its approval is superseded by name and not written; a plan made
    after it has nothing to do for it; and the next reconciliation does not know it as missing or as anything."""
    loser, winner, other = await firm(world, 3)
    there = await edited(world, loser["id"], Name="Wrong")
    await edited(world, other["id"], Name="Wrong too")
    first = await reconciled(world)
    plan = await planned(world, first)
    assert plan.planned == {Action.UPDATE: 2}
    await merged(desk, loser["id"], winner["id"])
    before = writes(world, MIRROR)
    done = await carried_out(world, plan)
    found = await records(world, done)
    assert await outcomes(world, done) == {loser["id"]: Outcome.SUPERSEDED, other["id"]: Outcome.REPAIRED}
    assert found[loser["id"]].why == f"it was merged into {winner['id']}"
    assert writes(world, MIRROR)["update", there] == before["update", there]
    again = await records(world, await planned(world, first))
    assert again[loser["id"]].action is Action.NOTHING
    assert again[loser["id"]].why == f"it was merged into {winner['id']}"
    second = await reconciled(world)
    assert second.terms is not None
    assert second.terms[Term.UNEXPLAINED] == 0
    await lawful(world)


async def test_a_winner_that_cannot_be_made_anew(world: World, desk: Desk) -> None:
    """The link of a winner that the mirror has lost is taken back with the write that is to make it anew. While the
    mirror refuses that one, what was applied of either record before breaks no law of the journal."""
    loser, winner = await firm(world, 2)
    await merged(desk, loser["id"], winner["id"])
    await deleted(world, winner["id"])
    plan = await planned(world, await reconciled(world))
    fault = world.sandbox.fault(MIRROR, "error", status=400, on=["writes"], entity=[ENTITY])
    done = await carried_out(world, plan)
    assert await outcomes(world, done) == {winner["id"]: Outcome.FAILED}
    assert await world.gateway.records.native_ids(MIRROR, [loser["id"], winner["id"]]) == {}
    await lawful(world)
    world.sandbox.heal(MIRROR, fault)


async def test_a_winner_that_is_gone_there_is_made_anew(world: World, desk: Desk) -> None:
    """The mirror has lost the winner and still holds what its tombstone was linked to: the winner is made there anew,
    and both ids mean that one from then on, in a process that knew the old one by heart too."""
    loser, winner = await firm(world, 2)
    left = await native(world, loser["id"])
    await merged(desk, loser["id"], winner["id"])
    gone = await deleted(world, winner["id"])
    by_heart = await world.gateway.records.native_ids(MIRROR, [loser["id"], winner["id"]])
    assert by_heart == {loser["id"]: gone, winner["id"]: gone}
    plan = await planned(world, await reconciled(world))
    assert plan.planned == {Action.CREATE: 1}
    done = await carried_out(world, plan)
    assert await outcomes(world, done) == {winner["id"]: Outcome.REPAIRED}
    now = await native(world, winner["id"])
    assert now not in (gone, left)
    known = await world.gateway.records.native_ids(MIRROR, [loser["id"], winner["id"]])
    assert known == {loser["id"]: now, winner["id"]: now}
    held = await world.gateway.records.holders([(MIRROR, ENTITY, gone), (MIRROR, ENTITY, left)])
    assert {key[2]: one.record_id for key, one in held.items()} == {left: winner["id"]}
    second = await reconciled(world)
    assert second.terms is not None
    assert second.terms[Term.UNEXPLAINED] == 0
    await lawful(world)
