"""Which records of a region follow roots into a cohort, out of the journal's own documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, func, or_, select

from gateway.database import among
from gateway.dispatch.command import Document
from gateway.ledger.states import OPERATION_ANSWERED
from gateway.ledger.tables import operation, record
from gateway.routing.cohort import Cohort, followed, named

#: Records that are read at once.
PAGE = 2_000
_ANSWERED = [state.value for state in OPERATION_ANSWERED]


class Doc(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the region's own slice, and its document: as its authority has it, or as it is being made."""

    id: str
    entity: str
    document: Document


def naming(connection: Connection, cohort: Cohort, entities: Iterable[str], roots: frozenset[str]) -> set[str]:
    """Records that may follow the roots: those that name one of them, or a record that does. Takes no lock."""
    taken = tombstones(connection, cohort, entities)
    found: set[str] = set()
    for entity in entities:
        for one in _documents(connection, cohort.region, entity):
            if any(not (roots | found).isdisjoint(ids) for ids in _meant(one, taken)):
                found.add(one.id)
    return found


def tombstones(connection: Connection, cohort: Cohort, entities: Iterable[str]) -> dict[str, str]:
    """Those of the region's own slices, each with the record that it is taken for."""
    rows = connection.execute(
        select(record.c.id, record.c.merged_into).where(
            record.c.region == cohort.region,
            among(record.c.entity, list(entities)),
            record.c.merged_into.is_not(None),
        )
    )
    return {row.id: row.merged_into for row in rows}


def _meant(one: Doc, taken: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    """The records that a document is placed by: a tombstone that it names is taken for another one."""
    return tuple(tuple(taken.get(id_, id_) for id_ in ids) for ids in named(one.entity, one.document))


def newer(connection: Connection, cohort: Cohort, entities: Iterable[str], *, since: int) -> set[str]:
    """Records of the region's own slices that have been written to since then, in microseconds UTC."""
    rows = connection.execute(
        select(record.c.id).where(
            record.c.region == cohort.region,
            among(record.c.entity, list(entities)),
            or_(record.c.updated_at >= since, record.c.open_writes > 0),
        )
    )
    return set(rows.scalars())


def followers(
    connection: Connection,
    cohort: Cohort,
    entities: Iterable[str],
    roots: frozenset[str],
    candidates: Mapping[str, Any],
    taken: Mapping[str, str],
) -> dict[str, list[str]]:
    """By entity, in the order of dependency, the candidates whose place is the cohort's once the roots are in it.
    ``candidates`` are their rows, which the caller holds; ``taken`` are the ``tombstones``."""
    moved = set(roots)
    found: dict[str, list[str]] = {}
    for entity in entities:
        docs = [one for one in _of_rows(connection, entity, candidates) if one.id not in roots]
        steps = {one.id: _meant(one, taken) for one in docs}
        ids = {each for step in steps.values() for several in step for each in several}
        rows = connection.execute(select(record.c.id, record.c.region).where(among(record.c.id, sorted(ids))))
        known = {row.id: cohort.place if row.id in moved else row.region for row in rows}
        for record_id, step in steps.items():
            if followed(cohort.region, step, known) == cohort.place:
                found.setdefault(entity, []).append(record_id)
                moved.add(record_id)
    return found


def unseen(connection: Connection, cohort: Cohort, entities: Iterable[str]) -> int:
    """Records of the region's own slices of which the journal has no document."""
    return connection.execute(
        select(func.count())
        .select_from(record)
        .where(
            record.c.region == cohort.region,
            among(record.c.entity, list(entities)),
            record.c.image.is_(None),
            record.c.version > 0,
            record.c.merged_into.is_(None),
        )
    ).scalar_one()


def _documents(connection: Connection, region: str, entity: str) -> Iterator[Doc]:
    after = ""
    while True:
        rows = connection.execute(
            select(record.c.id, record.c.image)
            .where(
                record.c.entity == entity,
                record.c.region == region,
                record.c.merged_into.is_(None),
                record.c.id > after,
            )
            .order_by(record.c.id)
            .limit(PAGE)
        ).all()
        for row in rows:
            if row.image is not None:
                yield Doc(id=row.id, entity=entity, document=msgspec.json.decode(row.image))
        if len(rows) < PAGE:
            return
        after = rows[-1].id


def _of_rows(connection: Connection, entity: str, rows: Mapping[str, Any]) -> list[Doc]:
    mine = {id_: row for id_, row in rows.items() if row.entity == entity and row.merged_into is None}
    being_made = [id_ for id_, row in mine.items() if row.image is None and row.open_writes]
    texts = {id_: row.image for id_, row in mine.items()}
    if being_made:
        changes = connection.execute(
            select(operation.c.record_id, operation.c.change).where(
                among(operation.c.record_id, being_made),
                operation.c.kind == "create",
                operation.c.state.not_in(_ANSWERED),
            )
        )
        texts.update({row.record_id: row.change for row in changes})
    return [
        Doc(id=id_, entity=entity, document=msgspec.json.decode(text))
        for id_, text in sorted(texts.items())
        if text is not None
    ]
