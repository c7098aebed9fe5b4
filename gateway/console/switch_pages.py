"""Switches: asked for, looked at with their evidence, approved by another person, watched and aborted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway import spreadsheet
from gateway.access import Caller
from gateway.clock import Clock
from gateway.console.download import attached, whole
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.narrowing import Narrowing
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.console.stages import BY_STAGE
from gateway.database import moment
from gateway.errors import FieldError, GatewayError, Invalid
from gateway.ledger.slices import Slice
from gateway.ports import SlicesPort, SwitchesPort
from gateway.routing.stage import Stage
from gateway.routing.transition import EMERGENCIES, is_fenced
from gateway.switchover import Switch
from gateway.switchover.emergency import KIND as EMERGENCY
from gateway.switchover.states import SwitchState
from gateway.switchover.switches import Wish

PAGE = 50
#: The way of a switch as the page draws it.
WAY = (
    SwitchState.REQUESTED,
    SwitchState.APPROVED,
    SwitchState.FENCING,
    SwitchState.DRAINING,
    SwitchState.COMMITTED,
)
COLUMNS = (
    "switch", "kind", "state", "entity", "region", "from_stage", "to_stage", "reason", "requested_by", "requested_at",
    "approved_by", "approved_at", "ended_at", "ended_by", "problem", "evidence_hash",
)  # fmt: skip

EVIDENCE_COLUMNS = ("part", "name", "class", "found", "records", "message")


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/switches"

    entity: str = ""
    region: str = ""
    state: str = ""


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has put into the form, so that a refusal loses none of it. ``move`` is entity/region/stage, and
    /emergency for one."""

    move: str = ""
    reason: str = ""
    override: bool = False


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A fenced move that a slice could make now; ``emergency``: without the authority, which does not answer."""

    slice: Slice
    stage: Stage
    emergency: bool = False

    @property
    def value(self) -> str:
        move = f"{self.slice.entity}/{self.slice.region}/{self.stage.value}"
        return f"{move}/{EMERGENCY}" if self.emergency else move

    @property
    def back(self) -> bool:
        return self.stage.position < self.slice.stage.position


class SwitchPages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        switches: SwitchesPort,
        slices: SlicesPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._switches = switches
        self._slices = slices
        self._clock = clock
        self._entities = tuple(entities)

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/switches", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            return await self._list(request, await self._guard.enter(request))

        @get("/switches.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            narrowed = _filter(request)
            return whole(
                COLUMNS,
                lambda after, limit: self._page(person.caller, narrowed, after, limit),
                _row,
                lambda one: one.id,
                headers=attached("switches", self._clock.now()),
            )

        @get("/switches/{switch_id:str}/evidence.csv", include_in_schema=False)
        async def evidence(request: AnyRequest, switch_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            caller = person.caller
            one = await self._switches.one(switch_id, regions=caller.regions, entities=caller.entities)
            return Response(
                "".join(spreadsheet.line(row) for row in (EVIDENCE_COLUMNS, *_evidence_rows(one))),
                media_type="text/csv",
                headers=attached(f"evidence-{one.entity}-{one.region}", self._clock.now()),
            )

        @get("/switches/new", include_in_schema=False)
        async def ask(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            query = request.query_params
            move = "/".join(query.get(name, "") for name in ("entity", "region", "stage"))
            return await self._form(request, person, Typed(move=move))

        @post("/switches/new", include_in_schema=False, status_code=200)
        async def submit(request: AnyRequest) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            typed = Typed(
                move=form.get("move", ""),
                reason=form.get("reason", ""),
                override=form.get("override") == "yes",
            )
            try:
                picked, wish = await self._wish(person.caller, typed)
                ask = self._switches.emergency if picked.emergency else self._switches.request
                made = await ask(wish, actor=person.caller.name)
            except GatewayError as refused:
                return await self._form(request, person, typed, refused)
            return Redirect(f"/console/switches/{made.id}", status_code=303)

        @get("/switches/{switch_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, switch_id: FromPath[str]) -> Response[str]:
            return await self._one(request, await self._guard.enter(request), switch_id, "switch.html")

        @get("/switches/{switch_id:str}/now", include_in_schema=False)
        async def now(request: AnyRequest, switch_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            return await self._one(request, person, switch_id, "switch_now.html")

        @post("/switches/{switch_id:str}/approve", include_in_schema=False, status_code=200)
        async def approve(request: AnyRequest, switch_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.approved(request)
            caller = person.caller
            try:
                await self._switches.approve(
                    switch_id,
                    evidence_hash=form.get("evidence_hash", ""),
                    actor=caller.name,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            except GatewayError as refused:
                return await self._one(request, person, switch_id, "switch.html", refused)
            return Redirect(f"/console/switches/{switch_id}", status_code=303)

        @post("/switches/{switch_id:str}/abort", include_in_schema=False, status_code=200)
        async def abort(request: AnyRequest, switch_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            caller = person.caller
            try:
                await self._switches.abort(
                    switch_id,
                    reason=form.get("reason", ""),
                    actor=caller.name,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            except GatewayError as refused:
                return await self._one(request, person, switch_id, "switch.html", refused)
            return Redirect(f"/console/switches/{switch_id}", status_code=303)

        return [page, table, evidence, ask, submit, one, now, approve, abort]

    # --- pages -------------------------------------------------------------------------------------------------

    async def _list(self, request: AnyRequest, person: Person) -> Response[str]:
        narrowed = _filter(request)
        found = await self._page(person.caller, narrowed, request.query_params.get("after"), PAGE + 1)
        slices = [one for one in await self._slices.all() if person.caller.sees(one.entity, one.region)]
        present = {one.entity for one in slices}
        shown = found[:PAGE]
        return self._respond.page(
            request,
            person,
            "switches.html",
            f=narrowed,
            found=shown,
            more=shown[-1].id if len(found) > PAGE else None,
            states=[state.value for state in SwitchState],
            rows=BY_STAGE,
            entities=[entity for entity in self._entities if entity in present],
            regions=sorted({one.region for one in slices}),
            may_change=person.may_change,
        )

    async def _form(
        self, request: AnyRequest, person: Person, typed: Typed, refused: GatewayError | None = None
    ) -> Response[str]:
        said = None if refused is None else told(refused)
        offers = await self._offers(person.caller)
        picked = next((one for one in offers if one.value == typed.move), None)
        near = [one for one in offers if one.value.startswith(typed.move)] if typed.move.strip("/") else []
        if picked is None and near:
            # From a slice's panel: the way on is offered before the way back.
            picked = min(near, key=lambda one: (one.emergency, one.back))
        return self._respond.page(
            request,
            person,
            "switch_ask.html",
            status=200 if said is None else said.status,
            offers=offers,
            picked=picked,
            rows=BY_STAGE,
            typed=typed,
            refused=said,
            may_change=person.may_change,
            csrf=person.csrf,
        )

    async def _one(
        self,
        request: AnyRequest,
        person: Person,
        switch_id: str,
        template: str,
        refused: GatewayError | None = None,
    ) -> Response[str]:
        caller = person.caller
        found = await self._switches.one(switch_id, regions=caller.regions, entities=caller.entities)
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            template,
            status=200 if said is None else said.status,
            # What may be done with it has changed with its state: the whole page is shown anew.
            headers={"HX-Refresh": "true"}
            if request.query_params.get("was", found.state) != found.state
            else {},
            s=found,
            rows=BY_STAGE,
            way=WAY,
            reached=WAY.index(found.state) if found.state in WAY else -1,
            refused=said,
            own=found.requested_by == caller.name,
            may_approve=person.may_approve,
            may_change=person.may_change,
            csrf=person.csrf,
            at=self._clock.now(),
        )

    # --- what they ask -----------------------------------------------------------------------------------------

    async def _offers(self, caller: Caller) -> list[Offer]:
        order = {name: place for place, name in enumerate(self._entities)}
        slices = [one for one in await self._slices.all() if caller.sees(one.entity, one.region)]
        slices.sort(key=lambda one: (order.get(one.entity, len(order)), one.region))
        return [
            offer
            for one in slices
            for offer in (
                *(
                    Offer(slice=one, stage=stage)
                    for stage in Stage
                    if abs(stage.position - one.stage.position) == 1 and is_fenced(one.stage, stage)
                ),
                *(
                    Offer(slice=one, stage=stage, emergency=True)
                    for stage in Stage
                    if EMERGENCIES.get(one.stage) is stage
                ),
            )
        ]

    async def _wish(self, caller: Caller, typed: Typed) -> tuple[Offer, Wish]:
        picked = next((one for one in await self._offers(caller) if one.value == typed.move), None)
        if picked is None:
            message = "pick the slice and where it is to go"
            raise Invalid(message, errors=[FieldError(pointer="/move", code="move", message=message)])
        return picked, Wish(
            entity=picked.slice.entity,
            region=picked.slice.region,
            stage=picked.stage,
            reason=typed.reason,
            expected_version=picked.slice.version,
            override=typed.override,
        )

    async def _page(
        self, caller: Caller, narrowed: Filter, after: str | None, limit: int
    ) -> Sequence[Switch]:
        return await self._switches.page(
            entity=narrowed.entity or None,
            region=narrowed.region or None,
            state=narrowed.state or None,
            regions=caller.regions,
            entities=caller.entities,
            after=after,
            limit=limit,
        )


def _filter(request: AnyRequest) -> Filter:
    return Filter(**Filter.given(request.query_params))


def _row(one: Switch) -> tuple[str, ...]:
    return (
        one.id, one.kind, one.state.value, one.entity, one.region, one.from_stage.value, one.to_stage.value, one.reason,
        one.requested_by, moment(one.requested_at) or "", one.approved_by or "", moment(one.approved_at) or "",
        moment(one.ended_at) or "", one.ended_by or "", "" if one.problem is None else one.problem.message,
        one.evidence_hash,
    )  # fmt: skip


def _evidence_rows(one: Switch) -> list[tuple[str, ...]]:
    """The tables of the evidence that a switch was asked for with."""
    evidence = one.evidence
    fields = evidence.get("differences", {}).get("fields", ())
    stranded = evidence.get("stranded", {}).get("listed", ())
    return [
        *(
            ("gate", gate["gate"], "", "holds" if gate["passed"] else "does not hold", "", gate.get("message") or "")
            for gate in evidence["gates"]
        ),
        *(("field", one["field"], one["class"], one["verdict"], str(one["records"]), "") for one in fields),
        *(
            ("stranded", one["operation"], one["kind"], "in the books" if one["posted"] else "", "", one["record"])
            for one in stranded
        ),
    ]
