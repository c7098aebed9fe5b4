"""Starts, works on, shows and cancels reconciliations. A run is rows of the database and no task of a process;
``gateway.runs`` says who works on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from adapters.errors import Unavailable
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
from gateway.reconcile.run import Phase, Run, SourceUse, TermRecord
from gateway.reconcile.sources import Away, Declared, Failed
from gateway.reconcile.steps import Steps, Unbalanced
from gateway.reconcile.store import Work
from gateway.reconcile.tables import reconcile_run
from gateway.reconcile.tally import Side
from gateway.routing.plan import PLANS
from gateway.runs import MOST_FAILURES, LeasedRuns, Over
from gateway.telemetry import Log


class Reconciler:
    """``scope_of(entity, authority, other, uses)`` changes whenever the two may compare in another way than before;
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
        scope_of: Callable[[str, str, str, Mapping[Side, SourceUse]], str],
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

    async def start(
        self,
        entity: str,
        region: str,
        *,
        actor: str,
        reason: str | None = None,
        sources: Sequence[str] = (),
    ) -> Run:
        """Begins a run over one slice. The system of each of ``sources`` is read from it, any other through its
        adapter. Raises Invalid where there are not two sides to compare, and ReconciliationRunning, with the run, where
        one is under way."""
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
        systems = slice_.authority.value, other.value
        uses = self._reader.uses(entity, systems, sources)
        self._reader.able(entity, systems, uses)
        run_id = self._ids.new(RECONCILIATION)
        scope = self._scope_of(entity, *systems, uses)

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
                        "sources": store.encode(uses).decode() if uses else None,
                    }
                ],
            )  # fmt: skip
            detail: dict[str, object] = {"entity": entity, "region": region, "reason": why}
            if sources:
                detail["sources"] = list(sources)
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

    def declared(self) -> tuple[Declared, ...]:
        """The sources that a run may name, by name."""
        return self._reader.declared()

    def has(self, entity: str, sources: Sequence[str]) -> bool:
        """Whether all of these sources have records of an entity. A name that there is not is left to ``start``."""
        return self._reader.has(entity, sources)

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
        except Failed as wrong:
            raise Over(f"source {_reads(work)}: {wrong}") from wrong
        except Away as silent:
            # A database that is not back after some tries is told as what it is: nobody waits for it for ever.
            if work.failures + 1 >= MOST_FAILURES:
                raise Over(f"source {_reads(work)}: {silent}") from silent
            raise Unavailable(str(silent), system=f"source {_reads(work)}") from silent

    async def _moved(self, work: Work) -> str | None:
        """Why the run can say nothing any more: its authority period is over, or its source has gone."""
        if (name := self._reader.lacking(work)) is not None:
            return f"source {name}, which this reads, is not in the settings of this process"
        key = work.entity.name, work.region
        now = (await self._database.read(lambda conn: slice_store.read(conn, [key])))[key]
        mirror = PLANS[now.stage].mirror
        if now.epoch == work.epoch and mirror is not None and mirror.value == work.other:
            return None
        return f"the slice has moved to {now.stage.value} since this began: reconcile it anew"


def _reads(work: Work) -> str:
    """The source that the run reads now."""
    side: Side = "authority" if work.phase is Phase.AUTHORITY else "mirror"
    return work.sources[side].name
