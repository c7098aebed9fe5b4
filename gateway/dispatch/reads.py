"""Reads: the authority of the slice answers; in shadow and live the other system is read too, off the caller's path."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from adapters.contract import Adapter, Found, Query
from adapters.errors import (
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unavailable,
    Unreadable,
)
from gateway.canonical import Entity
from gateway.clock import Clock
from gateway.compare.comparer import Comparer
from gateway.compare.observation import Held, ReadObservation
from gateway.crosswalk.store import Link
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.command import Document, ListQuery, Read, ReadPage
from gateway.dispatch.known_records import merged
from gateway.dispatch.prepare import find_match
from gateway.dispatch.present import overlay, present
from gateway.dispatch.records import Records, RecordView
from gateway.dispatch.translate import expected, without_marks
from gateway.errors import (
    ForeignCursor,
    NotConfigured,
    RecordNotFound,
    SystemUnavailable,
    SystemUnreadable,
)
from gateway.ids import Ids
from gateway.ledger.slices import Slice, Slices
from gateway.routing.cohort import plain
from gateway.routing.plan import PLANS
from gateway.routing.ruleset import Ruleset
from gateway.routing.stage import System

T = TypeVar("T")

#: Pages of an ERP that one list call may go through when the ERP cannot filter by itself.
SEARCHES = 5


class _Place(msgspec.Struct, frozen=True):
    """Where a list stands: which system, and that system's own cursor."""

    system: str
    inner: str | None = None


class Reads:
    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        records: Records,
        adoption: Adoption,
        slices: Slices,
        ruleset: Ruleset,
        comparer: Comparer,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._adapters = adapters
        self._records = records
        self._adoption = adoption
        self._slices = slices
        self._ruleset = ruleset
        self._comparer = comparer
        self._clock = clock
        self._ids = ids

    async def one(
        self, entity: Entity, record_id: str, *, regions: frozenset[str] | None, trace: Mapping[str, str]
    ) -> Read:
        """The record as its authority has it. Raises RecordNotFound, RecordMerged for a tombstone, SystemUnavailable,
        SystemUnreadable."""
        view = await self._records.one(record_id)
        return await self._read(entity, _visible(view, entity, regions), trace)

    async def by_ref(
        self,
        entity: Entity,
        system: str,
        native_id: str,
        *,
        regions: frozenset[str] | None,
        trace: Mapping[str, str],
    ) -> Read:
        """The record that ``system`` knows by its own id; adopted if it was never seen."""
        adapter = self._adapters.get(system)
        if adapter is None or not adapter.supports(entity.name):
            raise RecordNotFound(f"no system {system!r} holds {entity.collection}")
        key = (system, entity.name, native_id)
        known = await self._records.canonical_ids([key])
        if key not in known:
            found = await asked(adapter, adapter.fetch(entity.name, native_id, headers=trace))
            if found.native_id != native_id:
                known = await self._records.canonical_ids([(system, entity.name, found.native_id)])
            # A product may keep a record for all companies at once: then the caller's region has to say where
            # it belongs, and a caller of several gets it by listing one of them.
            only = _only(regions)
            adopted = await self._adoption.documents(adapter, entity.name, [found], region=only)
            if not adopted:
                if found.fields.get("legal_entity") is None:
                    raise RecordNotFound(
                        f"{system} has it for no one company: list {entity.collection} of the region it belongs to"
                    )
                raise RecordNotFound(f"{system} has it for a company that no region knows")
            known = {key: adopted[0][0]}
        view = await self._records.meant(known[key])
        return await self._read(entity, _visible(view, entity, regions), trace)

    async def page(self, entity: Entity, query: ListQuery, *, trace: Mapping[str, str]) -> ReadPage:
        """One page over the regions asked for, system by system; each record is answered by its slice's authority."""
        systems: dict[System, list[Slice]] = {}
        for region in query.regions:
            one = self._slices.cached(entity.name, region)
            systems.setdefault(one.authority, []).append(one)
        order = [system for system in System if system in systems]
        place = _place(query.cursor, order)
        items: list[Document] = []
        answered_by: list[System] = []
        while place is not None and len(items) < query.limit:
            system = System(place.system)
            more, inner = await self._search(
                entity, system, systems[system], query, place.inner, query.limit - len(items), trace
            )
            items.extend(more)
            answered_by.append(system)
            if inner is not None:
                place = _Place(system.value, inner)
                if not more:
                    break  # a long stretch without a fit: the caller gets the cursor and asks on
            else:
                following = order[order.index(system) + 1 :]
                place = _Place(following[0].value) if following else None
        return ReadPage(
            items=tuple(items),
            next_cursor=None if place is None else msgspec.json.encode(place).decode(),
            answered_by=tuple(dict.fromkeys(answered_by)),
        )

    async def ensure_image(self, entity: Entity, record_id: str, *, regions: frozenset[str] | None) -> None:
        """Before a change: a record that was only ever seen by its id gets the document that is to be changed."""
        view = await self._records.one(record_id)
        if view is None or view.image is not None or view.version == 0:
            return
        read = await self._read(entity, _visible(view, entity, regions), {})
        kept = {*entity.fields.__struct_fields__, "state", "legal_entity", "custom_fields"}
        await self._records.keep_image(record_id, {n: v for n, v in read.document.items() if n in kept})

    # --- one -------------------------------------------------------------------------------------------------

    async def _read(self, entity: Entity, view: RecordView, trace: Mapping[str, str]) -> Read:
        slice_ = self._slices.cached(entity.name, view.region)
        plan = PLANS[slice_.stage]
        adapter = self._adapter(plan.authority, entity)
        link = view.links.get(plan.authority.value)
        if link is None:
            link = await self._find(adapter, entity, view)
            view = msgspec.structs.replace(view, links={**view.links, plan.authority.value: link})
        found = await asked(adapter, adapter.fetch(entity.name, link.native_id, headers=trace))
        marked = await self._adoption.marked(adapter, entity.name, found, region=view.region)
        answered = without_marks(entity, marked)
        self._observe(entity, view, slice_, marked)
        return Read(
            document=self._shown(entity, adapter, view, answered),
            version=view.version,
            stage=slice_.stage,
            answered_by=plan.authority,
            pending=view.open_writes,
        )

    def _adapter(self, system: System, entity: Entity) -> Adapter:
        adapter = self._adapters.get(system.value)
        if adapter is None:
            raise NotConfigured(f"set [systems.{system.value}] in the settings")
        if not adapter.supports(entity.name):
            raise NotConfigured(
                f"the profile {adapter.product} of {system.value} does not hold {entity.collection}"
            )
        return adapter

    async def _find(self, adapter: Adapter, entity: Entity, view: RecordView) -> Link:
        """The authority's record for one that only the other system was known to hold."""
        found = await asked(
            adapter,
            find_match(adapter, entity.name, view.id, view.match_key, view.legal_entity, view.image),
        )
        if found is not None:
            link = Link(
                record_id=view.id,
                system=adapter.name,
                entity=entity.name,
                native_id=found.native_id,
                native_version=found.native_version,
            )
            if await self._records.keep_link(link):
                return link
        raise RecordNotFound(f"{adapter.name} answers for this slice and does not hold the record yet")

    def _shown(self, entity: Entity, adapter: Adapter, view: RecordView, answered: Document) -> Document:
        document = overlay(
            entity,
            view.image,
            answered,
            mapped=adapter.facts(entity.name).mapped,
            expect=lambda image: expected(adapter, entity, image),
        )
        return present(
            entity,
            record_id=view.id,
            region=view.region,
            legal_entity=view.legal_entity,
            version=view.version,
            document=document,
            created_at=view.created_at,
            updated_at=view.updated_at,
            external_refs=view.external_refs,
            native_ids={system: link.native_id for system, link in view.links.items()},
        )

    def _observe(self, entity: Entity, view: RecordView, slice_: Slice, answered: Document) -> None:
        other = PLANS[slice_.stage].shadow_read
        if other is None or slice_.compare_sample < 1:
            return
        if slice_.compare_sample > 1 and self._ids.fraction() * slice_.compare_sample >= 1:
            return
        held = view.links.get(other.value)
        self._comparer.observe(
            ReadObservation(
                record_id=view.id,
                entity=entity.name,
                region=view.region,
                authority=slice_.authority.value,
                other=other.value,
                stage=slice_.stage.value,
                document=answered,
                held=None if held is None else Held(held.native_id, view.region),
            )
        )

    # --- many ------------------------------------------------------------------------------------------------

    async def _search(
        self,
        entity: Entity,
        system: System,
        slices: Sequence[Slice],
        query: ListQuery,
        cursor: str | None,
        limit: int,
        trace: Mapping[str, str],
    ) -> tuple[list[Document], str | None]:
        adapter = self._adapter(system, entity)
        facts = adapter.facts(entity.name)
        regions = dict.fromkeys(plain(one.region) for one in slices)
        companies = [company.code for one in regions for company in self._ruleset.region(one).legal_entities]
        where: dict[str, str | tuple[str, ...]] = {}
        local: dict[str, str] = {}
        wanted = dict(query.where)
        if "legal_entity" in wanted and wanted["legal_entity"] not in companies:
            return [], None
        for name, value in wanted.items():
            target = next((r.entity for r in entity.references if r.path == name), None)
            if target is not None:
                value = await self._meant(value)
            if name not in facts.filters:
                local[name] = value
            elif target is None:
                where[name] = value
            else:
                natives = await self._records.native_ids(system.value, [value])
                if value not in natives:
                    return [], None
                where[name] = self._records.named_there(system.value, value, natives[value])
        if "legal_entity" in facts.filters and "legal_entity" not in where:
            where["legal_entity"] = tuple(companies)
        places = {one.region: one for one in slices}
        documents: list[Document] = []
        for _ in range(SEARCHES):
            page = await asked(
                adapter,
                adapter.search(
                    entity.name,
                    Query(
                        where=where,
                        updated_since=query.updated_since,
                        limit=limit - len(documents),
                        cursor=cursor,
                    ),
                    headers=trace,
                ),
            )
            cursor = page.next_cursor
            shown = await self._shown_all(entity, adapter, page.items, places)
            documents.extend(document for document in shown if _fits(document, local))
            if cursor is None or len(documents) >= limit:
                break
        return documents, cursor

    async def _meant(self, record_id: str) -> str:
        named = (await self._records.known([record_id])).get(record_id)
        return record_id if named is None else named.record_id

    async def _shown_all(
        self, entity: Entity, adapter: Adapter, found: Sequence[Found], places: Mapping[str, Slice]
    ) -> list[Document]:
        adopted = await self._adoption.documents(adapter, entity.name, found, region=_only(places))
        views = await self._records.views([record_id for record_id, _ in adopted])
        shown: list[Document] = []
        for record_id, answered in adopted:
            view = views.get(record_id)
            if view is None or view.region not in places or view.version == 0 or view.merged_into is not None:
                continue
            self._observe(entity, view, places[view.region], answered)
            shown.append(self._shown(entity, adapter, view, answered))
        return shown


def _only(places: Iterable[str] | None) -> str | None:
    """The one region that all of these are of, or None."""
    regions = {plain(place) for place in places or ()}
    return regions.pop() if len(regions) == 1 else None


def _visible(view: RecordView | None, entity: Entity, regions: frozenset[str] | None) -> RecordView:
    if view is None or view.entity != entity.name or (regions is not None and view.region not in regions):
        raise RecordNotFound
    if view.version == 0:
        raise RecordNotFound(
            "its create is not confirmed yet; follow the operation that the create answered with"
        )
    if view.merged_into is not None:
        raise merged(view.merged_into)
    return view


def _place(cursor: str | None, order: Sequence[System]) -> _Place | None:
    if cursor is None:
        return _Place(order[0].value) if order else None
    try:
        place = msgspec.json.decode(cursor, type=_Place)
    except msgspec.DecodeError as wrong:
        raise ForeignCursor from wrong
    if place.system not in order:
        raise ForeignCursor("the slice has moved to another system since this list was begun; begin it anew")
    return place


def _fits(document: Document, local: Mapping[str, Any]) -> bool:
    """What the ERP could not select by itself. ``updated_since`` is always the ERP's to judge, by its own stamps."""
    return all(_worded(document.get(name)) == value for name, value in local.items())


def _worded(value: Any) -> str:
    """A value as a query parameter writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


async def asked(adapter: Adapter, call: Awaitable[T]) -> T:
    """The answer of a reading call, or the GatewayError that its failure means to a caller."""
    try:
        return await call
    except NotFound as missing:
        raise RecordNotFound(f"{adapter.name} does not hold it any more") from missing
    except Throttled as throttled:
        raise SystemUnavailable(
            f"{adapter.name} asks for a pause",
            retry_after_s=throttled.retry_after_s or 30,
            system=adapter.name,
        ) from throttled
    except Unreadable as nonsense:
        raise SystemUnreadable(f"{adapter.name}: {nonsense.message}", system=adapter.name) from nonsense
    except (Unavailable, OutcomeUnknown) as down:
        raise SystemUnavailable(
            f"{adapter.name} does not answer", retry_after_s=5, system=adapter.name
        ) from down
    except Misconfigured as wrong:
        raise NotConfigured(f"{adapter.name}: {wrong.message}", system=adapter.name) from wrong
    except Rejected as refused:
        raise SystemUnreadable(
            f"{adapter.name} refused the read: {refused.message}", system=adapter.name
        ) from refused
