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

from gateway.access import Caller
from gateway.clock import Clock
from gateway.console.download import attached
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.narrowing import Narrowing
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


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/readiness"

    entity: str = ""
    region: str = ""
    verdict: str = ""

    def of(self, found: Sequence[Report]) -> Sequence[Report]:
        """Those with this verdict."""
        return [one for one in found if self.verdict in ("", one.verdict.value)]


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
            caller, narrowed = person.caller, _filter(request)
            slices = [one for one in await self._slices.all() if caller.sees(one.entity, one.region)]
            present = {one.entity for one in slices}
            judged = await self._all(caller, narrowed)
            return self._respond.page(
                request,
                person,
                "readiness.html",
                f=narrowed,
                found=narrowed.of(judged),
                counts={one: sum(1 for report in judged if report.verdict is one) for one in Outcome},
                entities=[entity for entity in self._entities if entity in present],
                regions=sorted({one.region for one in slices}),
                rows=BY_STAGE,
                at=self._clock.now(),
            )

        @get("/readiness.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Response[str]:
            found = await self._shown(request)
            return Response(
                sheet.table(found),
                media_type="text/csv",
                headers=attached("readiness", self._clock.now()),
            )

        @get("/readiness.xlsx", include_in_schema=False)
        async def workbook(request: AnyRequest) -> Response[bytes]:
            found = await self._shown(request)
            return Response(
                sheet.workbook(found),
                media_type=sheet.XLSX,
                headers=attached("readiness", self._clock.now(), kind="xlsx"),
            )

        @get("/readiness.pdf", include_in_schema=False)
        async def printed(request: AnyRequest) -> Response[bytes]:
            found = await self._shown(request)
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

    async def _shown(self, request: AnyRequest) -> Sequence[Report]:
        """The reports that the page of this address has."""
        person = await self._guard.enter(request)
        narrowed = _filter(request)
        return narrowed.of(await self._all(person.caller, narrowed))

    async def _all(self, caller: Caller, narrowed: Filter) -> Sequence[Report]:
        """The reports of the slices, whatever their verdict."""
        order = {name: place for place, name in enumerate(self._entities)}
        found = await self._readiness.all(
            entity=narrowed.entity or None,
            region=narrowed.region or None,
            regions=caller.regions,
            entities=caller.entities,
        )
        return sorted(found, key=lambda one: (order.get(one.entity, len(order)), one.region))


def _filter(request: AnyRequest) -> Filter:
    given = Filter.given(request.query_params)
    if given.get("verdict") not in set(Outcome):
        given.pop("verdict", None)
    return Filter(**given)


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
