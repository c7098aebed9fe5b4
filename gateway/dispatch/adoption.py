"""Native records as they come from a system become canonical documents: references exchanged, unknown ones adopted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from msgspec.structs import replace

from adapters.contract import Adapter, Found
from adapters.errors import AdapterError, Rejected
from gateway.canonical import BY_NAME
from gateway.compare.difference import unresolved
from gateway.dispatch.command import Document
from gateway.dispatch.records import Records
from gateway.dispatch.sightings import AdoptedMeanwhile, Sighting
from gateway.dispatch.translate import references, translated, without_marks
from gateway.routing.cohort import named, plain
from gateway.routing.ruleset import Ruleset

#: How far references of references are followed for records that are seen for the first time.
DEPTH = 5
#: How often records are looked at again that others adopt at the same moment.
TRIES = 3


class Adoption:
    """Joins what a system answers with the crosswalk. Adopts what the system holds and we have never seen: a root into
    its region's own slice, anything else to where the records are that it names. ``region`` may be a cohort's place:
    what is meant is its region.

    A reference to what its system does not hold, or holds for nobody of ours, has no canonical id. A caller's document
    does without it; one that is compared is *marked* and shows it as ``difference.unresolved``, else a reference that
    leads nowhere would agree with none at all."""

    def __init__(self, *, records: Records, ruleset: Ruleset) -> None:
        self._records = records
        self._ruleset = ruleset

    async def documents(
        self, adapter: Adapter, entity_name: str, found: Sequence[Found], *, region: str | None = None
    ) -> list[tuple[str, Document]]:
        """(record id, canonical document) of each native record, in order, but those that a merge has left over.
        ``region`` is where a record belongs whose legal entity does not say."""
        entity = BY_NAME[entity_name]
        joined = await self._resolve(adapter, entity_name, found, region, DEPTH)
        return [(record_id, without_marks(entity, document)) for record_id, document, _ in joined]

    async def joined(
        self,
        adapter: Adapter,
        entity_name: str,
        found: Sequence[Found],
        *,
        region: str | None = None,
        whole: bool = True,
    ) -> list[tuple[str, Document, str]]:
        """(record id, marked document, native id) of each native record, in order, as ``documents`` has them. Not
        ``whole``: they show less than the adapter would, so a record that is adopted gets its document when a change
        needs it; but for one that is told apart by more than its number, which cannot do without. Raises the errors of
        ``adapters.errors`` where a system cannot be asked what is referred to."""
        kept = whole or bool(BY_NAME[entity_name].told_apart_by)
        return await self._resolve(adapter, entity_name, found, region, DEPTH, whole=kept, sure=True)

    async def known(self, system: str, entity_name: str, natives: Iterable[str]) -> dict[str, str]:
        """The records that these native ids mean, as far as they are linked. Adopts nothing."""
        found = await self._records.canonical_ids((system, entity_name, one) for one in natives)
        return {native: record_id for (_, _, native), record_id in found.items()}

    async def document(
        self, adapter: Adapter, entity_name: str, found: Found, *, region: str | None
    ) -> Document:
        """The canonical document of a record that is linked already."""
        return without_marks(
            BY_NAME[entity_name], await self.marked(adapter, entity_name, found, region=region)
        )

    async def marked(
        self, adapter: Adapter, entity_name: str, found: Found, *, region: str | None, sure: bool = False
    ) -> Document:
        """The same, marked. Where a system cannot be asked what is referred to, that is marked as well: a caller's
        answer does not wait for it, and no comparison ends by its first look. ``sure``: raises the errors of
        ``adapters.errors`` then, so that nothing is said of the reference."""
        place = None if region is None else plain(region)
        known = await self._references(adapter, entity_name, [found], place, DEPTH, sure=sure)
        return _exchange(adapter, entity_name, found, known)

    async def _resolve(
        self,
        adapter: Adapter,
        entity_name: str,
        found: Sequence[Found],
        region: str | None,
        depth: int,
        *,
        whole: bool = True,
        sure: bool = False,
    ) -> list[tuple[str, Document, str]]:
        if not found:
            return []
        region = None if region is None else plain(region)
        known = await self._references(adapter, entity_name, found, region, depth, sure=sure)
        keys = [(adapter.name, entity_name, one.native_id) for one in found]
        holders = await self._records.holders(keys)
        documents = [_exchange(adapter, entity_name, one, known) for one in found]
        for _ in range(TRIES):
            unseen = [
                self._sighting(adapter, entity_name, one, document, region)
                for one, key, document in zip(found, keys, documents, strict=True)
                if key not in holders
            ]
            placed = [one if whole else replace(one, image={}) for one in unseen if one is not None]
            if not placed:
                break
            try:
                holders.update(await self._records.adopt(placed))
            except AdoptedMeanwhile:
                # Some of them are somebody else's doing now; the others are still to be adopted.
                holders.update(await self._records.holders(keys))
        # What a merge has left over is not shown beside the record that it stands for.
        return [
            (holders[key].record_id, document, key[2])
            for key, document in zip(keys, documents, strict=True)
            if key in holders and not holders[key].retired
        ]

    async def _references(
        self,
        adapter: Adapter,
        entity_name: str,
        found: Sequence[Found],
        region: str | None,
        depth: int,
        *,
        sure: bool = False,
    ) -> dict[tuple[str, str, str], str]:
        """What these records refer to, as far as it is ours. ``sure``: raises where a system cannot be asked."""
        entity = BY_NAME[entity_name]
        wanted = {
            (adapter.name, owner, native): one.fields.get("legal_entity")
            for one in found
            for _, owner, native in references(entity, one.fields)
        }
        known = await self._records.canonical_ids(wanted)
        if depth == 0:
            return known
        missing: dict[str, list[str]] = {}
        for key in wanted:
            if key not in known and adapter.supports(key[1]):
                missing.setdefault(key[1], []).append(key[2])
        for owner, natives in missing.items():
            # A record that refers to itself, or to one that refers back, ends when the depth is used up.
            answers = await asyncio.gather(
                *(adapter.fetch(owner, native) for native in natives), return_exceptions=True
            )
            seen = [one for one in answers if isinstance(one, Found)]
            broken = [
                one
                for one in answers
                if isinstance(one, BaseException)
                and not isinstance(one, Rejected if sure else AdapterError)
            ]
            if broken:
                raise broken[0]
            place = region or next(
                (r for r in (self._region_of(one) for one in found) if r is not None), None
            )
            await self._resolve(adapter, owner, seen, place, depth - 1)
        return await self._records.canonical_ids(wanted) if missing else known

    def _region_of(self, found: Found) -> str | None:
        legal_entity = found.fields.get("legal_entity")
        return None if legal_entity is None else self._ruleset.region_of(str(legal_entity))

    def _sighting(
        self, adapter: Adapter, entity_name: str, found: Found, document: Document, region: str | None
    ) -> Sighting | None:
        """What is to be adopted; None for a record of a company that no region knows, which is not ours to show."""
        document = without_marks(BY_NAME[entity_name], document)
        legal_entity = document.get("legal_entity")
        place = self._ruleset.region_of(legal_entity) if legal_entity is not None else region
        if place is None:
            return None
        value = document.get(BY_NAME[entity_name].match_key)
        return Sighting(
            system=adapter.name,
            entity=entity_name,
            region=place,
            legal_entity=legal_entity or self._ruleset.default_legal_entity(place),
            native_id=found.native_id,
            native_version=found.native_version,
            external_id=found.external_id,
            match_key=None if value is None else str(value),
            image=document,
            marker=found.marker,
            roots=named(entity_name, document),
        )


def _exchange(
    adapter: Adapter, entity_name: str, found: Found, known: Mapping[tuple[str, str, str], str]
) -> Document:
    """The marked document."""
    return translated(
        BY_NAME[entity_name],
        without_nulls(found.fields),
        lambda owner, native: known.get((adapter.name, owner, native), unresolved(native)),
    )


def without_nulls(fields: Mapping[str, Any]) -> Document:
    """A document says nothing where there is nothing, inside an address as well as at the top."""
    out: Document = {}
    for name, value in fields.items():
        if value is None:
            continue
        if isinstance(value, dict):
            inner = without_nulls(cast("dict[str, Any]", value))
            if inner:
                out[name] = inner
        elif isinstance(value, list):
            rows = cast("list[Any]", value)
            out[name] = [
                without_nulls(cast("dict[str, Any]", row)) if isinstance(row, dict) else row for row in rows
            ]
        else:
            out[name] = value
    return out
