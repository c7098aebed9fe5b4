"""Reads one page of one side's set, through its adapter or from a source, as canonical documents.

The set is what the system lists, or the source has, for the companies of the slice's region, as far as the journal has
it in the slice: a cohort's set is its region's without what is pinned elsewhere, and costs as much to read. Requests go
in by the system's door as the least urgent of all, so they keep to its rate and wait behind callers, mirrors and
backfills.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, select

from adapters.contract import Adapter, Capability, Query
from adapters.door import Urgency, urgent
from gateway.canonical import BY_NAME
from gateway.compare.difference import Document
from gateway.compare.verdict import keyed_hash
from gateway.database import Database, among
from gateway.dispatch.adoption import Adoption
from gateway.errors import FieldError, Invalid
from gateway.ledger.tables import record
from gateway.reconcile.eyes import Eyes, system_of
from gateway.reconcile.measures import placed
from gateway.reconcile.run import SourceUse
from gateway.reconcile.sources import Declared, Piece, Source, Unreadable
from gateway.reconcile.store import Row, Work
from gateway.reconcile.tally import SIDES, Side
from gateway.routing.ruleset import Ruleset

#: Records asked for at once; a product that gives fewer says so by its page.
PAGE = 200
#: Rows of a source that are read at once: nobody is asked for them, so what counts is the commits that they share.
#: (Measured with 20,000 rows a side, read again: 10.2 s by 200 and 5.1 s by 1,000 at once.)
ROWS = 1_000
_encode = msgspec.json.Encoder(order="sorted").encode


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A page. ``next_cursor`` None: the set has been read. The others are of a page of a source: the line of each
    record in it, the rows that cannot be read, and the moment before which nothing written is missing."""

    rows: tuple[Row, ...]
    next_cursor: str | None
    lines: Mapping[str, int] = {}
    unreadable: tuple[Unreadable, ...] = ()
    made_at: int | None = None


class Reader:
    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        sources: Mapping[str, Source],
        adoption: Adoption,
        ruleset: Ruleset,
        database: Database,
        eyes: Eyes,
        key: bytes,
    ) -> None:
        self._adapters = adapters
        self._sources = sources
        self._adoption = adoption
        self._ruleset = ruleset
        self._database = database
        self._eyes = eyes
        self._key = key

    def able(self, entity: str, systems: Sequence[str], uses: Mapping[Side, SourceUse]) -> None:
        """Raises Invalid, with the remedy, for a system that cannot show its whole set. One with a source need not."""
        for side, system in zip(SIDES, systems, strict=True):
            adapter = self._adapters.get(system)
            collection = BY_NAME[entity].collection
            if adapter is None:
                message = f"{system} is not configured: set [systems.{system}] in the settings"
            elif not adapter.supports(entity):
                message = f"{system} ({adapter.product}) does not hold {collection}: its profile would have to map them"
            elif side not in uses and Capability.SEARCH not in adapter.facts(entity).capabilities:
                message = (
                    f"{system} ({adapter.product}) cannot list {collection}: its profile has no search for them, "
                    "so name a source that has them"
                )
            else:
                continue
            raise Invalid(message, errors=[FieldError(pointer="/entity", code="not_listed", message=message)])

    def uses(self, entity: str, systems: Sequence[str], names: Sequence[str]) -> dict[Side, SourceUse]:
        """The side that each of these sources stands for. Raises Invalid for a name that cannot be one of them."""
        uses: dict[Side, SourceUse] = {}
        for place, name in enumerate(names):
            source = self._sources.get(name)
            if source is None:
                known = ", ".join(sorted(self._sources)) or "none"
                message = f"there is no source {name!r} in the settings; there are: {known}"
            elif source.system not in systems:
                message = f"{name} has records of {source.system}, which is none of {' and '.join(systems)}"
            elif not source.holds(entity):
                message = f"{name} has no {BY_NAME[entity].collection}: its map would have to say where they lie"
            elif (side := SIDES[systems.index(source.system)]) in uses:
                message = f"{name} and {uses[side].name} are both of {source.system}: name one of them"
            else:
                uses[side] = SourceUse(name=name)
                continue
            raise Invalid(
                message, errors=[FieldError(pointer=f"/sources/{place}", code="source", message=message)]
            )
        return uses

    def declared(self) -> tuple[Declared, ...]:
        """The sources that there are, by name."""
        return tuple(one.declared for _, one in sorted(self._sources.items()))

    def has(self, entity: str, names: Sequence[str]) -> bool:
        """Whether all of these sources have records of the entity, as far as there are such sources."""
        return all(name not in self._sources or self._sources[name].holds(entity) for name in names)

    def lacking(self, work: Work) -> str | None:
        """A source of the run that is in the settings no more."""
        return next((use.name for use in work.sources.values() if use.name not in self._sources), None)

    def digests(self, uses: Mapping[Side, SourceUse]) -> list[str]:
        """Change whenever a side may be read in another way than before."""
        return [f"{side} {self._sources[use.name].digest}" for side, use in sorted(uses.items())]

    def held(self, work: Work) -> dict[str, frozenset[str]]:
        """The fields that each of the run's systems holds, or its source."""
        entity = work.entity.name
        return {
            system_of(work, side): self._sources[use.name].mapped(entity)
            if (use := work.sources.get(side)) is not None
            else self._adapters[system_of(work, side)].facts(entity).mapped
            for side in SIDES
        }

    async def page(self, work: Work, side: Side, only: Sequence[int] | None = None) -> Read:
        """The page at the run's cursor; with ``only``, of no other lines of a file. Raises the errors of
        ``adapters.errors``; Failed and Away for a source."""
        adapter = self._adapters[system_of(work, side)]
        use = work.sources.get(side)
        with urgent(Urgency.COMPARE):
            read_at = await self._database.read(self._database.now)
            companies = tuple(one.code for one in self._ruleset.region(work.region).legal_entities)
            if use is None:
                piece, whole = await self._listed(work, adapter, companies), True
            else:
                source = self._sources[use.name]
                if only is None or work.cursor is None:
                    piece = await source.read(work.entity.name, work.cursor, companies=companies, limit=ROWS)
                else:
                    piece = await source.picked(
                        work.entity.name, work.cursor, only, companies=companies, limit=ROWS
                    )
                read_at = min(read_at, piece.made_at or read_at)
                whole = source.mapped(work.entity.name) >= adapter.facts(work.entity.name).mapped
            items = [one for _, one in piece.found]
            found = await self._adoption.joined(
                adapter, work.entity.name, items, region=work.region, whole=whole
            )
        lines = {one.native_id: line for line, one in piece.found}
        rows = await self._rows(work, side, read_at, [(record_id, document) for record_id, document, _ in found])
        return Read(
            rows=tuple(rows),
            next_cursor=piece.next_cursor,
            lines={record_id: lines[native_id] for record_id, _, native_id in found},
            unreadable=piece.unreadable,
            made_at=read_at,
        )

    @staticmethod
    async def _listed(work: Work, adapter: Adapter, companies: tuple[str, ...]) -> Piece:
        """What the system lists."""
        where: dict[str, str | tuple[str, ...]] = {}
        if "legal_entity" in adapter.facts(work.entity.name).filters:
            where["legal_entity"] = companies
        page = await adapter.search(work.entity.name, Query(where=where, limit=PAGE, cursor=work.cursor))
        return Piece(
            found=tuple((0, one) for one in page.items), unreadable=(), next_cursor=page.next_cursor, made_at=None
        )

    async def _rows(
        self, work: Work, side: Side, read_at: int, found: Sequence[tuple[str, Document]]
    ) -> list[Row]:
        entity, eye = work.entity, self._eyes.of(work)
        ours = await self._of_region([record_id for record_id, _ in found], work.region)
        return [
            Row(
                record_id=record_id,
                side=side,
                read_at=read_at,
                digest=keyed_hash(
                    eye.values(entity, work.authority, work.other, document) + placed(entity, document),
                    self._key,
                    digits=32,
                ),
                document=_encode(document).decode(),
            )
            for record_id, document in found
            if record_id in ours
        ]

    async def _of_region(self, ids: Sequence[str], region: str) -> frozenset[str]:
        """Which of these records belong to the slice: a product may keep some of them for all companies at once."""

        def unit(connection: Connection) -> frozenset[str]:
            wanted = select(record.c.id).where(
                among(record.c.id, ids), record.c.region == region, record.c.merged_into.is_(None)
            )
            return frozenset(connection.execute(wanted).scalars())

        return await self._database.read(unit) if ids else frozenset()
