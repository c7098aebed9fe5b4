"""The rules as a whole: a draft against recorded writes, a change at a time, freeze windows, guards, and the last
changes with the way back from each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect

from gateway import spreadsheet
from gateway.access import Caller
from gateway.clock import Clock
from gateway.console.download import attached
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.refusal import Told, told
from gateway.console.respond import Respond
from gateway.console.stages import BY_STAGE, STAGES
from gateway.errors import FieldError, GatewayError, Invalid
from gateway.ledger.slices import Slice, SliceChange
from gateway.ports import GuardsPort, SchedulePort, SimulationPort, SlicesPort, SwitchoverPort
from gateway.routing.calendar import Calendar
from gateway.routing.stage import Stage
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.simulation import DAYS, MOST_DAYS, Simulated

#: Changes that are shown, the newest first.
LAST = 12
COLUMNS = (
    "entity", "region", "from", "to", "moves authority", "needs a switch", "leaves out a stage", "frozen", "gates",
    "writes", "led by another system",
)  # fmt: skip

Draft = Mapping[tuple[str, str], Stage]


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """A change at a time as it was put into the form, so that a refusal loses none of it."""

    slice: str = ""
    stage: str = ""
    at: str = ""
    reason: str = ""
    override: str = ""


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a slice's stage; ``open``: the slice is still where it led."""

    slice: Slice
    change: SliceChange
    before: Stage
    after: Stage
    open: bool


class RulesPages:
    """``calendar`` has the freeze windows of the rule files."""

    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        slices: SlicesPort,
        switchover: SwitchoverPort,
        simulation: SimulationPort,
        schedule: SchedulePort,
        guards: GuardsPort,
        calendar: Calendar,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._slices = slices
        self._switchover = switchover
        self._simulation = simulation
        self._schedule = schedule
        self._guards = guards
        self._calendar = calendar
        self._clock = clock
        self._order = {name: place for place, name in enumerate(entities)}

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/rules", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            return await self._page(request, await self._guard.enter(request))

        @get("/rules.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            found = await self._simulated(person.caller, *_draft(request))
            lines = [spreadsheet.line(COLUMNS), *map(_line, () if found is None else found.moves)]
            return Response(
                "".join(lines), media_type="text/csv", headers=attached("simulation", self._clock.now())
            )

        @post("/rules/schedule", include_in_schema=False, status_code=200)
        async def schedule(request: AnyRequest) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            typed = Typed(**{name: form.get(name, "") for name in Typed.__struct_fields__})
            try:
                await self._schedule.request(_wish(typed, person.caller), actor=person.caller.name)
            except GatewayError as refused:
                return await self._page(request, person, typed=typed, refused=refused)
            return Redirect("/console/scheduled", status_code=303)

        @post("/rules/back", include_in_schema=False, status_code=200)
        async def back(request: AnyRequest) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            try:
                entity, region = await self._go_back(person, form)
            except GatewayError as refused:
                return await self._page(request, person, refused=refused)
            return Redirect(f"/console/slices/{entity}/{region}?done=1", status_code=303)

        return [page, table, schedule, back]

    async def _go_back(self, person: Person, form: Mapping[str, str]) -> tuple[str, str]:
        """Makes the slice what it was before its last change. Raises Invalid where that was not its last one."""
        entity, _, region = form.get("slice", "").partition("/")
        offered = next(
            (
                one
                for one in await self._last(await self._seen(person.caller))
                if (one.slice.entity, one.slice.region) == (entity, region)
                and one.open
                and str(one.slice.version) == form.get("version")
            ),
            None,
        )
        if offered is None:
            raise Invalid(
                "the slice has moved since this page was made, so there is another way back: look at it again"
            )
        await self._switchover.set_stage(
            entity,
            region,
            stage=offered.before,
            reason=f"back from version {offered.change.version}: {form.get('reason', '')}",
            expected_version=offered.slice.version,
            actor=person.caller.name,
        )
        return entity, region

    async def _page(
        self,
        request: AnyRequest,
        person: Person,
        *,
        typed: Typed | None = None,
        refused: GatewayError | None = None,
    ) -> Response[str]:
        caller = person.caller
        draft, days = _draft(request)
        said = None if refused is None else told(refused)
        doubt: Told | None = None
        found: Simulated | None = None
        try:
            found = await self._simulated(caller, draft, days)
        except GatewayError as wrong:
            doubt = told(wrong)
        today = self._clock.now().date()
        seen = await self._seen(caller)
        return self._respond.page(
            request,
            person,
            "rules.html",
            status=next((one.status for one in (said, doubt) if one is not None), 200),
            slices=seen,
            stages=STAGES,
            rows=BY_STAGE,
            draft={f"{entity}/{region}": stage for (entity, region), stage in draft.items()},
            days=days,
            most_days=MOST_DAYS,
            found=found,
            doubt=doubt,
            query=request.url.query,
            typed=typed or Typed(),
            refused=said,
            freezes=[(one, one.until(today)) for one in self._calendar.freezes],
            frozen=[one for one in seen if self._calendar.frozen(one.entity, one.region, today)],
            guards=await self._guards.standing(regions=caller.regions, entities=caller.entities),
            last=await self._last(seen),
            csrf=person.csrf,
            may_change=person.may_change,
        )

    async def _simulated(self, caller: Caller, draft: Draft, days: int) -> Simulated | None:
        if not draft:
            return None
        return await self._simulation.run(
            draft, days=days, regions=caller.regions, entities=caller.entities
        )

    async def _seen(self, caller: Caller) -> list[Slice]:
        found = [one for one in await self._slices.all() if caller.sees(one.entity, one.region)]
        last = len(self._order)
        return sorted(found, key=lambda one: (self._order.get(one.entity, last), one.region))

    async def _last(self, seen: Sequence[Slice]) -> list[Back]:
        """The last changes of these slices."""
        histories = await asyncio.gather(
            *(self._slices.history(one.entity, one.region, limit=2) for one in seen)
        )
        changes = [
            Back(
                slice=slice_,
                change=change,
                before=Stage(change.before["stage"]),
                after=Stage(change.after["stage"]),
                open=change.version == slice_.version,
            )
            for slice_, history in zip(seen, histories, strict=True)
            for change in history
            if change.before is not None and change.before["stage"] != change.after["stage"]
        ]
        return sorted(changes, key=lambda one: one.change.at, reverse=True)[:LAST]


def _draft(request: AnyRequest) -> tuple[Draft, int]:
    """The slices that the address moves, and the days. What is not understood moves nothing."""
    draft: dict[tuple[str, str], Stage] = {}
    for text in request.query_params.getall("to", []):
        slice_, _, stage = text.partition("=")
        entity, _, region = slice_.partition("/")
        if entity and region and stage in tuple(Stage):
            draft[entity, region] = Stage(stage)
    days = request.query_params.get("days", "")
    return draft, int(days) if days.isdecimal() and len(days) < 5 else DAYS


def _wish(typed: Typed, caller: Caller) -> ScheduleWish:
    """What is asked for. Raises Invalid for what was left out."""
    entity, _, region = typed.slice.partition("/")
    wrong: list[FieldError] = []
    if not region or not caller.sees(entity, region):
        wrong.append(FieldError(pointer="/slice", code="slice", message="pick a slice"))
    if typed.stage not in tuple(Stage):
        wrong.append(FieldError(pointer="/stage", code="stage", message="pick the stage that it is to have then"))
    try:
        at = datetime.fromisoformat(typed.at).replace(tzinfo=UTC)
    except ValueError:
        at = datetime.min.replace(tzinfo=UTC)
        wrong.append(FieldError(pointer="/at", code="at", message="give the day and the time, in UTC"))
    if not typed.reason.strip():
        wrong.append(FieldError(pointer="/reason", code="reason", message="say why; it is kept in the history"))
    if wrong:
        raise Invalid("something is missing", errors=wrong)
    return ScheduleWish(
        entity=entity,
        region=region,
        stage=Stage(typed.stage),
        at=at,
        reason=" ".join(typed.reason.split()),
        override=typed.override == "yes",
    )


def _line(one: Any) -> str:
    return spreadsheet.line(
        (
            one.entity,
            one.region,
            one.from_stage,
            one.to_stage,
            "yes" if one.moves_authority else "no",
            "yes" if one.switches else "no",
            "yes" if one.leap else "no",
            one.frozen or "",
            " ".join(one.gates),
            str(one.writes),
            str(one.rerouted),
        )
    )
