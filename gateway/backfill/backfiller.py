"""Starts, works on, shows, pauses, resumes and cancels backfills.

A run is rows of the database and no task of a process: whichever worker finds it due takes it under a lease, which it
renews for as long as it works; a killed one's lease runs out, and another goes on from the last commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from adapters.errors import AdapterError, Misconfigured, Rejected, Unreadable
from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.backfill import store
from gateway.backfill.run import ACTS, Act, Item, Outcome, Run
from gateway.backfill.steps import Moved, Steps
from gateway.backfill.store import Lost, Scope, Work
from gateway.backfill.tables import backfill_run
from gateway.clock import Clock
from gateway.database import Database
from gateway.errors import BackfillRunning, BackfillStale, FieldError, Invalid, StoreUnavailable
from gateway.ids import BACKFILL, Ids
from gateway.ledger import slices as slice_store
from gateway.ledger.slices import Slices
from gateway.routing.plan import PLANS
from gateway.telemetry import Log

MICROS = 1_000_000
#: How often in a row a step may fail for a reason that waiting does not mend.
MOST_FAILURES = 5
#: The longest wait after a failure, in seconds.
LONGEST_WAIT_S = 30.0
#: Seconds that a run is worked on before another one gets its turn.
TURN_S = 5.0
_COUNTERS = (
    "total",
    "read",
    "linked",
    "created",
    "present",
    "ambiguous",
    "blocked",
    "superseded",
    "failures",
)


class Backfiller:
    """``busy`` is asked before each step: callers go first."""

    def __init__(
        self,
        *,
        database: Database,
        steps: Steps,
        slices: Slices,
        clock: Clock,
        ids: Ids,
        log: Log,
        busy: Callable[[], bool] = lambda: False,
        lease_s: float = 45.0,
    ) -> None:
        self._database = database
        self._steps = steps
        self._slices = slices
        self._clock = clock
        self._ids = ids
        self._log = log
        self._busy = busy
        self._lease_s = lease_s

    # --- what people ask -----------------------------------------------------------------------------------------

    async def start(self, entity: str, region: str, *, actor: str, reason: str | None = None) -> Run:
        """Begins a run over one slice, from its authority to its mirror. Raises Invalid where there are not two
        systems, and BackfillRunning, with the run, where one is under way or paused."""
        why = None if reason is None else reason_of(reason)
        cached = self._slices.cached(entity, region)
        run_id = self._ids.new(BACKFILL)

        def unit(connection: Connection) -> Run:
            slice_store.lock_shared(connection, {(entity, region)})
            slice_ = slice_store.read(connection, [(entity, region)]).get((entity, region), cached)
            target = PLANS[slice_.stage].mirror
            if target is None:
                message = (
                    f"{entity} in {region} is in {slice_.stage.value}, which keeps one system only: "
                    "backfill it once it is in dual_write, shadow, live or ramp_down"
                )
                error = FieldError(pointer="/region", code="no_mirror", message=message)
                raise Invalid(message, errors=[error])
            self._steps.able(entity, slice_.authority.value, target.value)
            now = self._database.now(connection)
            connection.execute(
                backfill_run.insert().values(
                    id=run_id, entity=entity, region=region, source=slice_.authority.value, target=target.value,
                    stage=slice_.stage.value, epoch=slice_.epoch, state="running", phase="count", actor=actor,
                    reason=why, token=0, next_at=now, created_at=now, updated_at=now, **dict.fromkeys(_COUNTERS, 0),
                )
            )  # fmt: skip
            detail = {"entity": entity, "region": region, "reason": why}
            audited(connection, at=now, actor=actor, action="backfill.start", subject=run_id, detail=detail)
            return store.one(connection, run_id)

        try:
            return await self._database.transaction(unit)
        except IntegrityError as twice:
            found = await self._database.read(lambda conn: store.under_way(conn, entity, region))
            if found is None:
                raise
            raise BackfillRunning(
                f"{found} is under way over {entity} in {region}: follow it, resume it, or cancel it first",
                location=f"/admin/v1/backfills/{found}",
                backfill=found,
            ) from twice

    async def act(
        self,
        run_id: str,
        act: Act,
        *,
        actor: str,
        reason: str | None = None,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Run:
        """Pauses, resumes or cancels. Again changes nothing. What is in the ledger already goes on. Raises
        NotFoundHere, and BackfillStale where the run is in no state for it."""
        why = None if reason is None else reason_of(reason)

        def unit(connection: Connection) -> Run:
            found = store.one(connection, run_id, regions, entities, lock=True)
            after = ACTS.get((found.state, act))
            if after is None:
                raise BackfillStale(f"the backfill is {found.state.value}", state=found.state.value)
            if after is found.state:
                return found
            now = self._database.now(connection)
            ended = {"ended_at": now, "ended_by": actor} if act is Act.CANCEL else {}
            connection.execute(
                backfill_run.update()
                .where(backfill_run.c.id == run_id)
                .values(state=after.value, next_at=now, updated_at=now, lease_until=None, note=None, **ended)
            )
            detail = {"reason": why, "read": found.read, "total": found.total}
            audited(
                connection, at=now, actor=actor, action=f"backfill.{act.value}", subject=run_id, detail=detail
            )
            return store.one(connection, run_id, regions, entities)

        return await self._database.transaction(unit)

    async def get(self, run_id: str, *, regions: Scope = None, entities: Scope = None) -> Run:
        """Raises NotFoundHere, also outside of what the caller may see."""
        return await self._database.read(lambda conn: store.one(conn, run_id, regions, entities))

    async def list(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        after: str | None = None,
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Run]:
        """Runs from the newest to the oldest; ``after`` is the id that the last page ended with."""
        return await self._database.read(
            lambda conn: store.page(
                conn,
                entity=entity,
                region=region,
                state=state,
                after=after,
                limit=limit,
                regions=regions,
                entities=entities,
            )
        )

    async def records(
        self,
        run_id: str,
        *,
        outcome: Outcome | None = None,
        after: str = "",
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Item]:
        """What became of the records that the run has taken, by their ids, all of them or those of one outcome.
        Raises NotFoundHere."""

        def unit(connection: Connection) -> Sequence[Item]:
            found = store.one(connection, run_id, regions, entities)
            return store.items(connection, found, outcome=outcome, after=after, limit=limit)

        return await self._database.read(unit)

    # --- who works on it -----------------------------------------------------------------------------------------

    async def run_once(self, only: str | None = None) -> int:
        """Takes a run that is due and works on it for a while; how many steps. ``only``: no other run. Safe to run
        twice, and anywhere at once."""
        if self._busy():
            return 0
        lease = int(self._lease_s * MICROS)
        work = await self._database.transaction(
            lambda conn: store.claim(conn, now=self._database.now(conn), lease=lease, only=only)
        )
        if work is None:
            return 0
        began = self._clock.monotonic()
        steps = 0
        async with self._holding(work):
            at: Work | None = work
            while at is not None and self._clock.monotonic() - began < TURN_S and not self._busy():
                at = await self._step(at)
                steps += 1
        return steps

    async def _step(self, work: Work) -> Work | None:
        """One step; None where this process has nothing more to do on the run for now."""
        try:
            following = await self._steps.take(work)
        except (Lost, StoreUnavailable) as over:
            self._log.info("backfill let go", run=work.run.id, reason=type(over).__name__)
            return None
        except Moved as moved:
            await self._fail(work, str(moved))
            return None
        except AdapterError as error:
            note = f"{error.system or 'a system'}: {type(error).__name__}: {error}"
            await self._failed(work, note, lasting=isinstance(error, Misconfigured | Rejected | Unreadable))
            return None
        except Exception as wrong:  # noqa: BLE001 - whatever breaks, the run says so and the loop goes on
            self._log.exception("a step of a backfill failed", run=work.run.id)
            await self._failed(work, f"a fault of this program: {type(wrong).__name__}", lasting=True)
            return None
        return following if following is not None and await self._due(following) else None

    async def _due(self, work: Work) -> bool:
        return await self._database.read(lambda conn: store.is_due(conn, work, now=self._database.now(conn)))

    async def _failed(self, work: Work, note: str, *, lasting: bool) -> None:
        """Puts the run off. What does not get better by waiting ends it in the end; an outage never does."""
        failures = work.failures + 1
        if lasting and failures >= MOST_FAILURES:
            await self._fail(work, note)
            return
        wait = int(min(LONGEST_WAIT_S, 0.5 * 2 ** min(failures, 10)) * MICROS)

        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            store.advance(connection, work, now=now, failures=failures, note=note, next_at=now + wait)

        await self._unless_lost(unit)

    async def _fail(self, work: Work, note: str) -> None:
        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            store.advance(
                connection, work, now=now, state="failed", note=note, ended_at=now, lease_until=None
            )

        await self._unless_lost(unit)

    async def _unless_lost(self, unit: Callable[[Connection], None]) -> None:
        try:
            await self._database.transaction(unit)
        except Lost as over:
            self._log.info("backfill let go", run=str(over), reason="Lost")

    @asynccontextmanager
    async def _holding(self, work: Work) -> AsyncGenerator[None]:
        """Renews the lease while the block lasts, and lets go of it afterwards."""
        beat = asyncio.create_task(self._beat(work), name="backfill: lease")
        try:
            yield
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            await self._database.transaction(lambda conn: store.keep_lease(conn, work, until=None))

    async def _beat(self, work: Work) -> None:
        while True:
            await self._clock.sleep(self._lease_s / 3)

            def unit(connection: Connection) -> bool:
                until = self._database.now(connection) + int(self._lease_s * MICROS)
                return store.keep_lease(connection, work, until=until)

            try:
                if not await self._database.transaction(unit):
                    return  # the next commit of the step is void by the same token
            except StoreUnavailable as lost:
                self._log.warning("lease not renewed", run=work.run.id, reason=str(lost))
