"""Readiness: every slice with its verdict, and one slice with its gates, its kinds, its trend and the way back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from gateway.clock import Clock
from gateway.console.download import attached
from gateway.console.guard import AnyRequest, Guard
from gateway.console.respond import Respond
from gateway.console.stages import BY_STAGE
from gateway.console.view import HEADERS
from gateway.ports import GuardsPort, ReadinessPort
from gateway.readiness import Outcome, Report, sheet
from gateway.readiness.trend import Day

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
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._readiness = readiness
        self._guards = guards
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
            person = await self._guard.enter(request)
            caller = person.caller
            found = await self._readiness.one(
                entity, region, regions=caller.regions, entities=caller.entities
            )
            days = await self._readiness.trend(entity, region)
            watched = await self._guards.standing(regions=caller.regions, entities=caller.entities)
            return self._respond.page(
                request,
                person,
                "readiness_slice.html",
                r=found,
                watch=next((one for one in watched if (one.entity, one.region) == (entity, region)), None),
                rows=BY_STAGE,
                days=[day for day in reversed(days) if day.compares],
                bars=bars(days),
                width=WIDTH,
                height=HEIGHT,
                may_change=person.may_change,
            )

        return [page, table, workbook, printed, one]

    async def _all(self, regions: frozenset[str] | None, entities: frozenset[str] | None) -> Sequence[Report]:
        order = {name: place for place, name in enumerate(self._entities)}
        found = await self._readiness.all(regions=regions, entities=entities)
        return sorted(found, key=lambda one: (order.get(one.entity, len(order)), one.region))


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
