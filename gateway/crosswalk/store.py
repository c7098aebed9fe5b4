"""Reads and writes links between canonical and native ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, select

from gateway.crosswalk.tables import crosswalk
from gateway.database import among
from gateway.database.rows import put_rows


class Link(msgspec.Struct, frozen=True, kw_only=True):
    record_id: str
    system: str
    entity: str
    native_id: str
    native_version: str | None = None


_OF_RECORDS = select(crosswalk).where(among(crosswalk.c.record_id, "ids"))
_OF_NATIVES = select(crosswalk.c.native_id, crosswalk.c.record_id).where(
    crosswalk.c.system == bindparam("system"),
    crosswalk.c.entity == bindparam("entity"),
    among(crosswalk.c.native_id, "ids"),
)


def links_of(connection: Connection, record_ids: Iterable[str]) -> dict[tuple[str, str], Link]:
    """Every link of these records, by (record id, system)."""
    ids = list(record_ids)
    if not ids:
        return {}
    return {(row.record_id, row.system): _link(row) for row in connection.execute(_OF_RECORDS, {"ids": ids})}


def linked(
    connection: Connection, natives: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], str]:
    """Record ids by (system, entity, native id), for those that are linked."""
    groups: dict[tuple[str, str], list[str]] = {}
    for system, entity, native_id in natives:
        groups.setdefault((system, entity), []).append(native_id)
    if not groups:
        return {}
    return {
        (system, entity, row.native_id): row.record_id
        for (system, entity), ids in groups.items()
        for row in connection.execute(_OF_NATIVES, {"system": system, "entity": entity, "ids": ids})
    }


def link(connection: Connection, links: Sequence[Link], *, at: int) -> tuple[Link, ...]:
    """Writes links and renews their versions. Returns those that could not be made because the native record
    belongs to another canonical record: a collision, which the caller must tell and never resolves by itself."""
    if not links:
        return ()
    holders = linked(connection, [(one.system, one.entity, one.native_id) for one in links])
    collisions = tuple(
        one
        for one in links
        if holders.get((one.system, one.entity, one.native_id), one.record_id) != one.record_id
    )
    sound = [one for one in links if one not in collisions]
    if sound:
        # The last word on one lane wins, and one statement may name a row only once.
        latest = {(one.record_id, one.system): one for one in sound}
        put_rows(
            connection,
            crosswalk,
            [
                {
                    "record_id": one.record_id,
                    "system": one.system,
                    "entity": one.entity,
                    "native_id": one.native_id,
                    "native_version": one.native_version,
                    "linked_at": at,
                }
                for _, one in sorted(latest.items())
            ],
            "record_id",
            "system",
            renew=("native_id", "native_version"),
        )
    return collisions


def _link(row: object) -> Link:
    return msgspec.convert(row, Link, from_attributes=True)
