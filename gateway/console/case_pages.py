"""The exception queue: the list, its table as CSV, and one case with what may be decided about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway import spreadsheet
from gateway.access import Caller
from gateway.cases import KINDS, Case, Kind, Resolution
from gateway.cases import queries as case_queries
from gateway.cases.queue import Detail
from gateway.cases.resolve import Decision
from gateway.clock import Clock
from gateway.console.case_view import choices, groups, line, money_of, story
from gateway.console.diff_view import side_by_side, spell
from gateway.console.download import attached
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.narrowing import Narrowing
from gateway.console.record_pages import with_system
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.database import from_micros, to_micros
from gateway.errors import FieldError, GatewayError, Invalid, NotFoundHere, RecordNotFound
from gateway.ports import CasesPort, DiffsPort, JourneyPort, SlicesPort

PAGE = 100
#: Cases in one CSV, the nearest deadlines. A spreadsheet with more is read by nobody.
MOST_ROWS = 5000
AGES: Mapping[str, timedelta] = {
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}
COLUMNS = (
    "case", "kind", "severity", "state", "owner", "deadline", "opened", "entity", "region", "record",
    "operation", "system", "code", "message", "amount", "currency", "closed", "closed_by", "resolution", "reason",
)  # fmt: skip


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/cases"

    kind: str = ""
    owner: str = ""
    entity: str = ""
    region: str = ""
    older: str = ""
    state: str = ""  #: open (the default), closed, all
    record: str = ""


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has put into the forms, so that a refusal loses none of it."""

    resolution: str = ""
    reason: str = ""
    until: str = ""
    native_id: str = ""
    owner: str = ""
    comment: str = ""


class CasePages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        cases: CasesPort,
        diffs: DiffsPort,
        journey: JourneyPort,
        slices: SlicesPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._cases = cases
        self._diffs = diffs
        self._journey = journey
        self._slices = slices
        self._clock = clock
        self._entities = tuple(entities)

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/cases", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            narrowed = _filter(request)
            found = await self._cases.page(
                self._narrowed(person.caller, narrowed),
                after=_place(request.query_params.get("after")),
                limit=PAGE + 1,
            )
            shown, more = found[:PAGE], len(found) > PAGE
            slices = [one for one in await self._slices.all() if person.caller.sees(one.entity, one.region)]
            present = {one.entity for one in slices}
            now = to_micros(self._clock.now())
            return self._respond.page(
                request,
                person,
                "cases.html",
                f=narrowed,
                groups=groups(shown, now=now),
                count=len(shown),
                late=sum(one.state == "open" and one.due_at < now for one in shown),
                unowned=sum(one.state == "open" and one.owner == KINDS[one.kind].owner for one in shown),
                at_stake=money_of(shown),
                more=f"{shown[-1].due_at}:{shown[-1].id}" if more else None,
                kinds=KINDS,
                ages=list(AGES),
                owners=sorted({one.owner for one in shown} | {row.owner for row in KINDS.values()}),
                entities=[entity for entity in self._entities if entity in present],
                regions=sorted({one.region for one in slices}),
                me=person.caller.name,
                most_rows=MOST_ROWS,
            )

        @get("/cases.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            return Stream(
                self._lines(self._narrowed(person.caller, _filter(request))),
                media_type="text/csv",
                headers=attached("cases", self._clock.now()),
            )

        @get("/cases/{case_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, case_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            return await self._page(request, person, await self._one(person.caller, case_id))

        @post("/cases/{case_id:str}/resolve", include_in_schema=False, status_code=200)
        async def resolve(request: AnyRequest, case_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            typed = Typed(
                resolution=form.get("as", ""),
                reason=form.get("reason", ""),
                until=form.get("until", ""),
                native_id=form.get("native_id", ""),
            )

            async def act() -> Detail:
                return await self._cases.resolve(_decision(case_id, typed, person.caller))

            return await self._act(request, person, case_id, typed, act, done="resolve")

        @post("/cases/{case_id:str}/assign", include_in_schema=False, status_code=200)
        async def assign(request: AnyRequest, case_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            typed = Typed(owner=form.get("owner", ""))
            caller = person.caller

            async def act() -> Detail:
                return await self._cases.assign(
                    case_id, typed.owner, by=caller.name, regions=caller.regions, entities=caller.entities
                )

            return await self._act(request, person, case_id, typed, act, done="assign")

        @post("/cases/{case_id:str}/comment", include_in_schema=False, status_code=200)
        async def comment(request: AnyRequest, case_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            typed = Typed(comment=form.get("comment", ""))
            caller = person.caller

            async def act() -> Detail:
                return await self._cases.comment(
                    case_id, typed.comment, by=caller.name, regions=caller.regions, entities=caller.entities
                )

            return await self._act(request, person, case_id, typed, act, done="comment")

        return [page, table, one, resolve, assign, comment]

    async def _act(
        self,
        request: AnyRequest,
        person: Person,
        case_id: str,
        typed: Typed,
        act: Callable[[], Awaitable[Detail]],
        *,
        done: str,
    ) -> Response[Any]:
        try:
            await act()
        except NotFoundHere:
            raise
        except GatewayError as refused:
            detail = await self._one(person.caller, case_id)
            return await self._page(request, person, detail, typed=typed, refused=refused)
        return Redirect(f"/console/cases/{case_id}?done={done}", status_code=303)

    async def _page(
        self,
        request: AnyRequest,
        person: Person,
        detail: Detail,
        *,
        typed: Typed | None = None,
        refused: GatewayError | None = None,
    ) -> Response[str]:
        case = detail.case
        try:
            journey: Mapping[str, Any] | None = await self._journey.of(case.record_id)
        except RecordNotFound:
            journey = None  # a create that never came about leaves its case behind
        diffs = await self._diffs.page(record_id=case.record_id, resolved=False, limit=3)
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            "case.html",
            status=200 if said is None else said.status,
            c=case,
            line=line(case, now=to_micros(self._clock.now())),
            story=story(case, journey),
            choices=choices(case, person=person.caller.name),
            events=[] if journey is None else _of_operation(with_system(journey), case.operation_id),
            attempts=detail.attempts,
            history=detail.events,
            diffs=diffs,
            side_by_side=side_by_side,
            spell=spell,
            refused=said,
            typed=typed or Typed(),
            done=request.query_params.get("done", "") if refused is None else "",
            today=self._clock.now().astimezone(UTC).date().isoformat(),
            may_change=person.may_change,
            csrf=person.csrf,
        )

    async def _one(self, caller: Caller, case_id: str) -> Detail:
        return await self._cases.one(case_id, regions=caller.regions, entities=caller.entities)

    def _narrowed(self, caller: Caller, narrowed: Filter) -> case_queries.Filter:
        age = AGES.get(narrowed.older)
        return case_queries.Filter(
            state={"": "open", "all": None}.get(narrowed.state, narrowed.state),
            owner=narrowed.owner or None,
            kind=narrowed.kind or None,
            entity=narrowed.entity or None,
            region=narrowed.region or None,
            record_id=narrowed.record or None,
            opened_before=None if age is None else to_micros(self._clock.now() - age),
            regions=caller.regions,
            entities=caller.entities,
        )

    async def _lines(self, narrowed: case_queries.Filter) -> AsyncIterator[str]:
        yield spreadsheet.line(COLUMNS)
        after: tuple[int, str] | None = None
        told_rows = 0
        while told_rows < MOST_ROWS:
            found = await self._cases.page(narrowed, after=after, limit=200)
            for case in found:
                yield spreadsheet.line(_row(case))
            if len(found) < 200:
                return
            told_rows += len(found)
            after = (found[-1].due_at, found[-1].id)


def _filter(request: AnyRequest) -> Filter:
    """The filters of the address. What it does not know is left out, so that an old link still opens a page."""
    given = Filter.given(request.query_params)
    for name, known in (("kind", list(Kind)), ("state", ["closed", "all"]), ("older", list(AGES))):
        if given.get(name) not in known:
            given.pop(name, None)
    return Filter(**given)


def _place(after: str | None) -> tuple[int, str] | None:
    due_at, _, case_id = (after or "").partition(":")
    return (int(due_at), case_id) if due_at.isdecimal() and case_id else None


def _decision(case_id: str, typed: Typed, caller: Caller) -> Decision:
    """Raises Invalid for what was left out."""
    if typed.resolution not in list(Resolution):
        error = FieldError(pointer="/as", code="as", message="pick what you have found or decided")
        raise Invalid("nothing was picked", errors=[error])
    resolution = Resolution(typed.resolution)
    until: int | None = None
    if resolution is Resolution.ACCEPT_DIVERGENCE and typed.until.strip():
        try:
            until = to_micros(datetime.fromisoformat(typed.until.strip()).replace(tzinfo=UTC))
        except ValueError:
            error = FieldError(pointer="/until", code="until", message="is a day, such as 2026-12-31")
            raise Invalid("the day cannot be read", errors=[error]) from None
    return Decision(
        case_id=case_id,
        resolution=resolution,
        reason=typed.reason,
        by=caller.name,
        until=until,
        native_id=(typed.native_id.strip() or None) if resolution is Resolution.APPLIED else None,
        regions=caller.regions,
        entities=caller.entities,
    )


def _of_operation(events: Sequence[Mapping[str, Any]], operation_id: str) -> list[Mapping[str, Any]]:
    return [one for one in events if one["operation"] == operation_id]


def _row(case: Case) -> tuple[str, ...]:
    return (
        case.id,
        case.kind.value,
        KINDS[case.kind].severity.value,
        case.state,
        case.owner,
        from_micros(case.due_at).isoformat(),
        from_micros(case.opened_at).isoformat(),
        case.entity,
        case.region,
        case.record_id,
        case.operation_id,
        case.system or "",
        case.code or "",
        case.message or "",
        "" if case.amount is None else format(case.amount, "f"),
        case.currency or "",
        "" if case.closed_at is None else from_micros(case.closed_at).isoformat(),
        case.closed_by or "",
        case.resolution or "",
        case.reason or "",
    )
