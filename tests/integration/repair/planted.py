"""What parts between the two ERPs in each of the ways that a repair knows, and repairs followed to their states."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from gateway.reconcile import Run
from gateway.repair import Repair
from gateway.repair.run import Action, Chosen, Item, Outcome, State
from tests.integration.ledger.world import REGION, World, customer, fresh, invoice
from tests.integration.reconcile.planted import followed

MIRROR = "cloud"
ENTITY, COLLECTION = "customer", "customers"
ENDED = (State.DONE, State.FAILED, State.CANCELLED, State.EXPIRED)


async def firm(world: World, count: int) -> list[dict[str, Any]]:
    """Customers that both systems hold alike."""
    made = await asyncio.gather(
        *(world.made(COLLECTION, customer(number=fresh("C")), key=fresh()) for _ in range(count))
    )
    await world.quiet()
    return list(made)


async def native(world: World, record_id: str, collection: str = COLLECTION) -> str:
    return (await world.get(f"/v1/{collection}/{record_id}")).json()["external_refs"][MIRROR]


async def edited(world: World, record_id: str, entity: str = ENTITY, **values: Any) -> str:
    """Somebody changes a record in the mirror."""
    there = await native(world, record_id, f"{entity}s")
    world.sandbox.edit(MIRROR, entity, there, values)
    return there


async def deleted(world: World, record_id: str, entity: str = ENTITY) -> str:
    there = await native(world, record_id, f"{entity}s")
    world.sandbox.edit(MIRROR, entity, there, {}, action="delete")
    return there


def by_hand(world: World, **values: Any) -> str:
    """Somebody makes a customer in the mirror alone."""
    row = {"Number": fresh("X"), "LegalEntity": "UK01", "Status": "Active", "Name": "By hand", "CurrencyCode": "GBP"}
    return world.sandbox.edit(MIRROR, ENTITY, "", {**row, **values}, action="insert")["key"]


async def posted(world: World, owner: str) -> dict[str, Any]:
    """An invoice that stands in the books of both."""
    made = await world.made("invoices", invoice(owner, number=fresh()), key=fresh())
    for state in ("ready", "released", "posted"):
        answer = await world.move("invoices", made["id"], state, key=fresh())
        assert answer.status_code == 200, answer.text
    await world.quiet()
    return made


async def reconciled(world: World, entity: str = ENTITY) -> Run:
    run = await world.gateway.reconciler.start(entity, REGION, actor="tests")
    return await followed(world, run)


async def planned(world: World, run: Run, *, dry_run: bool = True, chosen: Chosen | None = None) -> Repair:
    """A plan that has been made."""
    made = await world.gateway.repairer.plan(
        run.id, dry_run=dry_run, actor="ann", reason="the mirror was edited", chosen=chosen
    )
    return await reaches(world, made, State.PLANNED if dry_run else State.REQUESTED)


async def reaches(world: World, repair: Repair, *states: State, by_hand: bool = False) -> Repair:
    """The repair once it is in one of these states."""

    last = repair

    async def there() -> Repair | None:
        nonlocal last
        if by_hand:
            await world.gateway.repairer.run_once(only=repair.id)
        last = now = await world.gateway.repairer.get(repair.id)
        assert now.state in states or now.state not in ENDED, (now.state, now.note)
        return now if now.state in states else None

    try:
        return await world.until(there, f"{repair.id} is {states}", 90.0)
    except AssertionError as late:
        raise AssertionError(f"{late}: {last}") from late


async def approved(world: World, repair: Repair) -> Repair:
    """Asked for by one and approved by another."""
    repairer = world.gateway.repairer
    assert repair.plan_hash is not None
    if repair.state is State.PLANNED:
        await repairer.request(repair.id, plan_hash=repair.plan_hash, actor="ann", reason="month end")
    return await repairer.approve(repair.id, plan_hash=repair.plan_hash, actor="bob")


async def carried_out(world: World, repair: Repair) -> Repair:
    return await reaches(world, await approved(world, repair), State.DONE)


async def records(world: World, repair: Repair) -> dict[str, Item]:
    return {one.record_id: one for one in await world.gateway.repairer.records(repair.id, limit=500)}


async def outcomes(world: World, repair: Repair) -> dict[str, Outcome]:
    return {record_id: one.outcome for record_id, one in (await records(world, repair)).items()}


async def actions(world: World, repair: Repair) -> dict[str, Action]:
    return {record_id: one.action for record_id, one in (await records(world, repair)).items()}


def writes(world: World, system: str) -> Counter[tuple[str, str]]:
    """What we have done to a system, by action and key, by its own account."""
    found: Counter[tuple[str, str]] = Counter()
    for effect in world.effects(system, limit=5000):
        if effect["action"] != "direct_edit":
            found[effect["action"], effect["key"]] += 1
    return found
