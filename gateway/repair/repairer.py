"""Plans, takes requests and approvals for, works on, shows and cancels repairs. A repair is rows of the database and no
task of a process; ``gateway.runs`` says who works on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.database import Database
from gateway.errors import EvidenceChanged, FieldError, Invalid, RepairRunning, RepairStale
from gateway.ids import REPAIR, Ids
from gateway.ledger import slices
from gateway.reconcile import queries
from gateway.reconcile.run import Run
from gateway.repair import steps, store
from gateway.repair.run import ACTS, Act, Action, Chosen, Item, Outcome, Repair, State
from gateway.repair.steps import Steps, asked_for, fits
from gateway.repair.store import Scope, Work
from gateway.runs import LeasedRuns
from gateway.switchover.evidence import agreed, another_person
from gateway.telemetry import Log

#: Records that one repair may be narrowed to by their ids.
MOST_NAMED = 500


class Repairer:
    """``busy`` is asked before each step: callers go first."""

    def __init__(
        self,
        *,
        database: Database,
        taking: Steps,
        clock: Clock,
        ids: Ids,
        log: Log,
        busy: Callable[[], bool] = lambda: False,
        lease_s: float = 45.0,
    ) -> None:
        self._database = database
        self._ids = ids
        self._runs = LeasedRuns[Work](
            what="repair", store=store, step=taking.take, database=database, clock=clock, log=log, busy=busy,
            lease_s=lease_s,
        )  # fmt: skip

    # --- what people ask -----------------------------------------------------------------------------------------

    async def plan(
        self,
        reconciliation: str,
        *,
        dry_run: bool,
        actor: str,
        reason: str | None = None,
        chosen: Chosen | None = None,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Repair:
        """Begins a plan from the unexplained records of a reconciliation. Not a ``dry_run``, it is asked for as soon as
        it is made, and then needs a reason. Raises NotFoundHere, Invalid where nothing can be repaired from it, and
        RepairRunning, with the repair, where one is asked for already."""
        why = None if reason is None and dry_run else reason_of(reason or "")
        picked = chosen or Chosen()
        repair_id = self._ids.new(REPAIR)

        def unit(connection: Connection) -> Repair:
            run = queries.one(connection, reconciliation, regions, entities)
            self._repairable(connection, run, picked)
            if not dry_run and (other := store.asked(connection, run.entity, run.region)) is not None:
                raise _running(other, run.entity, run.region)
            now = self._database.now(connection)
            slice_ = slices.read(connection, [(run.entity, run.region)])[run.entity, run.region]
            made = Repair(
                id=repair_id, reconciliation=run.id, entity=run.entity, region=run.region, source=run.authority,
                target=run.other, stage=slice_.stage.value, epoch=slice_.epoch, state=State.PLANNING, dry_run=dry_run,
                actor=actor, reason=why, chosen=picked, total=0, looked=0, planned={}, money={}, plan_hash=None,
                outcomes={}, note=None, requested_by=None, requested_at=None, expires_at=None, approved_by=None,
                approved_at=None, created_at=now, updated_at=now, ended_at=None, ended_by=None,
            )  # fmt: skip
            store.add(connection, made)
            detail = {"reason": why, "dry_run": dry_run, "chosen": msgspec.to_builtins(picked)}
            self._audit(connection, made, at=now, actor=actor, action="repair.plan", detail=detail)
            return made

        return await self._database.transaction(unit)

    async def request(
        self,
        repair_id: str,
        *,
        plan_hash: str,
        actor: str,
        reason: str,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Repair:
        """Asks for what a dry run has planned. Raises NotFoundHere, Invalid without a reason or where nothing would be
        done, EvidenceChanged for another hash, RepairStale, and RepairRunning."""
        why = reason_of(reason)

        def unit(connection: Connection) -> Repair:
            there = store.one(connection, repair_id, regions, entities, lock=True)
            if (other := store.asked(connection, there.entity, there.region)) not in (None, there.id):
                raise _running(str(other), there.entity, there.region)
            _after(there, Act.REQUEST)
            agreed("plan_hash", plan_hash, there.plan_hash or "", "plan of this repair")
            self._fits(connection, there)
            if not there.total:
                message = "the plan has no record, so there is nothing to ask for"
                raise Invalid(message, errors=[FieldError(pointer="/plan_hash", code="empty", message=message)])
            now = self._database.now(connection)
            values = asked_for(actor, now=now)
            store.change(
                connection, repair_id, state=State.REQUESTED.value, reason=why, updated_at=now, note=None, **values
            )
            detail = {"reason": why, "plan": there.plan_hash}
            self._audit(connection, there, at=now, actor=actor, action="repair.request", detail=detail)
            return store.one(connection, repair_id)

        try:
            return await self._database.transaction(unit)
        except IntegrityError as twice:
            there = await self.get(repair_id)
            other = await self._database.read(lambda conn: store.asked(conn, there.entity, there.region))
            if other is None:
                raise
            raise _running(other, there.entity, there.region) from twice

    async def approve(
        self,
        repair_id: str,
        *,
        plan_hash: str,
        actor: str,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Repair:
        """Approves the plan behind ``plan_hash``, and workers carry it out. To approve it twice is no error. Raises
        NotFoundHere, SecondPersonNeeded for whoever asked for it, RepairStale when it has ended or was not approved in
        time, and EvidenceChanged for another hash than that of its records as they stand."""

        def unit(connection: Connection) -> Repair:
            there = store.one(connection, repair_id, regions, entities, lock=True)
            if there.approved_by == actor:
                return there
            if there.state is State.REQUESTED:
                another_person(actor, there.requested_by, "repair")
            after = _after(there, Act.APPROVE)
            now = self._database.now(connection)
            if now >= (there.expires_at or 0):
                raise RepairStale("the time to approve it is over; plan it again", state=there.state.value)
            agreed("plan_hash", plan_hash, there.plan_hash or "", "plan of this repair")
            if steps.plan_hash(connection, there) != there.plan_hash:
                raise EvidenceChanged("the records of this plan are not what they were; plan it again")
            self._fits(connection, there)
            signed = {"approved_by": actor, "approved_at": now}
            store.change(connection, repair_id, state=after.value, updated_at=now, next_at=now, **signed)
            detail = {"plan": there.plan_hash, "requested_by": there.requested_by, "reason": there.reason}
            self._audit(connection, there, at=now, actor=actor, action="repair.approve", detail=detail)
            return store.one(connection, repair_id)

        return await self._database.transaction(unit)

    async def cancel(
        self, repair_id: str, *, actor: str, reason: str | None = None, regions: Scope = None, entities: Scope = None
    ) -> Repair:
        """Writes no more of it; what is in the ledger goes on. Again changes nothing. Raises NotFoundHere, and
        RepairStale where it has ended by itself."""
        why = None if reason is None else reason_of(reason)

        def unit(connection: Connection) -> Repair:
            there = store.one(connection, repair_id, regions, entities, lock=True)
            after = _after(there, Act.CANCEL)
            if after is there.state:
                return there
            now = self._database.now(connection)
            store.change(
                connection, repair_id, state=after.value, ended_at=now, ended_by=actor, updated_at=now, note=None
            )
            detail = {"reason": why, "was": there.state.value, "taken": there.taken, "total": there.total}
            self._audit(connection, there, at=now, actor=actor, action="repair.cancel", detail=detail)
            return store.one(connection, repair_id)

        return await self._database.transaction(unit)

    async def get(self, repair_id: str, *, regions: Scope = None, entities: Scope = None) -> Repair:
        """Raises NotFoundHere, also outside of what the caller may see."""
        return await self._database.read(lambda conn: store.one(conn, repair_id, regions, entities))

    async def list(
        self,
        reconciliation: str,
        *,
        after: str | None = None,
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Repair]:
        """The repairs from one reconciliation, the newest first; ``after`` is the id that the last page ended with.
        Raises NotFoundHere."""

        def unit(connection: Connection) -> Sequence[Repair]:
            queries.one(connection, reconciliation, regions, entities)
            return store.page(connection, reconciliation, after=after, limit=limit)

        return await self._database.read(unit)

    async def records(
        self,
        repair_id: str,
        *,
        action: Action | None = None,
        outcome: Outcome | None = None,
        after: str = "",
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Item]:
        """The records of the plan by their ids, all of them or those of one action or outcome. Raises NotFoundHere."""

        def unit(connection: Connection) -> Sequence[Item]:
            found = store.one(connection, repair_id, regions, entities)
            return store.items(connection, found.id, after=after, limit=limit, outcome=outcome, action=action)

        return await self._database.read(unit)

    # --- who works on it -----------------------------------------------------------------------------------------

    async def run_once(self, only: str | None = None) -> int:
        """Takes a repair that is due and works on it for a while; how many steps. ``only``: no other. Safe to run
        twice, and anywhere at once."""
        return await self._runs.run_once(only)

    # --- what has to hold ----------------------------------------------------------------------------------------

    @staticmethod
    def _repairable(connection: Connection, run: Run, chosen: Chosen) -> None:
        key = (run.entity, run.region)
        slice_ = slices.read(connection, [key])[key]
        if run.state != "done":
            code, message = "not_done", f"the reconciliation is {run.state}: repair from one that has ended"
        elif slice_.authority.value != run.authority or slice_.epoch != queries.epoch_of(connection, run.id):
            code, message = "moved", f"the slice has moved to {slice_.stage.value} since: reconcile it anew"
        elif len(chosen.records) > MOST_NAMED:
            code, message = "too_many", f"name {MOST_NAMED} records at most, or leave them out for all"
        else:
            return
        pointer = "/records" if code == "too_many" else ""
        raise Invalid(message, errors=[FieldError(pointer=pointer, code=code, message=message)])

    @staticmethod
    def _fits(connection: Connection, there: Repair) -> None:
        key = (there.entity, there.region)
        slice_ = slices.read(connection, [key])[key]
        if not fits(slice_, there):
            raise RepairStale(
                f"the slice has moved to {slice_.stage.value} since it was planned: reconcile it anew",
                state=there.state.value,
            )

    @staticmethod
    def _audit(
        connection: Connection, one: Repair, *, at: int, actor: str, action: str, detail: dict[str, Any]
    ) -> None:
        about = {"reconciliation": one.reconciliation, "slice": f"{one.entity}/{one.region}"}
        audited(connection, at=at, actor=actor, action=action, subject=one.id, detail={**about, **detail})


def _after(there: Repair, act: Act) -> State:
    """The state that the act leads to. Raises RepairStale."""
    after = ACTS.get((there.state, act))
    if after is None:
        raise RepairStale(f"the repair is {there.state.value}", state=there.state.value)
    return after


def _running(other: str, entity: str, region: str) -> RepairRunning:
    return RepairRunning(
        f"{other} is asked for or under way over {entity} in {region}: see it through, or cancel it first",
        location=f"/admin/v1/repairs/{other}",
        repair=other,
    )
