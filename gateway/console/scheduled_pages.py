"""Changes of rules at a time: what is to come and what became of it, approved by another person, cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway.clock import Clock
from gateway.console.download import attached, whole
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.console.stages import BY_STAGE
from gateway.database import moment
from gateway.errors import GatewayError
from gateway.ports import SchedulePort
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.states import ScheduleState

PAGE = 50
COLUMNS = (
    "change", "state", "entity", "region", "from_stage", "to_stage", "effective_at", "reason", "overridden",
    "requested_by", "requested_at", "approved_by", "approved_at", "ended_at", "ended_by", "problem", "switch",
)  # fmt: skip
#: States in which a change can still be cancelled.
OPEN = (ScheduleState.REQUESTED, ScheduleState.SCHEDULED)


class ScheduledPages:
    def __init__(self, *, guard: Guard, respond: Respond, schedule: SchedulePort, clock: Clock) -> None:
        self._guard = guard
        self._clock = clock
        self._respond = respond
        self._schedule = schedule

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/scheduled", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            return await self._list(request, await self._guard.enter(request))

        @get("/scheduled.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            return whole(
                COLUMNS,
                lambda after, limit: self._page(person, after, limit),
                _row,
                lambda one: one.id,
                headers=attached("scheduled", self._clock.now()),
            )

        @post("/scheduled/{change_id:str}/approve", include_in_schema=False, status_code=200)
        async def approve(request: AnyRequest, change_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.approved(request)
            caller = person.caller
            try:
                await self._schedule.approve(
                    change_id,
                    plan_hash=form.get("plan_hash", ""),
                    actor=caller.name,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            except GatewayError as refused:
                return await self._list(request, person, refused)
            return Redirect("/console/scheduled", status_code=303)

        @post("/scheduled/{change_id:str}/cancel", include_in_schema=False, status_code=200)
        async def cancel(request: AnyRequest, change_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            caller = person.caller
            try:
                await self._schedule.cancel(
                    change_id,
                    reason=form.get("reason", ""),
                    actor=caller.name,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            except GatewayError as refused:
                return await self._list(request, person, refused)
            return Redirect("/console/scheduled", status_code=303)

        return [page, table, approve, cancel]

    async def _page(self, person: Person, after: str | None, limit: int) -> Sequence[Scheduled]:
        caller = person.caller
        return await self._schedule.page(
            regions=caller.regions, entities=caller.entities, after=after, limit=limit
        )

    async def _list(
        self, request: AnyRequest, person: Person, refused: GatewayError | None = None
    ) -> Response[str]:
        caller = person.caller
        found = await self._page(person, request.query_params.get("after"), PAGE + 1)
        shown = found[:PAGE]
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            "scheduled.html",
            status=200 if said is None else said.status,
            found=shown,
            more=shown[-1].id if len(found) > PAGE else None,
            rows=BY_STAGE,
            open=OPEN,
            who=caller.name,
            refused=said,
            may_approve=person.may_approve,
            may_change=person.may_change,
            csrf=person.csrf,
        )


def _row(one: Scheduled) -> tuple[str, ...]:
    return (
        one.id, one.state.value, one.entity, one.region, one.from_stage.value, one.to_stage.value,
        moment(one.effective_at) or "", one.reason, " ".join(one.overridden), one.requested_by,
        moment(one.requested_at) or "", one.approved_by or "", moment(one.approved_at) or "",
        moment(one.ended_at) or "", one.ended_by or "", "" if one.problem is None else one.problem.message,
        one.switch_id or "",
    )  # fmt: skip
