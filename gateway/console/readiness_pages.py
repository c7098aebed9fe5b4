"""Readiness: every slice with its verdict, and one slice with its gates, its kinds, its trend and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.clock import Clock
from gateway.console.download import attached
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.console.stages import BY_STAGE
from gateway.console.view import HEADERS
from gateway.errors import GatewayError
from gateway.ports import GuardsPort, ReadinessPort, SlicesPort
from gateway.readiness import Outcome, Report, sheet
from gateway.readiness.trend import Day
from gateway.routing.stage import Stage
from gateway.routing.transition import is_fenced, moves_authority

#: Of the chart, in its own units.
WIDTH, HEIGHT, GAP = 720, 120, 2


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One day of the chart: what agreed below, what parted above it."""

    x: float
    width: float
    agreed: float
    parted: float
    day: Day


class ReadinessPages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        readiness: ReadinessPort,
        guards: GuardsPort,
        slices: SlicesPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._readiness = readiness
        self._guards = guards
        self._slices = slices
        self._clock = clock
        self._entities = tuple(entities)

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/readiness", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            found = await self._all(person.caller.regions, person.caller.entities)
            return self._respond.page(
                request,
                person,
                "readiness.html",
                found=found,
                counts={one: sum(1 for report in found if report.verdict is one) for one in Outcome},
                rows=BY_STAGE,
                at=self._clock.now(),
            )

        @get("/readiness.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            found = await self._all(person.caller.regions, person.caller.entities)
            return Response(
                sheet.table(found),
                media_type="text/csv",
                headers=attached("readiness", self._clock.now()),
            )

        @get("/readiness.xlsx", include_in_schema=False)
        async def workbook(request: AnyRequest) -> Response[bytes]:
            person = await self._guard.enter(request)
            found = await self._all(person.caller.regions, person.caller.entities)
            return Response(
                sheet.workbook(found),
                media_type=sheet.XLSX,
                headers=attached("readiness", self._clock.now(), kind="xlsx"),
            )

        @get("/readiness.pdf", include_in_schema=False)
        async def printed(request: AnyRequest) -> Response[bytes]:
            person = await self._guard.enter(request)
            query = request.query_params
            found = await self._readiness.all(
                entity=query.get("entity"),
                region=query.get("region"),
                regions=person.caller.regions,
                entities=person.caller.entities,
            )
            return Response(
                sheet.printed(found),
                media_type="application/pdf",
                headers={**HEADERS, "Content-Disposition": 'attachment; filename="readiness.pdf"'},
            )

        @get("/readiness/{entity:str}/{region:str}", include_in_schema=False)
        async def one(request: AnyRequest, entity: FromPath[str], region: FromPath[str]) -> Response[str]:
            return await self._one(request, await self._guard.enter(request), entity, region)

        @post("/readiness/{entity:str}/{region:str}/sign", include_in_schema=False, status_code=200)
        async def sign(request: AnyRequest, entity: FromPath[str], region: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.approved(request)
            caller = person.caller
            try:
                await self._readiness.sign(
                    entity,
                    region,
                    evidence_hash=form.get("evidence_hash", ""),
                    actor=caller.name,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            except GatewayError as refused:
                return await self._one(request, person, entity, region, refused)
            return Redirect(f"/console/readiness/{entity}/{quote(region)}#sign-head", status_code=303)

        return [page, table, workbook, printed, one, sign]

    async def _one(
        self, request: AnyRequest, person: Person, entity: str, region: str, refused: GatewayError | None = None
    ) -> Response[str]:
        caller = person.caller
        found = await self._readiness.one(entity, region, regions=caller.regions, entities=caller.entities)
        days = await self._readiness.trend(entity, region)
        watched = await self._guards.standing(regions=caller.regions, entities=caller.entities)
        last = await self._slices.history(entity, region, limit=1)
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            "readiness_slice.html",
            status=200 if said is None else said.status,
            r=found,
            watch=next((one for one in watched if (one.entity, one.region) == (entity, region)), None),
            rows=BY_STAGE,
            days=[day for day in reversed(days) if day.compares],
            bars=bars(days),
            width=WIDTH,
            height=HEIGHT,
            fenced=found.next is not None and is_fenced(found.stage, found.next),
            back=before(found.stage),
            moved_by=last[0].actor if last else None,
            refused=said,
            may_change=person.may_change,
            may_approve=person.may_approve,
            csrf=person.csrf,
        )

    async def _all(self, regions: frozenset[str] | None, entities: frozenset[str] | None) -> Sequence[Report]:
        order = {name: place for place, name in enumerate(self._entities)}
        found = await self._readiness.all(regions=regions, entities=entities)
        return sorted(found, key=lambda one: (order.get(one.entity, len(order)), one.region))


def before(stage: Stage) -> Stage | None:
    """The stage that gives the authority back; None: the one before this one has the same."""
    found = next((one for one in Stage if one.position == stage.position - 1), None)
    return found if found is not None and moves_authority(stage, found) else None


def bars(days: Sequence[Day]) -> list[Bar]:
    """The days as bars of one chart; what parted is never drawn lower than a line, so that one in a million shows."""
    most = max((day.compares for day in days), default=0)
    step = WIDTH / max(len(days), 1)
    found: list[Bar] = []
    for place, day in enumerate(days):
        parted = day.mismatch + day.unverifiable
        high = HEIGHT * parted / most if most else 0.0
        found.append(
            Bar(
                x=round(place * step + GAP / 2, 2),
                width=round(step - GAP, 2),
                agreed=round(HEIGHT * (day.compares - parted) / most, 2) if most else 0.0,
                parted=round(max(high, 3.0) if parted else 0.0, 2),
                day=day,
            )
        )
    return found
