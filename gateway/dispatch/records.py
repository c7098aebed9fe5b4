"""Records and their links as dispatch needs them: looked up many at a time, adopted when first seen."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from gateway.canonical import BY_NAME
from gateway.crosswalk.store import Link, link, linked, links_of
from gateway.crosswalk.tables import crosswalk
from gateway.database import Database, GroupCommit, among
from gateway.dispatch import natural_keys
from gateway.dispatch.command import Document
from gateway.ids import Ids
from gateway.ledger import journal
from gateway.ledger.slices import lock_exclusive, lock_shared, read_regions
from gateway.ledger.tables import lane, operation, record
from gateway.routing.cohort import cohort_of, followed, plain

#: Links kept in memory: a link never changes, so the oldest are dropped only for room.
KNOWN_LINKS = 200_000


class RecordView(msgspec.Struct, frozen=True, kw_only=True):
    """One record as the journal knows it, with its links by system."""

    id: str
    entity: str
    region: str
    legal_entity: str | None
    version: int
    seq: int
    open_writes: int
    image: Document | None
    match_key: str | None
    external_refs: dict[str, str]
    created_at: int
    updated_at: int
    links: dict[str, Link]


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A native record that was seen and has no link yet."""

    system: str
    entity: str
    region: str
    legal_entity: str | None
    native_id: str
    native_version: str | None
    external_id: str | None
    match_key: str | None
    image: Document
    marker: str | None = None
    roots: tuple[tuple[str, ...], ...] = ()  #: the ids that it names, by each reference that may give it its place


class Records:
    """``spare_edits``: a mirror of master data is given what has changed, so that edits made there stay. ``places``:
    where there are slices; what is adopted in a region with cohorts follows the records that it names."""

    def __init__(
        self, *, database: Database, ids: Ids, spare_edits: bool = False, places: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._database = database
        self._places = places
        self.spare_edits = spare_edits
        self._ids = ids
        self._lookups: GroupCommit[str, RecordView | None] = GroupCommit(
            database, _views, limit=200, read_only=True, glance=True
        )
        self._native: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._canonical: OrderedDict[tuple[str, str, str], str] = OrderedDict()
        self._entities: OrderedDict[str, str] = OrderedDict()

    async def one(self, record_id: str) -> RecordView | None:
        """The record as committed now, or None. Look-ups of one moment share a statement."""
        view = await self._lookups.submit(record_id)
        if view is not None:
            self.remember(view.links.values())
        return view

    def remember(self, links: Iterable[Link]) -> None:
        for one in links:
            self._native[one.record_id, one.system] = one.native_id
            self._canonical[one.system, one.entity, one.native_id] = one.record_id
        while len(self._native) > KNOWN_LINKS:
            self._native.popitem(last=False)
        while len(self._canonical) > KNOWN_LINKS:
            self._canonical.popitem(last=False)

    def forget(self, links: Iterable[Link]) -> None:
        """These were taken back. Another process may know them until it next reads the record."""
        for one in links:
            self._native.pop((one.record_id, one.system), None)
            self._canonical.pop((one.system, one.entity, one.native_id), None)

    async def native_ids(self, system: str, record_ids: Iterable[str]) -> dict[str, str]:
        """Native ids by record id, for those that the system is known to hold."""
        found: dict[str, str] = {}
        missing: list[str] = []
        for record_id in set(record_ids):
            native = self._native.get((record_id, system))
            if native is None:
                missing.append(record_id)
            else:
                found[record_id] = native
        if missing:
            links = await self._database.read(lambda conn: links_of(conn, missing))
            self.remember(links.values())
            found.update({one.record_id: one.native_id for one in links.values() if one.system == system})
        return found

    async def canonical_ids(self, natives: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
        """Record ids by (system, entity, native id), for those that are linked."""
        found: dict[tuple[str, str, str], str] = {}
        missing: list[tuple[str, str, str]] = []
        for key in set(natives):
            record_id = self._canonical.get(key)
            if record_id is None:
                missing.append(key)
            else:
                found[key] = record_id
        if missing:
            more = await self._database.read(lambda conn: linked(conn, missing))
            for key, record_id in more.items():
                self._canonical[key] = record_id
                found[key] = record_id
        return found

    async def known(self, record_ids: Iterable[str]) -> dict[str, str]:
        """The entity of each of these records that exists. A record never goes away, so what was seen is kept."""
        found: dict[str, str] = {}
        missing: list[str] = []
        for record_id in set(record_ids):
            entity = self._entities.get(record_id)
            if entity is None:
                missing.append(record_id)
            else:
                found[record_id] = entity
        for view in await asyncio.gather(*(self.one(record_id) for record_id in missing)):
            if view is not None and (view.version > 0 or view.open_writes > 0):
                found[view.id] = view.entity
                if view.version > 0:
                    self._entities[view.id] = view.entity
        while len(self._entities) > KNOWN_LINKS:
            self._entities.popitem(last=False)
        return found

    async def views(self, record_ids: Iterable[str]) -> dict[str, RecordView]:
        ids = list(set(record_ids))
        if not ids:
            return {}
        views = await self._database.read(lambda conn: _views(conn, ids))
        return {view.id: view for view in views if view is not None}

    async def last_given(self, record_id: str, system: str) -> Document | None:
        """The record as this system was given it last; None: unknown, or edits made there need not be spared."""
        if not self.spare_edits:
            return None
        row = await self._database.read(
            lambda conn: conn.execute(_LAST_GIVEN, {"record": record_id, "on": system}).first()
        )
        return None if row is None or row.image is None else msgspec.json.decode(row.image)

    async def adopt(self, sightings: Sequence[Sighting]) -> dict[tuple[str, str, str], str]:
        """Gives each native record a canonical id: the one that it is known to be, or a new one."""
        if not sightings:
            return {}
        minted = [self._ids.new(BY_NAME[one.entity].prefix) for one in sightings]
        narrowed = frozenset(plain(one) for one in self._places() if cohort_of(one) is not None)
        try:
            made = await self._database.transaction(
                lambda conn: _adopt(conn, sightings, minted, self._database.now(conn), narrowed)
            )
        except IntegrityError as lost:
            raise AdoptedMeanwhile from lost
        self.remember(made)
        return {(one.system, one.entity, one.native_id): one.record_id for one in made}

    async def keep_image(self, record_id: str, image: Document) -> None:
        """Stores the first image of a record that was adopted without one."""

        def unit(connection: Connection) -> None:
            connection.execute(
                record.update()
                .where(record.c.id == record_id, record.c.image.is_(None))
                .values(image=journal.encode(image))
            )

        await self._database.transaction(unit)

    async def keep_link(self, new: Link) -> bool:
        """Stores a link found by looking. False when the native record belongs to another canonical one."""

        def unit(connection: Connection) -> bool:
            return not link(connection, [new], at=self._database.now(connection))

        made = await self._database.transaction(unit)
        if made:
            self.remember([new])
        return made


def _views(connection: Connection, ids: Sequence[str]) -> list[RecordView | None]:
    found: dict[str, list[Any]] = {}
    for row in connection.execute(_RECORDS_AND_LINKS, {"ids": list(set(ids))}).all():
        found.setdefault(row.id, []).append(row)
    views = {record_id: _view(rows) for record_id, rows in found.items()}
    return [views.get(one) for one in ids]


#: What the lane has come to, where that was a write that took effect.
_LAST_GIVEN = (
    select(operation.c.image)
    .join(lane, (lane.c.record_id == operation.c.record_id) & (lane.c.applied_seq == operation.c.seq))
    .where(
        lane.c.record_id == bindparam("record"),
        lane.c.system == bindparam("on"),
        operation.c.state.not_in(["rejected", "cancelled"]),
    )
)

#: One row a link, or one row with no link.
_RECORDS_AND_LINKS = (
    select(record, crosswalk.c.system, crosswalk.c.native_id, crosswalk.c.native_version)
    .outerjoin(crosswalk, crosswalk.c.record_id == record.c.id)
    .where(among(record.c.id, "ids"))
)


def _view(rows: Sequence[Any]) -> RecordView:
    row = rows[0]
    record_id: str = row.id
    image: str | None = row.image
    refs: str = row.external_refs
    return RecordView(
        id=record_id,
        entity=row.entity,
        region=row.region,
        legal_entity=row.legal_entity,
        version=row.version,
        seq=row.seq,
        open_writes=row.open_writes,
        image=None if image is None else msgspec.json.decode(image),
        match_key=row.match_key,
        external_refs=msgspec.json.decode(refs),
        created_at=row.created_at,
        updated_at=row.updated_at,
        links={
            one.system: Link(
                record_id=record_id,
                system=one.system,
                entity=row.entity,
                native_id=one.native_id,
                native_version=one.native_version,
            )
            for one in rows
            if one.system is not None
        },
    )


def _adopt(
    connection: Connection,
    sightings: Sequence[Sighting],
    minted: Sequence[str],
    now: int,
    narrowed: frozenset[str],
) -> list[Link]:
    for entity in sorted({one.entity for one in sightings}):
        # Two who see the same record, or its two halves, at the same moment must not make two of it.
        lock_exclusive(connection, ("adoption", entity))
    places = _places_of(connection, [one for one in sightings if one.region in narrowed])
    known = linked(connection, [(one.system, one.entity, one.native_id) for one in sightings])
    fits = _fitting(
        connection, [one for one in sightings if (one.system, one.entity, one.native_id) not in known]
    )
    links: list[Link] = []
    rows: list[dict[str, object]] = []
    used: set[tuple[str, str]] = set()
    numbers: dict[natural_keys.Key, str] = {}
    for one, new_id in zip(sightings, minted, strict=True):
        key = (one.system, one.entity, one.native_id)
        record_id = known.get(key) or fits.get(key)
        if record_id is None or (record_id, one.system) in used:
            record_id = new_id
            if one.match_key and BY_NAME[one.entity].natural_key == BY_NAME[one.entity].match_key:
                numbers[one.entity, one.legal_entity or "", one.match_key] = record_id
            rows.append(
                {
                    "id": record_id,
                    "entity": one.entity,
                    "region": places.get((one.entity, one.native_id), one.region),
                    "legal_entity": one.legal_entity,
                    "version": 1,
                    "seq": 0,
                    "open_writes": 0,
                    "image": journal.encode(one.image) if one.image else None,
                    "match_key": one.match_key,
                    "external_refs": "{}",
                    "created_at": now,
                    "updated_at": now,
                }
            )
        used.add((record_id, one.system))
        links.append(
            Link(
                record_id=record_id,
                system=one.system,
                entity=one.entity,
                native_id=one.native_id,
                native_version=one.native_version,
            )
        )
    journal.insert_rows(connection, record, rows)
    natural_keys.reserve(connection, numbers)
    fresh = [one for one in links if (one.system, one.entity, one.native_id) not in known]
    lost = link(connection, fresh, at=now)
    if lost:
        # Somebody adopted the same native record between our look and our insert: theirs stands.
        raise AdoptedMeanwhile
    return links


def _places_of(connection: Connection, sightings: Sequence[Sighting]) -> dict[tuple[str, str], str]:
    """Where these belong, by (entity, native id), each with the records that it names. Nobody moves those meanwhile."""
    following = [one for one in sightings if any(one.roots)]
    if not following:
        return {}
    keys = {(one.entity, one.region) for one in following}
    lock_shared(connection, keys)
    there = read_regions(connection, keys)
    ids = {record_id for one in following for each in one.roots for record_id in each}
    found = connection.execute(select(record.c.id, record.c.region).where(among(record.c.id, ids)))
    known = {row.id: row.region for row in found}
    return {
        (one.entity, one.native_id): place
        for one in following
        if (place := followed(one.region, one.roots, known)) is not None and (one.entity, place) in there
    }


class AdoptedMeanwhile(Exception):
    """The same native record was adopted by another request at the same moment. Look again."""


def _fitting(connection: Connection, sightings: Sequence[Sighting]) -> dict[tuple[str, str, str], str]:
    """The one record that each sighting must be: by our own id, by the marker of a write that we sent (its outcome
    may not be written down yet), else by its match key if exactly one confirmed record of its legal entity has that
    key and no link to this system yet."""
    fits: dict[tuple[str, str, str], str] = {}
    wanted_ids = [one.external_id for one in sightings if one.external_id]
    present: set[str] = (
        set(connection.execute(select(record.c.id).where(among(record.c.id, wanted_ids))).scalars())
        if wanted_ids
        else set()
    )
    markers = {one.marker for one in sightings if one.marker and one.external_id not in present}
    marked: dict[tuple[str, str], str] = {}
    if markers:
        for row in connection.execute(
            select(operation.c.marker, operation.c.entity, operation.c.record_id).where(
                among(operation.c.marker, markers)
            )
        ):
            marked[row.entity, row.marker] = row.record_id
    keys = {one.match_key for one in sightings if one.match_key and one.external_id not in present}
    by_key: dict[tuple[str, str | None, str], list[str]] = {}
    if keys:
        for row in connection.execute(
            select(record.c.id, record.c.entity, record.c.legal_entity, record.c.match_key).where(
                among(record.c.match_key, keys),
                among(record.c.entity, {one.entity for one in sightings}),
                record.c.version > 0,
            )
        ):
            by_key.setdefault((row.entity, row.legal_entity, row.match_key), []).append(row.id)
    candidates = {record_id for ids in by_key.values() for record_id in ids} | present
    candidates |= set(marked.values())
    links = links_of(connection, candidates)
    for one in sightings:
        key = (one.system, one.entity, one.native_id)
        if one.external_id in present:
            ids = [one.external_id]
        elif (one.entity, one.marker or "") in marked:
            ids = [marked[one.entity, one.marker or ""]]
        else:
            ids = by_key.get((one.entity, one.legal_entity, one.match_key or ""), [])
        free = [record_id for record_id in ids if (record_id, one.system) not in links]
        if len(ids) == 1 and len(free) == 1:
            fits[key] = free[0]
    return fits
