"""Pressure: how much may be asked of each system, and when nothing may.

Words. *target*: one system as this process calls it; it is the adapter's door, so whatever is sent goes through it
(``target``).
*breaker*: opens when the system fails, and lets nothing but the health probe through (``breaker``). *gate*: the
system asked to be left alone until a moment, and every process heeds it (``gates``). *budget*: how many calls may be
repeats (``budget``). *pace*: the rate that all processes keep together (``pace``). *places*: how many requests are
under way at once, and which of those that wait goes first (``places``).

Laws. Behind an open breaker or a shut gate not a byte is sent: whoever asks is told at once, and what was accepted
stays in the journal, due, until the system is there again. Then it begins with one call at a time. First calls need no
token. The number of calls at once is shared out evenly among the processes that are alive; one that has just come
takes a single place until the others can have noticed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from adapters.contract import Adapter, Health
from adapters.door import Urgency, urgent
from adapters.errors import AdapterError
from adapters.profile import Limits
from gateway.clock import Clock
from gateway.database import Database
from gateway.database.rows import put_rows
from gateway.errors import StoreUnavailable
from gateway.ledger import gates
from gateway.ledger.breaker import PAUSE_S
from gateway.ledger.pace import Pace
from gateway.ledger.pressure_tables import replica
from gateway.ledger.target import Shut, Target
from gateway.telemetry import Log

#: How old what this process knows of the gates may get, in seconds, while nobody tells it to look.
LOOK_S = 0.7
#: How often a process says that it is alive, and after how long without a word it is not counted any more.
ALIVE_EVERY_S = 2.0
ALIVE_S = 7.0
FORGOTTEN_S = 3600.0
#: Seconds that the health probe is waited for.
PROBE_PATIENCE_S = 3.0
#: Seconds between two probes of a system that is well.
HEALTH_EVERY_S = 10.0

_ALIVE = select(func.count()).select_from(replica).where(replica.c.seen_at >= bindparam("since"))


class Pressure:
    """The targets of this process. ``name`` tells it from the others; ``breaker_pause_s`` is how long a breaker stays
    open, the first time, where the health probe proves nothing; ``callers_queued`` bounds the requests of callers that
    wait for a place. ``work_left`` is called when something may have become
    due, and ``told`` when the other processes should look at the gates."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        name: str,
        breaker_pause_s: float = PAUSE_S,
        callers_queued: int = 128,
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._name = name
        self._pause_s = breaker_pause_s
        self._callers_queued = callers_queued
        self._targets: dict[str, Target] = {}
        self._adapters: Mapping[str, Adapter] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._writing: set[asyncio.Task[None]] = set()
        self._asked = asyncio.Event()
        self._said_alive = float("-inf")
        self._alone = database.sqlite
        self.work_left: Callable[[], None] = _nobody
        self.told: Callable[[], None] = _nobody
        self.stopping = False
        #: system -> up or down, as it was last seen
        self.health: dict[str, str] = {}

    def door(self, system: str, limits: Limits) -> Target:
        """The door of a system that is being opened."""
        paced = limits.requests_per_second is not None or limits.requests_per_day is not None
        pace = (
            Pace(database=self._database, clock=self._clock, system=system, limits=limits, log=self._log)
            if paced
            else None
        )
        target = Target(
            system,
            limits,
            clock=self._clock,
            pace=pace,
            pause_s=self._pause_s,
            callers=self._callers_queued,
            opened=self._on_opened,
            held=self._on_held,
        )
        self._targets[system] = target
        return target

    def target(self, system: str) -> Target | None:
        return self._targets.get(system)

    def shut(self, system: str) -> Shut | None:
        """Why nothing may be sent to this system now, or None."""
        target = self._targets.get(system)
        return None if target is None else target.shut()

    def room(self, system: str, running: int) -> int:
        """How many deliveries may be begun now, for this system's sake, beside ``running`` ones."""
        target = self._targets.get(system)
        return 0 if target is None else target.room(running)

    def repeats(self) -> dict[str, int]:
        """How many repeats may be begun now, by system."""
        return {name: target.repeats() for name, target in self._targets.items()}

    def spent(self, repeats: Mapping[str, int]) -> None:
        """So many were begun."""
        for system, number in repeats.items():
            self._targets[system].budget.spend(number)

    def succeeded(self, system: str) -> None:
        """A delivery has reached its end there."""
        if (target := self._targets.get(system)) is not None:
            target.budget.succeeded()

    def expected_s(self, system: str, position: int) -> float | None:
        """Seconds until the ``position``-th write that waits for this system may be through, at the earliest."""
        target = self._targets.get(system)
        return None if target is None else target.expected_s(position)

    @property
    def well(self) -> bool:
        """Every system answers and may be called."""
        return all(target.well for target in self._targets.values())

    # --- life ------------------------------------------------------------------------------------------------

    async def start(self, adapters: Mapping[str, Adapter]) -> None:
        """Begins to watch the gates and the systems' health."""
        self._adapters = adapters
        if not self._alone:
            for target in self._targets.values():
                # The others do not know of us yet.
                target.share(target.limits.concurrency)
        await self._look()
        if not self._alone:
            self._begin(self._keep_looking(), "gates")
        self._begin(self._keep_healthy(), "systems")

    def look(self) -> None:
        """Somebody says that a gate may have shut: looks now instead of at the next turn."""
        self._asked.set()

    def stop_sending(self) -> None:
        """Nothing that waits is begun any more; what is under way goes on."""
        self.stopping = True
        for target in self._targets.values():
            target.stop()

    async def stop(self) -> None:
        """Ends the watching, once every gate that was shut here is written down."""
        await asyncio.gather(*self._writing, return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._alone and self._said_alive > float("-inf"):
            try:
                await self._database.transaction(
                    lambda conn: conn.execute(replica.delete().where(replica.c.name == self._name))
                )
            except StoreUnavailable as lost:
                self._log.warning("the other processes will miss this one late", reason=str(lost))

    def _begin(self, what: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(what, name=f"pressure: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- gates and replicas ----------------------------------------------------------------------------------

    def _on_held(self, target: Target, seconds: float, reason: str) -> None:
        writing = asyncio.create_task(self._shut_gate(target.system, seconds, reason), name="pressure: gate")
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)

    async def _shut_gate(self, system: str, seconds: float, reason: str) -> None:
        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            gates.shut(connection, system, seconds=seconds, reason=reason, now=now)

        self._log.warning("system asks for a pause", system=system, seconds=seconds, reason=reason)
        try:
            await self._database.transaction(unit)
        except StoreUnavailable as lost:
            # This process keeps to it; without the database the others can begin nothing anyway.
            self._log.warning("gate not recorded", system=system, reason=str(lost))
        else:
            self.told()

    async def _keep_looking(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                pass  # the usual case: nobody asked, and it is time
            self._asked.clear()
            try:
                await self._look()
            except StoreUnavailable as lost:
                self._log.warning("waiting for the database", loop="gates", reason=str(lost))
            except Exception:  # noqa: BLE001 - a fault of ours must not end this loop for the life of the process
                self._log.exception("gates could not be looked at")

    async def _look(self) -> None:
        if not self._alone and self._clock.monotonic() - self._said_alive >= ALIVE_EVERY_S:
            await self._say_alive()

        def unit(connection: Connection) -> dict[str, float]:
            return gates.shut_for(connection, now=self._database.now(connection))

        for system, seconds in (await self._database.read(unit)).items():
            target = self._targets.get(system)
            if target is not None and ((shut := target.shut()) is None or shut.seconds + LOOK_S < seconds):
                target.hold(seconds, "it told another process")

    async def _say_alive(self) -> None:
        first = self._said_alive == float("-inf")

        def unit(connection: Connection) -> int:
            now = self._database.now(connection)
            put_rows(connection, replica, [{"name": self._name, "seen_at": now}], "name", renew=("seen_at",))
            if first:
                # Whoever was killed has left its row behind.
                gone = now - int(FORGOTTEN_S * gates.MICROS)
                connection.execute(replica.delete().where(replica.c.seen_at < gone))
            since = now - int(ALIVE_S * gates.MICROS)
            return connection.execute(_ALIVE, {"since": since}).scalar_one()

        replicas = await self._database.transaction(unit)
        self._said_alive = self._clock.monotonic()
        if first and replicas > 1:
            return  # the others take less as soon as they have counted us; until then we keep to one place
        for target in self._targets.values():
            target.share(replicas)

    # --- health ----------------------------------------------------------------------------------------------

    def _on_opened(self, target: Target) -> None:
        self._log.warning("system fails: nothing is sent to it", system=target.system)
        self.health[target.system] = "down"
        self._begin(self._watch(target), f"outage of {target.system}")

    async def _watch(self, target: Target) -> None:
        """Asks a system that failed until it answers again."""
        breaker = target.breaker
        while not breaker.lets_through:
            await self._clock.sleep(max(0.0, breaker.next_probe() - self._clock.monotonic()))
            breaker.asked(self._clock.monotonic())
            ok = await self._probe(target.system)
            breaker.probed(ok=ok, now=self._clock.monotonic())
        self._log.info("system answers again", system=target.system)
        self.health[target.system] = "up"
        target.reopened()
        await self._wake(target.system)

    async def _wake(self, system: str) -> None:
        def unit(connection: Connection) -> None:
            gates.wake(connection, system, now=self._database.now(connection))

        try:
            await self._database.transaction(unit)
        except StoreUnavailable as lost:
            self._log.warning("waits are sat out to their end", system=system, reason=str(lost))
        self.work_left()

    async def _probe(self, system: str) -> bool:
        return (await health(self._adapters[system])).ok

    async def _keep_healthy(self) -> None:
        while True:
            await asyncio.gather(*(self._look_at(target) for target in self._targets.values()))
            await self._clock.sleep(HEALTH_EVERY_S)

    async def _look_at(self, target: Target) -> None:
        # A system that is left alone, or that is being watched already, is not asked here.
        if target.shut() is None:
            self.health[target.system] = "up" if await self._probe(target.system) else "down"


def _nobody() -> None:
    return


async def health(adapter: Adapter, *, tries: int = 1) -> Health:
    """What the system answers to its health probe within three seconds. ``tries``: how often it may be asked."""
    last = Health(ok=False, latency_s=PROBE_PATIENCE_S, detail=f"no answer within {PROBE_PATIENCE_S:g} s")
    with urgent(Urgency.PROBE), suppress(TimeoutError):
        async with asyncio.timeout(PROBE_PATIENCE_S):
            for _ in range(tries):
                last = await _probed(adapter)
                if last.ok:
                    break
    return last


async def _probed(adapter: Adapter) -> Health:
    try:
        return await adapter.probe()
    except AdapterError as error:
        return Health(ok=False, latency_s=0.0, detail=f"{type(error).__name__}: {error}")
