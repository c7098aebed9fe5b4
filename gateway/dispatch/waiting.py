"""Callers that wait for their operation. Told at once by this process; what another process has done is seen by
looking, a few times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.dispatch.conclusion import Concluded
from gateway.errors import StoreUnavailable
from gateway.ledger.states import OPERATION_ANSWERED

#: How often a waiting caller looks for itself; only matters when another process delivers.
LOOK_S = 0.15


class Waiting:
    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Concluded]] = {}
        self._ending: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._futures)

    def end_within(self, seconds: float) -> None:
        """This process stops: by then nobody waits any more, and what is accepted is told as accepted."""
        asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        ending = self._ended()
        if not ending.done():
            ending.set_result(None)

    def _ended(self) -> asyncio.Future[None]:
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_future()
        return self._ending

    def tell(self, concluded: Concluded) -> None:
        """Wakes the caller if the authority's part of its operation is over."""
        if concluded.state not in OPERATION_ANSWERED:
            return
        future = self._futures.get(concluded.operation_id)
        if future is not None and not future.done():
            future.set_result(concluded)

    def expect(self, operation_id: str) -> asyncio.Future[Concluded]:
        """To be called before the operation is started, so that no word is missed."""
        future: asyncio.Future[Concluded] = asyncio.get_running_loop().create_future()
        self._futures[operation_id] = future
        return future

    def forget(self, operation_id: str) -> None:
        """Nobody waits for it after all."""
        self._futures.pop(operation_id, None)

    async def outcome(
        self,
        operation_id: str,
        future: asyncio.Future[Concluded],
        limit_s: float,
        *,
        look: Callable[[], Awaitable[Concluded | None]] | None,
        every_s: float = LOOK_S,
    ) -> Concluded | None:
        """What became of it within ``limit_s`` seconds, or None. ``look`` asks the journal."""
        try:
            loop = asyncio.get_running_loop()
            until = loop.time() + limit_s
            ending = self._ended()
            while not future.done():
                left = until - loop.time()
                if left <= 0 or ending.done():
                    return None
                await asyncio.wait(
                    [future, ending],
                    timeout=left if look is None else min(left, every_s),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not future.done() and look is not None:
                    try:
                        seen = await look()
                    except StoreUnavailable:
                        continue  # what it waits for is on disk and goes on; the next look may succeed
                    if seen is not None:
                        return seen
            return future.result()
        finally:
            self._futures.pop(operation_id, None)
