"""Reads and writes links between canonical and native ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from gateway.crosswalk.tables import crosswalk
from gateway.database import among
from gateway.database.rows import put_rows, rows_among, rows_by_keys
from gateway.ledger.tables import record


class Link(msgspec.Struct, frozen=True, kw_only=True):
    record_id: str
    system: str
    entity: str
    native_id: str
    native_version: str | None = None


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Whose link a native record is. ``record_id``: the record that is meant by it, which is another one than
    ``holder`` where that is a tombstone."""

    record_id: str
    holder: str

    @property
    def retired(self) -> bool:
        """Whether the native record is what a merge has left over."""
        return self.holder != self.record_id


_NATIVE: tuple[str, ...] = ("system", "entity", "native_id")


def links_of(connection: Connection, record_ids: Iterable[str]) -> dict[tuple[str, str], Link]:
    """Every link of these records, by (record id, system)."""
    ids = list(record_ids)
    if not ids:
        return {}
    return {(row.record_id, row.system): _link(row) for row in rows_among(connection, crosswalk, {"record_id": ids})}


def links_meant(connection: Connection, record_ids: Iterable[str]) -> dict[tuple[str, str], Link]:
    """The links of the records that are meant by these, by (id as given, system): of a tombstone, those of the record
    that it is taken for."""
    ids = list(record_ids)
    if not ids:
        return {}
    return {(row.named, row.system): _link(row) for row in connection.execute(_MEANT, {"ids": ids})}


_MEANT = (
    select(record.c.id.label("named"), crosswalk)
    .join(crosswalk, crosswalk.c.record_id == func.coalesce(record.c.merged_into, record.c.id))
    .where(among(record.c.id, "ids"))
)


def linked(
    connection: Connection, natives: Iterable[tuple[str, str, str]]
) -> dict[tuple[str, str, str], Holder]:
    """Who is meant by (system, entity, native id), for those that are linked."""
    wanted = set(natives)
    if not wanted:
        return {}
    keys: list[dict[str, str]] = [dict(zip(_NATIVE, key, strict=True)) for key in sorted(wanted)]
    rows = rows_by_keys(connection, crosswalk, keys, (*_NATIVE, "record_id", "stands_for"))
    return {
        (row.system, row.entity, row.native_id): Holder(
            record_id=row.stands_for or row.record_id, holder=row.record_id
        )
        for row in rows
    }


def link(
    connection: Connection,
    links: Sequence[Link],
    *,
    at: int,
    known: Mapping[tuple[str, str], Link] | None = None,
) -> tuple[Link, ...]:
    """Writes links and renews their versions. Returns those that could not be made because the native record
    belongs to another canonical record: a collision, which the caller must tell and never resolves by itself.
    ``known``: the links of these records as they are, where the caller holds the records and has them at hand."""
    held: Mapping[tuple[str, str], Link] = {} if known is None else known
    # The last word on one lane wins, and one statement may name a row only once.
    latest = {(one.record_id, one.system): one for one in links}
    changed = [one for key, one in sorted(latest.items()) if held.get(key) != one]
    moved = [one for one in changed if not _names_the_same(held.get((one.record_id, one.system)), one)]
    holders = linked(connection, [(one.system, one.entity, one.native_id) for one in moved])
    collisions = tuple(
        one
        for one in moved
        if (there := holders.get((one.system, one.entity, one.native_id))) is not None
        and there.holder != one.record_id
    )
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
            for one in changed
            if one not in collisions
        ],
        "record_id",
        "system",
        renew=("native_id", "native_version"),
    )
    return collisions


def unlink(connection: Connection, links: Iterable[Link]) -> int:
    """Takes back links whose native records are no more; one that was renewed meanwhile stays. How many went."""
    gone = 0
    for one in links:
        found = connection.execute(
            crosswalk.delete().where(
                crosswalk.c.record_id == one.record_id,
                crosswalk.c.system == one.system,
                crosswalk.c.native_id == one.native_id,
            )
        )
        gone += found.rowcount
    return gone


def _names_the_same(before: Link | None, after: Link) -> bool:
    return before is not None and before.native_id == after.native_id


def _link(row: Any) -> Link:
    return Link(
        record_id=row.record_id,
        system=row.system,
        entity=row.entity,
        native_id=row.native_id,
        native_version=row.native_version,
    )
