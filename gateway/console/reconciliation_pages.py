"""Reconciliations: their list, one run with its bridge, the records of each term, and all of it as CSV."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway import spreadsheet
from gateway.clock import Clock
from gateway.console.diff_view import side_by_side
from gateway.console.download import attached, whole
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.narrowing import Narrowing
from gateway.console.reconciliation_view import (
    PHASES,
    TERMS,
    bridge_rows,
    figure,
    named,
    pack_rows,
    records_link,
    total_rows,
)
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.database import moment
from gateway.errors import CannotCancel, FieldError, GatewayError, Invalid, ReconciliationRunning
from gateway.ports import ReconcilerPort, RepairerPort, SlicesPort
from gateway.reconcile.bridge import Term
from gateway.reconcile.measures import shown
from gateway.reconcile.run import STATES, Run
from gateway.reconcile.sheet import COLUMNS, rows
from gateway.reconcile.sources import Declared
from gateway.repair import Repair
from gateway.routing.plan import PLANS
from gateway.routing.stage import System

PAGE = 50
#: Records that a CSV asks for at once.
PIECE = 200
#: Repairs that a reconciliation's page shows.
REPAIRS = 10
RUN_COLUMNS = (
    "reconciliation", "entity", "region", "authority", "mirror", "stage", "state", "verdict", "read_authority",
    "read_mirror", *(term.value for term in Term), "actor", "reason", "created_at", "ended_at", "note",
)  # fmt: skip
BRIDGE_COLUMNS = ("measure", "currency", "authority", "mirror", *(term.value for term in Term), "residual")


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/reconciliations"

    entity: str = ""
    region: str = ""
    state: str = ""


class ReconciliationPages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        reconciler: ReconcilerPort,
        repairer: RepairerPort,
        slices: SlicesPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._reconciler = reconciler
        self._repairer = repairer
        self._slices = slices
        self._clock = clock
        self._entities = tuple(entities)

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/reconciliations", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            return await self._list(request, await self._guard.enter(request))

        @get("/reconciliations.csv", include_in_schema=False)
        async def runs(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            narrowed = _filter(request)
            return whole(
                RUN_COLUMNS,
                lambda after, limit: self._page(person, narrowed, after, limit),
                _run_row,
                lambda one: one.id,
                headers=attached("reconciliations", self._clock.now()),
            )

        @post("/reconciliations", include_in_schema=False, status_code=200)
        async def start(request: AnyRequest) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            try:
                run = await self._begin(person, form)
            except ReconciliationRunning as under_way:
                # What was asked for is being done already: that is where the person wants to be.
                return Redirect(
                    f"/console/reconciliations/{under_way.facts['reconciliation']}", status_code=303
                )
            except GatewayError as refused:
                return await self._list(request, person, refused=refused, typed=form)
            return Redirect(f"/console/reconciliations/{run.id}", status_code=303)

        @get("/reconciliations/{run_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            return await self._run(request, person, run_id, "reconciliation.html")

        @get("/reconciliations/{run_id:str}/now", include_in_schema=False)
        async def progress(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            return await self._run(request, person, run_id, "reconciliation_now.html")

        @post("/reconciliations/{run_id:str}/cancel", include_in_schema=False, status_code=200)
        async def cancel(request: AnyRequest, run_id: FromPath[str]) -> Response[Any]:
            person, _ = await self._guard.submitted(request)
            caller = person.caller
            try:
                await self._reconciler.cancel(
                    run_id, actor=caller.name, regions=caller.regions, entities=caller.entities
                )
            except CannotCancel:
                # It had ended before the click arrived; the page says so.
                return Redirect(f"/console/reconciliations/{run_id}", status_code=303)
            return Redirect(f"/console/reconciliations/{run_id}", status_code=303)

        @get("/reconciliations/{run_id:str}/bridge.csv", include_in_schema=False)
        async def bridge(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            run = await self._get(person, run_id)
            return Response(
                "".join(_bridge_lines(run)),
                media_type="text/csv",
                headers=attached(f"bridge-{run.entity}-{run.region}", self._clock.now()),
            )

        @get("/reconciliations/{run_id:str}/records", include_in_schema=False)
        async def records(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            return await self._records(request, await self._guard.enter(request), run_id)

        @get("/reconciliations/{run_id:str}/records.csv", include_in_schema=False)
        async def table(request: AnyRequest, run_id: FromPath[str]) -> Stream:
            person = await self._guard.enter(request)
            run = await self._get(person, run_id)
            return Stream(
                self._lines(person, run, *_asked(request)),
                media_type="text/csv",
                headers=attached(f"records-{run.entity}-{run.region}", self._clock.now()),
            )

        return [page, runs, start, one, progress, cancel, bridge, records, table]

    async def _page(self, person: Person, narrowed: Filter, after: str | None, limit: int) -> Sequence[Run]:
        return await self._reconciler.list(
            entity=narrowed.entity or None,
            region=narrowed.region or None,
            state=narrowed.state or None,
            after=after,
            limit=limit,
            regions=person.caller.regions,
            entities=person.caller.entities,
        )

    # --- pages -------------------------------------------------------------------------------------------------

    async def _list(
        self,
        request: AnyRequest,
        person: Person,
        *,
        refused: GatewayError | None = None,
        typed: dict[str, str] | None = None,
    ) -> Response[str]:
        caller = person.caller
        narrowed = _filter(request)
        found = await self._page(person, narrowed, request.query_params.get("after"), PAGE + 1)
        items = found[:PAGE]
        slices = [one for one in await self._slices.all() if caller.sees(one.entity, one.region)]
        order = {entity: place for place, entity in enumerate(self._entities)}
        paired = [one for one in slices if PLANS[one.stage].mirror is not None]
        paired.sort(key=lambda one: (order.get(one.entity, len(order)), one.region))
        present = {one.entity for one in slices}
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            "reconciliations.html",
            status=200 if said is None else said.status,
            f=narrowed,
            found=items,
            more=items[-1].id if len(found) > PAGE else None,
            phases=PHASES,
            unexplained=Term.UNEXPLAINED,
            states=STATES,
            paired=[(f"{one.entity}/{one.region}", one.entity, one.region) for one in paired],
            sources=self._sources(),
            entities=[entity for entity in self._entities if entity in present],
            regions=sorted({one.region for one in slices}),
            refused=said,
            typed=typed or {},
            may_change=person.may_change,
            csrf=person.csrf,
        )

    def _sources(self) -> dict[str, list[Declared]]:
        """The sources of each system that has any."""
        found: dict[str, list[Declared]] = {system.value: [] for system in System}
        for one in self._reconciler.declared():
            if one.system in found:
                found[one.system].append(one)
        return {system: sources for system, sources in found.items() if sources}

    async def _begin(self, person: Person, form: dict[str, str]) -> Run:
        entity, _, region = form.get("slice", "").partition("/")
        known = {(one.entity, one.region) for one in await self._slices.all()}
        if (entity, region) not in known or not person.caller.sees(entity, region):
            message = "pick the slice that is to be reconciled"
            raise Invalid(message, errors=[FieldError(pointer="/slice", code="unknown", message=message)])
        return await self._reconciler.start(
            entity,
            region,
            actor=person.caller.name,
            reason=form.get("reason", "").strip() or None,
            sources=[name for system in System if (name := form.get(f"source_{system.value}"))],
        )

    async def _get(self, person: Person, run_id: str) -> Run:
        caller = person.caller
        return await self._reconciler.get(run_id, regions=caller.regions, entities=caller.entities)

    async def _run(self, request: AnyRequest, person: Person, run_id: str, template: str) -> Response[str]:
        run = await self._get(person, run_id)
        report = run.report
        repairs: Sequence[Repair] = ()
        if report is not None and report.terms.get(Term.UNEXPLAINED):
            caller = person.caller
            repairs = await self._repairer.list(run_id, limit=REPAIRS, regions=caller.regions, entities=caller.entities)
        return self._respond.page(
            request,
            person,
            template,
            # What there is to be had of it has changed with its state: the whole page is shown anew.
            headers={"HX-Refresh": "true"} if request.query_params.get("was", run.state) != run.state else {},
            run=run,
            report=report,
            repairs=repairs,
            phases=PHASES,
            terms=TERMS,
            bridge=[] if report is None else bridge_rows(run, report),
            totals=[] if report is None else total_rows(report),
            pack=[] if report is None else pack_rows(report),
            named=named,
            link=records_link,
            may_change=person.may_change,
            csrf=person.csrf,
            at=self._clock.now(),
        )

    async def _records(self, request: AnyRequest, person: Person, run_id: str) -> Response[str]:
        run = await self._get(person, run_id)
        term, measure, currency = _asked(request)
        caller = person.caller
        found = await self._reconciler.records(
            run_id,
            term=term,
            measure=measure or None,
            currency=currency or None,
            after=request.query_params.get("after", ""),
            limit=PAGE + 1,
            regions=caller.regions,
            entities=caller.entities,
        )
        items = found[:PAGE]
        return self._respond.page(
            request,
            person,
            "reconciled_records.html",
            run=run,
            found=items,
            more=items[-1].record_id if len(found) > PAGE else None,
            term=term,
            measure=measure,
            currency=currency,
            terms=TERMS,
            named=named,
            figure=figure,
            link=records_link,
            side_by_side=side_by_side,
            may_change=person.may_change,
            csrf=person.csrf,
        )

    async def _lines(
        self, person: Person, run: Run, term: Term | None, measure: str, currency: str
    ) -> AsyncIterator[str]:
        caller = person.caller
        yield spreadsheet.line(COLUMNS)
        after = ""
        while True:
            found = await self._reconciler.records(
                run.id,
                term=term,
                measure=measure or None,
                currency=currency or None,
                after=after,
                limit=PIECE,
                regions=caller.regions,
                entities=caller.entities,
            )
            for one in found:
                for cells in rows(one):
                    yield spreadsheet.line(cells)
            if len(found) < PIECE:
                return
            after = found[-1].record_id


def _bridge_lines(run: Run) -> list[str]:
    found = [spreadsheet.line(BRIDGE_COLUMNS)]
    for line in () if run.report is None else run.report.bridge:
        amounts = (line.authority, line.mirror, *(line.terms[term] for term in Term), line.residual)
        cells = (format(shown(amount, line.currency), "f") for amount in amounts)
        found.append(spreadsheet.line((line.measure, line.currency, *cells)))
    return found


def _asked(request: AnyRequest) -> tuple[Term | None, str, str]:
    """Term, measure and currency of an address. A term that there is not is left out, as an old link may have one."""
    query = request.query_params
    term = query.get("term", "")
    return (
        Term(term) if term in set(Term) else None,
        query.get("measure", "")[:40],
        query.get("currency", "")[:3],
    )


def _run_row(run: Run) -> tuple[str, ...]:
    terms = run.terms or {}
    return (
        run.id, run.entity, run.region, run.authority, run.other, run.stage, run.state,
        "" if run.verdict is None else run.verdict.value, str(run.read_authority), str(run.read_mirror),
        *("" if run.terms is None else str(terms.get(term, 0)) for term in Term),
        run.actor, run.reason or "", moment(run.created_at) or "", moment(run.ended_at) or "", run.note or "",
    )  # fmt: skip


def _filter(request: AnyRequest) -> Filter:
    given = Filter.given(request.query_params)
    if given.get("state") not in STATES:
        given.pop("state", None)
    return Filter(**given)
