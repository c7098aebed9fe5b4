"""People who work in the ERPs themselves, and what the ERPs say was done to their records."""

from __future__ import annotations

from collections import Counter
from typing import Any

from adapters.sandbox.cloud.tables import TABLES as CLOUD
from adapters.sandbox.legacy.tables import TABLES as LEGACY
from tests.integration.ledger.world import World
from tests.systems.sandbox import SYSTEMS

#: Phones and websites may be edited in both, the email is the cloud's, a language is put back, terms are accepted.
OWNED = """
[ownership]
phone = { owner = "both" }
website = { owner = "both" }
legal_name = { owner = "both", on_conflict = "accept" }
credit_limit = { owner = "both", on_conflict = "accept" }
email = { owner = "cloud" }
language = { on_conflict = "revert" }
payment_terms_days = { on_conflict = "accept" }
"""
_TABLES = {
    "legacy": {table.entity: table for table in LEGACY},
    "cloud": {table.entity: table for table in CLOUD},
}


def edit(world: World, system: str, entity: str, record: dict[str, Any], **fields: Any) -> None:
    """Somebody changes canonical ``fields`` of a record in the system's own screens."""
    table = _TABLES[system][entity]
    native = {table.by_canon[name.replace("__", ".")].name: value for name, value in fields.items()}
    world.sandbox.edit(system, entity, record["external_refs"][system], native)


async def held(world: World, system: str, entity: str, record: dict[str, Any]) -> dict[str, Any]:
    """The fields of the record as the system holds them."""
    found = await world.gateway.adapters[system].fetch(entity, record["external_refs"][system])
    return found.fields


def written(world: World, system: str, entity: str) -> Counter[str]:
    """How often each record was written to by a program, by the system's own account."""
    effects = world.effects(system, entity=entity, limit=100_000)
    return Counter(one["key"] for one in effects if one["action"] != "direct_edit")


async def paired(world: World, collection: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
    """A record that both systems hold."""
    made = await world.made(collection, body, **headers)

    async def linked() -> dict[str, Any] | None:
        told = (await world.get(f"/v1/{collection}/{made['id']}")).json()
        return told if set(told["external_refs"]) >= set(SYSTEMS) else None

    return await world.until(linked, "both systems hold it")


async def followed(world: World, *, entity: str = "customer", region: str = "UK", passes: int = 1) -> None:
    """Waits until each feed of the slice has begun and ended ``passes`` passes after now, and nothing waits."""
    follower = world.gateway.follower
    for _ in range(passes):
        begun = world.gateway.database.now
        now = await world.gateway.database.read(begun)

        async def done(since: int = now) -> bool:
            found = await follower.list(entity=entity, region=region)
            return all(one.read_at is not None and one.read_at > since and not one.waiting for one in found)

        await world.until(done, f"the feeds of {entity} have read on", 60.0)
        await world.quiet()


async def cases(world: World, kind: str | None = None) -> list[dict[str, Any]]:
    """Cases that are open."""
    path = "/admin/v1/cases?state=open&limit=200" + (f"&kind={kind}" if kind else "")
    return (await world.get(path)).json()["items"]
