"""The second look: a record whose sides part is placed by what the journal says of it, or read again on both sides once
it has been quiet for the settle time.

Every record without a delivery, a case or a waiver to account for it is read again one by one. That is what makes
*unexplained* worth believing, and it takes two or three requests a record. A source is not read again: what was written
since it was made is late.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import Connection, func, select

from gateway.compare.look import NeitherHasIt, NoAnswer
from gateway.compare.observation import Sample, samples
from gateway.compare.verdict import may_be_late
from gateway.compare.waiver import Waiver, waived
from gateway.compare.waivers import in_force
from gateway.database import Database
from gateway.database.rows import update_rows
from gateway.reconcile import standing
from gateway.reconcile.bridge import Term
from gateway.reconcile.eyes import Eyes
from gateway.reconcile.matching import KEPT
from gateway.reconcile.standing import MOST_TRIES, Found, Standing
from gateway.reconcile.store import Work, encode
from gateway.reconcile.tables import reconcile_part
from gateway.reconcile.tally import SIDES

MICROS = 1_000_000
#: Records placed in one step, how many of them are read at once, and records placed where none is read.
BATCH = 32
AT_ONCE = 4
UNREAD = 500


class Suspected(msgspec.Struct, frozen=True, kw_only=True):
    """A record that parts and has no term yet."""

    record_id: str
    read_at: int
    tries: int
    covered: str | None


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """What a step has decided of one record: its term, or when to look again (``found`` None)."""

    record_id: str
    found: Found | None = None
    differences: tuple[Sample, ...] | None = None  #: as the second look has seen them
    delay: int = 0  #: microseconds
    counted: bool = True  #: whether it was a try
    tries: int = 0  #: how many there were with it


class Rechecks:
    """``reachable`` says of a system whether it may be called now."""

    def __init__(
        self,
        *,
        database: Database,
        eyes: Eyes,
        key: bytes,
        settle_s: float,
        confirm_s: float,
        reachable: Callable[[str], bool],
    ) -> None:
        self._database = database
        self._eyes = eyes
        self._key = key
        self._settle = int(settle_s * MICROS)
        self._confirm = int(confirm_s * MICROS)
        self._reachable = reachable
        self._places = asyncio.Semaphore(AT_ONCE)

    async def step(self, work: Work) -> list[Placed] | None:
        """Decides on some records that are due; an empty list: none is due yet; None: none is left."""

        def unit(
            connection: Connection,
        ) -> tuple[int, list[Suspected], dict[str, Standing], Sequence[Waiver], int]:
            now = self._database.now(connection)
            due, left = _due(connection, work.id, now, UNREAD if _read_once(work) else BATCH)
            known = standing.standings(connection, [one.record_id for one in due])
            waivers = in_force(connection, now).get((work.entity.name, work.region), ())
            return now, due, known, waivers, left

        now, due, known, waivers, left = await self._database.read(unit)
        if not left:
            return None
        placed = await asyncio.gather(
            *(self._place(work, one, known[one.record_id], waivers, now) for one in due)
        )
        return [
            msgspec.structs.replace(found, tries=one.tries + found.counted)
            for one, found in zip(due, placed, strict=True)
        ]

    async def _place(
        self, work: Work, one: Suspected, known: Standing, waivers: Sequence[Waiver], now: int
    ) -> Placed:
        found = standing.at_once(known, read_at=one.read_at)
        if found is None and one.covered is not None:
            found = Found(term=Term.WAIVED, why=one.covered)
        if found is not None:
            return Placed(record_id=one.record_id, found=found)
        since = standing.since_made(known, work.sources.values())
        if since is not None:
            return Placed(record_id=one.record_id, found=since)
        following = standing.before_look(known, now=now, settle=self._settle, tries=one.tries)
        if isinstance(following, Found):
            return Placed(record_id=one.record_id, found=following)
        if following == "wait":
            quiet_at = known.quiet_since + self._settle
            return self._again(one, at_least=quiet_at - now)
        if _read_once(work):
            # Neither side is read again, so it parts as it did.
            return Placed(record_id=one.record_id, found=Found(term=Term.UNEXPLAINED, why=_parts(work)))
        async with self._places:
            return await self._look(work, one, waivers, now)

    async def _look(self, work: Work, one: Suspected, waivers: Sequence[Waiver], now: int) -> Placed:
        sides, eye = self._eyes.sides(work), self._eyes.of(work)
        before = await sides.fence(one.record_id)
        try:
            seen = await eye.both(
                work.entity, work.authority, work.other, one.record_id, held=before.held
            )
        except NeitherHasIt:
            why = "gone on both sides since it was read"
            return Placed(record_id=one.record_id, found=Found(term=Term.LATE, why=why))
        except NoAnswer as silent:
            if not all(self._reachable(system) for system in (work.authority, work.other)):
                return self._again(one, counted=False)
            if one.tries < MOST_TRIES:
                return self._again(one)
            why = f"could not be read again: {silent}"
            return Placed(record_id=one.record_id, found=Found(term=Term.UNEXPLAINED, why=why))
        if await sides.fence(one.record_id) != before and one.tries < MOST_TRIES:
            return self._again(one)
        diffs = waived(seen.diffs, waivers, now=now, key=self._key)
        kept: tuple[Sample, ...] | None = samples((diffs.open or diffs.differences)[:KEPT], self._key)
        if diffs.open:
            again_at = may_be_late(await sides.unshown(one.record_id, seen.shown), self._confirm, now=now)
            if again_at is not None and one.tries < MOST_TRIES:
                return self._again(one, at_least=again_at - now)
            found = Found(term=Term.UNEXPLAINED, why=_parts(work))
        elif not diffs.compared:
            # No field was looked at, and that is never agreement.
            found = Found(term=Term.UNEXPLAINED, why="nothing of it could be compared")
        elif diffs.differences:
            named = {each.explained for each in diffs.differences if each.explained}
            found = Found(term=Term.WAIVED, why=", ".join(sorted(named)))
        else:
            found = Found(term=Term.LATE, why="equal when read again")
            kept = None  # how it parted before is what a reader wants to see
        return Placed(record_id=one.record_id, found=found, differences=kept)

    def _again(self, one: Suspected, *, at_least: int = 0, counted: bool = True) -> Placed:
        delay = max(at_least, self._settle << min(one.tries, 4), MICROS // 5)
        return Placed(record_id=one.record_id, delay=delay, counted=counted)


def _read_once(work: Work) -> bool:
    """Whether both sides are from a source."""
    return len(work.sources) == len(SIDES)


def _parts(work: Work) -> str:
    """What a record that still parts has shown."""
    if not work.sources:
        return "parts when read again"
    names = " and ".join(use.name for use in work.sources.values())
    if len(work.sources) > 1:
        return f"parts in {names}, which are read once"
    return f"parts from {names}, which is read once, when the other side is read again"


def put(connection: Connection, work: Work, placed: Sequence[Placed], *, now: int) -> None:
    """Writes what a step has decided."""
    rows: list[dict[str, object]] = []
    for one in placed:
        row: dict[str, object] = {
            "run_id": work.id, "record_id": one.record_id, "due_at": now + one.delay, "tries": one.tries
        }  # fmt: skip
        if one.found is not None:
            row.update(term=one.found.term.value, why=one.found.why)
        if one.differences is not None:
            row["differences"] = encode(one.differences).decode()
        rows.append(row)
    update_rows(connection, reconcile_part, rows, "run_id", "record_id")


def next_due(connection: Connection, work: Work) -> int | None:
    """When the next suspected record is due; None: there is none."""
    parts = reconcile_part.c
    return connection.execute(
        select(func.min(parts.due_at)).where(parts.run_id == work.id, parts.term.is_(None))
    ).scalar_one()


def _due(connection: Connection, run_id: str, now: int, most: int) -> tuple[list[Suspected], int]:
    parts = reconcile_part.c
    rows = connection.execute(
        select(parts.record_id, parts.read_at, parts.tries, parts.why, parts.due_at)
        .where(parts.run_id == run_id, parts.term.is_(None))
        .order_by(parts.due_at, parts.record_id)
        .limit(most)
    ).all()
    due = [
        Suspected(record_id=row.record_id, read_at=row.read_at, tries=row.tries, covered=row.why)
        for row in rows
        if row.due_at <= now
    ]
    return due, len(rows)
