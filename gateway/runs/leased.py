"""One loop for every kind of run: takes one that is due, holds it while it works, and says why one goes no further."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import Connection

from adapters.errors import AdapterError, Misconfigured, Rejected, Unreadable
from gateway.clock import Clock
from gateway.database import Database
from gateway.errors import StoreUnavailable
from gateway.telemetry import Log

MICROS = 1_000_000
#: How often in a row a step may fail for a reason that waiting does not mend.
MOST_FAILURES = 5
#: The longest wait after a failure, in seconds.
LONGEST_WAIT_S = 30.0
#: Seconds that a run is worked on before another one gets its turn.
TURN_S = 5.0


class Lost(Exception):
    """Somebody else holds the run, or it is not being worked on any more: what was done of this step is void."""


class Over(Exception):
    """The run can go no further, for the reason that is the message: it ends as failed."""


class Held(Protocol):
    """A run in the hands of whoever works on it."""

    @property
    def id(self) -> str: ...

    @property
    def failures(self) -> int:
        """Failed steps in a row."""
        ...

    @property
    def next_at(self) -> int:
        """When the next step is due, in microseconds UTC."""
        ...


W = TypeVar("W", bound=Held)


class Keeping(Protocol[W]):
    """Where the runs of a kind are kept. Moments are microseconds UTC."""

    def claim(self, connection: Connection, *, now: int, lease: int, only: str | None = None) -> W | None:
        """The run that has been due for longest and that nobody holds, under a lease of so long."""
        ...

    def advance(self, connection: Connection, work: W, *, now: int, **values: Any) -> W:
        """Writes how far it has come. Raises Lost."""
        ...

    def keep_lease(self, connection: Connection, work: W, *, until: int | None) -> bool:
        """Holds it for longer, or lets go of it. False: somebody else has it."""
        ...


@asynccontextmanager
async def holding(
    keep: Callable[[Connection, int | None], bool],
    *,
    what: str,
    facts: Mapping[str, str],
    database: Database,
    clock: Clock,
    log: Log,
    lease_s: float,
) -> AsyncGenerator[None]:
    """Renews a lease while the block lasts, and lets go of it afterwards. ``keep`` holds it until a moment, in
    microseconds UTC, or with None no longer; False: somebody else has it. ``facts`` name the work in the log."""

    async def beat() -> None:
        while True:
            await clock.sleep(lease_s / 3)
            try:
                if not await database.transaction(
                    lambda conn: keep(conn, database.now(conn) + int(lease_s * MICROS))
                ):
                    return  # the next commit of the step is void by the same token
            except StoreUnavailable as lost:
                log.warning("lease not renewed", **facts, reason=str(lost))

    beating = asyncio.create_task(beat(), name=f"{what}: lease")
    try:
        yield
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await database.transaction(lambda conn: keep(conn, None))


class LeasedRuns(Generic[W]):
    """``what``: the kind, in the singular. ``step`` does the next piece of a run, in one commit; None at its end or
    where there is nothing more to do for now. It raises Lost, Over, and the errors of ``adapters.errors``. ``busy`` is
    asked before each step: callers go first. ``lease_s``: for how long a run waits for a worker that was killed."""

    def __init__(
        self,
        *,
        what: str,
        store: Keeping[W],
        step: Callable[[W], Awaitable[W | None]],
        database: Database,
        clock: Clock,
        log: Log,
        busy: Callable[[], bool],
        lease_s: float,
    ) -> None:
        self._what = what
        self._store = store
        self._take = step
        self._database = database
        self._clock = clock
        self._log = log
        self._busy = busy
        self._lease_s = lease_s

    async def run_once(self, only: str | None = None) -> int:
        """Takes a run that is due and works on it for a while; how many steps. ``only``: no other run. Safe to run
        twice, and anywhere at once."""
        if self._busy():
            return 0
        work = await self._database.transaction(
            lambda conn: self._store.claim(
                conn, now=self._database.now(conn), lease=int(self._lease_s * MICROS), only=only
            )
        )
        if work is None:
            return 0
        began = self._clock.monotonic()
        steps = 0
        async with self._holding(work):
            at: W | None = work
            while at is not None and self._clock.monotonic() - began < TURN_S and not self._busy():
                at = await self._step(at)
                steps += 1
        return steps

    async def _step(self, work: W) -> W | None:
        """One step; None where this process has nothing more to do on the run for now."""
        try:
            following = await self._take(work)
        except (Lost, StoreUnavailable) as over:
            self._log.info(f"{self._what} let go", run=work.id, reason=type(over).__name__)
            return None
        except Over as over:
            await self._fail(work, str(over))
            return None
        except AdapterError as error:
            note = f"{error.system or 'a system'}: {type(error).__name__}: {error}"
            await self._failed(work, note, lasting=isinstance(error, Misconfigured | Rejected | Unreadable))
            return None
        except Exception as wrong:  # noqa: BLE001 - whatever breaks, the run says so and the loop goes on
            self._log.exception(f"a step of a {self._what} failed", run=work.id)
            await self._failed(work, f"a fault of this program: {type(wrong).__name__}", lasting=True)
            return None
        return following if following is not None and await self._due(following) else None

    async def _due(self, work: W) -> bool:
        return work.next_at <= await self._database.read(self._database.now)

    async def _failed(self, work: W, note: str, *, lasting: bool) -> None:
        """Puts the run off. What does not get better by waiting ends it in the end; an outage never does."""
        failures = work.failures + 1
        if lasting and failures >= MOST_FAILURES:
            await self._fail(work, note)
            return
        wait = int(min(LONGEST_WAIT_S, 0.5 * 2 ** min(failures, 10)) * MICROS)

        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            self._store.advance(connection, work, now=now, failures=failures, note=note, next_at=now + wait)

        await self._unless_lost(unit)

    async def _fail(self, work: W, note: str) -> None:
        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            self._store.advance(
                connection, work, now=now, state="failed", note=note, ended_at=now, lease_until=None
            )

        await self._unless_lost(unit)

    async def _unless_lost(self, unit: Callable[[Connection], None]) -> None:
        try:
            await self._database.transaction(unit)
        except Lost as over:
            self._log.info(f"{self._what} let go", run=str(over), reason="Lost")

    def _holding(self, work: W) -> AbstractAsyncContextManager[None]:
        return holding(
            lambda conn, until: self._store.keep_lease(conn, work, until=until), what=self._what,
            facts={"run": work.id},
            database=self._database, clock=self._clock, log=self._log, lease_s=self._lease_s,
        )  # fmt: skip
