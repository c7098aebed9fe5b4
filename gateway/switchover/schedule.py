"""Changes of rules at a time: asked for now, judged and made then (``due``).

Who may do what is as for a direct change: one that is fenced, where two persons are asked for, waits for another
person, who signs the plan before its time. What will stand against it is said at once as far as it is known: a freeze
window on that day, a leap, another change at the same moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.access import within
from gateway.audit import reason_of
from gateway.database import Database, from_micros, to_micros
from gateway.dispatch.claim import MICROS
from gateway.errors import (
    FieldError,
    Invalid,
    NotFoundHere,
    RuleRefused,
    ScheduleOver,
    UnknownRegion,
)
from gateway.ids import SCHEDULED, Ids
from gateway.ledger import slices
from gateway.routing import transition
from gateway.routing.calendar import Calendar
from gateway.routing.stage import Stage
from gateway.switchover import scheduled
from gateway.switchover.evidence import agreed, another_person, digest
from gateway.switchover.fence import expect
from gateway.switchover.scheduled import Scheduled, audit
from gateway.switchover.states import ScheduleEvent, ScheduleState
from gateway.switchover.store import Problem

#: The farthest that a change may lie ahead.
AHEAD_DAYS = 366


class ScheduleWish(msgspec.Struct, frozen=True, kw_only=True):
    """A change as somebody asks for it. ``rule``: what else the rule becomes with it. ``two_person``: another person
    has to approve it, whatever the settings say."""

    entity: str
    region: str
    stage: Stage
    at: datetime
    reason: str
    expected_version: int | None = None
    override: bool = False
    two_person: bool = False
    rule: dict[str, Any] = {}


class Schedule:
    """``two_person``: a fenced change has to be asked for with another person's approval."""

    def __init__(
        self,
        *,
        database: Database,
        calendar: Calendar,
        ids: Ids,
        two_person: bool,
    ) -> None:
        self._database = database
        self._calendar = calendar
        self._ids = ids
        self._two_person = two_person

    async def request(self, wish: ScheduleWish, *, actor: str) -> Scheduled:
        """Raises UnknownRegion, Invalid for a moment that is over or too far ahead or without a reason,
        RuleVersionMoved, and RuleRefused for what cannot come true: a freeze window on that day, a leap, a second
        change at the same moment, or one alone where two persons are needed."""
        reason = reason_of(wish.reason)
        at = to_micros(wish.at)

        def unit(connection: Connection) -> Scheduled:
            key = (wish.entity, wish.region)
            slices.lock_exclusive(connection, key)
            current = slices.read(connection, [key]).get(key)
            if current is None:
                raise UnknownRegion(f"no rule for {wish.entity} in {wish.region}")
            if wish.expected_version is not None:
                expect(current, wish.expected_version)
            now = self._database.now(connection)
            _must_come(at, now)
            before = scheduled.last_before(connection, key, at)
            from_stage = current.stage if before is None else before.to_stage
            if (there := scheduled.open_at(connection, key, at)) is not None:
                raise _refused(
                    "scheduled", f"{there.id} is to change this slice at the same moment; cancel it first"
                )
            fenced = transition.is_fenced(from_stage, wish.stage)
            if fenced and self._two_person and not wish.two_person:
                raise _refused(
                    "approval", "a move that is fenced needs a second person: ask for a switch at that time"
                )
            against = self._against(wish, from_stage)
            if against and not wish.override:
                raise RuleRefused(
                    f"{wish.entity} in {wish.region} cannot go from {from_stage} to {wish.stage} then: "
                    f"{against[0].message}",
                    errors=against,
                    gates=[one.code for one in against],
                )
            overridden: tuple[str, ...] = ()
            if wish.override:
                overridden = ("neighbour", "dependency", *transition.gates(from_stage, wish.stage))
            two_person = fenced and wish.two_person
            made = Scheduled(
                id=self._ids.new(SCHEDULED),
                entity=wish.entity,
                region=wish.region,
                from_stage=from_stage,
                to_stage=wish.stage,
                state=ScheduleState.REQUESTED if two_person else ScheduleState.SCHEDULED,
                effective_at=at,
                rule=dict(wish.rule),
                reason=reason,
                overridden=overridden,
                plan_hash=digest(
                    {
                        "slice": list(key), "from": from_stage.value, "to": wish.stage.value, "at": at,
                        "rule": dict(wish.rule), "reason": reason, "overridden": list(overridden),
                    }
                ),
                two_person=two_person,
                requested_by=actor,
                requested_at=now,
            )  # fmt: skip
            scheduled.add(connection, made)
            audit(connection, made, at=now, actor=actor, action="schedule.request")
            return made

        return await self._database.transaction(unit)

    async def approve(
        self,
        id_: str,
        *,
        plan_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Scheduled:
        """Approves the plan behind ``plan_hash``; it is made at its time. To approve it twice is no error. Raises
        NotFoundHere, SecondPersonNeeded, EvidenceChanged for another hash, and ScheduleOver."""
        await self.one(id_, regions=regions, entities=entities)

        def unit(connection: Connection) -> Scheduled:
            there = _held(connection, id_)
            if there.state is ScheduleState.SCHEDULED and there.approved_by == actor:
                return there
            another_person(actor, there.requested_by, "change")
            now = self._database.now(connection)
            if there.state is not ScheduleState.REQUESTED or now >= there.effective_at:
                raise ScheduleOver(f"it is {there.state.value}; ask for it again", state=there.state.value)
            agreed("plan_hash", plan_hash, there.plan_hash, "plan of this change")
            audit(connection, there, at=now, actor=actor, action="schedule.approve")
            return scheduled.change(
                connection, there, ScheduleEvent.APPROVED, {"approved_by": actor, "approved_at": now}
            )

        return await self._database.transaction(unit)

    async def cancel(
        self,
        id_: str,
        *,
        reason: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Scheduled:
        """Ends a change whose time has not come. To cancel it twice is no error. Raises NotFoundHere, Invalid without a
        reason, and ScheduleOver."""
        await self.one(id_, regions=regions, entities=entities)
        said = reason_of(reason)

        def unit(connection: Connection) -> Scheduled:
            there = _held(connection, id_)
            if there.state is ScheduleState.CANCELLED:
                return there
            now = self._database.now(connection)
            if there.ended_at is not None or there.state is ScheduleState.BEGUN:
                remedy = (
                    f"abort {there.switch_id}"
                    if there.state is ScheduleState.BEGUN
                    else "ask for the way back"
                )
                raise ScheduleOver(f"it is {there.state.value}: {remedy}", state=there.state.value)
            audit(connection, there, at=now, actor=actor, action="schedule.cancel", why=said)
            return scheduled.change(
                connection,
                there,
                ScheduleEvent.CANCELLED,
                {"ended_at": now, "ended_by": actor, "problem": Problem(code="cancelled", message=said)},
            )

        return await self._database.transaction(unit)

    async def one(
        self, id_: str, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Scheduled:
        """Raises NotFoundHere; a change outside ``regions`` and ``entities`` is not there."""
        found = await self._database.read(lambda conn: scheduled.one(conn, id_))
        if found is None or not within(found.entity, found.region, entities, regions):
            raise NotFoundHere(f"there is no scheduled change {id_}")
        return found

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Scheduled]:
        """The newest request first."""
        return await self._database.read(
            lambda conn: scheduled.page(
                conn, entity=entity, region=region, state=state, regions=regions, entities=entities, after=after,
                limit=limit,
            )
        )  # fmt: skip

    def _against(self, wish: ScheduleWish, from_stage: Stage) -> list[FieldError]:
        """What will stand against it then, as far as that is known now: a freeze window, and a leap."""
        gates = transition.gates(from_stage, wish.stage)
        clear: dict[str, int | None] = dict.fromkeys(gates, 0)
        frozen = None
        if "freeze" in gates:
            frozen = self._calendar.frozen(wish.entity, wish.region, from_micros(to_micros(wish.at)).date())
            clear["freeze"] = int(frozen is not None)
        return [
            FieldError(
                pointer="/effective_at" if one.gate == "freeze" else "/stage",
                code=one.gate,
                message=f"{one.message}: {frozen}; pick a later moment"
                if one.gate == "freeze"
                else one.message,
            )
            for one in transition.judge(from_stage, wish.stage, clear)
        ]


def _must_come(at: int, now: int) -> None:
    message = None
    if at <= now:
        message = "is over; name a moment to come"
    elif at > now + AHEAD_DAYS * 24 * 3600 * MICROS:
        message = f"is more than {AHEAD_DAYS} days ahead"
    if message is not None:
        raise Invalid(
            f"effective_at {message}",
            errors=[FieldError(pointer="/effective_at", code="effective_at", message=message)],
        )


def _held(connection: Connection, id_: str) -> Scheduled:
    there = scheduled.one(connection, id_, lock=True)
    if there is None:
        raise NotFoundHere(f"there is no scheduled change {id_}")
    return there


def _refused(gate: str, message: str) -> RuleRefused:
    return RuleRefused(
        message, errors=[FieldError(pointer="/stage", code=gate, message=message)], gates=[gate]
    )
