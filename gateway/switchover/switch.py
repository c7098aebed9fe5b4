"""Changes the rule of a slice: in one commit where the authority stays, and as a switch where open deliveries have to
end first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection

from adapters.contract import Adapter
from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.database import Database
from gateway.errors import FieldError, Malformed, RuleRefused, RuleVersionMoved, UnknownRegion
from gateway.ids import Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice, Slices
from gateway.proof import Notice
from gateway.routing import transition
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.switchover import unmade
from gateway.switchover.due import Due
from gateway.switchover.edits import Edits
from gateway.switchover.emergency import Emergency
from gateway.switchover.escape import Escape
from gateway.switchover.fence import Fence, expect
from gateway.switchover.gates import Gates
from gateway.switchover.left_behind import LeftBehind
from gateway.switchover.moves import Moves, rule_on_disk
from gateway.switchover.schedule import Schedule
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.simulation import Simulation
from gateway.switchover.states import SwitchState
from gateway.switchover.store import Switch
from gateway.switchover.switches import Switches, Wish
from gateway.telemetry import Log


class Switchover:
    """``told`` is called after each change, so that this process acts on it without waiting. ``two_person``: a move
    that is fenced has to be requested and approved, and is not made by one person alone. ``quarantine_s`` says of
    system and entity for how long a request that was given up may still land."""

    def __init__(
        self,
        *,
        database: Database,
        slices: Slices,
        gates: Gates,
        adapters: Mapping[str, Adapter],
        quarantine_s: Callable[[str, str], float],
        edits: Edits,
        clock: Clock,
        ids: Ids,
        log: Log,
        drain_limit_s: float,
        two_person: bool,
        told: Callable[[], None],
    ) -> None:
        emergency = Emergency(slices=slices, adapters=adapters)
        fence = Fence(database=database, ids=ids)
        self.moves = Moves(
            database=database,
            slices=slices,
            fence=fence,
            escape=Escape(
                database=database, fence=fence, clock=clock, ids=ids, answers=emergency.answers,
                quarantine_s=quarantine_s, told=told,
            ),
            edits=edits,
            clock=clock,
            log=log,
            drain_limit_s=drain_limit_s,
            told=told,
        )  # fmt: skip
        self.switches = Switches(
            database=database, gates=gates, emergency=emergency, moves=self.moves, ids=ids
        )
        self.schedule = Schedule(
            database=database, calendar=gates.calendar, ids=ids, two_person=two_person
        )
        self.due = Due(
            database=database,
            gates=gates,
            change=self._change_scheduled,
            begin=self._begin_scheduled,
            ids=ids,
            log=log,
        )
        self.left_behind = LeftBehind(database=database, answers=emergency.answers, log=log, told=told)
        self.simulation = Simulation(database=database, calendar=gates.calendar)
        self._database = database
        self._slices = slices
        self._gates = gates
        self._two_person = two_person
        self._told = told

    async def run_once(self) -> int:
        """Makes the changes whose time has come, and takes up switches that nobody is at and what emergencies have left
        behind. Returns how many."""
        done = await asyncio.gather(
            self.moves.run_once(), self.left_behind.run_once(), self.due.run_once(), return_exceptions=True
        )
        failed = [one for one in done if isinstance(one, BaseException)]
        if failed:
            # The others have had their turn: what fails at one holds up no other.
            raise failed[0]
        return sum(one for one in done if not isinstance(one, BaseException))

    async def set_stage(
        self,
        entity: str,
        region: str,
        *,
        stage: Stage,
        reason: str,
        expected_version: int,
        actor: str,
        override: bool = False,
        compare_sample: int | None = None,
        storable: bool | None = None,
        note: str | None = None,
        also: Callable[[Connection, Slice], None] | None = None,
    ) -> Slice:
        """Changes the rule of one slice. Raises UnknownRegion, RuleVersionMoved when somebody else changed it since
        ``expected_version``, and RuleRefused with each gate that stands against it. ``also`` is called in the commit of
        a change that is not fenced."""
        if not reason.strip():
            raise Malformed(
                "a change of a rule needs a reason",
                errors=[
                    FieldError(
                        pointer="/reason", code="missing", message="say why; it is kept in the history"
                    )
                ],
            )
        current = (await self._database.read(lambda conn: slices.read(conn, [(entity, region)]))).get(
            (entity, region)
        )
        if current is None:
            raise UnknownRegion(f"no rule for {entity} in {region}")
        expect(current, expected_version)
        values: dict[str, Any] = {}
        if compare_sample is not None:
            values["compare_sample"] = compare_sample
        if storable is not None:
            values["storable"] = storable
        if note is not None:
            values["note"] = note
        if transition.is_fenced(current.stage, stage):
            return await self._switched(
                Wish(
                    entity=entity,
                    region=region,
                    stage=stage,
                    reason=reason,
                    expected_version=expected_version,
                    override=override,
                    rule=values,
                ),
                actor=actor,
            )
        failures: list[FieldError] = []
        taken: tuple[str, ...] = ()
        if current.stage is not stage:
            found = await self._gates.weigh(current, stage, override=override)
            failures, taken = found.failures, found.taken
            values.update(stage=stage.value, authority=PLANS[stage].authority.value)
        changed = await self._database.transaction(
            lambda conn: self._commit(
                conn,
                current,
                values,
                actor=actor,
                reason=reason,
                overridden=tuple(one.code for one in failures),
                taken=taken,
                also=also,
            )
        )
        rule_on_disk()
        await self._slices.refresh()
        self._told()
        return changed

    async def mapping(self, entity: str, current: Stage, wanted: Stage) -> tuple[Notice, ...] | None:
        """What the mirror that begins with this move loses of the entity; None: no mirror begins, or nobody can say."""
        return await self._gates.mapping(entity, current, wanted)

    async def _change_scheduled(
        self, one: Scheduled, current: Slice, also: Callable[[Connection, Slice], None]
    ) -> None:
        await self.set_stage(
            one.entity, one.region, stage=one.to_stage, reason=one.reason, expected_version=current.version,
            actor=one.requested_by, override=bool(one.overridden), also=also, **one.rule,
        )  # fmt: skip

    async def _begin_scheduled(
        self, one: Scheduled, current: Slice, also: Callable[[Connection, Switch], None]
    ) -> None:
        wish = Wish(
            entity=one.entity,
            region=one.region,
            stage=one.to_stage,
            reason=one.reason,
            expected_version=current.version,
            override=bool(one.overridden),
            rule=one.rule,
        )
        begun = await self.switches.direct(
            wish, actor=one.requested_by, approved_by=one.approved_by, also=also
        )
        self.moves.begin(begun.id)

    async def _switched(self, wish: Wish, *, actor: str) -> Slice:
        """A fenced move that one person makes alone, carried through while the caller waits."""
        if self._two_person:
            message = "a move that is fenced needs a second person: request a switch, and have it approved"
            raise RuleRefused(
                message,
                errors=[FieldError(pointer="/stage", code="approval", message=message)],
                gates=["approval"],
            )
        begun = await self.switches.direct(wish, actor=actor)
        ended = await asyncio.shield(self.moves.begin(begun.id))
        if ended.state is not SwitchState.COMMITTED:
            raise _refused(ended)
        return (await self._database.read(lambda conn: slices.read(conn, [ended.key])))[ended.key]

    def _commit(
        self,
        connection: Connection,
        before: Slice,
        values: Mapping[str, Any],
        *,
        actor: str,
        reason: str,
        overridden: tuple[str, ...],
        taken: tuple[str, ...],
        also: Callable[[Connection, Slice], None] | None,
    ) -> Slice:
        key = (before.entity, before.region)
        slices.lock_exclusive(connection, key)
        now_there = slices.read(connection, [key])[key]
        expect(now_there, before.version)
        now = self._database.now(connection)
        changed = slices.change(
            connection, now_there, values, at=now, actor=actor, reason=reason, overridden=overridden
        )
        audited(
            connection,
            at=now,
            actor=actor,
            action="rule.set",
            subject=f"{before.entity}/{before.region}",
            detail={
                "before": before.stage.value,
                "after": changed.stage.value,
                "version": changed.version,
                "epoch": changed.epoch,
                "reason": reason,
                "overridden": list(overridden),
                **({"mapping": list(taken)} if taken else {}),
            },
        )
        unmade.settle(connection, changed, at=now)
        if also is not None:
            also(connection, changed)
        return changed


def _refused(ended: Switch) -> Exception:
    problem = ended.problem
    assert problem is not None
    if problem.code == "rule_moved":
        return RuleVersionMoved(problem.message)
    return RuleRefused(
        problem.message,
        errors=[FieldError(pointer="/stage", code=problem.code, message=problem.message)],
        gates=[problem.code],
    )
