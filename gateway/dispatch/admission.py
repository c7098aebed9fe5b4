"""Admission: which writes are let in at all. What is refused here has left nothing behind and may simply be sent again.

A caller takes one of its target's places until it is answered, or waits for one among a bounded number of others; so a
target that hangs takes the callers of its own slices and nobody else's. Who would wait in vain, because by what places
have lately been held for none comes free in his time, is told so at once. A slice that stores takes writes while its
authority is away, up to a number and an age; one that does not store refuses them at once.

The limits of what is stored are judged by a count that is up to a second old, before the write's own commit. All
processes together may therefore store beyond a limit what they accept within a second; nothing is dropped for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from adapters.door import Urgency
from gateway.clock import rfc3339
from gateway.database import Database
from gateway.dispatch.idempotency import Intent, KeptRefusal, Twin
from gateway.dispatch.queues import COUNTED_AHEAD, Queues
from gateway.dispatch.records import RecordView
from gateway.errors import KeyReused, NotAccepted
from gateway.ledger.places import Places
from gateway.ledger.pressure import Pressure
from gateway.ledger.slices import Slice
from gateway.ledger.tables import idem
from gateway.settings import Settings

#: Seconds after which a caller who was refused for want of room may find some, and one whose slice is full.
RETRY_S = 1
FULL_RETRY_S = 60
#: Seconds that a caller waits for a place who would not wait for the answer.
LEAST_WAIT_S = 1.0
#: How much the last caller counts for what a place is held for.
NEWEST = 0.1


def standing(pressure: Pressure, authority: str, position: int, now: datetime) -> dict[str, Any]:
    """``queue_position`` (1: next) and ``expected_at``, the earliest moment at which its authority may have it, or
    None while nothing is known of how fast that is. While the authority is away it is later than that."""
    seconds = pressure.expected_s(authority, position)
    expected = None if seconds is None else rfc3339(now + timedelta(seconds=seconds))
    return {"queue_position": position, "expected_at": expected}


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    in_flight: int = 128  #: callers of one target that are waited for at once
    queue: int = 128  #: callers of one target that wait for a place
    stored: int = 100_000  #: writes of one slice that wait for their authority
    stored_of_record: int = 50
    stored_s: float = 72 * 3600.0  #: how long the oldest of them may have waited


def limits_of(settings: Settings) -> Limits:
    return Limits(
        in_flight=settings.callers_in_flight,
        queue=settings.callers_queued,
        stored=settings.stored_writes,
        stored_of_record=settings.stored_writes_of_record,
        stored_s=settings.stored_hours * 3600.0,
    )


class _Crowd:
    """The callers of one target. ``held_s``: for how long a place has lately been held; 0 before the first."""

    def __init__(self, limit: int, queue: int) -> None:
        self.places = Places(limit)
        self._limit = limit
        self._queue = queue
        self.held_s = 0.0

    @property
    def wait_s(self) -> float:
        """For how long one who comes now would wait for a place."""
        return (self.places.waiting + 1) * self.held_s / self._limit if self.full else 0.0

    @property
    def full(self) -> bool:
        return self.places.taken >= self._limit

    @property
    def packed(self) -> bool:
        """Whether as many wait as may."""
        return self.places.waiting >= self._queue

    def left(self, held_s: float) -> None:
        self.held_s = held_s if not self.held_s else self.held_s + NEWEST * (held_s - self.held_s)
        self.places.give()


class Admission:
    def __init__(self, *, database: Database, pressure: Pressure, queues: Queues, limits: Limits) -> None:
        self._database = database
        self._pressure = pressure
        self._queues = queues
        self._limits = limits
        self._crowds: dict[str, _Crowd] = {}

    @property
    def callers(self) -> int:
        """Callers that wait for an answer or for a place."""
        return sum(crowd.places.taken + crowd.places.waiting for crowd in self._crowds.values())

    @asynccontextmanager
    async def place(self, system: str, wait_s: float) -> AsyncGenerator[None]:
        """A caller's place at its target. Raises NotAccepted where there are too many."""
        crowd = self._crowds.get(system)
        if crowd is None:
            crowd = self._crowds[system] = _Crowd(self._limits.in_flight, self._limits.queue)
        patience_s = max(LEAST_WAIT_S, wait_s)
        if crowd.packed or crowd.wait_s > patience_s:
            raise self.turned_away(system)
        try:
            async with asyncio.timeout(patience_s):
                await crowd.places.take(Urgency.LIVE)
        except TimeoutError:
            raise self.turned_away(system) from None
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            crowd.left(loop.time() - began)

    def crowded(self) -> frozenset[str]:
        """The targets at which no caller can even wait any more."""
        return frozenset(system for system, crowd in self._crowds.items() if crowd.packed)

    def turned_away(self, system: str) -> NotAccepted:
        """What a caller is told for whom there is no place, or none in time."""
        wait_s = 0.0 if (crowd := self._crowds.get(system)) is None else crowd.wait_s
        return NotAccepted(
            f"too many callers wait for {system}", retry_after_s=max(RETRY_S, wait_s), system=system
        )

    def refusal(self, slice_: Slice, view: RecordView | None) -> NotAccepted | None:
        """Why a write to this slice is not accepted now, or None."""
        system = slice_.authority.value
        if not slice_.storable and (shut := self._pressure.shut(system)) is not None:
            return NotAccepted(
                f"{shut.message}, and this slice does not store writes",
                retry_after_s=max(1.0, shut.seconds),
                system=system,
            )
        queue = self._queues.of(slice_.entity, slice_.region)
        limits = self._limits
        if queue.waiting >= limits.stored:
            return NotAccepted(
                f"{queue.waiting} writes of this slice wait for {system}, and no more are stored",
                retry_after_s=FULL_RETRY_S,
                system=system,
            )
        if queue.oldest_s >= limits.stored_s:
            return NotAccepted(
                f"writes of this slice have been waiting for {system} for {queue.oldest_s / 3600:.0f} hours, "
                "and no more are stored",
                retry_after_s=FULL_RETRY_S,
                system=system,
            )
        if view is not None and view.open_writes >= limits.stored_of_record:
            return NotAccepted(
                f"{view.open_writes} writes of this record wait for {system}, and no more are stored",
                retry_after_s=RETRY_S if self._pressure.shut(system) is None else FULL_RETRY_S,
                system=system,
            )
        return None

    def hopeless(self, system: str, wait_s: float) -> bool:
        """Whether a caller need not be kept waiting: nothing is sent to its authority within the time it waits."""
        shut = self._pressure.shut(system)
        return self._pressure.stopping or (shut is not None and (shut.outage or shut.seconds >= wait_s))

    def queued(self, entity: str, region: str, authority: str, now: datetime, *, ahead: int) -> dict[str, Any]:
        """Where a write that was accepted just now stands. ``ahead`` are those before it, counted up to
        ``COUNTED_AHEAD``; of more than that only the count of a moment ago is known."""
        position = ahead + 1
        if ahead >= COUNTED_AHEAD:
            position = max(position, self._queues.of(entity, region).waiting)
        return standing(self._pressure, authority, position, now)

    async def known(self, intent: Intent) -> Twin | KeptRefusal | None:
        """What answers for this key already. A write that was accepted once is not refused when it is asked for
        again. Raises KeyReused."""
        if intent.scope is None:
            return None

        def unit(connection: Connection) -> Twin | KeptRefusal | None:
            row = connection.execute(select(idem).where(idem.c.scope == intent.scope)).one_or_none()
            if row is None:
                return None
            if row.fingerprint != intent.fingerprint:
                raise KeyReused("this key was first used with another body, record or condition")
            if row.problem is not None:
                return KeptRefusal(problem=msgspec.json.decode(row.problem))
            return Twin(operation_id=row.operation_id)

        return await self._database.read(unit)
