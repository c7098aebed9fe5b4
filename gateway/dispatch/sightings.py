"""Native records that are seen for the first time: which canonical record each of them is, written down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.canonical import BY_NAME
from gateway.crosswalk.store import Holder, Link, link, linked, links_of
from gateway.database import among
from gateway.database.rows import rows_by_keys
from gateway.dispatch import natural_keys
from gateway.dispatch.command import Document
from gateway.dispatch.known_records import Native
from gateway.ledger import journal
from gateway.ledger.slices import lock_exclusive, lock_shared, read_regions
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery, operation, record
from gateway.routing.cohort import followed


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


class AdoptedMeanwhile(Exception):
    """The same native record was adopted by another request at the same moment. Look again."""


def adopt(
    connection: Connection,
    sightings: Sequence[Sighting],
    minted: Sequence[str],
    now: int,
    narrowed: frozenset[str] = frozenset(),
) -> dict[Native, Holder]:
    """Links each of these native records to the one that it is known to be, or to a new one with the id that was minted
    for it. One that may be what a create on its way is just making is left out: its system shows nothing of ours that
    would tell. ``narrowed``: the regions with cohorts. Raises AdoptedMeanwhile, which rolls the transaction back."""
    for entity in sorted({one.entity for one in sightings}):
        # Two who see the same record, or its two halves, at the same moment must not make two of it.
        hold_adoption(connection, entity)
    places = _places_of(connection, [one for one in sightings if one.region in narrowed])
    known = linked(connection, [(one.system, one.entity, one.native_id) for one in sightings])
    fits = _fitting(
        connection, [one for one in sightings if (one.system, one.entity, one.native_id) not in known]
    )
    met = known.keys() | fits.keys()
    strange = [one for one in sightings if (one.system, one.entity, one.native_id) not in met]
    on_their_way = _being_made(connection, strange)
    made: dict[Native, Holder] = {}
    fresh: list[Link] = []
    rows: list[dict[str, object]] = []
    used: set[tuple[str, str]] = set()
    numbers: dict[natural_keys.Key, str] = {}
    for one, new_id in zip(sightings, minted, strict=True):
        key = (one.system, one.entity, one.native_id)
        if key in known:
            made[key] = known[key]
            used.add((known[key].record_id, one.system))
            continue
        record_id = fits.get(key)
        if record_id is None and any(_may_be(one, change) for change in on_their_way.get((one.system, one.entity), ())):
            continue
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
        made[key] = Holder(record_id=record_id, holder=record_id)
        fresh.append(
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
    lost = link(connection, fresh, at=now)
    if lost:
        # Somebody adopted the same native record between our look and our insert: theirs stands.
        raise AdoptedMeanwhile
    return made


def _being_made(
    connection: Connection, sightings: Sequence[Sighting]
) -> dict[tuple[str, str], list[Document]]:
    """What creates on their way ask for, by (system, entity). A create is *sending* or *unknown* from before its first
    byte until the commit that links what it has made."""
    if not sightings:
        return {}
    rows = connection.execute(
        select(delivery.c.system, delivery.c.entity, operation.c.change)
        .join(operation, operation.c.id == delivery.c.operation_id)
        .where(
            delivery.c.state.in_([DeliveryState.SENDING.value, DeliveryState.UNKNOWN.value]),
            among(delivery.c.system, {one.system for one in sightings}),
            among(delivery.c.entity, {one.entity for one in sightings}),
            operation.c.kind == "create",
        )
    )
    found: dict[tuple[str, str], list[Document]] = {}
    for row in rows:
        found.setdefault((row.system, row.entity), []).append(msgspec.json.decode(row.change))
    return found


def _may_be(one: Sighting, change: Document) -> bool:
    """Whether a record that was seen may be what this create asks for: nothing that both name contradicts it. A text
    may have been cut by the product, and what is no text may be written another way."""
    entity = BY_NAME[one.entity]
    names = {entity.match_key, "name", "legal_entity", *(ref.path for ref in entity.references if "[" not in ref.path)}
    # Its legal entity may be the region's default; only one that its image shows is what the system says.
    seen = {entity.match_key: one.match_key, **one.image}
    for name in names & change.keys() & seen.keys():
        wanted, shown = change[name], seen[name]
        if isinstance(wanted, str) and isinstance(shown, str) and not _cut(wanted, shown):
            return False
    return True


def _cut(wanted: str, shown: str) -> bool:
    return wanted.startswith(shown.rstrip()) or shown.startswith(wanted)


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


def hold_adoption(connection: Connection, entity: str) -> None:
    """Until the transaction ends, nobody else links a record of this kind that was seen for the first time."""
    lock_exclusive(connection, ("adoption", entity))


def _of_numbers(connection: Connection, sightings: Sequence[Sighting]) -> list[Any]:
    """The records that have the match key of one of these, in its entity and legal entity."""
    columns = "id", "entity", "legal_entity", "match_key", "version", "merged_into"
    keys: dict[tuple[str | None, ...], dict[str, str | None]] = {}
    alone: dict[str, list[str]] = {}  # of no legal entity: no key in full, since nothing equals what is not there
    for one in sightings:
        if one.legal_entity is None:
            alone.setdefault(one.entity, []).append(one.match_key or "")
        else:
            key = {"entity": one.entity, "legal_entity": one.legal_entity, "match_key": one.match_key}
            keys[tuple(key.values())] = key
    found = [*rows_by_keys(connection, record, list(keys.values()), columns)]
    for entity, numbers in alone.items():
        wanted = select(*(record.c[name] for name in columns)).where(
            record.c.entity == entity, record.c.legal_entity.is_(None), among(record.c.match_key, numbers)
        )
        found += connection.execute(wanted)
    return found


def _fitting(connection: Connection, sightings: Sequence[Sighting]) -> dict[tuple[str, str, str], str]:
    """The one record that each sighting must be: by our own id, by the marker of a write that we sent (its outcome
    may not be written down yet), else by its match key if exactly one confirmed record of its legal entity has that
    key and no link to this system yet."""
    fits: dict[tuple[str, str, str], str] = {}
    wanted_ids = [one.external_id for one in sightings if one.external_id]
    present: dict[str, str] = {}
    if wanted_ids:
        # Whoever carries the id of a tombstone is the record that it is taken for.
        for row in connection.execute(
            select(record.c.id, record.c.merged_into).where(among(record.c.id, wanted_ids))
        ):
            present[row.id] = row.merged_into or row.id
    markers = {one.marker for one in sightings if one.marker and one.external_id not in present}
    marked: dict[tuple[str, str], str] = {}
    if markers:
        for row in connection.execute(
            select(operation.c.marker, operation.c.entity, operation.c.record_id, record.c.merged_into)
            .join(record, record.c.id == operation.c.record_id)
            .where(among(operation.c.marker, markers))
        ):
            marked[row.entity, row.marker] = row.merged_into or row.record_id
    numbered = [one for one in sightings if one.match_key and one.external_id not in present]
    by_key: dict[tuple[str, str | None, str], list[str]] = {}
    for row in _of_numbers(connection, numbered):
        if row.version > 0 and row.merged_into is None:
            by_key.setdefault((row.entity, row.legal_entity, row.match_key), []).append(row.id)
    candidates = {record_id for ids in by_key.values() for record_id in ids} | set(present.values())
    candidates |= set(marked.values())
    links = links_of(connection, candidates)
    for one in sightings:
        key = (one.system, one.entity, one.native_id)
        if one.external_id in present:
            ids = [present[one.external_id]]
        elif (one.entity, one.marker or "") in marked:
            ids = [marked[one.entity, one.marker or ""]]
        else:
            ids = by_key.get((one.entity, one.legal_entity, one.match_key or ""), [])
        free = [record_id for record_id in ids if (record_id, one.system) not in links]
        if len(ids) == 1 and len(free) == 1:
            fits[key] = free[0]
    return fits
