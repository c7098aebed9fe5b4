"""Carries claims through: send, conclude, and on to the mirror. In tasks of its own, which outlive their callers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from adapters.contract import Adapter
from gateway.database import GroupCommit
from gateway.dispatch.claim import Claim, Claims
from gateway.dispatch.conclusion import Concluded, Conclusion
from gateway.dispatch.sender import Sender
from gateway.dispatch.waiting import Waiting
from gateway.errors import StoreUnavailable
from gateway.telemetry import Log, Metrics


class Deliverer:
    """``mirrors`` bounds what this process has taken over for each system, so that one that hangs holds up no other;
    authority calls are bounded by the callers who wait for them."""

    def __init__(
        self,
        *,
        claims: Claims,
        sender: Sender,
        outcomes: GroupCommit[Conclusion, Concluded],
        waiting: Waiting,
        adapters: Mapping[str, Adapter],
        metrics: Metrics,
        log: Log,
        mirrors: int,
    ) -> None:
        self._claims = claims
        self._sender = sender
        self._outcomes = outcomes
        self._waiting = waiting
        self._adapters = adapters
        self._metrics = metrics
        self._log = log
        self._limit = mirrors
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        #: set when the last look may have left something that is due, for want of room
        self._short = False
        self.work_left = asyncio.Event()
        self.accepts_mirrors = False
        self.stopping = False

    def slots(self, system: str) -> int:
        """How many deliveries to this system this process could take over now."""
        if not self.accepts_mirrors or self.stopping:
            return 0
        return max(0, self._limit - self._running[system])

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    def start(self, claim: Claim, *, taken_over: bool = False) -> None:
        """Sends a claim in a task of its own. ``taken_over``: no caller's, so it takes one of the slots."""
        if taken_over:
            self._running[claim.system] += 1
        task = asyncio.create_task(self._carry(claim, taken_over), name=f"deliver {claim.delivery_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def run_once(self) -> int:
        """Claims what is due, as far as there is room, and starts it. Returns how many."""
        rooms = {system: room for system in self._adapters if (room := self.slots(system)) > 0}
        if not rooms:
            self._short = True
            return 0
        limit = min(rooms.values())
        claims = await self._claims.due(tuple(rooms), limit)
        self._short = len(claims) >= limit
        for claim in claims:
            self.start(claim, taken_over=True)
        return len(claims)

    async def finish(self, limit_s: float) -> None:
        """Waits for what is in flight, at most ``limit_s``; what is not done by then is found by its lease."""
        self.stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)

    async def _carry(self, claim: Claim, taken_over: bool) -> None:
        held = claim.system if taken_over else None
        try:
            following: Claim | None = claim
            while following is not None:
                conclusion = await self._sender.send(following)
                concluded = await self._outcomes.submit(conclusion)
                self._tell(conclusion, concluded)
                if concluded.work_left:
                    self.work_left.set()
                following = concluded.next_claim
                if following is not None:
                    self._running[following.system] += 1
                    if held is not None:
                        self._running[held] -= 1
                    held = following.system
        except StoreUnavailable as lost:
            # The outcome is known and cannot be written down. The lease runs out and the resolver looks.
            self._log.warning("outcome not recorded", operation=claim.operation_id, reason=str(lost))
        except Exception:  # noqa: BLE001 - a fault of ours must not take the other deliveries down with it
            self._log.exception("delivery failed", operation=claim.operation_id, delivery=claim.delivery_id)
        finally:
            if held is not None:
                self._running[held] -= 1
            # A look for one free place costs as much as a look for many, so places are given back by the half.
            if self._short and max(self._running.values(), default=0) <= self._limit // 2:
                self._short = False
                self.work_left.set()

    def _tell(self, conclusion: Conclusion, concluded: Concluded) -> None:
        claim = conclusion.claim
        self._metrics.deliveries.labels(claim.entity, claim.system, claim.role, conclusion.event.value).inc()
        if concluded.counted and claim.role == "authority":
            self._waiting.tell(concluded)
