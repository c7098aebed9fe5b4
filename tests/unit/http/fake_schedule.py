"""Scheduled changes as the routes ask for them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.database import to_micros
from gateway.errors import EvidenceChanged, NotFoundHere, SecondPersonNeeded
from gateway.routing.stage import Stage
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.states import ScheduleState
from gateway.switchover.store import Problem


class FakeSchedule:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.wishes: list[ScheduleWish] = []
        self.asked: list[dict[str, Any]] = []
        self.held: dict[str, Scheduled] = {}

    async def request(self, wish: ScheduleWish, *, actor: str) -> Scheduled:
        self.wishes.append(wish)
        made = Scheduled(
            id=f"sch_0198f0c2-7b10-7f44-9a01-{len(self.wishes):012d}",
            entity=wish.entity,
            region=wish.region,
            from_stage=Stage.DUAL_WRITE,
            to_stage=wish.stage,
            state=ScheduleState.REQUESTED if wish.two_person else ScheduleState.SCHEDULED,
            effective_at=to_micros(wish.at),
            rule=wish.rule,
            reason=wish.reason,
            overridden=(),
            plan_hash="a" * 64,
            two_person=wish.two_person,
            requested_by=actor,
            requested_at=1_767_000_000_000_000,
        )
        self.held[made.id] = made
        return made

    async def page(self, **asked: Any) -> list[Scheduled]:
        self.asked.append(asked)
        return sorted(self.held.values(), key=lambda one: one.id, reverse=True)[: asked["limit"]]

    async def one(self, id_: str, **asked: Any) -> Scheduled:
        if id_ not in self.held:
            raise NotFoundHere(id_)
        return self.held[id_]

    async def approve(self, id_: str, *, plan_hash: str, actor: str, **asked: Any) -> Scheduled:
        there = await self.one(id_)
        if there.requested_by == actor:
            raise SecondPersonNeeded(requested_by=actor)
        if there.plan_hash != plan_hash:
            raise EvidenceChanged(plan_hash=there.plan_hash)
        return msgspec.structs.replace(there, state=ScheduleState.SCHEDULED, approved_by=actor)

    async def cancel(self, id_: str, *, reason: str, actor: str, **asked: Any) -> Scheduled:
        there = await self.one(id_)
        problem = Problem(code="cancelled", message=reason)
        return msgspec.structs.replace(there, state=ScheduleState.CANCELLED, ended_by=actor, problem=problem)
