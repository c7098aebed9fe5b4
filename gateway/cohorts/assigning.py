"""Brings roots into a cohort, with what follows them, in one commit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select, update

from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.backfill.tables import backfill_run
from gateway.canonical import BY_NAME
from gateway.cases.tables import case_
from gateway.change_feed.moved import follow_on
from gateway.cohorts import following
from gateway.compare.tables import compare_job, diff, diff_field
from gateway.crosswalk import merges
from gateway.crosswalk.store import links_of
from gateway.database import Database, among
from gateway.errors import FieldError, Invalid, NotFoundHere, RuleRefused, UnknownRegion
from gateway.ledger import journal, slices
from gateway.ledger.tables import record
from gateway.reconcile.tables import reconcile_run
from gateway.routing.cohort import MEMBERS, Cohort, Cohorts, Root, plain

#: Roots of one act: a wave is asked for in several where it is larger.
MOST_ROOTS = 1_000
#: How far what was written behind our back goes back: no transaction that stamps a record lasts so long.
OVERLAP_US = 60 * 1_000_000
#: Records that a refusal names.
NAMED = 5


class Assigned(msgspec.Struct, frozen=True, kw_only=True):
    """``records``: by entity, those that have come into the cohort. ``unseen``: records of the region of which the
    journal has no document, so that nobody can say whether they follow."""

    place: str
    roots: tuple[str, ...]
    records: dict[str, int]
    unseen: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A cohort as the rule files have it. ``roots``: how many the journal has in it."""

    place: str
    root: Root
    numbers: tuple[str, ...]
    legal_entities: tuple[str, ...]
    percent: int
    note: str
    roots: int


class Assigning:
    def __init__(self, *, database: Database, cohorts: Cohorts) -> None:
        self._database = database
        self._cohorts = cohorts

    def cohort(self, place: str) -> Cohort:
        """The cohort that a place is. Raises UnknownRegion."""
        for one in self._cohorts.cohorts:
            if one.place == place:
                return one
        known = ", ".join(one.place for one in self._cohorts.cohorts) or "none"
        raise UnknownRegion(f"no rule file knows the cohort {place[:40]!r}; known are {known}")

    async def standing(self) -> tuple[Standing, ...]:
        """Every cohort, in the order of the file."""

        def unit(connection: Connection) -> dict[tuple[str, str], int]:
            places = [one.place for one in self._cohorts.cohorts]
            rows = connection.execute(
                select(record.c.entity, record.c.region, func.count().label("many"))
                .where(among(record.c.region, places), record.c.merged_into.is_(None))
                .group_by(record.c.entity, record.c.region)
            )
            return {(row.entity, row.region): row.many for row in rows}

        counted = await self._database.read(unit)
        return tuple(
            Standing(
                place=one.place,
                root=one.root,
                numbers=one.numbers,
                legal_entities=one.legal_entities,
                percent=one.percent,
                note=one.note,
                roots=counted.get((one.root, one.place), 0),
            )
            for one in self._cohorts.cohorts
        )

    async def assign(self, place: str, roots: Sequence[str], *, actor: str, reason: str) -> Assigned:
        """Brings these roots into the cohort. Raises UnknownRegion, Invalid for what is no root of it, NotFoundHere for
        a record that there is not, and RuleRefused with all that stands against it."""
        why = reason_of(reason)
        cohort = self.cohort(place)
        wanted = frozenset(roots)
        if not 0 < len(wanted) <= MOST_ROOTS:
            raise _invalid(f"name 1 to {MOST_ROOTS} {BY_NAME[cohort.root].collection}")
        entities = MEMBERS[cohort.root]
        began = await self._database.read(self._database.now)
        seen = await self._database.read(lambda conn: following.naming(conn, cohort, entities, wanted))

        def unit(connection: Connection) -> Assigned:
            slices.lock_exclusive(connection, *((entity, cohort.region) for entity in entities))
            _must_be_one(connection, cohort, entities)
            newer = following.newer(connection, cohort, entities, since=began - OVERLAP_US)
            rows = journal.records_for_update(connection, wanted | seen | newer)
            fresh = _roots(cohort, wanted, rows)
            rows = {id_: row for id_, row in rows.items() if row.region == cohort.region}
            taken = following.tombstones(connection, cohort, entities)
            found = following.followers(connection, cohort, entities, wanted, rows, taken)
            moving = {id_: rows[id_] for id_ in (*fresh, *(one for ids in found.values() for one in ids))}
            now = self._database.now(connection)
            _must_be_still(connection, cohort, entities, moving, now=now)
            _relabel(connection, cohort.place, sorted(moving), now=now)
            _take_along(connection, cohort.place, sorted(id_ for id_, winner in taken.items() if winner in moving))
            counted = {cohort.root: len(fresh)} if fresh else {}
            for entity, ids in found.items():
                counted[entity] = counted.get(entity, 0) + len(ids)
            audited(
                connection,
                at=now,
                actor=actor,
                action="cohort.assign",
                subject=cohort.place,
                detail={"roots": fresh, "records": counted, "reason": why},
            )
            return Assigned(
                place=cohort.place,
                roots=tuple(fresh),
                records=counted,
                unseen=following.unseen(connection, cohort, entities),
            )

        return await self._database.transaction(unit)


def _roots(cohort: Cohort, wanted: Iterable[str], rows: Mapping[str, Any]) -> list[str]:
    """Those that are not in the cohort yet. Raises NotFoundHere and Invalid."""
    fresh: list[str] = []
    for id_ in sorted(wanted):
        row = rows.get(id_)
        if row is None or row.version == 0 or plain(row.region) != cohort.region:
            raise NotFoundHere(f"there is no {cohort.root} {id_[:60]!r} in {cohort.region}")
        if row.entity != cohort.root:
            raise _invalid(f"{id_} is no {cohort.root}, which {cohort.place} is of")
        if row.merged_into is not None:
            raise _invalid(f"{id_} was merged into {row.merged_into}: name that one")
        if row.region == cohort.place:
            continue
        if row.region != cohort.region:
            raise _invalid(f"{id_} is in {row.region} already; moving on from a cohort is not offered")
        fresh.append(id_)
    return fresh


def _must_be_one(connection: Connection, cohort: Cohort, entities: Sequence[str]) -> None:
    """Raises RuleRefused unless each slice of the cohort is where its region's is, and both stand still."""
    there = slices.read_regions(connection, [(entity, cohort.region) for entity in entities])
    wrong: list[str] = []
    for entity in entities:
        own, its = there.get((entity, cohort.region)), there.get((entity, cohort.place))
        if own is None or its is None:
            wrong.append(f"{entity} has no slice in {cohort.place if its is None else cohort.region}")
        elif own.draining or its.draining:
            wrong.append(f"the authority of {entity} is being moved")
        elif (own.stage, own.authority) != (its.stage, its.authority):
            wrong.append(
                f"{entity} is {its.stage} in {cohort.place} and {own.stage} in {cohort.region}: move one to the other"
            )
    _refuse(cohort, "stage", wrong)


def _must_be_still(
    connection: Connection, cohort: Cohort, entities: Sequence[str], moving: Mapping[str, Any], *, now: int
) -> None:
    """Raises RuleRefused where something is open for one of these records, or a run is under way over the slices."""
    open_ = {record_id for record_id, _ in journal.open_deliveries(connection, moving)}
    open_ |= {id_ for id_, row in moving.items() if row.open_writes}
    waiting = select(case_.c.record_id).where(case_.c.state == "open", among(case_.c.record_id, sorted(moving)))
    cases = set(connection.execute(waiting).scalars())
    asked = {id_ for one in merges.waiting(connection, sorted(moving)) if one.expires_at > now
             for id_ in (one.loser, one.winner) if id_ in moving}  # fmt: skip
    wrong = [f"{len(ids)} records have {what}: {_names(ids)}" for ids, what in (
        (open_, "deliveries under way, or waiting for a person"), (cases, "open cases"),
        (asked, "a merge or a split that waits for another person"),
    ) if ids]  # fmt: skip
    for table, states, what in (
        (backfill_run, ["running", "verifying", "paused"], "backfills"),
        (reconcile_run, ["running"], "reconciliations"),
    ):
        runs = connection.execute(
            select(func.count())
            .select_from(table)
            .where(
                among(table.c.entity, list(entities)),
                among(table.c.region, [cohort.region, cohort.place]),
                among(table.c.state, states),
            )
        ).scalar_one()
        if runs:
            wrong.append(f"{runs} {what} are under way: see them through first")
    _refuse(cohort, "open", wrong)


def _refuse(cohort: Cohort, code: str, wrong: Sequence[str]) -> None:
    if wrong:
        raise RuleRefused(
            f"nothing is brought into {cohort.place}: {wrong[0]}",
            errors=[FieldError(pointer="/roots", code=code, message=one) for one in wrong],
            gates=[code],
        )


def _relabel(connection: Connection, place: str, ids: Sequence[str], *, now: int) -> None:
    """Gives these records their new place, and all that is still to be done or said of them."""
    if not ids:
        return
    connection.execute(update(record).where(among(record.c.id, ids)).values(region=place))
    # A look that is under way is void: it began in the other slice.
    connection.execute(
        update(compare_job)
        .where(among(compare_job.c.record_id, ids))
        .values(region=place, token=compare_job.c.token + 1, due_at=now)
    )
    open_ = among(diff.c.record_id, ids) & diff.c.resolved_at.is_(None)
    found = list(connection.execute(select(diff.c.id).where(open_)).scalars())
    connection.execute(update(diff).where(open_).values(region=place))
    connection.execute(update(diff_field).where(among(diff_field.c.diff_id, found)).values(region=place))
    links = links_of(connection, ids)
    follow_on(connection, links.values(), place, now=now)


def _take_along(connection: Connection, place: str, tombstones: Sequence[str]) -> None:
    """These are taken for records that have their new place: nothing is to be done or said of them but that."""
    if tombstones:
        connection.execute(update(record).where(among(record.c.id, tombstones)).values(region=place))


def _names(ids: Iterable[str]) -> str:
    several = sorted(ids)
    return ", ".join(several[:NAMED]) + (", …" if len(several) > NAMED else "")


def _invalid(message: str) -> Invalid:
    return Invalid(message, errors=[FieldError(pointer="/roots", code="root", message=message)])
