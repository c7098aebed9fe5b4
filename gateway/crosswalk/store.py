from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import Connection, and_, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.crosswalk.tables import crosswalk
from gateway.database import among


class Link(msgspec.Struct, frozen=True, kw_only=True):
    record_id: str
    system: str
    entity: str
    native_id: str
    native_version: str | None = None


def links_of(connection: Connection, record_ids: Iterable[str]) -> dict[tuple[str, str], Link]:
    """Every link of these records, by (record id, system)."""
    ids = list(record_ids)
    if not ids:
        return {}
    rows = connection.execute(select(crosswalk).where(among(crosswalk.c.record_id, ids)))
    return {(row.record_id, row.system): _link(row) for row in rows}


def linked(
    connection: Connection, natives: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], str]:
    """Record ids by (system, entity, native id), for those that are linked."""
    groups: dict[tuple[str, str], list[str]] = {}
    for system, entity, native_id in natives:
        groups.setdefault((system, entity), []).append(native_id)
    if not groups:
        return {}
    wanted = or_(
        *(
            and_(
                crosswalk.c.system == system, crosswalk.c.entity == entity, among(crosswalk.c.native_id, ids)
            )
            for (system, entity), ids in groups.items()
        )
    )
    return {
        (row.system, row.entity, row.native_id): row.record_id
        for row in connection.execute(select(crosswalk).where(wanted))
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
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = insert(crosswalk)
        statement = statement.on_conflict_do_update(
            index_elements=["record_id", "system"],
            set_={
                "native_id": statement.excluded.native_id,
                "native_version": statement.excluded.native_version,
            },
        )
        # The last word on one lane wins, and one statement may name a row only once.
        latest = {(one.record_id, one.system): one for one in sound}
        connection.execute(
            statement,
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
        )
    return collisions


def _link(row: object) -> Link:
    return msgspec.convert(row, Link, from_attributes=True)
