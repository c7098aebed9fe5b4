"""One system as this process calls it: the door that everything sent to it goes through."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from adapters.door import Seen, Urgency, urgency
from adapters.errors import AdapterError, Throttled, Unavailable
from adapters.profile import Limits
from gateway.clock import Clock
from gateway.ledger import gates
from gateway.ledger.breaker import Breaker, State
from gateway.ledger.budget import Budget
from gateway.ledger.pace import Pace
from gateway.ledger.places import Places

#: The weight of the newest call in how long calls take of late.
CALL_WEIGHT = 0.05

#: Codes of outcomes that never reached the system: to try these again is no repeat.
BREAKER_OPEN, GATE_SHUT, STOPPING, CROWDED = "breaker_open", "gate_shut", "stopping", "crowded"
#: The record was edited in the system meanwhile, and the change feed has not taken that in yet.
EDITED = "edited_in_system"
NOT_REACHED = frozenset(
    {BREAKER_OPEN, GATE_SHUT, STOPPING, CROWDED, EDITED, "late", "reference_missing", "quota", "Unavailable"}
)


class Shut(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing may be sent to a system now."""

    code: str
    message: str
    seconds: float  #: until it is worth while to ask again, as far as is known
    outage: bool  #: it does not answer; otherwise it asks to be left alone


class _Turn(msgspec.Struct, frozen=True):
    began: float
    period: int
    placed: bool


class Target:
    """One system as this process calls it. Implements the adapters' ``Door``."""

    def __init__(
        self,
        system: str,
        limits: Limits,
        *,
        clock: Clock,
        pace: Pace | None,
        pause_s: float,
        callers: int,
        opened: Callable[[Target], None],
        held: Callable[[Target, float, str], None],
    ) -> None:
        self.system = system
        self.limits = limits
        self.breaker = Breaker(limits.concurrency, pause_s=pause_s)
        self.places = Places(limits.concurrency)
        self.budget = Budget(clock.monotonic())
        #: seconds that a call takes of late
        self.call_s: float | None = None
        self._clock = clock
        self._pace = pace
        self._callers = callers  #: requests of callers that may wait for a place
        self._opened = opened
        self._held = held
        self._held_until = float("-inf")
        self._why = ""
        self._stopping = False

    # --- the door --------------------------------------------------------------------------------------------

    async def enter(self) -> _Turn:
        wanted = urgency()
        self._must_be_open(wanted)
        # A probe takes no place: those may all be taken by calls that hang.
        placed = wanted is not Urgency.PROBE
        if placed:
            if wanted is Urgency.LIVE and self.places.waiting_as(wanted) >= self._callers:
                raise Unavailable(
                    f"too many requests wait for {self.system}", system=self.system, code=CROWDED
                )
            await self.places.take(wanted)
        try:
            self._must_be_open(wanted)
            if self._pace is not None:
                await self._pace.turn(wanted)
                self._must_be_open(wanted)
        except Throttled as used_up:
            if placed:
                self.places.give()
            if used_up.code == "quota":
                self.throttled(used_up.retry_after_s or gates.PAUSE_CAP_S, used_up.message)
            raise
        except BaseException:
            if placed:
                self.places.give()
            raise
        return _Turn(self._clock.monotonic(), self.breaker.period, placed)

    def leave(self, turn: _Turn, seen: Seen) -> None:
        if turn.placed:
            self.places.give()
        if seen is Seen.NOTHING or not turn.placed:
            return
        now = self._clock.monotonic()
        if seen is Seen.ANSWERED:
            took = now - turn.began
            self.call_s = took if self.call_s is None else self.call_s + CALL_WEIGHT * (took - self.call_s)
        if self.breaker.seen(
            ok=seen is Seen.ANSWERED, period=turn.period, now=now, reached=seen is not Seen.UNREACHED
        ):
            self._resized()
            if self.breaker.state is State.OPEN:
                self._opened(self)

    def throttled(self, seconds: float, reason: str) -> None:
        if seconds > 0:
            self.hold(seconds, reason)
            self._held(self, seconds, reason)

    # --- what may be sent ------------------------------------------------------------------------------------

    def shut(self) -> Shut | None:
        """Why nothing may be sent now, or None."""
        now = self._clock.monotonic()
        if not self.breaker.lets_through:
            return Shut(
                code=BREAKER_OPEN,
                message=f"{self.system} does not answer",
                seconds=max(0.0, self.breaker.next_probe() - now),
                outage=True,
            )
        if self._held_until > now:
            return Shut(
                code=GATE_SHUT,
                message=f"{self.system} asks to be left alone: {self._why}",
                seconds=self._held_until - now,
                outage=False,
            )
        return None

    def room(self, running: int) -> int:
        """How many deliveries may be begun now, for the system's sake, beside ``running`` ones. What is begun and has
        no place yet waits on its lease, so no more are begun than will soon have one."""
        if self._stopping or self.shut() is not None:
            return 0
        bears = self.breaker.limit if self.breaker.state is State.RAMPING else 2 * self.breaker.limit
        return max(0, bears - max(running, self.places.taken + self.places.waiting))

    def repeats(self) -> int:
        """How many of those may be repeats."""
        return self.budget.whole(self._clock.monotonic())

    def expected_s(self, position: int) -> float | None:
        """Seconds until the ``position``-th of those that wait may be through at the earliest, or None while no call
        has been answered yet."""
        if self.call_s is None:
            return None
        rate = self.breaker.most / max(self.call_s, 0.001)
        if self.limits.requests_per_second is not None:
            rate = min(rate, self.limits.requests_per_second)
        shut = self.shut()
        return position / rate + (0.0 if shut is None else shut.seconds)

    @property
    def well(self) -> bool:
        """It answers, does not ask for a pause, and bears what is asked of it: as many calls at once as ever, or, after
        an outage, whatever is asked now, which is nothing. Else a system that nobody writes to would never be well."""
        idle = not self.places.taken and not self.places.waiting
        bears = self.breaker.state is State.CLOSED or (self.breaker.lets_through and idle)
        return bears and self._held_until <= self._clock.monotonic()

    def hold(self, seconds: float, reason: str) -> None:
        """Sends nothing for so long."""
        until = self._clock.monotonic() + min(gates.PAUSE_CAP_S, seconds)
        if until > self._held_until:
            self._held_until = until
            self._why = reason
            self._turn_away(self._gate_error())

    def share(self, replicas: int) -> None:
        """This process is one of so many."""
        self.breaker.resize(max(1, self.limits.concurrency // replicas))
        self._resized()

    def stop(self) -> None:
        """Whoever still waits for a place does not get one any more."""
        self._stopping = True
        self._turn_away(Unavailable("this process stops", system=self.system, code=STOPPING))

    def reopened(self) -> None:
        self._resized()

    def _resized(self) -> None:
        if self.breaker.lets_through:
            self.places.resize(self.breaker.limit)
        else:
            self._turn_away(self._breaker_error())

    def _turn_away(self, error: AdapterError) -> None:
        self.places.refuse(error)
        if self._pace is not None:
            self._pace.refuse(error)

    def _must_be_open(self, wanted: Urgency) -> None:
        if not self.breaker.lets_through and wanted is not Urgency.PROBE:
            raise self._breaker_error()
        if self._held_until > self._clock.monotonic():
            raise self._gate_error()

    def _breaker_error(self) -> Unavailable:
        return Unavailable(
            f"{self.system} does not answer, so nothing is sent to it", system=self.system, code=BREAKER_OPEN
        )

    def _gate_error(self) -> Throttled:
        left = max(0.0, self._held_until - self._clock.monotonic())
        return Throttled(
            f"{self.system} asks to be left alone: {self._why}",
            system=self.system,
            code=GATE_SHUT,
            retry_after_s=left,
        )
