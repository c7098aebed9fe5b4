"""The flow of writes: each system's health and backlog, held lanes, dead letters by cause, and their replay."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway import spreadsheet
from gateway.access import Caller
from gateway.audit import LONGEST_REASON
from gateway.change_feed import State
from gateway.clock import Clock, rfc3339
from gateway.console.diff_view import spell
from gateway.console.download import attached
from gateway.console.flow_view import NAMES, cards, link, replayable, said, share, way
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.ports import FlowPort
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.database import from_micros
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.flow import Held, Target
from gateway.errors import CannotCancel, GatewayError, Invalid
from gateway.ports import FeedsPort, ReplaysPort, SlicesPort

#: Causes on one page, the most frequent ones.
MOST_CAUSES = 100
#: Letters in one CSV.
MOST_ROWS = 5000
#: Runs that the page names beside those that are running.
LATELY = 5
#: Seconds for which the figures are good enough for the next poll.
FRESH_S = 1.0
COLUMNS = (
    "delivery", "operation", "record", "system", "role", "entity", "region", "cause", "code", "message",
    "attempts", "waits_since",
)  # fmt: skip

#: Feeds that have nothing to show.
_UNSHOWN = (State.NOT_PAIRED, State.OFF)

Scope = frozenset[str] | None
Now = tuple[Sequence[Target], Held]


class FlowPages:
    """``health`` says of each system ``up`` or ``down`` as it was last seen."""

    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        flow: FlowPort,
        replays: ReplaysPort,
        follower: FeedsPort,
        slices: SlicesPort,
        health: Callable[[], Mapping[str, str]],
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._flow = flow
        self._replays = replays
        self._follower = follower
        self._slices = slices
        self._health = health
        self._clock = clock
        self._entities = tuple(entities)
        self._asking = asyncio.Lock()
        self._known: dict[tuple[Scope, Scope], tuple[float, Now]] = {}

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/flow", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            narrowed = _filter(request.query_params)
            caller = person.caller
            causes = await self._flow.causes(narrowed, regions=caller.regions, entities=caller.entities)
            again = replayable(causes)
            feeds = await self._follower.list(regions=caller.regions, entities=caller.entities)
            slices = [one for one in await self._slices.all() if caller.sees(one.entity, one.region)]
            present = {one.entity for one in slices}
            return self._respond.page(
                request,
                person,
                "flow.html",
                **await self._now(caller),
                f=narrowed,
                link=link,
                said=said(narrowed),
                narrowed=said(narrowed) != said(Narrowed()),
                feeds=[one for one in feeds if one.state not in _UNSHOWN],
                causes=causes[:MOST_CAUSES],
                more=len(causes) - MOST_CAUSES,
                letters=sum(one.count for one in causes),
                again=sum(one.count for one in again),
                may_change=person.may_change,
                most_rows=MOST_ROWS,
                entities=[entity for entity in self._entities if entity in present],
                regions=sorted({one.region for one in slices}),
            )

        @get("/flow/now", include_in_schema=False)
        async def now(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            return self._respond.page(request, person, "flow_now.html", **await self._now(person.caller))

        @get("/flow.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            return Stream(
                self._lines(person.caller, _filter(request.query_params)),
                media_type="text/csv",
                headers=attached("dead-letters", self._clock.now()),
            )

        @get("/flow/replay", include_in_schema=False)
        async def ask(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            return await self._ask(request, person, _filter(request.query_params))

        @post("/flow/replay", include_in_schema=False, status_code=200)
        async def start(request: AnyRequest) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            narrowed = _filter(form)
            try:
                run = await self._replays.start(
                    msgspec.structs.replace(narrowed, until=_until(form)),
                    actor=person.caller.name,
                    reason=form.get("reason", ""),
                    regions=person.caller.regions,
                    entities=person.caller.entities,
                )
            except Invalid as refused:
                return await self._ask(
                    request, person, narrowed, typed=form.get("reason", ""), refused=refused
                )
            return Redirect(f"/console/replays/{run.id}", status_code=303)

        @get("/replays/{run_id:str}", include_in_schema=False)
        async def one(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            return await self._run(request, person, run_id, "replay.html")

        @get("/replays/{run_id:str}/now", include_in_schema=False)
        async def progress(request: AnyRequest, run_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            return await self._run(request, person, run_id, "replay_now.html")

        @post("/replays/{run_id:str}/cancel", include_in_schema=False, status_code=200)
        async def cancel(request: AnyRequest, run_id: FromPath[str]) -> Response[Any]:
            person, _ = await self._guard.submitted(request)
            caller = person.caller
            try:
                await self._replays.cancel(
                    run_id, actor=caller.name, regions=caller.regions, entities=caller.entities
                )
            except CannotCancel:
                # It was done before the click arrived; the page says so.
                return Redirect(f"/console/replays/{run_id}", status_code=303)
            return Redirect(f"/console/replays/{run_id}", status_code=303)

        @get("/operations/{operation_id:str}", include_in_schema=False)
        async def operation(request: AnyRequest, operation_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            caller = person.caller
            found = await self._flow.operation(operation_id, regions=caller.regions, entities=caller.entities)
            return self._respond.page(
                request, person, "operation.html", op=found, way=way(found), spell=spell
            )

        return [page, now, table, ask, start, one, progress, cancel, operation]

    # --- pages -------------------------------------------------------------------------------------------------

    async def _now(self, caller: Caller) -> dict[str, Any]:
        """What the part of the page shows that stays live."""
        targets, held = await self._figures(caller.regions, caller.entities)
        runs = await self._replays.list(limit=LATELY, regions=caller.regions, entities=caller.entities)
        return {
            "cards": cards(targets, self._health()),
            "held": held,
            "runs": runs,
            "share": share,
            "said_of": said,
            "at": self._clock.now(),
        }

    async def _figures(self, regions: Scope, entities: Scope) -> Now:
        """What all open pages of one reach show is asked for once a second, however many look."""
        async with self._asking:
            kept = self._known.get((regions, entities))
            at = self._clock.monotonic()
            if kept is None or at - kept[0] > FRESH_S:
                found = (
                    await self._flow.targets(regions=regions, entities=entities),
                    await self._flow.held(regions=regions, entities=entities),
                )
                # Only what is fresh is kept, so keys that have long gone leave nothing behind.
                self._known = {key: old for key, old in self._known.items() if at - old[0] <= FRESH_S}
                self._known[regions, entities] = kept = (at, found)
            return kept[1]

    async def _ask(
        self,
        request: AnyRequest,
        person: Person,
        narrowed: Narrowed,
        *,
        typed: str = "",
        refused: GatewayError | None = None,
    ) -> Response[str]:
        """The count first, and then the button."""
        caller = person.caller
        found = await self._replays.forecast(narrowed, regions=caller.regions, entities=caller.entities)
        return self._respond.page(
            request,
            person,
            "replay_ask.html",
            status=200 if refused is None else told(refused).status,
            f=narrowed,
            fields=[(name, getattr(narrowed, name)) for name in NAMES if getattr(narrowed, name)],
            said=said(narrowed),
            back=link(narrowed),
            found=found,
            sent=found.count - found.superseded - found.refused,
            until=rfc3339(found.at.astimezone(UTC)),
            typed=typed,
            longest=LONGEST_REASON,
            refused=None if refused is None else told(refused),
            may_change=person.may_change,
            csrf=person.csrf,
        )

    async def _run(self, request: AnyRequest, person: Person, run_id: str, template: str) -> Response[str]:
        caller = person.caller
        run = await self._replays.get(run_id, regions=caller.regions, entities=caller.entities)
        return self._respond.page(
            request,
            person,
            template,
            run=run,
            share=share(run),
            said=said(run.filter),
            back=link(run.filter),
            may_change=person.may_change,
            csrf=person.csrf,
            at=self._clock.now(),
        )

    async def _lines(self, caller: Caller, narrowed: Narrowed) -> AsyncIterator[str]:
        yield spreadsheet.line(COLUMNS)
        after, told_of = "", 0
        while told_of < MOST_ROWS:
            found = await self._flow.letters(
                narrowed, after=after, limit=500, regions=caller.regions, entities=caller.entities
            )
            for one in found:
                yield spreadsheet.line(
                    (
                        one.delivery_id, one.operation_id, one.record_id, one.system, one.role, one.entity,
                        one.region, one.cause, one.code or "", one.message or "", str(one.attempt),
                        from_micros(one.since).isoformat(),
                    )
                )  # fmt: skip
            if len(found) < 500:
                return
            told_of += len(found)
            after = found[-1].delivery_id


def _filter(given: Mapping[str, str]) -> Narrowed:
    """The filters of an address or a form."""

    def wanted(name: str) -> str | None:
        return given.get(name, "").strip()[:80] or None

    return Narrowed(
        system=wanted("system"),
        entity=wanted("entity"),
        region=wanted("region"),
        code=wanted("code"),
        cause=wanted("cause"),
    )


def _until(form: Mapping[str, str]) -> datetime | None:
    """The moment up to which the page had counted. Raises Invalid for what is none."""
    text = form.get("until", "")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Invalid("the page does not say up to when it had counted; load it again")
    return moment
