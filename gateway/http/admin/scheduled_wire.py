"""Changes of rules at a time, as the operations side tells and takes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway.canonical.values import Note
from gateway.clock import rfc3339
from gateway.database import from_micros, moment
from gateway.routing.stage import Stage
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.states import ScheduleState
from gateway.switchover.store import Problem

BASE = "/admin/v1/scheduled-changes"

#: The moment of a change that is not made now.
EffectiveAt = Annotated[
    datetime,
    Meta(
        tz=True,
        description="not now but then: everything is judged again at that time, and 202 is the answer",
    ),
]


class PlanApproval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is approved: the plan behind this hash, and nothing else."""

    plan_hash: Annotated[
        str, Meta(pattern="^[0-9a-f]{64}$", description="of the change that you have looked at")
    ]


class Cancellation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a change is not to be made."""

    reason: Annotated[Note, Meta(min_length=1)]


class ScheduledTold(msgspec.Struct, frozen=True, kw_only=True):
    """A change at a time. `from_stage` is where the slice has to be then. `overridden` are gates that may fail then.
    `switch` is the move that carries a fenced one through; `problem` says what stood against it."""

    id: str
    entity: str
    region: str
    state: ScheduleState
    from_stage: Stage
    to_stage: Stage
    effective_at: str
    rule: dict[str, Any]
    reason: str
    overridden: tuple[str, ...]
    plan_hash: str
    two_person: bool
    requested_by: str
    requested_at: str
    approved_by: str | None
    approved_at: str | None
    switch: str | None
    ended_at: str | None
    ended_by: str | None
    problem: Problem | None
    href: str


def told(one: Scheduled) -> ScheduledTold:
    """In wire form: moments in RFC 3339."""
    return ScheduledTold(
        id=one.id,
        entity=one.entity,
        region=one.region,
        state=one.state,
        from_stage=one.from_stage,
        to_stage=one.to_stage,
        effective_at=rfc3339(from_micros(one.effective_at)),
        rule=one.rule,
        reason=one.reason,
        overridden=one.overridden,
        plan_hash=one.plan_hash,
        two_person=one.two_person,
        requested_by=one.requested_by,
        requested_at=rfc3339(from_micros(one.requested_at)),
        approved_by=one.approved_by,
        approved_at=moment(one.approved_at),
        switch=one.switch_id,
        ended_at=moment(one.ended_at),
        ended_by=one.ended_by,
        problem=one.problem,
        href=f"{BASE}/{one.id}",
    )
