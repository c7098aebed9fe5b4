"""Which records of a system a canonical record may be: by our id where the product keeps it, else by its match key,
and where several share a match key (a timesheet has many entries) by what tells them apart.

Never a guess: what contradicts the record is not it, and of two that fit a person has to say which it is.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from adapters.contract import Adapter, Capability, Found, Idempotency, Query
from gateway.canonical import BY_NAME, Entity
from gateway.dispatch.command import Document
from gateway.dispatch.records import Records
from gateway.dispatch.translate import expected

#: Values of one condition that are asked for at once: their addresses stay within what servers take (8 kB).
AT_ONCE = 25
#: Records of one match key that are told apart; more of them are a person's work.
SHARED = 100
#: Records of a page, and pages, of a look for several at once.
PAGE, PAGES = 200, 10

#: Canonical field -> its value in the system's own ids, which a record that is the same does not contradict.
Marks = Mapping[str, str]
Matches = tuple[tuple[Found, ...], bool]
"""The records that fit, and whether that is all of them."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A canonical record that is looked for in a system."""

    record_id: str
    match_key: str | None
    legal_entity: str | None
    marks: Marks = {}


def marks_of(adapter: Adapter, entity: Entity, image: Document | None, natives: Mapping[str, str]) -> Marks:
    """What tells this record from others with its match key, as the system would show it. ``natives`` are the native
    ids of records that it refers to; a reference without one tells nothing."""
    if not entity.told_apart_by or image is None:
        return {}
    shown = expected(adapter, entity, image)
    owners = {reference.path for reference in entity.references}
    marks: dict[str, str] = {}
    for name in entity.told_apart_by:
        value = shown.get(name)
        if value is not None and name in owners:
            value = natives.get(value)
        if value is not None:
            marks[name] = str(value)
    return marks


def contradicts(found: Found, marks: Marks) -> bool:
    """Whether a native record is surely another one. What it does not show tells nothing."""
    shown = found.fields
    return any(shown.get(name) is not None and str(shown[name]) != value for name, value in marks.items())


async def matches(adapter: Adapter, entity_name: str, record_id: str | None, wanted: Wanted) -> Matches:
    """The records that this one may be. ``record_id`` None: our id is not asked for."""
    facts = adapter.facts(entity_name)
    if record_id is not None and facts.idempotency is Idempotency.B_EXTERNAL_ID:
        mine = await adapter.find(entity_name, external_id=record_id)
        if len(mine) == 1:
            return mine, True
    name = BY_NAME[entity_name].match_key
    if wanted.match_key is None or name not in facts.filters:
        return (), True
    where: dict[str, str | tuple[str, ...]] = {name: wanted.match_key}
    if wanted.legal_entity is not None and "legal_entity" in facts.filters:
        where["legal_entity"] = wanted.legal_entity
    limit = SHARED if BY_NAME[entity_name].told_apart_by else 2
    page = await adapter.search(entity_name, Query(where=where, limit=limit))
    return _fitting(page.items, name, wanted), page.next_cursor is None


async def free(
    records: Records, system: str, entity: Entity, looked: Mapping[str, Matches]
) -> dict[str, Matches]:
    """Of each record's matches those that are not surely another record's: where a match key may be shared, what is
    linked to another one, or carries its id, is that one."""
    if not entity.told_apart_by:
        return dict(looked)
    found = [one for items, _ in looked.values() for one in items]
    holders = await records.canonical_ids((system, entity.name, one.native_id) for one in found)
    named = {one.external_id for one in found if one.external_id is not None}
    ours = await records.views(named.difference(looked))

    def is_others(record_id: str, one: Found) -> bool:
        holder = holders.get((system, entity.name, one.native_id), record_id)
        carried = one.external_id
        return holder != record_id or (carried != record_id and (carried in ours or carried in looked))

    return {
        record_id: (tuple(one for one in items if not is_others(record_id, one)), whole)
        for record_id, (items, whole) in looked.items()
    }


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """What a look for many has found, by record, and the calls that it took."""

    matches: Mapping[str, Matches]
    calls: int


async def matches_of_all(
    adapter: Adapter, entity_name: str, wanted: Sequence[Wanted], room: asyncio.Semaphore
) -> Looked:
    """The same for many records, with a few calls for all of them; no more of them at once than ``room`` has."""
    look = _Look(adapter, BY_NAME[entity_name], room)
    found = await look.by_id(wanted)
    rest = [one for one in wanted if one.record_id not in found]
    found.update(await look.by_key(rest))
    return Looked(matches=found, calls=look.calls)


class _Look:
    """One look for many."""

    def __init__(self, adapter: Adapter, entity: Entity, room: asyncio.Semaphore) -> None:
        self._adapter = adapter
        self._entity = entity
        self._facts = adapter.facts(entity.name)
        self._room = room
        self.calls = 0

    async def by_id(self, wanted: Sequence[Wanted]) -> dict[str, Matches]:
        """Of those that the system holds exactly once with our id."""
        facts = self._facts
        if facts.idempotency is not Idempotency.B_EXTERNAL_ID or Capability.FIND not in facts.capabilities:
            return {}
        found: dict[str, Matches] = {}
        ids = [one.record_id for one in wanted]
        for answer in await asyncio.gather(*(self._with_ids(part) for part in _parts(ids))):
            for record_id, items in answer.items():
                if len(items) == 1:
                    found[record_id] = tuple(items), True
        return found

    async def _with_ids(self, ids: Sequence[str]) -> dict[str, list[Found]]:
        items = await self._find(ids)
        known = set(ids)
        found: dict[str, list[Found]] = defaultdict(list)
        if len(ids) == 1:
            found[ids[0]] = list(items)
        elif any(one.external_id not in known for one in items):
            # A product with less room keeps a part of our id: then each is asked for by itself.
            for record_id in ids:
                found[record_id] = list(await self._find([record_id]))
        else:
            for one in items:
                found[str(one.external_id)].append(one)
        return found

    async def _find(self, ids: Sequence[str]) -> tuple[Found, ...]:
        async with self._room:
            self.calls += 1
            given = ids[0] if len(ids) == 1 else tuple(ids)
            return await self._adapter.find(self._entity.name, external_id=given)

    async def by_key(self, wanted: Sequence[Wanted]) -> dict[str, Matches]:
        """By match key, one legal entity after another where the product can be asked for one."""
        name = self._entity.match_key
        found: dict[str, Matches] = {one.record_id: ((), True) for one in wanted}
        if name not in self._facts.filters:
            return found
        groups: dict[str | None, dict[str, list[Wanted]]] = defaultdict(lambda: defaultdict(list))
        scoped = "legal_entity" in self._facts.filters
        for one in wanted:
            if one.match_key is not None:
                groups[one.legal_entity if scoped else None][one.match_key].append(one)
        parts = [(company, keys, part) for company, keys in groups.items() for part in _parts(sorted(keys))]
        answers = await asyncio.gather(*(self._with_keys(company, part) for company, _, part in parts))
        for (_, keys, part), (items, whole) in zip(parts, answers, strict=True):
            for one in (one for key in part for one in keys[key]):
                found[one.record_id] = _fitting(items, name, one), whole
        return found

    async def _with_keys(self, company: str | None, keys: Sequence[str]) -> Matches:
        where: dict[str, str | tuple[str, ...]] = {
            self._entity.match_key: keys[0] if len(keys) == 1 else tuple(keys)
        }
        if company is not None:
            where["legal_entity"] = company
        items: list[Found] = []
        cursor: str | None = None
        for _ in range(PAGES):
            async with self._room:
                self.calls += 1
                page = await self._adapter.search(
                    self._entity.name, Query(where=where, limit=PAGE, cursor=cursor)
                )
            items.extend(page.items)
            cursor = page.next_cursor
            if cursor is None:
                break
        return tuple(items), cursor is None


def _fitting(items: Iterable[Found], name: str, wanted: Wanted) -> tuple[Found, ...]:
    return tuple(
        one
        for one in items
        if str(one.fields.get(name)) == wanted.match_key and not contradicts(one, wanted.marks)
    )


def _parts(values: Sequence[str]) -> list[Sequence[str]]:
    return [values[at : at + AT_ONCE] for at in range(0, len(values), AT_ONCE)]
