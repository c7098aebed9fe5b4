"""The loop that makes scheduled changes at their time.

A change is taken by one worker, for as long as its lease lasts, on the database's clock. Everything is judged again:
that the slice is where it was to be, the freeze windows, and every gate of the move. What stands against it then
refuses it: it ends as *refused*, with the gate and a case (``unmade``), and the slice stays as it was. A change that
keeps the authority is made in the commit that says it is done; a fenced one becomes a switch in the commit that says
so, and is then carried as any other. So a worker that dies leaves it undone, or done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from sqlalchemy import Connection

from gateway.crash import crash_point
from gateway.database import Database
from gateway.dispatch.claim import MICROS
from gateway.errors import GatewayError, RuleVersionMoved, StoreUnavailable
from gateway.ids import Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice
from gateway.routing import transition
from gateway.switchover import scheduled, store, unmade
from gateway.switchover.gates import Gates
from gateway.switchover.scheduled import Scheduled, audit
from gateway.switchover.states import ScheduleEvent, ScheduleState, SwitchState
from gateway.switchover.store import Problem, Switch
from gateway.telemetry import Log

#: For how long one worker is at a change; measuring the gates of a large slice takes seconds.
LEASE_S = 60.0
#: A change that no worker has come to within this time is not made any more: nobody expects it then.
LATE_S = 3600.0
#: Changes that one round takes.
AT_ONCE = 8

#: Makes a change that keeps the authority, and calls the last argument in its commit.
Change = Callable[[Scheduled, Slice, Callable[[Connection, Slice], None]], Awaitable[None]]
#: Begins a fenced one as a switch, and calls the last argument in its commit.
Begin = Callable[[Scheduled, Slice, Callable[[Connection, Switch], None]], Awaitable[None]]


class Due:
    def __init__(
        self, *, database: Database, gates: Gates, change: Change, begin: Begin, ids: Ids, log: Log
    ) -> None:
        self._database = database
        self._gates = gates
        self._change = change
        self._begin = begin
        self._ids = ids
        self._log = log

    async def run_once(self) -> int:
        """Makes the changes whose time has come, and ends those whose switch has. Returns how many."""

        def take(connection: Connection) -> Sequence[Scheduled]:
            now = self._database.now(connection)
            return scheduled.take(connection, now=now, lease_until=now + int(LEASE_S * MICROS), most=AT_ONCE)

        any_due = await self._database.read(
            lambda conn: scheduled.is_any_due(conn, now=self._database.now(conn))
        )
        taken = await self._database.transaction(take) if any_due else ()
        for one in taken:
            await self._fire(one)
        begun = await self._database.read(scheduled.begun)
        for one in begun:
            await self._database.transaction(lambda conn, one=one: self._follow(conn, one))
        return len(taken) + len(begun)

    async def _fire(self, one: Scheduled) -> None:
        crash_point("CP29")
        try:
            refused = await self._made(one)
        except RuleVersionMoved:
            # Somebody was faster by a moment: it is looked at anew, in the next round.
            await self._database.transaction(lambda conn: self._give_back(conn, one))
            return
        except StoreUnavailable:
            # Its lease runs out, and whoever comes next finds it.
            raise
        except GatewayError as problem:
            codes = [error.code for error in problem.errors]
            refused = Problem(
                code=codes[0] if codes else "refused", message=problem.detail or problem.title()
            )
        if refused is not None:
            await self._database.transaction(lambda conn: self._refuse(conn, one, refused))

    async def _made(self, one: Scheduled) -> Problem | None:
        """Makes it or begins it. Returns what stands against it."""
        now = await self._database.read(self._database.now)
        current = (await self._database.read(lambda conn: slices.read(conn, [one.key]))).get(one.key)
        if one.state is ScheduleState.REQUESTED:
            return Problem(code="not_approved", message="its time came, and nobody had approved it")
        if now - one.effective_at > LATE_S * MICROS:
            return Problem(
                code="missed",
                message=f"no worker ran within {LATE_S / 60:.0f} minutes of its time; ask for it again",
            )
        if current is None:
            return Problem(
                code="unknown_region", message=f"there is no rule for {one.entity} in {one.region} any more"
            )
        if current.stage is not one.from_stage:
            message = f"the slice is at {current.stage}, and this was asked for from {one.from_stage}"
            return Problem(code="rule_moved", message=message)
        if current.stage is not one.to_stage:
            found = await self._gates.weigh(current, one.to_stage, override=True)
            against = [failure for failure in found.failures if failure.code not in one.overridden]
            if against:
                return Problem(
                    code=against[0].code, message="; ".join(failure.message for failure in against)
                )
        if transition.is_fenced(current.stage, one.to_stage):
            await self._begin(one, current, lambda conn, made: self._begun(conn, one, made))
        else:
            await self._change(one, current, lambda conn, changed: self._done(conn, one, changed))
        return None

    def _begun(self, connection: Connection, taken: Scheduled, made: Switch) -> None:
        there = self._mine(connection, taken)
        scheduled.change(connection, there, ScheduleEvent.BEGUN, {"switch_id": made.id, "lease_until": None})

    def _done(self, connection: Connection, taken: Scheduled, changed: Slice) -> None:
        there = self._mine(connection, taken)
        now = self._database.now(connection)
        audit(connection, there, at=now, actor="twinrun", action="schedule.done", version=changed.version)
        scheduled.change(
            connection,
            there,
            ScheduleEvent.DONE,
            {"ended_at": now, "ended_by": "twinrun", "lease_until": None},
        )
        crash_point("CP30")

    def _refuse(self, connection: Connection, taken: Scheduled, problem: Problem) -> None:
        # The slice before the change, as in the commit that makes one.
        slices.lock_shared(connection, [taken.key])
        there = scheduled.one(connection, taken.id, lock=True)
        if there is None or there.ended_at is not None or there.lease_until != taken.lease_until:
            return
        self._end_refused(connection, there, problem)

    def _end_refused(self, connection: Connection, there: Scheduled, problem: Problem) -> None:
        now = self._database.now(connection)
        audit(
            connection, there, at=now, actor="twinrun", action="schedule.refused", code=problem.code,
            why=problem.message,
        )  # fmt: skip
        scheduled.change(
            connection,
            there,
            ScheduleEvent.REFUSED,
            {"ended_at": now, "ended_by": "twinrun", "problem": problem, "lease_until": None},
        )
        unmade.tell(connection, there, problem, at=now, ids=self._ids)
        self._log.warning(
            "a scheduled change was refused", change=there.id, gate=problem.code, reason=problem.message
        )

    def _give_back(self, connection: Connection, taken: Scheduled) -> None:
        there = scheduled.one(connection, taken.id, lock=True)
        if there is not None and there.ended_at is None and there.lease_until == taken.lease_until:
            scheduled.change(connection, there, None, {"lease_until": None})

    def _follow(self, connection: Connection, taken: Scheduled) -> None:
        """Ends one with its switch."""
        slices.lock_shared(connection, [taken.key])
        there = scheduled.one(connection, taken.id, lock=True)
        if there is None or there.state is not ScheduleState.BEGUN or there.switch_id is None:
            return
        carried = store.one(connection, there.switch_id)
        if carried is None or carried.ended_at is None:
            return
        if carried.state is SwitchState.COMMITTED:
            now = self._database.now(connection)
            audit(connection, there, at=now, actor="twinrun", action="schedule.done", switch=carried.id)
            scheduled.change(
                connection, there, ScheduleEvent.DONE, {"ended_at": carried.ended_at, "ended_by": "twinrun"}
            )
            return
        self._end_refused(
            connection, there, carried.problem or Problem(code="aborted", message="it was aborted")
        )

    def _mine(self, connection: Connection, taken: Scheduled) -> Scheduled:
        """The row, if this worker still has it. Raises RuleVersionMoved, which undoes the commit, when it has not."""
        there = scheduled.one(connection, taken.id, lock=True)
        if (
            there is None
            or there.state is not ScheduleState.SCHEDULED
            or there.lease_until != taken.lease_until
        ):
            raise RuleVersionMoved("somebody else is at this scheduled change, or it was cancelled")
        return there
