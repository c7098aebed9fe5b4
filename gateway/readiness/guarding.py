"""The guard of slices in ``live``: looks at their gates, window after window, and goes back when a rule says so.

A window is taken by one worker: whoever moves its row's next moment on. One that dies over it leaves a window out,
which counts for nothing. What was seen is kept in the row; a new authority period begins anew. When enough windows in a
row have failed the guard opens a switch back, as its rule says, and rests for its hold time; the switch, the rest, the
case for a person and the audit are one commit. It goes by the gates of that switch as a person would, and overrides
none: where they hold it back the case says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import msgspec
from sqlalchemy import Connection, select, update

from gateway.access import within
from gateway.audit import record as audited
from gateway.cases import Kind, Opening, open_cases
from gateway.database import Database
from gateway.database.rows import insert_missing
from gateway.dispatch.claim import MICROS
from gateway.errors import RuleRefused, RuleVersionMoved
from gateway.ids import Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice
from gateway.readiness.gates import Gate, Outcome, together
from gateway.readiness.report import Readiness
from gateway.readiness.tables import guard_watch as table
from gateway.routing.guards import GUARDED, Guard, Guards, acts, failing_after
from gateway.switchover import Moves, Switch, Switches
from gateway.switchover.switches import Wish
from gateway.telemetry import Log

ACTOR = "guard"
#: Somebody is moving the slice already: that is left to them.
_UNDER_WAY = frozenset({"switch", "draining"})
_LONGEST_SUBJECT = 48


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A guarded slice and what its guard has seen. ``failing`` windows in a row have failed, of ``windows``. Moments
    are microseconds UTC."""

    entity: str
    region: str
    guard: str
    gates: tuple[str, ...]
    windows: int
    window_minutes: float
    then: str
    hold_hours: float
    watching: bool  #: the slice is in a stage that is guarded
    failing: int = 0
    verdict: str | None = None
    failed: tuple[str, ...] = ()
    looked_at: int | None = None
    next_at: int | None = None
    acted_at: int | None = None
    held_until: int | None = None
    switch_id: str | None = None


class Guarding:
    """``two_person``: a guard asks, whatever its rule says."""

    def __init__(
        self,
        *,
        database: Database,
        guards: Guards,
        readiness: Readiness,
        switches: Switches,
        moves: Moves,
        ids: Ids,
        log: Log,
        two_person: bool,
    ) -> None:
        self._database = database
        self._guards = guards
        self._readiness = readiness
        self._switches = switches
        self._moves = moves
        self._ids = ids
        self._log = log
        self._two_person = two_person

    async def standing(
        self, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Sequence[Watched]:
        """Every slice that has a guard, in the order of the rules."""
        return await self._database.read(lambda conn: self._standing(conn, regions, entities))

    async def run_once(self) -> int:
        """Looks at the windows that have ended. Returns how many."""
        due = await self._database.transaction(self._take)
        for key in due:
            await self._look(key)
        return len(due)

    # --- a window --------------------------------------------------------------------------------------------

    def _guarded(self, connection: Connection) -> dict[tuple[str, str], tuple[Slice, Guard]]:
        return {
            key: (one, guard)
            for key, one in slices.read(connection).items()
            if one.stage in GUARDED and (guard := self._guards.of(*key)) is not None
        }

    def _take(self, connection: Connection) -> list[tuple[str, str]]:
        """The slices whose window has ended; the next one begins in this commit."""
        guarded = self._guarded(connection)
        if not guarded:
            return []
        now = self._database.now(connection)
        insert_missing(
            connection,
            table,
            [
                {
                    "entity": one.entity, "region": one.region, "epoch": one.epoch, "failing": 0, "failed": "[]",
                    "next_at": now + _window(guard),
                }
                for one, guard in guarded.values()
            ],
        )  # fmt: skip
        rows = connection.execute(
            select(table.c.entity, table.c.region)
            .where(table.c.next_at <= now)
            .order_by(table.c.entity, table.c.region)
            .with_for_update(skip_locked=True)
        ).all()
        due = [key for row in rows if (key := (row.entity, row.region)) in guarded]
        for key in due:
            _write(connection, key, next_at=now + _window(guarded[key][1]))
        return due

    async def _look(self, key: tuple[str, str]) -> None:
        report = await self._readiness.one(*key)

        def unit(connection: Connection) -> tuple[Slice, Guard, int, tuple[str, ...]] | None:
            found = self._guarded(connection).get(key)
            row = _row(connection, key, lock=True)
            if found is None or row is None:
                return None
            one, guard = found
            if one.version != report.version:
                # What was measured is of another rule.
                return None
            named = [gate for gate in report.gates if gate.name in guard.gates]
            verdict = together([gate.verdict for gate in named])
            failed = tuple(_words(gate) for gate in named if gate.verdict is Outcome.FAIL)
            before = row.failing if row.epoch == one.epoch else 0
            failing = failing_after(before, verdict.value)
            now = self._database.now(connection)
            _write(
                connection, key, epoch=one.epoch, failing=failing, verdict=verdict.value,
                failed=msgspec.json.encode(failed).decode(), looked_at=now,
            )  # fmt: skip
            if not acts(guard, failing=failing, now=now, held_until=row.held_until):
                return None
            return one, guard, failing, failed

        acting = await self._database.transaction(unit)
        if acting is not None:
            await self._act(*acting)

    # --- and what comes of it --------------------------------------------------------------------------------

    async def _act(self, one: Slice, guard: Guard, failing: int, failed: tuple[str, ...]) -> None:
        key = (one.entity, one.region)
        why = f"{'; '.join(failed)}: failed in {failing} windows of {guard.window_minutes:g} minutes"
        wish = Wish(
            entity=one.entity,
            region=one.region,
            stage=GUARDED[one.stage],
            reason=f"guard {guard.name}: {why}"[:1000],
            expected_version=one.version,
        )
        asks = guard.then == "ask" or self._two_person

        def also(connection: Connection, made: Switch) -> None:
            said = f"{made.id} {'waits for an approval' if asks else 'has begun'}"
            self._acted(connection, one, guard, failing, f"{why}; the switch back {said}", switch_id=made.id)

        try:
            if asks:
                made = await self._switches.request(wish, actor=ACTOR, also=also)
            else:
                made = await self._switches.direct(wish, actor=ACTOR, also=also)
                self._moves.begin(made.id)
        except RuleVersionMoved:
            return  # somebody was faster: the next window says what is so then
        except RuleRefused as refused:
            if {error.code for error in refused.errors} & _UNDER_WAY:
                return
            against = f"{why}; it cannot go back by itself: {refused.detail}"
            try:
                await self._database.transaction(
                    lambda conn: self._acted(conn, one, guard, failing, against, switch_id=None)
                )
            except RuleVersionMoved:
                return
        self._log.warning(
            "a guard demotes a slice", entity=key[0], region=key[1], guard=guard.name, asks=asks, why=why
        )

    def _acted(
        self,
        connection: Connection,
        one: Slice,
        guard: Guard,
        failing: int,
        why: str,
        *,
        switch_id: str | None,
    ) -> None:
        """The rest, the case and the audit. Raises RuleVersionMoved where another worker has acted."""
        key = (one.entity, one.region)
        row = _row(connection, key, lock=True)
        now = self._database.now(connection)
        if row is None or row.epoch != one.epoch or not acts(
            guard, failing=row.failing, now=now, held_until=row.held_until
        ):  # fmt: skip
            raise RuleVersionMoved("another worker has acted upon this slice")
        _write(
            connection, key, failing=0, acted_at=now, held_until=now + int(guard.hold_hours * 3600 * MICROS),
            switch_id=switch_id,
        )  # fmt: skip
        open_cases(
            connection,
            [
                Opening(
                    kind=Kind.GUARD,
                    operation_id=_subject(key),
                    record_id="",
                    entity=one.entity,
                    region=one.region,
                    code=guard.name[:80],
                    message=why,
                )
            ],
            at=now,
            ids=self._ids,
        )
        audited(
            connection,
            at=now,
            actor=ACTOR,
            action="guard.demote",
            subject=f"{one.entity}/{one.region}",
            detail={
                "guard": guard.name,
                "then": guard.then,
                "windows": failing,
                "why": why,
                "switch": switch_id,
                "held_hours": guard.hold_hours,
            },
        )

    def _standing(
        self, connection: Connection, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> list[Watched]:
        seen = {(row.entity, row.region): row for row in connection.execute(select(table))}
        found: list[Watched] = []
        for key, one in slices.read(connection).items():
            guard = self._guards.of(*key)
            if guard is None or not within(*key, entities, regions):
                continue
            row = seen.get(key)
            current = row is not None and row.epoch == one.epoch
            found.append(
                Watched(
                    entity=key[0], region=key[1], guard=guard.name, gates=guard.gates, windows=guard.windows,
                    window_minutes=guard.window_minutes, then=guard.then, hold_hours=guard.hold_hours,
                    watching=one.stage in GUARDED,
                    failing=row.failing if row is not None and current else 0,
                    verdict=row.verdict if row is not None and current else None,
                    failed=tuple(msgspec.json.decode(row.failed)) if row is not None and current else (),
                    looked_at=None if row is None else row.looked_at,
                    next_at=None if row is None or one.stage not in GUARDED else row.next_at,
                    acted_at=None if row is None else row.acted_at,
                    held_until=None if row is None else row.held_until,
                    switch_id=None if row is None else row.switch_id,
                )
            )  # fmt: skip
        return found


def _window(guard: Guard) -> int:
    return int(guard.window_minutes * 60 * MICROS)


def _words(gate: Gate) -> str:
    return f"{gate.title}: {gate.measure}, and the threshold is {gate.threshold}"


def _subject(key: tuple[str, str]) -> str:
    """What the case is about, in the length that a subject has: one open case a slice."""
    plain = f"{key[0]}/{key[1]}"
    return plain if len(plain) <= _LONGEST_SUBJECT else sha256(plain.encode()).hexdigest()[:_LONGEST_SUBJECT]


def _row(connection: Connection, key: tuple[str, str], *, lock: bool) -> Any:
    wanted = select(table).where(table.c.entity == key[0], table.c.region == key[1])
    return connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()


def _write(connection: Connection, key: tuple[str, str], **values: Any) -> None:
    connection.execute(
        update(table).where(table.c.entity == key[0], table.c.region == key[1]).values(**values)
    )
