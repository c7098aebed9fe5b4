"""What a target shows of the records of a page: the link that is there, what fits, and what they refer to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Protocol

import msgspec

from adapters.contract import Adapter, Found
from gateway.backfill.run import places
from gateway.canonical import BY_NAME
from gateway.database import Database
from gateway.dispatch.command import Document
from gateway.dispatch.matching import Wanted, free, marks_of, matches_of_all
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


class Way(Protocol):
    """From where to where the records of an entity are brought."""

    @property
    def entity(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def target(self) -> str: ...


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

    async def look(
        self, run: Way, documents: Mapping[str, Document], *, gone: Collection[str] = ()
    ) -> tuple[list[Seen], int]:
        """What the target shows of each record, and how many calls that took. ``gone``: records whose link there leads
        nowhere any more."""
        source, target, entity = self._adapters[run.source], self._adapters[run.target], BY_NAME[run.entity]
        views = await self._records.views(documents)
        room = asyncio.Semaphore(places(self._bounds[run.target].concurrency))
        natives, missing, calls = await self._referred(run, documents, room)
        images = {
            record_id: overlay(
                entity,
                views[record_id].image,
                document,
                mapped=source.facts(entity.name).mapped,
                expect=lambda known: expected(source, entity, known),
            )
            for record_id, document in documents.items()
        }
        wanted = [
            Wanted(
                record_id=record_id,
                match_key=views[record_id].match_key,
                legal_entity=views[record_id].legal_entity,
                marks=marks_of(target, entity, image, natives),
            )
            for record_id, image in images.items()
            if run.target not in views[record_id].links or record_id in gone
        ]
        looked = await matches_of_all(target, entity.name, wanted, room)
        matched = await free(self._records, run.target, entity, looked.matches)
        fitting: dict[str, list[str]] = defaultdict(list)
        for record_id, (found, _) in matched.items():
            if len(found) == 1:
                fitting[found[0].native_id].append(record_id)
        keys = [(run.target, entity.name, native_id) for native_id in fitting]
        holders = await self._records.holders(keys)
        seen: list[Seen] = []
        for record_id, image in images.items():
            view = views[record_id]
            if run.target in view.links and record_id not in gone:
                seen.append(Seen(record_id=record_id, image=image, present=True, seq=view.seq))
                continue
            found, whole = matched[record_id]
            unclear = None
            if len(found) > 1 or not whole:
                names = ", ".join(each.native_id for each in found)
                unclear = f"{run.target} holds several with {entity.match_key} {view.match_key}: {names}"
            elif found:
                holder = holders.get((run.target, entity.name, found[0].native_id))
                if holder is not None and holder.holder != record_id:
                    unclear = f"{run.target} has it as {found[0].native_id}, which is {holder.holder}"
                elif len(rivals := fitting[found[0].native_id]) > 1:
                    others = ", ".join(sorted(set(rivals).difference({record_id})))
                    unclear = f"{run.target} has it as {found[0].native_id}, which {others} fits as well"
            blocked = next(
                (
                    f"{pointer}: {named} is not in {run.target}; backfill {owner} first"
                    for pointer, owner, named in references(entity, image)
                    if named in missing
                ),
                None,
            )
            seen.append(
                Seen(
                    record_id=record_id,
                    image=image,
                    present=False,
                    seq=view.seq,
                    found=found,
                    unclear=unclear,
                    blocked=blocked,
                )
            )
        return seen, calls + looked.calls

    async def _referred(
        self, run: Way, documents: Mapping[str, Document], room: asyncio.Semaphore
    ) -> tuple[Mapping[str, str], frozenset[str], int]:
        """Of the records that these refer to: the target's ids of those that it holds, and those that it neither holds
        nor has on their way. And the calls that it took to know."""
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
            return known, frozenset(), 0
        lanes = await self._database.read(lambda conn: journal.open_deliveries(conn, rest))
        coming = {record_id for record_id, system in lanes if system == run.target}
        views = await self._records.views(one for one in rest if one not in coming)
        absent: set[str] = set()
        calls = 0
        for owner in sorted({owners[record_id] for record_id in views}):
            wanted = [
                Wanted(record_id=view.id, match_key=view.match_key, legal_entity=view.legal_entity)
                for record_id, view in views.items()
                if owners[record_id] == owner
            ]
            looked = await matches_of_all(target, owner, wanted, room)
            calls += looked.calls
            absent.update(
                record_id
                for record_id, (found, whole) in looked.matches.items()
                if len(found) != 1 or not whole
            )
        return known, frozenset(absent), calls
