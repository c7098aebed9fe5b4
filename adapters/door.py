"""The door of a system: every request enters before its first byte and leaves with what was seen of it.

Whoever opens an adapter may set a door of its own in front of it (one that several processes share, one that shuts
while the system is down). The door here only keeps the profile's limits. What a request is for travels with the task
that makes it, so that no call carries an argument for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, IntEnum
from typing import Any, Protocol

from adapters.profile import Limits
from adapters.transport import Pace


class Urgency(IntEnum):
    """What a request is for. Where requests wait, the lowest goes first."""

    PROBE = 0  #: asks whether the system is there; enters also where it is known to be down
    LIVE = 1  #: a caller's, or a write that was accepted from one
    MIRROR = 2  #: brings the other system up to date
    REPLAY = 3  #: a mirror's again, by ourselves or by a person
    BACKFILL = 4
    COMPARE = 5


class Seen(Enum):
    """What a request has shown of the system."""

    ANSWERED = "answered"  #: also with a refusal
    FAILED = "failed"  #: transport after the first byte, or a 5xx
    UNREACHED = "unreached"  #: refused, no such name, no TLS: not a byte of it got there
    NOTHING = "nothing"  #: it was never sent, or given up by us


class Door(Protocol):
    async def enter(self) -> Any:
        """Waits for a place and returns what ``leave`` needs. Raises Unavailable or Throttled where nothing may be
        sent now; then not a byte was."""
        ...

    def leave(self, turn: Any, seen: Seen) -> None:
        """Gives the place back. Every ``enter`` that returned is followed by one."""
        ...

    def throttled(self, seconds: float, reason: str) -> None:
        """The system asks to be left alone."""
        ...


_URGENCY: ContextVar[Urgency] = ContextVar("urgency", default=Urgency.LIVE)


def urgency() -> Urgency:
    """What the running task's requests are for."""
    return _URGENCY.get()


@contextmanager
def urgent(wanted: Urgency) -> Generator[None]:
    """Requests made inside are for this."""
    token = _URGENCY.set(wanted)
    try:
        yield
    finally:
        _URGENCY.reset(token)


class OwnDoor:
    """The profile's limits, kept by this process alone."""

    def __init__(self, limits: Limits) -> None:
        self._places = asyncio.Semaphore(limits.concurrency)
        self._pace = Pace(limits.requests_per_second)

    async def enter(self) -> None:
        if (wait := self._pace.wait()) is not None:
            await wait
        await self._places.acquire()

    def leave(self, turn: Any, seen: Seen) -> None:
        del turn, seen
        self._places.release()

    def throttled(self, seconds: float, reason: str) -> None:
        del seconds, reason  # whoever called is told by the error, and keeps to it
