"""Edits made in the ERPs themselves, over two simulated ERPs, on both databases, judged by what the ERPs say was done
to them."""

from __future__ import annotations

from tests.integration.backfill.test_backfills import lawful
from tests.integration.change_feed.desk import cases, edit, followed, held, paired, written
from tests.integration.ledger.world import World, customer, fresh

ENTITY, COLLECTION = "customer", "customers"


async def test_an_edit_in_either_system_is_carried_over_once(world: World) -> None:
    """One write in the other system, none where the edit was made, and the record's image has it."""
    one = await paired(world, COLLECTION, customer(number=fresh("C"), phone="1", email="a@b.example"))
    two = await paired(world, COLLECTION, customer(number=fresh("C"), phone="1", email="a@b.example"))
    await followed(world)
    before = {system: written(world, system, ENTITY) for system in ("legacy", "cloud")}
    edit(world, "legacy", ENTITY, one, name="Renamed in the old one")
    edit(world, "cloud", ENTITY, two, phone="+44 20 5550 1", email="c@d.example")
    await followed(world)
    told = (await world.get(f"/v1/{COLLECTION}/{two['id']}")).json()
    assert (told["phone"], told["email"]) == ("+44 20 5550 1", "c@d.example")
    assert (await held(world, "cloud", ENTITY, one))["name"] == "Renamed in the old one"
    now = {system: written(world, system, ENTITY) - before[system] for system in ("legacy", "cloud")}
    assert now["cloud"] == {one["external_refs"]["cloud"]: 1}
    assert now["legacy"] == {two["external_refs"]["legacy"]: 1}
    assert await cases(world) == []
    await lawful(world)
