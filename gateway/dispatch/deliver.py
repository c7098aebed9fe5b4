"""Carries claims through: send, conclude, and on to the mirror. In tasks of its own, which outlive their callers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping

from adapters.contract import Adapter
from gateway.crash import crash_point
from gateway.database import GroupCommit
from gateway.dispatch.claim import Claim, Claims
from gateway.dispatch.conclusion import Concluded, Conclusion
from gateway.dispatch.sender import Sender
from gateway.dispatch.waiting import Waiting
from gateway.errors import StoreUnavailable
from gateway.ledger.pressure import Pressure
from gateway.telemetry import Log, Metrics


class Deliverer:
    """``mirrors`` bounds what this process has taken over for each system, so that one that hangs holds up no other;
    authority calls are bounded by the callers who wait for them. ``pressure`` says what each system bears now."""

    def __init__(
        self,
        *,
        claims: Claims,
        sender: Sender,
        outcomes: GroupCommit[Conclusion, Concluded],
        waiting: Waiting,
        adapters: Mapping[str, Adapter],
        pressure: Pressure,
        metrics: Metrics,
        log: Log,
        mirrors: int,
    ) -> None:
        self._claims = claims
        self._sender = sender
        self._outcomes = outcomes
        self._waiting = waiting
        self._adapters = adapters
        self._pressure = pressure
        self._metrics = metrics
        self._log = log
        self._limit = mirrors
        self._running: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        #: systems of which the last look may have left something that is due, for want of room; and how much it had
        self._short: dict[str, int] = {}
        self.work_left = asyncio.Event()
        self.accepts_mirrors = False
        self.stopping = False

    def slots(self, system: str) -> int:
        """How many deliveries to this system this process could take over now."""
        if not self.accepts_mirrors or self.stopping:
            return 0
        running = self._running[system]
        return min(max(0, self._limit - running), self._pressure.room(system, running))

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

    def go_on(self, concluded: Concluded) -> None:
        """Takes up what a conclusion leaves to be done that was not reached by a delivery of this room: the mirror's
        delivery that its commit has claimed for this process, and what has come due."""
        if concluded.work_left:
            self.work_left.set()
        if concluded.next_claim is not None:
            self.start(concluded.next_claim, taken_over=True)

    async def run_once(self) -> int:
        """Claims what is due, as far as there is room, and starts it. Returns how many."""
        rooms = {system: self.slots(system) for system in self._adapters}
        taken = await self._claims.due(rooms, self._pressure.repeats())
        self._pressure.spent(taken.repeats)
        found = Counter(claim.system for claim in taken.claims)
        self._short = {
            system: self._running[system] + found[system]
            for system, room in rooms.items()
            if found[system] >= room and not self._closed(system)
        }
        for claim in taken.claims:
            self.start(claim, taken_over=True)
        return len(taken.claims)

    def free_unsent(self) -> None:
        """Claims nothing any more. What was claimed and waits to be sent goes back, so that its lane is due at once."""
        self.stopping = True
        self._pressure.stop_sending()

    async def finish(self, limit_s: float) -> None:
        """Waits for what is in flight, at most ``limit_s`` seconds; what is not done by then is found by its lease."""
        self.free_unsent()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=limit_s)

    def _room_again(self, system: str) -> None:
        # A look for one free place costs as much as a look for many, so places are given back by the half.
        full = self._short.get(system)
        if full is not None and self._running[system] <= full // 2:
            self._short.clear()
            self.work_left.set()

    def _closed(self, system: str) -> bool:
        """Nothing may be sent there, so room is not what it lacks; when it may be, everybody is woken."""
        return self._pressure.shut(system) is not None

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
                self._room_again(held)

    def _tell(self, conclusion: Conclusion, concluded: Concluded) -> None:
        claim = conclusion.claim
        self._metrics.deliveries.labels(claim.entity, claim.system, claim.role, conclusion.event.value).inc()
        if concluded.counted and claim.role == "authority":
            crash_point("CP06")
            self._waiting.tell(concluded)
