"""The places of one system: how many requests are under way at once, and who goes first when there are more.

A kind of request enters only while fewer places are taken than its share of them, so there is always one left for a
caller's however much is compared and backfilled; and of those that wait the most urgent goes first, and among equals
the one that came first.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Mapping
from itertools import count

from adapters.door import Urgency

# fmt: off
#: The part of the places up to which each kind may fill them; at least one.
SHARES: Mapping[Urgency, float] = {
    Urgency.PROBE:    1.0,
    Urgency.LIVE:     1.0,
    Urgency.MIRROR:   0.9,
    Urgency.REPLAY:   0.5,
    Urgency.BACKFILL: 0.2,
    Urgency.COMPARE:  0.2,
}
# fmt: on


class Places:
    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0
        self._order = count()
        self._waiting: list[tuple[Urgency, int, asyncio.Future[None]]] = []
        # Counted and not looked through: under pressure everybody who is refused asks, often several times.
        self._counted: Counter[Urgency] = Counter()

    @property
    def waiting(self) -> int:
        return self._counted.total()

    def waiting_as(self, urgency: Urgency) -> int:
        """How many of those that wait are of this kind."""
        return self._counted[urgency]

    async def take(self, urgency: Urgency) -> None:
        """Returns with a place. Raises what ``refuse`` was told while it waited."""
        if not self._waiting and self._open_to(urgency):
            self.taken += 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), future))
        self._counted[urgency] += 1
        # Something less urgent may hold nobody back: what waits before us may wait for a share of its own.
        self._let_in()
        try:
            await future
        except asyncio.CancelledError:
            if future.cancelled():
                self._counted[urgency] -= 1
            elif future.done() and future.exception() is None:
                # The place came together with the order to stop.
                self.give()
            raise

    def give(self) -> None:
        """Gives one place back."""
        self.taken -= 1
        self._let_in()

    def resize(self, limit: int) -> None:
        self._limit = limit
        self._let_in()

    def refuse(self, error: Exception) -> None:
        """Nobody who waits gets a place any more."""
        waiting, self._waiting = self._waiting, []
        for urgency, _, future in waiting:
            if not future.done():
                self._counted[urgency] -= 1
                future.set_exception(error)

    def _open_to(self, urgency: Urgency) -> bool:
        return self.taken < min(self._limit, max(1, int(self._limit * SHARES[urgency])))

    def _let_in(self) -> None:
        while self._waiting:
            urgency, _, future = self._waiting[0]
            if future.done():
                heapq.heappop(self._waiting)  # it has given up
                continue
            if not self._open_to(urgency):
                # Whoever stands behind it is less urgent and has no larger share.
                return
            heapq.heappop(self._waiting)
            self._counted[urgency] -= 1
            self.taken += 1
            future.set_result(None)
