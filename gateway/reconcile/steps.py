"""The steps of a run, by its phase. A step does a bounded piece of work and writes it, with how far the run has come,
in one commit; one that is lost on the way is done again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.compare.waiver import Waiver
from gateway.compare.waivers import in_force
from gateway.database import Database, from_micros
from gateway.database.rows import analyze
from gateway.reconcile import left, ranges, rechecking, store, unreadable
from gateway.reconcile.bridge import Part, Term
from gateway.reconcile.eyes import Eyes
from gateway.reconcile.left import Left
from gateway.reconcile.matching import Held, Matching
from gateway.reconcile.reading import Read, Reader
from gateway.reconcile.rechecking import Rechecks
from gateway.reconcile.reporting import report
from gateway.reconcile.run import Phase, Report, verdict
from gateway.reconcile.sets import Sets, Settled
from gateway.reconcile.sources import Unreadable
from gateway.reconcile.sources.source import AGAIN
from gateway.reconcile.store import Range, Row, Work, encode
from gateway.reconcile.tables import reconcile_amount, reconcile_part, reconcile_row
from gateway.reconcile.tally import SIDES, Side, together

MICROS = 1_000_000
#: Records judged before others get their turn.
TURN = 25
#: Amounts of parts that are read at once.
PIECE = 5_000
#: How the cursor of a run begins whose two sources were read as sets; what follows is where the rest of one is read on.
SET = "set "
#: The range of what they have in common: no id, and before every one.
SETTLED = " "


class Unbalanced(Exception):
    """The terms of a bridge do not make up the distance between its totals: a fault of this program."""


class Steps:
    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        reader: Reader,
        rechecks: Rechecks,
        eyes: Eyes,
        sets: Sets,
        key: bytes,
        settle_s: float,
    ) -> None:
        self._sets = sets
        self._left: dict[str, Mapping[Side, Left]] = {}
        self._database = database
        self._clock = clock
        self._reader = reader
        self._rechecks = rechecks
        self._eyes = eyes
        self._key = key
        self._settle = int(settle_s * MICROS)

    async def take(self, work: Work) -> Work | None:
        """Does the next piece of a run; None: it is over. Raises Lost, Unbalanced, and what adapters raise."""
        match work.phase:
            case Phase.AUTHORITY | Phase.MIRROR:
                return await self._read(work)
            case Phase.MATCH:
                return await self._match(work)
            case Phase.RECHECK:
                return await self._recheck(work)
            case Phase.REPORT:
                return await self._report(work)

    async def _read(self, work: Work) -> Work:
        side = SIDES[0] if work.phase is Phase.AUTHORITY else SIDES[1]
        if side == "authority" and work.cursor is None:
            settled = await self._sets.settled(work, self._eyes.of(work))
            if settled is not None:
                return await self._settled(work, settled)
        as_set = work.cursor is not None and work.cursor.startswith(SET)
        if as_set and work.cursor is not None:
            mine = (await self._left_of(work.id))[side]
            at = msgspec.structs.replace(work, cursor=work.cursor.removeprefix(SET) or mine.cursor)
            page = await self._reader.page(at, side, mine.lines)
        else:
            page = await self._reader.page(work, side)

        def unit(connection: Connection) -> Work:
            now = self._database.now(connection)
            rows = page.rows
            values: dict[str, Any] = {"cursor": page.next_cursor, "failures": 0, "note": None}
            if as_set and not (page.next_cursor is None and side == "mirror"):
                values["cursor"] = SET + (page.next_cursor or "")
            before = store.shown(connection, work.id, side, {row.record_id for row in rows})
            if side in work.sources:
                rows, values["sources"] = _of_source(connection, work, side, page, before)
            new = store.put_read(connection, work.id, rows, before)
            if side == "authority":
                values["read_authority"] = work.read_authority + new
            else:
                values["read_mirror"] = work.read_mirror + new
            if page.next_cursor is None:
                analyze(connection, reconcile_row)
                values["phase"] = Phase.MIRROR.value if side == "authority" else Phase.MATCH.value
            return store.advance(connection, work, now=now, **values)

        return await self._database.transaction(unit)

    async def _settled(self, work: Work, settled: Settled) -> Work:
        """Writes what both sources have in common as one range, and goes on with what they do not."""
        count = settled.tally.equal

        def unit(connection: Connection) -> Work:
            judged = Range(
                first=SETTLED, last=SETTLED, authority="", mirror="", clean=True, skipped=False, tally=settled.tally
            )
            store.put_range(connection, work, judged, [], due_at={})
            left.put(connection, work.id, settled.left)
            return store.advance(
                connection, work, now=self._database.now(connection), cursor=SET, ranges=work.ranges + 1,
                read_authority=count, read_mirror=count, failures=0, note=None,
            )  # fmt: skip

        return await self._database.transaction(unit)

    async def _left_of(self, run_id: str) -> Mapping[Side, Left]:
        """What is left of the sets of a run; that of the last one is kept, since it may be long."""
        if run_id not in self._left:
            self._left = {run_id: await self._database.read(lambda conn: left.of(conn, run_id))}
        return self._left[run_id]

    async def _match(self, work: Work) -> Work:
        def ahead(connection: Connection) -> tuple[str, list[tuple[str, str, str]], Range | None] | None:
            ids = store.following(connection, work)
            if not ids:
                return None
            last = ranges.cut(ids, store.cuts(connection, work))
            return last, store.digests(connection, work, last), store.range_before(connection, work, last)

        found = await self._database.read(ahead)
        if found is None:
            return await self._advance(work, phase=Phase.RECHECK.value)
        last, digests, before = found
        sides = {side: ranges.digest((one[0], one[2]) for one in digests if one[1] == side) for side in SIDES}
        # The judgement of a range is made of nothing but what its two digests are made of, and a clean one has no
        # record that the journal or a waiver could place anew; so equal digests say all there is to say.
        if before is not None and before.clean and (before.authority, before.mirror) == tuple(sides.values()):
            judged = msgspec.structs.replace(before, skipped=True)
            matching = None
        else:
            matching = await self._judged(work, last)
            judged = Range(
                first=work.after,
                last=last,
                authority=sides["authority"],
                mirror=sides["mirror"],
                clean=not matching.parted,
                skipped=False,
                tally=matching.tally(),
            )

        def unit(connection: Connection) -> Work:
            now = self._database.now(connection)
            parted = [] if matching is None else matching.parted
            due_at = {one.record_id: now if one.covered else one.read_at + self._settle for one in parted}
            store.put_range(connection, work, judged, parted, due_at=due_at)
            return store.advance(
                connection,
                work,
                now=now,
                after=last,
                ranges=work.ranges + 1,
                skipped=work.skipped + judged.skipped,
                failures=0,
                note=None,
            )

        return await self._database.transaction(unit)

    async def _judged(self, work: Work, last: str) -> Matching:
        def unit(connection: Connection) -> tuple[list[Row], list[Waiver], int]:
            now = self._database.now(connection)
            waivers = in_force(connection, now).get((work.entity.name, work.region), ())
            return store.documents(connection, work, last), list(waivers), now

        rows, waivers, now = await self._database.read(unit)
        matching = Matching(
            entity=work.entity,
            authority=work.authority,
            other=work.other,
            eye=self._eyes.of(work),
            waivers=waivers,
            now=now,
            key=self._key,
        )
        sides: dict[str, dict[str, Held]] = {}
        for row in rows:
            document = msgspec.json.decode(row.document)
            sides.setdefault(row.record_id, {})[row.side] = Held(document=document, read_at=row.read_at)
        for number, (record_id, held) in enumerate(sides.items(), 1):
            matching.add(record_id, held)
            if number % TURN == 0:
                await self._clock.sleep(0)
        return matching

    async def _recheck(self, work: Work) -> Work:
        placed = await self._rechecks.step(work)
        if placed is None:
            return await self._advance(work, phase=Phase.REPORT.value)

        def unit(connection: Connection) -> Work:
            now = self._database.now(connection)
            rechecking.put(connection, work, placed, now=now)
            due_at = rechecking.next_due(connection, work)
            return store.advance(
                connection,
                work,
                now=now,
                next_at=now if due_at is None else max(now, due_at),
                failures=0,
                note=None,
            )

        return await self._database.transaction(unit)

    async def _report(self, work: Work) -> None:
        made = await self._made(work)
        for line in made.bridge:
            if line.residual:
                raise Unbalanced(f"{line.measure} {line.currency} leaves {line.residual}")

        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            found = verdict(made)
            store.advance(
                connection,
                work,
                now=now,
                state="done",
                verdict=found.value,
                report=encode(made).decode(),
                ended_at=now,
                lease_until=None,
                note=None,
            )
            store.forget_ranges(connection, work)
            audited(
                connection,
                at=now,
                actor=work.actor,
                action="reconciliation.done",
                subject=work.id,
                detail={
                    "entity": work.entity.name,
                    "region": work.region,
                    "verdict": found.value,
                    "terms": {term.value: count for term, count in made.terms.items()},
                },
            )

        await self._database.transaction(unit)

    async def _made(self, work: Work) -> Report:
        tallies, terms, now = await self._database.read(
            lambda conn: (
                store.tallies(conn, work.id),
                store.terms(conn, work.id),
                self._database.now(conn),
            )
        )
        parts: list[Part] = []
        after = "", "", ""
        while True:
            piece = await self._database.read(lambda conn, after=after: _parts(conn, work.id, after))
            parts.extend(part for _, part in piece)
            if len(piece) < PIECE:
                break
            record_id, last = piece[-1]
            after = record_id, last.measure, last.currency
        known: Mapping[Term, int] = {term: count for term, count in terms.items() if term is not None}
        as_of: date = from_micros(now).date()
        unread: dict[Side, int] = {side: use.unreadable for side, use in work.sources.items()}
        return report(
            work.entity, together(tallies), parts, known, as_of=as_of, held=self._reader.held(work), unread=unread
        )

    async def _advance(self, work: Work, **values: Any) -> Work:
        return await self._database.transaction(
            lambda conn: store.advance(
                conn, work, now=self._database.now(conn), failures=0, note=None, **values
            )
        )


def _of_source(
    connection: Connection, work: Work, side: Side, page: Read, again: frozenset[str]
) -> tuple[tuple[Row, ...], str]:
    """The rows of a page of a source that are the first of their key, and the sources of the run as they are then. What
    an adapter shows twice is one record that has moved between two pages; in a source it is two. ``again``: those that
    the side has shown already."""
    told = [
        *page.unreadable,
        *(Unreadable(line=page.lines[one], field=None, reason=AGAIN) for one in sorted(again)),
    ]
    use = work.sources[side]
    unreadable.put(connection, work.id, side, told, before=use.unreadable)
    use = msgspec.structs.replace(
        use,
        made_at=page.made_at if use.made_at is None else use.made_at,
        unreadable=use.unreadable + sum(one.rows for one in told),
    )
    rows = tuple(row for row in page.rows if row.record_id not in again)
    return rows, encode({**work.sources, side: use}).decode()


def _parts(connection: Connection, run_id: str, after: tuple[str, str, str]) -> list[tuple[str, Part]]:
    """The next amounts of a run behind ``after`` (record, measure, currency), each with its record."""
    amounts, parts = reconcile_amount.c, reconcile_part.c
    record_id, measure, currency = after
    rows = connection.execute(
        select(
            amounts.record_id,
            parts.term,
            amounts.measure,
            amounts.currency,
            amounts.authority,
            amounts.mirror,
        )
        .join(reconcile_part, (parts.run_id == amounts.run_id) & (parts.record_id == amounts.record_id))
        .where(
            amounts.run_id == run_id,
            amounts.record_id >= record_id,
            (amounts.record_id > record_id)
            | (amounts.measure > measure)
            | ((amounts.measure == measure) & (amounts.currency > currency)),
        )
        .order_by(amounts.record_id, amounts.measure, amounts.currency)
        .limit(PIECE)
    )
    return [
        (
            row.record_id,
            Part(
                term=Term(row.term),
                measure=row.measure,
                currency=row.currency,
                authority=Decimal(row.authority),
                mirror=Decimal(row.mirror),
            ),
        )
        for row in rows
    ]
