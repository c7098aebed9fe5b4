"""Writes that wait at the same moment share one set-based step and one commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection

from gateway.database.engine import Database
from gateway.errors import StoreUnavailable

I = TypeVar("I")  # noqa: E741 - the item of a step
O = TypeVar("O")  # noqa: E741 - its outcome


class GroupCommit(Generic[I, O]):
    """Gathers items while the last commit runs (no timer: a lone item never waits) and hands them to ``step``.

    ``step(conn, items)`` returns one outcome an item, in order. An outcome that is an exception is raised to the
    one who submitted that item; an exception that ``step`` itself raises makes the batch be tried in halves, so
    that one bad item cannot fail its neighbours. Up to ``lanes`` commits run at once on PostgreSQL; on SQLite
    the writer thread orders them anyway.
    """

    def __init__(
        self,
        database: Database,
        step: Callable[[Connection, Sequence[I]], Sequence[O | Exception]],
        *,
        limit: int = 64,
        lanes: int = 1,
        read_only: bool = False,
        glance: bool = False,
    ) -> None:
        self._database = database
        self._step = step
        self._limit = limit
        self._lanes = 1 if database.sqlite else lanes
        self._run = database.glance if glance else database.read if read_only else database.transaction
        self._waiting: deque[tuple[I, asyncio.Future[O]]] = deque()
        self._running: set[asyncio.Task[None]] = set()

    async def submit(self, item: I) -> O:
        """The outcome of ``item`` once its commit is on disk. Cancelling the caller does not undo the item."""
        return await asyncio.shield(self.put(item))

    def put(self, item: I) -> asyncio.Future[O]:
        """The same for one who must learn the outcome even when its own caller has gone: shield what you await."""
        future: asyncio.Future[O] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if len(self._running) < self._lanes:
            self._running.add(asyncio.create_task(self._drain()))
        return future

    async def _drain(self) -> None:
        try:
            # Callers that became ready in the same turn of the loop get to put their items in first.
            await asyncio.sleep(0)
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))]
                await self._commit(batch)
        finally:
            # In the same turn that saw nothing waiting: an item put in after that finds this lane gone and opens
            # one. A callback of the task would come a turn later, and such an item would wait for the next for ever.
            task = asyncio.current_task()
            assert task is not None
            self._running.discard(task)

    async def _commit(self, batch: list[tuple[I, asyncio.Future[O]]]) -> None:
        items = [item for item, _ in batch]
        try:
            outcomes = await self._run(lambda connection: self._step(connection, items))
        except Exception as raised:  # noqa: BLE001 - told to whoever submitted the item that causes it
            if len(batch) == 1 or isinstance(raised, StoreUnavailable):
                # A lost database is nobody's bad item, and its COMMIT may have happened: nothing is run again here.
                for _, future in batch:
                    _settle(future, raised)
                return
            half = len(batch) // 2
            await self._commit(batch[:half])
            await self._commit(batch[half:])
            return
        for (_, future), outcome in zip(batch, outcomes, strict=True):
            _settle(future, outcome)


def _settle(future: asyncio.Future[O], outcome: O | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
        # Whoever submitted it may be gone (a client that hung up); the outcome is in the journal either way.
        future.exception()
    else:
        future.set_result(outcome)
