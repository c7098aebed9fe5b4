"""Starts, works on, shows and cancels reconciliations.

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
from gateway.audit import LONGEST_REASON
from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.errors import CannotCancel, FieldError, Invalid, ReconciliationRunning, StoreUnavailable
from gateway.ids import RECONCILIATION, Ids
from gateway.ledger import slices as slice_store
from gateway.ledger.slices import Slices
from gateway.reconcile import queries, store
from gateway.reconcile.bridge import Term
from gateway.reconcile.queries import Scope
from gateway.reconcile.reading import Reader
from gateway.reconcile.run import Phase, Run, TermRecord
from gateway.reconcile.steps import Steps, Unbalanced
from gateway.reconcile.store import Lost, Work
from gateway.reconcile.tables import reconcile_run
from gateway.routing.plan import PLANS
from gateway.telemetry import Log

MICROS = 1_000_000
#: How often in a row a step may fail for a reason that waiting does not mend.
MOST_FAILURES = 5
#: The longest wait after a failure, in seconds.
LONGEST_WAIT_S = 30.0
#: Seconds that a run is worked on before another one gets its turn.
TURN_S = 5.0


class Reconciler:
    """``scope_of(entity, authority, other)`` changes whenever the two may compare in another way than before;
    ``busy`` is asked before anything is begun."""

    def __init__(
        self,
        *,
        database: Database,
        steps: Steps,
        reader: Reader,
        slices: Slices,
        clock: Clock,
        ids: Ids,
        log: Log,
        scope_of: Callable[[str, str, str], str],
        busy: Callable[[], bool] = lambda: False,
        lease_s: float = 45.0,
    ) -> None:
        self._database = database
        self.steps = steps
        self._reader = reader
        self._slices = slices
        self._clock = clock
        self._ids = ids
        self._log = log
        self._scope_of = scope_of
        self._busy = busy
        self._lease_s = lease_s

    # --- what people ask -----------------------------------------------------------------------------------------

    async def start(self, entity: str, region: str, *, actor: str, reason: str | None = None) -> Run:
        """Begins a run over one slice. Raises Invalid where there are not two sides to compare, and
        ReconciliationRunning, with the run, where one is under way."""
        why = None if reason is None else " ".join(reason.split())
        if why is not None and not 0 < len(why) <= LONGEST_REASON:
            message = f"say something in 1 to {LONGEST_REASON} characters, or leave it out"
            raise Invalid(message, errors=[FieldError(pointer="/reason", code="reason", message=message)])
        slice_ = self._slices.cached(entity, region)
        other = PLANS[slice_.stage].mirror
        if other is None:
            message = (
                f"{entity} in {region} is in {slice_.stage.value}, which keeps one system only: "
                "reconcile it once it is in dual_write, shadow, live or ramp_down"
            )
            raise Invalid(message, errors=[FieldError(pointer="/region", code="no_mirror", message=message)])
        self._reader.able(entity, (slice_.authority.value, other.value))
        run_id = self._ids.new(RECONCILIATION)
        scope = self._scope_of(entity, slice_.authority.value, other.value)

        def unit(connection: Connection) -> Run:
            now = self._database.now(connection)
            insert_rows(
                connection,
                reconcile_run,
                [
                    {
                        "id": run_id, "entity": entity, "region": region, "authority": slice_.authority.value,
                        "other": other.value, "stage": slice_.stage.value, "epoch": slice_.epoch, "state": "running",
                        "phase": Phase.AUTHORITY.value, "actor": actor, "reason": why, "scope": scope, "after": "",
                        "previous": store.previous_of(connection, entity, region, scope), "read_authority": 0,
                        "read_mirror": 0, "ranges": 0, "skipped": 0, "failures": 0, "token": 0, "next_at": now,
                        "swept": False, "created_at": now, "updated_at": now,
                    }
                ],
            )  # fmt: skip
            detail = {"entity": entity, "region": region, "reason": why}
            audited(
                connection, at=now, actor=actor, action="reconciliation.start", subject=run_id, detail=detail
            )
            return queries.one(connection, run_id)

        try:
            return await self._database.transaction(unit)
        except IntegrityError as twice:
            under_way = await self._database.read(lambda conn: queries.running(conn, entity, region))
            if under_way is None:
                raise
            raise ReconciliationRunning(
                f"{under_way} is under way over {entity} in {region}: follow it, or cancel it first",
                location=f"/admin/v1/reconciliations/{under_way}",
                reconciliation=under_way,
            ) from twice

    async def cancel(self, run_id: str, *, actor: str, regions: Scope = None, entities: Scope = None) -> Run:
        """Reads and compares no more of it. Cancelling again changes nothing. Raises NotFoundHere, and CannotCancel
        when it has ended by itself."""

        def unit(connection: Connection) -> Run:
            found = queries.one(connection, run_id, regions, entities, lock=True)
            if found.state in ("done", "failed"):
                raise CannotCancel(f"the reconciliation is {found.state}", state=found.state)
            if found.state == "running":
                now = self._database.now(connection)
                connection.execute(
                    reconcile_run.update()
                    .where(reconcile_run.c.id == run_id)
                    .values(state="cancelled", ended_at=now, ended_by=actor, updated_at=now, lease_until=None)
                )
                audited(
                    connection, at=now, actor=actor, action="reconciliation.cancel", subject=run_id, detail={}
                )
            return queries.one(connection, run_id, regions, entities)

        return await self._database.transaction(unit)

    async def get(self, run_id: str, *, regions: Scope = None, entities: Scope = None) -> Run:
        """Raises NotFoundHere, also outside of what the caller may see."""
        return await self._database.read(lambda conn: queries.one(conn, run_id, regions, entities))

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
            lambda conn: queries.page(
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
        term: Term | None = None,
        measure: str | None = None,
        currency: str | None = None,
        after: str = "",
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[TermRecord]:
        """The records of a term in the order of their ids, all of them or only those with an amount in a measure and
        currency ('' for a quantity). Raises NotFoundHere."""

        def unit(connection: Connection) -> Sequence[TermRecord]:
            found = queries.one(connection, run_id, regions, entities)
            return queries.records(
                connection, found, term=term, measure=measure, currency=currency, after=after, limit=limit
            )

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
            return await self._database.transaction(store.sweep)
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
            if (moved := await self._moved(work)) is not None:
                await self._fail(work, moved)
                return None
            following = await self.steps.take(work)
        except (Lost, StoreUnavailable) as over:
            self._log.info("reconciliation let go", run=work.id, reason=type(over).__name__)
            return None
        except AdapterError as error:
            note = f"{error.system or 'a system'}: {type(error).__name__}: {error}"
            await self._failed(work, note, lasting=isinstance(error, Misconfigured | Rejected | Unreadable))
            return None
        except Unbalanced as wrong:
            self._log.exception("a bridge does not sum to zero", run=work.id)
            await self._fail(
                work, f"the bridge does not sum to zero, which is a fault of this program: {wrong}"
            )
            return None
        except Exception as wrong:  # noqa: BLE001 - whatever breaks, the run says so and the loop goes on
            self._log.exception("a step of a reconciliation failed", run=work.id)
            await self._failed(work, f"a fault of this program: {type(wrong).__name__}", lasting=True)
            return None
        return following if following is not None and await self._due(following) else None

    async def _moved(self, work: Work) -> str | None:
        """Why the run can say nothing any more: it is about an authority period that is over."""
        key = work.entity.name, work.region
        now = (await self._database.read(lambda conn: slice_store.read(conn, [key])))[key]
        mirror = PLANS[now.stage].mirror
        if now.epoch == work.epoch and mirror is not None and mirror.value == work.other:
            return None
        return f"the slice has moved to {now.stage.value} since this began: reconcile it anew"

    async def _due(self, work: Work) -> bool:
        return work.next_at <= await self._database.read(self._database.now)

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
            self._log.info("reconciliation let go", run=str(over), reason="Lost")

    @asynccontextmanager
    async def _holding(self, work: Work) -> AsyncGenerator[None]:
        """Renews the lease while the block lasts, and lets go of it afterwards."""
        beat = asyncio.create_task(self._beat(work), name="reconciliation: lease")
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
                self._log.warning("lease not renewed", run=work.id, reason=str(lost))
