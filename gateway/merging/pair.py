"""Two records as they are now, held, and what each of them is linked to."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from gateway.canonical import BY_NAME, ENTITIES
from gateway.cases.tables import case_
from gateway.crosswalk.store import Link, links_of
from gateway.database import among
from gateway.dispatch.command import Document
from gateway.dispatch.sightings import hold_adoption
from gateway.ledger import journal, slices
from gateway.ledger.slices import Slice
from gateway.ledger.tables import natural_key, record
from gateway.routing.plan import PLANS


def number_of(document: Document | None, entity: str) -> str | None:
    """What only one record of a legal entity may have of this document, if it has it."""
    name = BY_NAME[entity].natural_key
    value = None if name is None or document is None else document.get(name)
    return None if value is None else str(value)


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two. ``waits``: deliveries that are open; ``cases``: open cases; ``held``: the number that is reserved
    for it, or None."""

    id: str
    region: str
    legal_entity: str | None
    version: int
    seq: int
    open_writes: int
    image: Document | None
    match_key: str | None
    merged_into: str | None
    links: dict[str, Link]
    waits: int
    cases: int
    held: str | None
    tombstones: tuple[str, ...]

    def number(self, entity: str) -> str | None:
        return number_of(self.image, entity)

    def natives(self) -> dict[str, str]:
        return {system: one.native_id for system, one in sorted(self.links.items())}


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    slice: Slice
    loser: Record
    winner: Record

    @property
    def entity(self) -> str:
        return self.slice.entity

    @property
    def authority(self) -> str:
        return PLANS[self.slice.stage].authority.value

    @property
    def mirror(self) -> str | None:
        mirror = PLANS[self.slice.stage].mirror
        return None if mirror is None else mirror.value


def owners(connection: Connection, ids: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """The slice of each of these records that exists. A record may come into a cohort afterwards: who has come through
    ``hold`` judges its place anew."""
    rows = connection.execute(
        select(record.c.id, record.c.entity, record.c.region).where(among(record.c.id, ids))
    )
    return {row.id: (row.entity, row.region) for row in rows}


def hold(connection: Connection, key: tuple[str, str]) -> Slice:
    """In this order everywhere: what links records that are seen for the first time, then the slice as writers hold it,
    then merges, then records. Two merges of one entity therefore never meet."""
    hold_adoption(connection, key[0])
    slices.lock_shared(connection, {key})
    return slices.read(connection, [key])[key]


def pair_of(connection: Connection, slice_: Slice, loser: str, winner: str) -> Pair:
    """Both records, held until the transaction ends. The caller has come through ``hold``."""
    ids = (loser, winner)
    rows = journal.records_for_update(connection, ids)
    journal.lanes_for_update(connection, rows)
    open_ = journal.open_deliveries(connection, rows)
    links = links_of(connection, rows)
    cases: dict[str, int] = {
        row.record_id: row.open
        for row in connection.execute(
            select(case_.c.record_id, func.count().label("open"))
            .where(among(case_.c.record_id, ids), case_.c.state == "open")
            .group_by(case_.c.record_id)
        )
    }
    held: dict[str, str] = {
        row.record_id: row.value
        for row in connection.execute(
            select(natural_key).where(
                among(natural_key.c.record_id, ids), natural_key.c.entity == slice_.entity
            )
        )
    }
    taken: dict[str, list[str]] = {}
    for row in connection.execute(
        select(record.c.id, record.c.merged_into).where(among(record.c.merged_into, ids)).order_by(record.c.id)
    ):
        taken.setdefault(row.merged_into, []).append(row.id)

    def one(row: Any) -> Record:
        return Record(
            id=row.id,
            region=row.region,
            legal_entity=row.legal_entity,
            version=row.version,
            seq=row.seq,
            open_writes=row.open_writes,
            image=None if row.image is None else msgspec.json.decode(row.image),
            match_key=row.match_key,
            merged_into=row.merged_into,
            links={system: found for (record_id, system), found in links.items() if record_id == row.id},
            waits=sum(len(lane) for (record_id, _), lane in open_.items() if record_id == row.id),
            cases=cases.get(row.id, 0),
            held=held.get(row.id),
            tombstones=tuple(taken.get(row.id, ())),
        )

    return Pair(slice=slice_, loser=one(rows[loser]), winner=one(rows[winner]))


def dependants(connection: Connection, entity: str, record_id: str) -> dict[str, int]:
    """How many records of each kind refer to this one, as they were confirmed last. It goes through all records of
    those kinds: for what a person asks, and never under a lock."""
    names = sorted(
        one.name for one in ENTITIES if any(reference.entity == entity for reference in one.references)
    )
    if not names:
        return {}
    rows = connection.execute(
        select(record.c.entity, func.count().label("found"))
        .where(
            among(record.c.entity, names),
            record.c.image.like(f'%"{record_id}"%'),
            record.c.merged_into.is_(None),
        )
        .group_by(record.c.entity)
        .order_by(record.c.entity)
    )
    return {row.entity: row.found for row in rows}
