"""The rate that a system bears, kept by all processes together.

A row in the database says which moments are given away already. A process that has requests waiting takes the next
moments for them, at most a second ahead, and lets one request go at each; so the requests of all processes are spaced
as those of one would be, in any second that one may look at. What a process takes and does not use, because it ends,
is a second of the rate at the most. Redis is not asked: one statement of the journal a second is cheap, and there is
no second truth that can get lost. While the database is away, half of the rate is kept without it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from itertools import count

import msgspec
from sqlalchemy import Connection, select

from adapters.door import Urgency
from adapters.errors import Throttled
from adapters.profile import Limits
from gateway.clock import Clock
from gateway.database import Database
from gateway.database.rows import insert_missing
from gateway.errors import StoreUnavailable
from gateway.ledger.pressure_tables import target_rate
from gateway.telemetry import Log

MICROS = 1_000_000
AHEAD = MICROS  #: how far ahead of now a process may take moments
DAY = 86_400 * MICROS
STALE_S = 0.1  #: a moment that is past by more than this is not used any more


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken. All in microseconds from now."""

    moments: tuple[int, ...] = ()
    wait: int = 0  #: none were left to take: ask again then
    used_up: int | None = None  #: the day's quota is used up, for so long


def lease(connection: Connection, system: str, limits: Limits, *, wanted: int, now: int) -> Lease:
    """Takes up to ``wanted`` moments for requests to this system."""
    insert_missing(connection, target_rate, [{"system": system, "next_at": 0, "day": 0, "taken": 0}])
    row = connection.execute(
        select(target_rate).where(target_rate.c.system == system).with_for_update()
    ).one()
    day = now // DAY
    taken = row.taken if row.day == day else 0
    if limits.requests_per_day is not None:
        wanted = min(wanted, limits.requests_per_day - taken)
        if wanted <= 0:
            return Lease(used_up=(day + 1) * DAY - now)
    gap = 0.0 if limits.requests_per_second is None else MICROS / limits.requests_per_second
    start = max(row.next_at, now)
    if start > now + AHEAD:
        return Lease(wait=start - now - AHEAD)
    if gap:
        wanted = min(wanted, int((now + AHEAD - start) / gap) + 1)
    connection.execute(
        target_rate.update()
        .where(target_rate.c.system == system)
        .values(next_at=int(start + wanted * gap), day=day, taken=taken + wanted)
    )
    return Lease(moments=tuple(int(start - now + index * gap) for index in range(wanted)))


class Pace:
    """Lets one request go at each moment that was taken for it, the most urgent first."""

    def __init__(self, *, database: Database, clock: Clock, system: str, limits: Limits, log: Log) -> None:
        self._database = database
        self._clock = clock
        self._system = system
        self._limits = limits
        self._log = log
        self._order = count()
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        self._moments: deque[float] = deque()  #: on the monotonic clock
        self._next = 0.0
        self._dealer: asyncio.Task[None] | None = None

    async def turn(self, urgency: Urgency) -> None:
        """Returns when it is this request's turn. Raises Throttled when the day's quota is used up."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), future))
        if self._dealer is None or self._dealer.done():
            self._dealer = asyncio.create_task(self._deal(), name=f"pace of {self._system}")
        await future

    def refuse(self, error: Exception) -> None:
        """Nobody who waits gets a turn any more."""
        waiting, self._waiting = self._waiting, []
        for _, _, future in waiting:
            if not future.done():
                future.set_exception(error)

    async def _deal(self) -> None:
        while self._waiting:
            try:
                if not self._moments:
                    await self._take(sum(not future.done() for _, _, future in self._waiting))
                    continue
                moment = self._moments.popleft()
                left = moment - self._clock.monotonic()
                if left < -STALE_S:
                    continue  # nobody was there to use it; used now, it would crowd the next one
                if left > 0:
                    await self._clock.sleep(left)
                self._next_goes()
            except Exception as raised:  # noqa: BLE001 - told to those who wait, who would wait for ever
                self.refuse(raised)

    def _next_goes(self) -> None:
        while self._waiting:
            _, _, future = heapq.heappop(self._waiting)
            if not future.done():
                future.set_result(None)
                return

    async def _take(self, wanted: int) -> None:
        if not wanted:
            self._waiting.clear()  # all of them have given up
            return

        def unit(connection: Connection) -> Lease:
            return lease(
                connection, self._system, self._limits, wanted=wanted, now=self._database.now(connection)
            )

        try:
            taken = await self._database.transaction(unit)
        except StoreUnavailable:
            self._log.warning("half the rate while the database is away", system=self._system)
            self._take_half()
            return
        if taken.used_up is not None:
            self.refuse(
                Throttled(
                    f"the {self._limits.requests_per_day} requests a day are used up",
                    system=self._system,
                    code="quota",
                    retry_after_s=taken.used_up / MICROS,
                )
            )
            return
        now = self._clock.monotonic()
        if taken.wait:
            await self._clock.sleep(taken.wait / MICROS)
        self._moments.extend(now + one / MICROS for one in taken.moments)

    def _take_half(self) -> None:
        rate = self._limits.requests_per_second
        now = self._clock.monotonic()
        self._next = max(self._next, now) + (0.0 if rate is None else 2.0 / rate)
        self._moments.append(self._next)
