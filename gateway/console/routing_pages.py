"""The routing matrix, and the panel in which the stage of a slice is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from gateway.access import Caller
from gateway.audit import LONGEST_REASON
from gateway.clock import Clock
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.matrix import Cell, Compared, Matrix, compared_of, matrix
from gateway.console.ports import BacklogPort
from gateway.console.refusal import Told, told
from gateway.console.respond import Respond
from gateway.console.stages import STAGES, choices
from gateway.errors import (
    FieldError,
    GatewayError,
    Invalid,
    NotFoundHere,
    RuleRefused,
    RuleVersionMoved,
    UnknownRegion,
)
from gateway.ledger.slices import Slice
from gateway.ports import DiffsPort, SlicesPort, SwitchoverPort
from gateway.routing.ruleset import MOST_SAMPLE
from gateway.routing.stage import Stage

#: Seconds for which the figures of the matrix are good enough for the next poll.
FRESH_S = 1.0

Figures = tuple[Mapping[tuple[str, str], Compared], Mapping[tuple[str, str], Mapping[str, Any]]]


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has put into the panel, so that a refusal loses none of it."""

    stage: str = ""
    reason: str = ""
    override: bool = False
    override_reason: str = ""
    expected_version: str = ""
    compare_sample: str = ""


class RoutingPages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        slices: SlicesPort,
        backlog: BacklogPort,
        diffs: DiffsPort,
        switchover: SwitchoverPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._slices = slices
        self._backlog = backlog
        self._diffs = diffs
        self._switchover = switchover
        self._clock = clock
        self._entities = tuple(entities)
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._known: Figures = ({}, {})

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request)
            shown = await self._matrix(person.caller)
            return self._respond.page(
                request, person, "routing.html", m=shown, stages=STAGES, at=self._clock.now()
            )

        @get("/matrix", include_in_schema=False)
        async def fragment(request: AnyRequest) -> Response[str]:
            person = await self._guard.enter(request, by_person=False)
            shown = await self._matrix(person.caller)
            return self._respond.page(request, person, "matrix.html", m=shown, at=self._clock.now())

        @get("/slices/{entity:str}/{region:str}", include_in_schema=False)
        async def panel(request: AnyRequest, entity: FromPath[str], region: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            return await self._panel(request, person, entity, region, typed=Typed())

        @post("/slices/{entity:str}/{region:str}", include_in_schema=False, status_code=200)
        async def change(request: AnyRequest, entity: FromPath[str], region: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            return await self._change(request, person, entity, region, form)

        return [page, fragment, panel, change]

    async def _change(
        self, request: AnyRequest, person: Person, entity: str, region: str, form: dict[str, str]
    ) -> Response[Any]:
        typed = Typed(
            stage=form.get("stage", ""),
            reason=form.get("reason", ""),
            override=form.get("override") == "yes",
            override_reason=form.get("override_reason", ""),
            expected_version=form.get("expected_version", ""),
            compare_sample=form.get("compare_sample", "").strip(),
        )
        if not person.caller.sees(entity, region):
            raise NotFoundHere(f"no slice {entity} in {region}")
        try:
            stage, reason, expected, sample = _read(typed)
            await self._switchover.set_stage(
                entity,
                region,
                stage=stage,
                reason=reason,
                expected_version=expected,
                actor=person.caller.name,
                override=typed.override,
                compare_sample=sample,
            )
        except UnknownRegion:
            raise
        except GatewayError as refused:
            return await self._panel(request, person, entity, region, typed=typed, refused=refused)
        if not _by_script(request):
            return Redirect(f"/console/slices/{entity}/{region}?done=1", status_code=303)
        return await self._panel(request, person, entity, region, typed=Typed(), done=True)

    async def _panel(
        self,
        request: AnyRequest,
        person: Person,
        entity: str,
        region: str,
        *,
        typed: Typed,
        refused: GatewayError | None = None,
        done: bool = False,
    ) -> Response[str]:
        slices = await self._slices.all()
        cell = self._build(slices, person.caller, await self._figures()).cells.get((entity, region))
        if cell is None:
            raise NotFoundHere(f"no slice {entity} in {region}")
        # Dependencies reach over what this key may see: a hidden slice stands in the way all the same.
        offered = choices({(one.entity, one.region): one.stage for one in slices}, entity, region)
        # The neighbour that begins a mirror, if one does: a leap over it loses the same.
        begins = next((one.row for one in offered if "mapping" in dict(one.gates)), None)
        context: dict[str, Any] = {
            "begins": begins,
            "mapping": begins and await self._switchover.mapping(entity, cell.slice.stage, begins.stage),
            "cell": cell,
            "choices": offered,
            "history": await self._slices.history(entity, region, limit=20),
            "typed": typed,
            "typed_leap": any(choice.leap and choice.row.stage == typed.stage for choice in offered),
            "refused": None if refused is None else _told(refused, cell, typed),
            "most_sample": MOST_SAMPLE,
            "needs_another": _needs_another(refused),
            "offer_override": (typed.override or isinstance(refused, RuleRefused)) and not _needs_another(refused),
            "done": done or request.query_params.get("done") == "1",
            "may_change": person.may_change,
            "csrf": person.csrf,
            "dialog": _by_script(request),
        }
        return self._respond.page(
            request,
            person,
            "slice.html" if _by_script(request) else "slice_page.html",
            status=200 if refused is None else told(refused).status,
            headers={"HX-Trigger": "slice-changed"} if done else {},
            **context,
        )

    async def _matrix(self, caller: Caller) -> Matrix:
        return self._build(await self._slices.all(), caller, await self._figures())

    async def _figures(self) -> Figures:
        """What all open pages show is asked for once a second, however many look."""
        async with self._asking:
            if self._clock.monotonic() - self._asked_at > FRESH_S:
                found = await self._diffs.summary(entity=None, region=None, regions=None, since=None)
                compared = {(one.entity, one.region): compared_of(one) for one in found}
                self._known = compared, await self._backlog.of_slices()
                self._asked_at = self._clock.monotonic()
            return self._known

    def _build(self, slices: Sequence[Slice], caller: Caller, figures: Figures) -> Matrix:
        compared, backlog = figures
        seen = [one for one in slices if caller.sees(one.entity, one.region)]
        return matrix(seen, order=self._entities, rows=STAGES, compared=compared, backlog=backlog)


def _by_script(request: AnyRequest) -> bool:
    return request.headers.get("hx-request") == "true"


def _needs_another(refused: GatewayError | None) -> bool:
    """Whether the move was refused because nobody makes it alone: that no override helps against."""
    return isinstance(refused, RuleRefused) and any(error.code == "approval" for error in refused.errors)


def _read(typed: Typed) -> tuple[Stage, str, int, int | None]:
    """The stage, the reason as it is recorded, the version, and of how many reads one is compared; None: as it is.
    Raises Invalid for what was left out."""
    wrong: list[FieldError] = []
    if typed.stage not in list(Stage):
        wrong.append(FieldError(pointer="/stage", code="stage", message="pick the stage to move to"))
    reason = " ".join(typed.reason.split())
    if not reason:
        wrong.append(
            FieldError(pointer="/reason", code="reason", message="say why; it is kept in the history")
        )
    why = " ".join(typed.override_reason.split())
    if typed.override and not why:
        wrong.append(
            FieldError(pointer="/override_reason", code="override", message="say why it may be overridden")
        )
    if max(len(reason), len(why)) > LONGEST_REASON:
        wrong.append(
            FieldError(pointer="/reason", code="length", message=f"at most {LONGEST_REASON} characters")
        )
    if not typed.expected_version.isdecimal():
        wrong.append(FieldError(pointer="/expected_version", code="version", message="load the panel again"))
    if not _is_sample(typed.compare_sample):
        message = f"one read in 1 to {MOST_SAMPLE:,} is compared; 0: none"
        wrong.append(FieldError(pointer="/compare_sample", code="compare_sample", message=message))
    if wrong:
        raise Invalid("something is missing", errors=wrong)
    return (
        Stage(typed.stage),
        f"{reason} (override: {why})" if typed.override else reason,
        int(typed.expected_version),
        int(typed.compare_sample) if typed.compare_sample else None,
    )


def _is_sample(text: str) -> bool:
    """Whether this is left as it is, or a number that a rule can have."""
    return not text or (text.isdecimal() and int(text) <= MOST_SAMPLE)


def _told(refused: GatewayError, cell: Cell, typed: Typed) -> Told:
    """The refusal. Where somebody else was faster, it says what the slice is now."""
    said = told(refused)
    if not isinstance(refused, RuleVersionMoved):
        return said
    now = (
        f"You saw version {typed.expected_version}; "
        f"it is now at version {cell.slice.version}, stage {cell.slice.stage}."
    )
    return msgspec.structs.replace(said, detail=now)
