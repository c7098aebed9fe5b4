"""Starts, works on, shows, pauses, resumes and cancels backfills. A run is rows of the database and no task of a
process; ``gateway.runs`` says who works on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.backfill import store
from gateway.backfill.run import ACTS, Act, Item, Outcome, Run
from gateway.backfill.steps import Steps
from gateway.backfill.store import Scope, Work
from gateway.backfill.tables import backfill_run
from gateway.clock import Clock
from gateway.database import Database
from gateway.errors import BackfillRunning, BackfillStale, FieldError, Invalid
from gateway.ids import BACKFILL, Ids
from gateway.ledger import slices as slice_store
from gateway.ledger.slices import Slices
from gateway.routing.plan import PLANS
from gateway.runs import LeasedRuns
from gateway.telemetry import Log

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
        self._ids = ids
        self._runs = LeasedRuns[Work](
            what="backfill", store=store, step=steps.take, database=database, clock=clock, log=log, busy=busy,
            lease_s=lease_s,
        )  # fmt: skip

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
        return await self._runs.run_once(only)
