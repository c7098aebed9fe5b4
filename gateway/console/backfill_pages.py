"""Backfills: their list, one run with what became of its records, and all of it as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway.access import Caller
from gateway.backfill.run import ACTS, OPEN, OUTCOMES, STATES, Act, Item, Outcome, Run
from gateway.backfill.steps import CHUNK
from gateway.clock import Clock
from gateway.console.download import attached, whole
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.narrowing import Narrowing
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.database import moment
from gateway.errors import BackfillRunning, FieldError, GatewayError, Invalid
from gateway.ports import BackfillerPort, SlicesPort
from gateway.routing.plan import PLANS

PAGE = 50
#: Outcome -> its name, and what a record in it is.
WORDS: Mapping[Outcome, tuple[str, str]] = {
    Outcome.CREATED: ("Created", "the target did not hold it: a write into it was made"),
    Outcome.LINKED: ("Linked", "the target held it, and exactly one record there fits"),
    Outcome.PRESENT: ("Present", "linked before; it is never written to"),
    Outcome.SUPERSEDED: ("Superseded", "a live write brings it"),
    Outcome.AMBIGUOUS: ("Ambiguous", "several records of the target fit: a person decides"),
    Outcome.BLOCKED: ("Blocked", "it refers to a record that the target does not hold"),
}
#: Phase -> what a run does in it.
PHASES: Mapping[str, str] = {
    "count": "counts the source",
    "bring": "takes chunk by chunk",
    "verify": "waits for deliveries and comparisons",
}
COLUMNS = (
    "backfill", "entity", "region", "source", "target", "state", "total", "read", *OUTCOMES, "failed", "differs",
    "unlinked", "actor", "reason", "created_at", "ended_at", "ended_by", "note",
)  # fmt: skip
RECORD_COLUMNS = ("record", "outcome", "why", "delivery", "delivery_state", "case")


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/backfills"

    entity: str = ""
    region: str = ""
    state: str = ""


class BackfillPages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        backfiller: BackfillerPort,
        slices: SlicesPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._backfiller = backfiller
        self._slices = slices
        self._clock = clock
        self._entities = tuple(entities)

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/backfills", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            return await self._list(request, await self._guard.enter(request))

        @get("/backfills/now", include_in_schema=False)
        async def lines(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            return await self._list(request, person, template="backfills_now.html")

        @get("/backfills.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            narrowed = _filter(request)
            return whole(
                COLUMNS,
                lambda after, limit: self._page(person.caller, narrowed, after, limit),
                _row,
                lambda run: run.id,
                headers=attached("backfills", self._clock.now()),
            )

        @post("/backfills", include_in_schema=False, status_code=200)
        async def start(request: AnyRequest) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            try:
                run = await self._begin(person.caller, form.get("slice", ""), form.get("reason", "").strip())
            except BackfillRunning as under_way:
                # What was asked for is being done already: that is where the person wants to be.
                return Redirect(f"/console/backfills/{under_way.facts['backfill']}", status_code=303)
            except GatewayError as refused:
                return await self._list(request, person, refused=refused, typed=form)
            return Redirect(f"/console/backfills/{run.id}", status_code=303)

        @get("/backfills/{run_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            return await self._run(request, await self._guard.enter(request), run_id, "backfill.html")

        @get("/backfills/{run_id:str}/now", include_in_schema=False)
        async def progress(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            return await self._run(request, person, run_id, "backfill_now.html")

        @get("/backfills/{run_id:str}/records", include_in_schema=False)
        async def records(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            return await self._records(request, await self._guard.enter(request), run_id)

        @get("/backfills/{run_id:str}/records.csv", include_in_schema=False)
        async def record_table(request: AnyRequest, run_id: FromPath[str]) -> Stream:
            person = await self._guard.enter(request)
            run = await self._get(person.caller, run_id)
            outcome = _outcome(request)
            return whole(
                RECORD_COLUMNS,
                lambda after, limit: self._items(person.caller, run.id, outcome, after, limit),
                _record_row,
                lambda item: item.record_id,
                headers=attached(f"backfilled-{run.entity}-{run.region}", self._clock.now()),
            )

        return [page, lines, table, start, one, progress, records, record_table, *map(self._acting, Act)]

    def _acting(self, act: Act) -> HTTPRouteHandler:
        @post(f"/backfills/{{run_id:str}}/{act.value}", include_in_schema=False, status_code=200)
        async def handle(request: AnyRequest, run_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            caller = person.caller
            reason = form.get("reason", "")
            try:
                await self._backfiller.act(
                    run_id,
                    act,
                    actor=caller.name,
                    reason=reason,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            except GatewayError as refused:
                return await self._run(request, person, run_id, "backfill.html", refused, reason)
            return Redirect(f"/console/backfills/{run_id}", status_code=303)

        return handle

    # --- pages -------------------------------------------------------------------------------------------------

    async def _list(
        self,
        request: AnyRequest,
        person: Person,
        *,
        template: str = "backfills.html",
        refused: GatewayError | None = None,
        typed: dict[str, str] | None = None,
    ) -> Response[str]:
        caller = person.caller
        narrowed = _filter(request)
        after = request.query_params.get("after")
        found = await self._page(caller, narrowed, after, PAGE + 1)
        items = found[:PAGE]
        slices = [one for one in await self._slices.all() if caller.sees(one.entity, one.region)]
        order = {entity: place for place, entity in enumerate(self._entities)}
        slices.sort(key=lambda one: (order.get(one.entity, len(order)), one.region))
        present = {one.entity for one in slices}
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            template,
            status=200 if said is None else said.status,
            f=narrowed,
            found=items,
            after=after,
            more=items[-1].id if len(found) > PAGE else None,
            live=any(run.state in OPEN for run in items),
            phases=PHASES,
            states=STATES,
            paired=[
                (one.entity, one.region, one.authority, mirror)
                for one in slices
                if (mirror := PLANS[one.stage].mirror) is not None
            ],
            entities=[entity for entity in self._entities if entity in present],
            regions=sorted({one.region for one in slices}),
            refused=said,
            typed=typed or {},
            may_change=person.may_change,
            csrf=person.csrf,
            at=self._clock.now(),
        )

    async def _run(
        self,
        request: AnyRequest,
        person: Person,
        run_id: str,
        template: str,
        refused: GatewayError | None = None,
        typed: str = "",
    ) -> Response[str]:
        run = await self._get(person.caller, run_id)
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            template,
            status=200 if said is None else said.status,
            # What may be done with it has changed with its state: the whole page is shown anew.
            headers={"HX-Refresh": "true"} if request.query_params.get("was", run.state) != run.state else {},
            run=run,
            ended=run.state not in OPEN,
            phases=PHASES,
            words=WORDS,
            counts={outcome: getattr(run, outcome.value) for outcome in WORDS},
            chunk=CHUNK,
            chunks=-(-run.read // CHUNK),
            of_chunks=-(-max(run.total, run.read) // CHUNK),
            acts=[act for act in Act if ACTS.get((run.state, act), run.state) is not run.state],
            refused=said,
            typed=typed,
            may_change=person.may_change,
            csrf=person.csrf,
            at=self._clock.now(),
        )

    async def _records(self, request: AnyRequest, person: Person, run_id: str) -> Response[str]:
        run = await self._get(person.caller, run_id)
        outcome = _outcome(request)
        found = await self._items(person.caller, run_id, outcome, request.query_params.get("after"), PAGE + 1)
        items = found[:PAGE]
        return self._respond.page(
            request,
            person,
            "backfilled_records.html",
            run=run,
            found=items,
            more=items[-1].record_id if len(found) > PAGE else None,
            outcome=outcome,
            words=WORDS,
            counts={one: getattr(run, one.value) for one in WORDS},
        )

    # --- what they ask -----------------------------------------------------------------------------------------

    async def _begin(self, caller: Caller, slice_: str, reason: str) -> Run:
        entity, _, region = slice_.partition("/")
        known = {(one.entity, one.region) for one in await self._slices.all()}
        if (entity, region) not in known or not caller.sees(entity, region):
            message = "pick the slice whose mirror is to be filled"
            raise Invalid(message, errors=[FieldError(pointer="/slice", code="unknown", message=message)])
        return await self._backfiller.start(entity, region, actor=caller.name, reason=reason or None)

    async def _get(self, caller: Caller, run_id: str) -> Run:
        return await self._backfiller.get(run_id, regions=caller.regions, entities=caller.entities)

    async def _page(self, caller: Caller, narrowed: Filter, after: str | None, limit: int) -> Sequence[Run]:
        return await self._backfiller.list(
            entity=narrowed.entity or None,
            region=narrowed.region or None,
            state=narrowed.state or None,
            after=after,
            limit=limit,
            regions=caller.regions,
            entities=caller.entities,
        )

    async def _items(
        self, caller: Caller, run_id: str, outcome: Outcome | None, after: str | None, limit: int
    ) -> Sequence[Item]:
        return await self._backfiller.records(
            run_id,
            outcome=outcome,
            after=after or "",
            limit=limit,
            regions=caller.regions,
            entities=caller.entities,
        )


def _filter(request: AnyRequest) -> Filter:
    given = Filter.given(request.query_params)
    if given.get("state") not in STATES:
        given.pop("state", None)
    return Filter(**given)


def _outcome(request: AnyRequest) -> Outcome | None:
    """The outcome of an address. One that there is not is left out, as an old link may have one."""
    asked = request.query_params.get("outcome", "")
    return Outcome(asked) if asked in OUTCOMES else None


def _row(run: Run) -> tuple[str, ...]:
    figures = (
        run.total,
        run.read,
        *(getattr(run, name) for name in OUTCOMES),
        run.failed,
        run.differs,
        run.unlinked,
    )
    return (
        run.id, run.entity, run.region, run.source, run.target, run.state.value,
        *("" if figure is None else str(figure) for figure in figures),
        run.actor, run.reason or "", moment(run.created_at) or "", moment(run.ended_at) or "", run.ended_by or "",
        run.note or "",
    )  # fmt: skip


def _record_row(item: Item) -> tuple[str, ...]:
    return (
        item.record_id,
        item.outcome.value,
        item.why or "",
        item.delivery_id or "",
        item.delivery_state or "",
        item.case_id or "",
    )
