"""Follows what is edited in the systems themselves, and shows how far it has come.

A feed is a row of the database and no task of a process: whichever worker finds it due takes it under a lease, which it
renews for as long as it works; a killed one's lease runs out, and another goes on from the last commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from sqlalchemy import Connection

from adapters.contract import Adapter, Capability
from adapters.errors import AdapterError
from gateway.access import within
from gateway.canonical import BY_NAME
from gateway.change_feed import store, waits
from gateway.change_feed.feed import Feed, State
from gateway.change_feed.looking import MICROS
from gateway.change_feed.steps import Steps
from gateway.change_feed.store import Work
from gateway.clock import Clock
from gateway.database import Database
from gateway.errors import StoreUnavailable
from gateway.ledger.slices import Slice, Slices
from gateway.routing.plan import PLANS
from gateway.routing.stage import System
from gateway.runs import Lost, holding
from gateway.telemetry import Log

#: The longest wait after a failure, in seconds.
LONGEST_WAIT_S = 60.0
#: Seconds that a feed is worked on before another one gets its turn.
TURN_S = 5.0
#: Feeds that one process works on at once.
AT_ONCE = 4
#: Passes that a feed may be late by before it counts as behind.
LATE = 3
_FEED_KEY = tuple[str, str, str]
_SHOWN = ("seen", "echoes", "carried", "reverted", "conflicts", "unlinked", "cursor_at", "read_at")

OFF = "change_feed is false in the settings: set it to true"

Scope = frozenset[str] | None  #: what a caller may see; None: all


class Follower:
    """``busy`` is asked before each step: callers go first. ``on``: whether the settings have it follow at all."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        steps: Steps,
        slices: Slices,
        clock: Clock,
        log: Log,
        on: bool,
        period_s: float,
        busy: Callable[[], bool] = lambda: False,
        lease_s: float = 45.0,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._steps = steps
        self._slices = slices
        self._clock = clock
        self._log = log
        self.on = on
        self._period_s = period_s
        self._busy = busy
        self._lease_s = lease_s
        self._begun: frozenset[_FEED_KEY] = frozenset()
        #: set where a feed was asked to be read at once
        self.asked = asyncio.Event()

    # --- what people ask -------------------------------------------------------------------------------------------

    async def list(
        self,
        *,
        system: str | None = None,
        entity: str | None = None,
        region: str | None = None,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Feed]:
        """Every feed that there is, or would be, by entity, region and system."""
        slices = [
            one
            for one in await self._slices.all()
            if entity in (None, one.entity)
            and region in (None, one.region)
            and within(one.entity, one.region, entities, regions)
        ]

        def unit(connection: Connection) -> tuple[int, dict[Any, Any], dict[Any, int], dict[Any, int]]:
            return (
                self._database.now(connection),
                store.rows(connection),
                waits.counted(connection),
                store.open_conflicts(connection),
            )

        now, rows, waiting, conflicts = await self._database.read(unit)
        found: list[Feed] = []
        order = {name: place for place, name in enumerate(BY_NAME)}
        for slice_ in sorted(slices, key=lambda one: (order.get(one.entity, 99), one.region)):
            for each in System:
                if system not in (None, each.value):
                    continue
                key = (each.value, slice_.entity, slice_.region)
                found.append(
                    self._shown(
                        key,
                        slice_,
                        rows.get(key),
                        now=now,
                        waiting=waiting.get(key, 0),
                        held=conflicts.get(key, 0),
                    )
                )
        return found

    def _shown(self, key: _FEED_KEY, slice_: Slice, row: Any, *, now: int, waiting: int, held: int) -> Feed:
        state, why = self._state(key, slice_, row, now=now)
        counted = {} if row is None else {name: getattr(row, name) for name in _SHOWN}
        read_at = None if row is None else row.read_at
        return Feed(
            system=key[0],
            entity=key[1],
            region=key[2],
            state=state,
            why=why,
            lag_s=None if read_at is None else max(0.0, (now - read_at) / MICROS),
            waiting=waiting,
            open_conflicts=held,
            **counted,
        )

    def _state(self, key: _FEED_KEY, slice_: Slice, row: Any, *, now: int) -> tuple[State, str | None]:
        if PLANS[slice_.stage].mirror is None:
            return (
                State.NOT_PAIRED,
                f"{slice_.stage.value} keeps one system: there is nowhere to carry an edit to",
            )
        why = self.unable(key[0], key[1])
        if why is not None:
            return State.NOT_AVAILABLE, why
        if not self.on:
            return State.OFF, OFF
        if row is None:
            return (
                State.NOT_STARTED,
                "no worker has taken it up: `twinrun serve` or `twinrun worker` has to run",
            )
        if row.failures:
            return State.FAILING, row.note
        if now - (row.read_at or row.cursor_at) > self._late_us:
            return State.BEHIND, "no pass has ended for a while: is a worker running, and is the system well?"
        return State.FOLLOWING, None

    @property
    def _late_us(self) -> int:
        return int((LATE * self._period_s + self._lease_s) * MICROS)

    def unable(self, system: str, entity: str) -> str | None:
        """Why the edits made in this system cannot be seen; None: they can."""
        adapter = self._adapters.get(system)
        if adapter is None:
            return f"{system} is not configured: set [systems.{system}] in the settings"
        if not adapter.supports(entity):
            return f"{adapter.product} does not hold {BY_NAME[entity].collection}: its profile would have to map them"
        offered = adapter.facts(entity).capabilities
        lacks = [
            one.value
            for one in (Capability.CHANGES, Capability.SEARCH, Capability.FETCH)
            if one not in offered
        ]
        if lacks:
            return f"the profile of {adapter.product} does not offer {', '.join(lacks)} for {entity}"
        other = self._adapters.get(System(system).other.value)
        if (
            other is None
            or not other.supports(entity)
            or Capability.FETCH not in other.facts(entity).capabilities
        ):
            return f"{System(system).other} does not show {BY_NAME[entity].collection}: nothing to hold an edit against"
        return None

    # --- who works on it -------------------------------------------------------------------------------------------

    async def run_once(self) -> int:
        """Takes feeds that are due, a few at a time, until none is left; how many steps. Safe to run twice, and
        anywhere at once."""
        self.asked.clear()
        if not self.on:
            return 0
        return sum(await asyncio.gather(*(self._round() for _ in range(AT_ONCE))))

    async def _round(self) -> int:
        began, steps = self._clock.monotonic(), 0
        while self._clock.monotonic() - began < TURN_S:
            done = await self._turn()
            if not done:
                break
            steps += done
        return steps

    async def _turn(self) -> int:
        """Takes one feed and works on it for a while. Callers go first, but where they wait behind a fence for this
        very feed."""
        able = self._able()
        if self._busy():
            able = {key: epoch for key, epoch in able.items() if epoch is not None}
        keys = frozenset(able)
        if not keys:
            return 0
        lease = int(self._lease_s * MICROS)

        def unit(connection: Connection) -> Work | None:
            now = self._database.now(connection)
            if keys - self._begun:
                store.begin(connection, keys - self._begun, now=now)
            return store.claim(connection, able, now=now, lease=lease)

        work = await self._database.transaction(unit)
        self._begun |= keys
        if work is None:
            return 0
        began = self._clock.monotonic()
        steps = 0
        async with self._holding(work):
            at: Work | None = work
            while at is not None and self._clock.monotonic() - began < TURN_S:
                at = await self._step(at)
                steps += 1
                if self._busy() and able[work.key] is None:
                    break
        return steps

    def _able(self) -> Mapping[_FEED_KEY, int | None]:
        """The feeds that can be followed now; those of a slice that drains with the epoch of its fence, since they are
        read on only where it waits for them. An edit needs both systems: it is judged against the other side."""
        found: dict[_FEED_KEY, int | None] = {}
        for entity, region in ((name, place) for name in BY_NAME for place in self._slices.places(name)):
            slice_ = self._slices.cached(entity, region)
            if PLANS[slice_.stage].mirror is None:
                continue
            for system in System:
                if self.unable(system.value, entity) is None:
                    found[system.value, entity, region] = slice_.epoch if slice_.draining else None
        return found

    async def _step(self, work: Work) -> Work | None:
        """One step; None where this process has nothing more to do on the feed for now."""
        try:
            following = await self._steps.take(work)
        except (Lost, StoreUnavailable) as over:
            self._log.info("feed let go", feed=work.name, reason=type(over).__name__)
            return None
        except AdapterError as error:
            await self._failed(work, f"{error.system or work.system}: {type(error).__name__}: {error}")
            return None
        except Exception as wrong:  # noqa: BLE001 - whatever breaks, the feed says so and the loop goes on
            self._log.exception("a step of a change feed failed", feed=work.name)
            await self._failed(work, f"a fault of this program: {type(wrong).__name__}")
            return None
        return following if following.page is not None else None

    async def _failed(self, work: Work, note: str) -> None:
        """Puts the feed off. Nothing is lost by it: it goes on from where it is. A list may have been paged through
        with a place that the system does not know any more, so the pass begins anew."""
        wait = int(min(LONGEST_WAIT_S, 0.5 * 2 ** min(work.failures, 10)) * MICROS)

        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            store.advance(
                connection, work, now=now, failures=work.failures + 1, note=note[:500], next_at=now + wait,
                page=None, newest=None, pass_at=None,
            )  # fmt: skip

        try:
            await self._database.transaction(unit)
        except Lost as over:
            self._log.info("feed let go", feed=str(over), reason="Lost")

    def _holding(self, work: Work) -> AbstractAsyncContextManager[None]:
        return holding(
            lambda conn, until: store.keep_lease(conn, work, until=until), what="change feed",
            facts={"feed": work.name},
            database=self._database, clock=self._clock, log=self._log, lease_s=self._lease_s,
        )  # fmt: skip
