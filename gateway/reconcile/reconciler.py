"""Starts, works on, shows and cancels reconciliations. A run is rows of the database and no task of a process;
``gateway.runs`` says who works on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.audit import LONGEST_REASON
from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.errors import CannotCancel, FieldError, Invalid, ReconciliationRunning
from gateway.ids import RECONCILIATION, Ids
from gateway.ledger import slices as slice_store
from gateway.ledger.slices import Slices
from gateway.reconcile import queries, store
from gateway.reconcile.bridge import Term
from gateway.reconcile.queries import Scope
from gateway.reconcile.reading import Reader
from gateway.reconcile.run import Phase, Run, TermRecord
from gateway.reconcile.steps import Steps, Unbalanced
from gateway.reconcile.store import Work
from gateway.reconcile.tables import reconcile_run
from gateway.routing.plan import PLANS
from gateway.runs import LeasedRuns, Over
from gateway.telemetry import Log


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
        self._ids = ids
        self._log = log
        self._scope_of = scope_of
        self._busy = busy
        self._runs = LeasedRuns[Work](
            what="reconciliation", store=store, step=self._take, database=database, clock=clock, log=log, busy=busy,
            lease_s=lease_s,
        )  # fmt: skip

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
        """Takes a run that is due and works on it for a while, or else deletes what ended runs have read; how many
        steps, or rows. ``only``: no other run. Safe to run twice, and anywhere at once."""
        if self._busy():
            return 0
        return await self._runs.run_once(only) or await self._database.transaction(store.sweep)

    async def _take(self, work: Work) -> Work | None:
        """The next step of a run. Raises Over, Lost, and what adapters raise."""
        if (moved := await self._moved(work)) is not None:
            raise Over(moved)
        try:
            return await self.steps.take(work)
        except Unbalanced as wrong:
            self._log.exception("a bridge does not sum to zero", run=work.id)
            raise Over(
                f"the bridge does not sum to zero, which is a fault of this program: {wrong}"
            ) from wrong

    async def _moved(self, work: Work) -> str | None:
        """Why the run can say nothing any more: it is about an authority period that is over."""
        key = work.entity.name, work.region
        now = (await self._database.read(lambda conn: slice_store.read(conn, [key])))[key]
        mirror = PLANS[now.stage].mirror
        if now.epoch == work.epoch and mirror is not None and mirror.value == work.other:
            return None
        return f"the slice has moved to {now.stage.value} since this began: reconcile it anew"
