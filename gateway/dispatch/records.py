"""Records and their links as dispatch needs them: looked up many at a time, adopted when first seen."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from gateway.canonical import BY_NAME, Entity
from gateway.crosswalk import merges
from gateway.crosswalk.store import Holder, Link, link, linked, links_meant, links_of
from gateway.crosswalk.tables import crosswalk
from gateway.database import Database, GroupCommit, among
from gateway.dispatch.command import Document
from gateway.dispatch.known_records import KnownRecords, Named, Native
from gateway.dispatch.sightings import AdoptedMeanwhile, Sighting, adopt
from gateway.dispatch.translate import references, translated
from gateway.ids import Ids
from gateway.ledger import journal
from gateway.ledger.tables import lane, operation, record
from gateway.routing.cohort import cohort_of, plain


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
    merged_into: str | None = None  #: a tombstone: the record that it is taken for


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
        self._known = KnownRecords()

    async def one(self, record_id: str) -> RecordView | None:
        """The record as committed now, or None. Look-ups of one moment share a statement."""
        turn = self._known.turn
        view = await self._lookups.submit(record_id)
        if view is not None and view.merged_into is None:
            self._known.keep(turn, view.links.values())
        return view

    async def meant(self, record_id: str) -> RecordView | None:
        """The same, or of a tombstone the record that it is taken for."""
        view = await self.one(record_id)
        while view is not None and view.merged_into is not None:
            view = await self.one(view.merged_into)
        return view

    def remember(self, links: Iterable[Link]) -> None:
        """Keeps links that were written just now."""
        self._known.keep(self._known.turn, links)

    def forget(self, links: Iterable[Link]) -> None:
        """These were taken back. Another process may know them until it next reads the record."""
        self._known.take_back(links)

    async def look_for_merges(self) -> int:
        """Forgets what was known where records were merged or parted since the last look."""

        def unit(connection: Connection) -> tuple[int, Mapping[tuple[str, str], tuple[str, ...]] | None]:
            # In this order: what is retired is at least as new as the count.
            done = merges.done(connection)
            return done, None if done == self._known.merges else merges.retired(connection)

        done, retired = await self._database.read(unit)
        if retired is None:
            return 0
        self._known.forget(done, retired)
        return 1

    async def native_ids(self, system: str, record_ids: Iterable[str]) -> dict[str, str]:
        """Native ids by record id, for those that the system is known to hold; of a tombstone, the id of the record
        that it is taken for."""
        found: dict[str, str] = {}
        missing: list[str] = []
        turn = self._known.turn
        for record_id in set(record_ids):
            native = self._known.native.get((record_id, system))
            if native is None:
                missing.append(record_id)
            else:
                found[record_id] = native
        if missing:
            links = await self._database.read(lambda conn: links_meant(conn, missing))
            read = {named: one.native_id for (named, on), one in links.items() if on == system}
            self._known.keep_native(turn, system, read)
            found.update(read)
        return found

    def named_there(self, system: str, record_id: str, native_id: str) -> str | tuple[str, ...]:
        """Every native id by which records of the system may name this record: its own, and those of tombstones."""
        retired = self._known.retired.get((record_id, system), ())
        return (native_id, *retired) if retired else native_id

    async def holders(self, natives: Iterable[Native]) -> dict[Native, Holder]:
        """Who is meant by (system, entity, native id), for those that are linked."""
        found: dict[Native, Holder] = {}
        missing: list[Native] = []
        turn = self._known.turn
        for key in set(natives):
            holder = self._known.holders.get(key)
            if holder is None:
                missing.append(key)
            else:
                found[key] = holder
        if missing:
            more = await self._database.read(lambda conn: linked(conn, missing))
            self._known.keep(turn, holders=more)
            found.update(more)
        return found

    async def canonical_ids(self, natives: Iterable[Native]) -> dict[Native, str]:
        """The ids of those records: what is told wherever a native record is named."""
        return {key: one.record_id for key, one in (await self.holders(natives)).items()}

    async def known(self, record_ids: Iterable[str]) -> dict[str, Named]:
        """Which of these exist, and who is meant by them. A record never goes away, so what was seen is kept."""
        found: dict[str, Named] = {}
        missing: list[str] = []
        turn = self._known.turn
        for record_id in set(record_ids):
            named = self._known.named.get(record_id)
            if named is None:
                missing.append(record_id)
            else:
                found[record_id] = named
        for view in await asyncio.gather(*(self.one(record_id) for record_id in missing)):
            if view is not None and (view.version > 0 or view.open_writes > 0):
                named = Named(entity=view.entity, record_id=view.merged_into or view.id)
                found[view.id] = named
                if view.version > 0:
                    self._known.keep_named(turn, {view.id: named})
        return found

    async def meant_in(self, entity: Entity, document: Document) -> Document:
        """The document with references to the records that are meant: a tombstone is taken for another one."""
        named = [record_id for _, _, record_id in references(entity, document)]
        known = await self.known(named) if named else {}
        if all(one.record_id == record_id for record_id, one in known.items()):
            return document
        return translated(entity, document, lambda _, id_: known[id_].record_id if id_ in known else id_)

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

    async def adopt(self, sightings: Sequence[Sighting]) -> dict[Native, Holder]:
        """Gives each native record a canonical id: the one that it is known to be, or a new one."""
        if not sightings:
            return {}
        minted = [self._ids.new(BY_NAME[one.entity].prefix) for one in sightings]
        narrowed = frozenset(plain(one) for one in self._places() if cohort_of(one) is not None)
        turn = self._known.turn
        try:
            made = await self._database.transaction(
                lambda conn: adopt(conn, sightings, minted, self._database.now(conn), narrowed)
            )
        except IntegrityError as lost:
            raise AdoptedMeanwhile from lost
        self._known.keep(turn, holders=made)
        return made

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
        """Stores a link found by looking. False when the native record belongs to another canonical one, or the record
        has become a tombstone or been linked to another one meanwhile, as by a merge."""

        def unit(connection: Connection) -> bool:
            row = journal.records_for_update(connection, [new.record_id]).get(new.record_id)
            there = links_of(connection, [new.record_id]).get((new.record_id, new.system))
            if row is None or row.merged_into is not None:
                return False
            if there is not None and there.native_id != new.native_id:
                return False
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
        merged_into=row.merged_into,
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
