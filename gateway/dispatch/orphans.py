"""Orphans: records of a system that carry our marker while the journal knows no such write.

There are none while the journal loses nothing. After a restore from a backup, or a failover to a standby that was
behind, they are what was sent in the time that is missing. Nothing is changed here, neither in the system nor in the
journal.

A write is in the journal before its first byte leaves, and each page is held against the journal after it was read, so
what is under way is never taken for an orphan. A record shows the marker of its last write only: an older write whose
marker was overwritten since is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from adapters.contract import Adapter, Capability, Found, Page, Query
from adapters.errors import Misconfigured
from gateway.canonical import BY_NAME
from gateway.database import Database, among
from gateway.ledger.tables import operation, record

#: Records of one page. A system may give fewer.
PAGE = 200
#: A marker as ``ids.marker`` makes it; and what may be the end of one, where a field has no room for the whole.
MARKER = re.compile(r"T[A-Z2-7]{26}")
PART = re.compile(r"[A-Z2-7]{16,26}")
#: A canonical id.
RECORD = re.compile(r"(?:{})[0-9a-f-]{{36}}".format("|".join(entity.prefix for entity in BY_NAME.values())))

_WRITES = {Capability.CREATE, Capability.UPDATE, Capability.TRANSITION}
_NEEDED = (Capability.SEARCH, Capability.FIND)


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    entity: str
    native_id: str
    marker: str | None
    external_id: str | None  #: the canonical id that the record carries, where the product keeps it
    modified_at: datetime | None


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """``searched``: by entity, how many records were looked at. ``left_out``: by entity, why it could not be."""

    system: str
    since: datetime | None
    searched: dict[str, int]
    left_out: dict[str, str]
    orphans: tuple[Orphan, ...]


async def scan(database: Database, adapter: Adapter, *, since: datetime | None) -> Scan:
    """Looks through every record that the system has changed at or after ``since``, or through all. Raises what the
    adapter raises when the system does not answer, and StoreUnavailable."""
    searched: dict[str, int] = {}
    left_out: dict[str, str] = {}
    orphans: list[Orphan] = []
    for entity in BY_NAME:
        if not adapter.supports(entity):
            continue
        can = adapter.facts(entity).capabilities
        if not can & _WRITES:
            # Nothing of ours can be there.
            continue
        if missing := [one.value for one in _NEEDED if one not in can]:
            left_out[entity] = f"the profile offers no {' and no '.join(missing)}"
            continue
        searched[entity] = 0
        cursor: str | None = None
        while True:
            page, cursor = await _page(adapter, entity, since, cursor)
            searched[entity] += len(page)
            if any(_is_part(one) for one in page):
                left_out[entity] = "the system keeps only part of a marker"
            orphans.extend(
                await database.read(lambda conn, page=page, entity=entity: unknown(conn, entity, page))
            )
            if cursor is None:
                break
    return Scan(
        system=adapter.name, since=since, searched=searched, left_out=left_out, orphans=tuple(orphans)
    )


def unknown(connection: Connection, entity: str, page: Iterable[Found]) -> list[Orphan]:
    """Those that were written by us, and of which the journal knows nothing."""
    ours = [one for one in page if _marker(one) or _record(one)]
    markers = {marker for one in ours if (marker := _marker(one))}
    records = {id_ for one in ours if (id_ := _record(one))}
    known_markers = set(
        connection.execute(select(operation.c.marker).where(among(operation.c.marker, markers))).scalars()
    )
    known_records = set(connection.execute(select(record.c.id).where(among(record.c.id, records))).scalars())
    return [
        Orphan(
            entity=entity,
            native_id=one.native_id,
            marker=one.marker,
            external_id=one.external_id,
            modified_at=one.modified_at,
        )
        for one in ours
        if (_marker(one) or _record(one)) not in known_markers | known_records
    ]


async def _page(
    adapter: Adapter, entity: str, since: datetime | None, cursor: str | None
) -> tuple[tuple[Found, ...], str | None]:
    try:
        page: Page = await adapter.search(entity, Query(updated_since=since, limit=PAGE, cursor=cursor))
    except Misconfigured:
        if since is None:
            raise
        # The product cannot select by time, so all is read and the stamps of the records decide.
        page = await adapter.search(entity, Query(limit=PAGE, cursor=cursor))
        late = tuple(one for one in page.items if one.modified_at is None or one.modified_at >= since)
        return late, page.next_cursor
    return page.items, page.next_cursor


def _marker(one: Found) -> str | None:
    return one.marker if one.marker is not None and MARKER.fullmatch(one.marker) else None


def _record(one: Found) -> str | None:
    """Our id of the record, which speaks only where no marker does."""
    if one.marker is not None or one.external_id is None:
        return None
    return one.external_id if RECORD.fullmatch(one.external_id) else None


def _is_part(one: Found) -> bool:
    return one.marker is not None and not MARKER.fullmatch(one.marker) and bool(PART.fullmatch(one.marker))
