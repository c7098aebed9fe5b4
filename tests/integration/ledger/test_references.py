"""A reference that leads nowhere is a difference of its own, and never the same as none."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from gateway.reconcile.tables import reconcile_part
from gateway.routing.stage import Stage
from tests.integration.ledger.test_readiness import _reconcile
from tests.integration.ledger.world import World, customer, fresh, project

#: What each system calls the parent of a customer, and the customer of a project.
PARENT = {"legacy": "Konzernmutter", "cloud": "ParentNo"}
CUSTOMER = {"legacy": "Kunde", "cloud": "CustomerNo"}
#: More looks than it takes to call a lasting difference a mismatch.
LOOKS = 3


@pytest.mark.parametrize("system", ["cloud", "legacy"])
async def test_a_parent_that_does_not_exist(world: World, system: str) -> None:
    """Somebody gives a customer, in one of the systems, a parent that this system does not hold, and the other one has
    no parent. After a read and by a whole reconciliation it is told as a reference that is not resolved, with the
    native id on its side; a caller's document goes without it."""
    made = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await _parts_with(world, "customer", made, {PARENT[system]: "K-nowhere"}, system)
    parted = await _mismatch(world, made["id"])
    (difference,) = parted["differences"]
    assert (difference["class"], difference["field"]) == ("reference_unresolved", "parent_id")
    side = {"legacy": "authority", "cloud": "other"}
    assert difference[side[system]] == {"unresolved": "K-nowhere"}
    assert difference.get(side["cloud" if system == "legacy" else "legacy"]) is None
    assert "parent_id" not in (await world.get(f"/v1/customers/{made['id']}")).json()
    await _reconcile(world)
    assert await _parts(world, made["id"]) == [("reference_unresolved", "parent_id")]


async def test_another_customer_that_does_not_exist(world: World) -> None:
    """Where the authority names one that is there and the mirror one that is not, neither side's value is lost."""
    client = await world.made("customers", customer(number=fresh()))
    made = await world.made("projects", project(client["id"], number=fresh()))
    await world.quiet()
    await _parts_with(world, "project", made, {CUSTOMER["cloud"]: "K-nowhere"}, "cloud")
    (difference,) = (await _mismatch(world, made["id"]))["differences"]
    assert (difference["class"], difference["field"]) == ("reference_unresolved", "customer_id")
    assert (difference["authority"], difference["other"]) == (client["id"], {"unresolved": "K-nowhere"})


async def test_a_customer_that_cannot_be_asked_for(world: World) -> None:
    """While the mirror answers for a project and not for the customer that it names, whom nobody has seen yet, nothing
    is said of the reference. Once it can be asked, it is another customer."""
    client = await world.made("customers", customer(number=fresh()))
    made = await world.made("projects", project(client["id"], number=fresh()))
    await world.quiet()
    values = {"Number": fresh("C"), "LegalEntity": client["legal_entity"], "Status": "Active", "Name": "Harbour"}
    other = world.sandbox.edit("cloud", "customer", "", values, action="insert")["key"]
    silent = world.sandbox.fault("cloud", "error", status=503, entity=["customer"], on=["fetch"])
    await _parts_with(world, "project", made, {CUSTOMER["cloud"]: other}, "cloud")

    async def looked() -> bool:
        return sum(one["hits"] for one in world.sandbox.faults("cloud")) >= LOOKS

    await world.until(looked, "looks at what cannot be seen whole")
    assert (await world.get(f"/admin/v1/diffs?record_id={made['id']}&verdict=mismatch")).json()["items"] == []
    world.sandbox.heal("cloud", silent)
    (difference,) = (await _mismatch(world, made["id"]))["differences"]
    assert (difference["class"], difference["field"]) == ("value", "customer_id")


async def _parts_with(
    world: World, entity: str, made: dict[str, Any], values: dict[str, str], system: str
) -> None:
    """A hand edit, and a read that lets the record be looked at."""
    await world.stage(entity, Stage.SHADOW)
    path = f"/v1/{entity}s/{made['id']}"
    native = (await world.get(path)).json()["external_refs"][system]
    world.sandbox.edit(system, entity, native, values)
    assert (await world.get(path)).status_code == 200


async def _mismatch(world: World, record_id: str) -> dict[str, Any]:
    async def there() -> Any:
        items = (await world.get(f"/admin/v1/diffs?record_id={record_id}&verdict=mismatch")).json()["items"]
        return next((one for one in items if one["resolved_at"] is None), None)

    return await world.until(there, "the mismatch is told")


async def _parts(world: World, record_id: str) -> list[tuple[str, str]]:
    """What reconciliation says of it, by class and field."""
    rows = await world.gateway.database.read(
        lambda conn: conn.execute(
            select(reconcile_part.c.differences).where(reconcile_part.c.record_id == record_id)
        ).scalars().all()
    )  # fmt: skip
    return [(one["class"], one["field"]) for row in rows for one in msgspec.json.decode(row)]
