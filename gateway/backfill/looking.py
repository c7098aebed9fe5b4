"""What a target shows of the records of a page: the link that is there, what fits, and what they refer to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec

from adapters.contract import Adapter, Found
from gateway.backfill.run import Run, places
from gateway.canonical import BY_NAME
from gateway.database import Database
from gateway.dispatch.command import Document
from gateway.dispatch.prepare import find_matches
from gateway.dispatch.present import overlay
from gateway.dispatch.records import Records
from gateway.dispatch.translate import expected, references
from gateway.ledger import journal


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What a system bears: requests a second where its profile names them, and requests in flight."""

    requests_per_second: float | None
    concurrency: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the page with what the target showed of it. ``present``: it was linked there already."""

    record_id: str
    image: Document
    present: bool
    seq: int
    found: tuple[Found, ...] = ()
    unclear: str | None = None
    blocked: str | None = None


class Looks:
    """Looks made of a target, no more at once than a backfill may have there."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        records: Records,
        bounds: Mapping[str, Bound],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._records = records
        self._bounds = bounds

    async def look(self, run: Run, documents: Mapping[str, Document]) -> tuple[list[Seen], int]:
        """What the target shows of each record, and how many calls that took."""
        source, target, entity = self._adapters[run.source], self._adapters[run.target], BY_NAME[run.entity]
        views = await self._records.views(documents)
        missing = await self._missing(run, documents)
        room = asyncio.Semaphore(places(self._bounds[run.target].concurrency))

        async def one(record_id: str, document: Document) -> Seen:
            view = views[record_id]
            image = overlay(
                entity,
                view.image,
                document,
                mapped=source.facts(entity.name).mapped,
                expect=lambda known: expected(source, entity, known),
            )
            if run.target in view.links:
                return Seen(record_id=record_id, image=image, present=True, seq=view.seq)
            async with room:
                found, whole = await find_matches(
                    target, entity.name, record_id, view.match_key, view.legal_entity
                )
            unclear = None
            if len(found) > 1 or not whole:
                names = ", ".join(each.native_id for each in found)
                unclear = f"{run.target} holds several with {entity.match_key} {view.match_key}: {names}"
            elif found:
                key = (run.target, entity.name, found[0].native_id)
                holder = (await self._records.canonical_ids([key])).get(key)
                if holder not in (None, record_id):
                    unclear = f"{run.target} has it as {found[0].native_id}, which is {holder}"
            blocked = next(
                (
                    f"{pointer}: {named} is not in {run.target}; backfill {owner} first"
                    for pointer, owner, named in references(entity, image)
                    if named in missing
                ),
                None,
            )
            return Seen(
                record_id=record_id,
                image=image,
                present=False,
                seq=view.seq,
                found=found,
                unclear=unclear,
                blocked=blocked,
            )

        seen = await asyncio.gather(*(one(id_, document) for id_, document in documents.items()))
        return seen, 1 + sum(not each.present for each in seen) + len(missing)

    async def _missing(self, run: Run, documents: Mapping[str, Document]) -> frozenset[str]:
        """Records that these refer to, and that the target neither holds nor has on its way."""
        target = self._adapters[run.target]
        owners = {
            named: owner
            for document in documents.values()
            for _, owner, named in references(BY_NAME[run.entity], document)
            if target.supports(owner)
        }
        known = await self._records.native_ids(run.target, owners)
        rest = sorted(set(owners).difference(known))
        if not rest:
            return frozenset()
        lanes = await self._database.read(lambda conn: journal.open_deliveries(conn, rest))
        coming = {record_id for record_id, system in lanes if system == run.target}
        views = await self._records.views(one for one in rest if one not in coming)
        absent: set[str] = set()
        for record_id, view in views.items():
            found, whole = await find_matches(
                target, owners[record_id], record_id, view.match_key, view.legal_entity
            )
            if len(found) != 1 or not whole:
                absent.add(record_id)
        return frozenset(absent)
