"""``twinrun doctor --orphans``: what one of the systems has from us and the journal does not know. It changes
nothing."""

from __future__ import annotations

import asyncio
from datetime import datetime

import msgspec

from adapters.build import open_adapter
from adapters.profile import load as load_profile
from gateway.cli import codes
from gateway.cli.given import moment
from gateway.cli.screen import put_json, put_table, say
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.database.migrate import at_head
from gateway.dispatch.orphans import Scan, scan
from gateway.errors import Malformed, StoreUnavailable
from gateway.settings import Settings, load


def orphans(system: str, since: str | None, *, json: bool) -> int:
    """Exit code 1 where there are any, 3 where the system, or part of it, cannot be searched."""
    settings = load()
    if system not in settings.systems:
        raise Malformed(f"--orphans {system!r}; allowed are {', '.join(sorted(settings.systems))}")
    found = asyncio.run(_scan(settings, system, moment("--since", since)))
    if json:
        put_json(msgspec.to_builtins(found))
    else:
        _print(found)
    if found.orphans:
        return codes.DIFFER
    return codes.UNSURE if found.left_out or not found.searched else codes.PASS


async def _scan(settings: Settings, name: str, since: datetime | None) -> Scan:
    system = settings.systems[name]
    adapter = open_adapter(name, load_profile(system.profile), system.base_url, system.auth, system.options)
    database = Database(settings.database, clock=SystemClock())
    try:
        if database.sqlite and not database.path.exists():
            raise StoreUnavailable(f"there is no journal at {database.path}")
        database.start()
        if not await database.read(at_head):
            raise StoreUnavailable(
                "the database has not the tables of this version: run `twinrun db upgrade`"
            )
        return await scan(database, adapter, since=since)
    finally:
        await database.close()
        await adapter.close()


def _print(found: Scan) -> None:
    if found.orphans:
        put_table(
            ("entity", "id there", "marker", "our id", "changed"),
            [
                (one.entity, one.native_id, one.marker, one.external_id, one.modified_at)
                for one in found.orphans
            ],
        )
    for entity, why in found.left_out.items():
        say(f"{entity} could not be searched: {why}")
    looked = sum(found.searched.values())
    since = "" if found.since is None else f" changed since {found.since.isoformat()}"
    say(
        f"{looked} records of {found.system}{since} looked at: {len(found.orphans)} that the journal does not know"
    )
