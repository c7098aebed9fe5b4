"""Changes at a time and guards in memory."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.database import to_micros
from gateway.errors import FieldError, Invalid, NotFoundHere, ScheduleOver
from gateway.readiness import Watched
from gateway.routing.stage import Stage
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.states import ScheduleState
from gateway.switchover.store import Problem

START = to_micros(datetime(2026, 11, 23, 9, 30, tzinfo=UTC))
HOUR = 3_600_000_000


def _change(number: int, **changes: Any) -> Scheduled:
    fields: dict[str, Any] = {
        "id": f"sch_0193000{number}",
        "entity": "project",
        "region": "UK",
        "from_stage": Stage.SHADOW,
        "to_stage": Stage.LIVE,
        "state": ScheduleState.REQUESTED,
        "effective_at": START + 36 * HOUR,
        "rule": {},
        "reason": "In the <b>night</b>",
        "overridden": (),
        "plan_hash": f"{number:x}" * 64,
        "two_person": True,
        "requested_by": "Cy Operator",
        "requested_at": START,
    }
    return Scheduled(**{**fields, **changes})


class FakeSchedule:
    def __init__(self) -> None:
        frozen = Problem(code="freeze", message="Month-end close, until 2026-12-05")
        self.kept = {
            one.id: one
            for one in (
                _change(3),
                _change(2, state=ScheduleState.SCHEDULED, two_person=False, requested_by="Ada Migration"),
                _change(1, state=ScheduleState.REFUSED, ended_at=START, problem=frozen),
            )
        }

    async def page(self, *, limit: int, **scope: Any) -> Sequence[Scheduled]:
        return sorted(self.kept.values(), key=lambda one: one.id, reverse=True)[:limit]

    async def request(self, wish: ScheduleWish, *, actor: str) -> Scheduled:
        if wish.at < datetime(2026, 11, 23, 9, 30, tzinfo=UTC):
            raise Invalid("it lies in the past", errors=[FieldError(pointer="/at", code="past", message="it is past")])
        made = _change(
            4,
            entity=wish.entity,
            region=wish.region,
            to_stage=wish.stage,
            effective_at=to_micros(wish.at),
            reason=wish.reason,
            requested_by=actor,
            two_person=False,
            state=ScheduleState.SCHEDULED,
        )
        self.kept[made.id] = made
        return made

    async def approve(self, id_: str, *, plan_hash: str, actor: str, **scope: Any) -> Scheduled:
        there = self.kept.get(id_)
        if there is None:
            raise NotFoundHere(id_)
        assert there.plan_hash == plan_hash
        self.kept[id_] = msgspec.structs.replace(there, state=ScheduleState.SCHEDULED, approved_by=actor)
        return self.kept[id_]

    async def cancel(self, id_: str, *, reason: str, actor: str, **scope: Any) -> Scheduled:
        there = self.kept.get(id_)
        if there is None:
            raise NotFoundHere(id_)
        if there.ended_at is not None:
            raise ScheduleOver(f"it is {there.state.value}: ask for the way back")
        if not reason.strip():
            raise Invalid("say why")
        problem = Problem(code="cancelled", message=reason)
        self.kept[id_] = msgspec.structs.replace(
            there, state=ScheduleState.CANCELLED, ended_at=START, ended_by=actor, problem=problem
        )
        return self.kept[id_]


class FakeGuards:
    async def standing(self, **scope: Any) -> Sequence[Watched]:
        return [
            Watched(
                entity="project",
                region="UK",
                guard="Money parts",
                gates=("money",),
                windows=3,
                window_minutes=10,
                then="ask",
                hold_hours=24,
                watching=True,
                failing=2,
                verdict="fail",
                failed=("Records in which money parts: 1, and the threshold is 0",),
                looked_at=START,
                next_at=START + HOUR // 6,
                acted_at=START - 24 * HOUR,
                held_until=START + HOUR,
                switch_id="swi_01930002",
            )
        ]
