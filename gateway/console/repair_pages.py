"""Repairs from a reconciliation: planned, shown with what would be written where, asked for, approved and followed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway import spreadsheet
from gateway.clock import Clock
from gateway.console.diff_view import side_by_side
from gateway.console.download import AT_ONCE, attached
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.narrowing import Narrowing
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.errors import GatewayError
from gateway.ports import RepairerPort
from gateway.repair.run import ACTIONS, ACTS, OUTCOMES, WORKED, Act, Action, Item, Outcome, Repair, State
from gateway.repair.sheet import COLUMNS, rows

PAGE = 50
#: Records of a plan that its own page shows, and fields of one record.
SHOWN, FIELDS = 20, 12
#: Action -> its name, and what is done to a record of it.
ACTION_WORDS: Mapping[Action, tuple[str, str]] = {
    Action.CREATE: ("Create", "the mirror does not hold it: it gets the whole record"),
    Action.UPDATE: ("Update", "the mirror gets the fields that part"),
    Action.LINK: ("Link", "exactly one record of the mirror fits: nothing is written to it"),
    Action.AMBIGUOUS: ("Ambiguous", "several records of the mirror fit: a person says which"),
    Action.PERSON: ("A person's", "posted, only in the mirror, or in a state that leads nowhere: a case"),
    Action.BLOCKED: ("Blocked", "it refers to a record that the mirror does not hold, or cannot be read or written"),
    Action.NOTHING: ("Nothing", "the difference is gone, or a write or a person has it already"),
}
OUTCOME_WORDS: Mapping[Outcome, tuple[str, str]] = {
    Outcome.PLANNED: ("Planned", "not taken yet"),
    Outcome.WRITTEN: ("On its way", "its write is on its way, or both sides are to be compared still"),
    Outcome.REPAIRED: ("Repaired", "the mirror has taken it, and both sides were compared anew"),
    Outcome.LINKED: ("Linked", "exactly one record of the mirror fitted"),
    Outcome.SUPERSEDED: ("Superseded", "it was not as planned any more, so nothing was written"),
    Outcome.PERSON: ("With a person", "a case has it"),
    Outcome.FAILED: ("Failed", "the mirror refused it, it differs still, or it could not be written"),
}
#: State -> what is going on in it.
STATE_WORDS: Mapping[State, str] = {
    State.PLANNING: "each record is read in both systems",
    State.PLANNED: "a dry run: nothing was written",
    State.REQUESTED: "waits for another person",
    State.RUNNING: "goes into the ledger, chunk by chunk",
    State.VERIFYING: "waits for deliveries and comparisons",
    State.EXPIRED: "nobody has approved it in time",
}


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/repairs"

    action: str = ""
    outcome: str = ""


class RepairPages:
    def __init__(self, *, guard: Guard, respond: Respond, repairer: RepairerPort, clock: Clock) -> None:
        self._guard = guard
        self._respond = respond
        self._repairer = repairer
        self._clock = clock

    def handlers(self) -> list[HTTPRouteHandler]:
        @post("/reconciliations/{run_id:str}/repairs", include_in_schema=False, status_code=200)
        async def plan(request: AnyRequest, run_id: FromPath[str]) -> Response[Any]:
            person, _ = await self._guard.submitted(request)
            caller = person.caller
            made = await self._repairer.plan(
                run_id, dry_run=True, actor=caller.name, regions=caller.regions, entities=caller.entities
            )
            return Redirect(f"/console/repairs/{made.id}", status_code=303)

        @get("/repairs/{repair_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, repair_id: FromPath[str]) -> Response[str]:
            return await self._one(request, await self._guard.enter(request), repair_id, "repair.html")

        @get("/repairs/{repair_id:str}/now", include_in_schema=False)
        async def now(request: AnyRequest, repair_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            return await self._one(request, person, repair_id, "repair_now.html")

        @post("/repairs/{repair_id:str}/request", include_in_schema=False, status_code=200)
        async def ask(request: AnyRequest, repair_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            return await self._acted(request, person, repair_id, Act.REQUEST, form)

        @post("/repairs/{repair_id:str}/approve", include_in_schema=False, status_code=200)
        async def approve(request: AnyRequest, repair_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.approved(request)
            return await self._acted(request, person, repair_id, Act.APPROVE, form)

        @post("/repairs/{repair_id:str}/cancel", include_in_schema=False, status_code=200)
        async def cancel(request: AnyRequest, repair_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            return await self._acted(request, person, repair_id, Act.CANCEL, form)

        @get("/repairs/{repair_id:str}/records", include_in_schema=False)
        async def records(request: AnyRequest, repair_id: FromPath[str]) -> Response[str]:
            return await self._records(request, await self._guard.enter(request), repair_id)

        @get("/repairs/{repair_id:str}/records.csv", include_in_schema=False)
        async def table(request: AnyRequest, repair_id: FromPath[str]) -> Stream:
            person = await self._guard.enter(request)
            repair = await self._get(person, repair_id)
            return Stream(
                self._lines(person, repair, _filter(request)),
                media_type="text/csv",
                headers=attached(f"repair-{repair.entity}-{repair.region}", self._clock.now()),
            )

        return [plan, one, now, ask, approve, cancel, records, table]

    # --- pages -------------------------------------------------------------------------------------------------

    async def _one(
        self,
        request: AnyRequest,
        person: Person,
        repair_id: str,
        template: str,
        refused: GatewayError | None = None,
        typed: str = "",
    ) -> Response[str]:
        repair = await self._get(person, repair_id)
        found = await self._items(person, repair_id, Filter(), "", SHOWN + 1)
        said = None if refused is None else told(refused)
        return self._respond.page(
            request,
            person,
            template,
            status=200 if said is None else said.status,
            # What may be done with it has changed with its state: the whole page is shown anew.
            headers={"HX-Refresh": "true"}
            if request.query_params.get("was", repair.state) != repair.state
            else {},
            r=repair,
            live=repair.state.value in WORKED,
            found=found[:SHOWN],
            more=len(found) > SHOWN,
            own=repair.requested_by == person.caller.name,
            may_cancel=ACTS.get((repair.state, Act.CANCEL), repair.state) is not repair.state,
            refused=said,
            typed=typed,
            may_approve=person.may_approve,
            may_change=person.may_change,
            csrf=person.csrf,
            **self._words(),
        )

    async def _records(self, request: AnyRequest, person: Person, repair_id: str) -> Response[str]:
        repair = await self._get(person, repair_id)
        narrowed = _filter(request)
        found = await self._items(
            person, repair_id, narrowed, request.query_params.get("after", ""), PAGE + 1
        )
        items = found[:PAGE]
        return self._respond.page(
            request,
            person,
            "repair_records.html",
            r=repair,
            f=narrowed,
            action=Action(narrowed.action) if narrowed.action else None,
            outcome=Outcome(narrowed.outcome) if narrowed.outcome else None,
            found=items,
            more=items[-1].record_id if len(found) > PAGE else None,
            **self._words(),
        )

    def _words(self) -> dict[str, Any]:
        """What every page of a repair is written with."""
        return {
            "actions": ACTION_WORDS,
            "outcomes": OUTCOME_WORDS,
            "words": STATE_WORDS,
            "side_by_side": side_by_side,
            "most": FIELDS,
            "at": self._clock.now(),
        }

    # --- what they ask -----------------------------------------------------------------------------------------

    async def _acted(
        self, request: AnyRequest, person: Person, repair_id: str, act: Act, form: Mapping[str, str]
    ) -> Response[Any]:
        caller = person.caller
        scope = {"regions": caller.regions, "entities": caller.entities}
        reason, plan_hash = form.get("reason", ""), form.get("plan_hash", "")
        try:
            match act:
                case Act.REQUEST:
                    await self._repairer.request(
                        repair_id, plan_hash=plan_hash, actor=caller.name, reason=reason, **scope
                    )
                case Act.APPROVE:
                    await self._repairer.approve(repair_id, plan_hash=plan_hash, actor=caller.name, **scope)
                case Act.CANCEL:
                    await self._repairer.cancel(repair_id, actor=caller.name, reason=reason, **scope)
        except GatewayError as refused:
            return await self._one(request, person, repair_id, "repair.html", refused, reason)
        return Redirect(f"/console/repairs/{repair_id}", status_code=303)

    async def _get(self, person: Person, repair_id: str) -> Repair:
        caller = person.caller
        return await self._repairer.get(repair_id, regions=caller.regions, entities=caller.entities)

    async def _items(
        self, person: Person, repair_id: str, narrowed: Filter, after: str, limit: int
    ) -> Sequence[Item]:
        caller = person.caller
        return await self._repairer.records(
            repair_id,
            action=Action(narrowed.action) if narrowed.action else None,
            outcome=Outcome(narrowed.outcome) if narrowed.outcome else None,
            after=after,
            limit=limit,
            regions=caller.regions,
            entities=caller.entities,
        )

    async def _lines(self, person: Person, repair: Repair, narrowed: Filter) -> AsyncIterator[str]:
        yield spreadsheet.line(COLUMNS)
        after = ""
        while True:
            found = await self._items(person, repair.id, narrowed, after, AT_ONCE)
            for one in found:
                for cells in rows(repair, one):
                    yield spreadsheet.line(cells)
            if len(found) < AT_ONCE:
                return
            after = found[-1].record_id


def _filter(request: AnyRequest) -> Filter:
    """What the address is narrowed to. What there is not is left out, as an old link may have it."""
    given = Filter.given(request.query_params)
    for name, known in (("action", ACTIONS), ("outcome", OUTCOMES)):
        if given.get(name) not in known:
            given.pop(name, None)
    return Filter(**given)
