"""Waivers: their list and its table as CSV, the form that accepts a difference for a time, and how one is ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect, Stream

from gateway.access import Caller
from gateway.clock import Clock
from gateway.compare import Diff, Sample
from gateway.compare.waiver import Pair, Standing, Wish, waiver_of
from gateway.compare.waivers import LONGEST_DAYS
from gateway.console.diff_view import side_by_side
from gateway.console.download import attached, whole
from gateway.console.guard import AnyRequest, Guard, Person
from gateway.console.narrowing import Narrowing
from gateway.console.refusal import told
from gateway.console.respond import Respond
from gateway.database import from_micros, to_micros
from gateway.errors import FieldError, GatewayError, Invalid, NotFoundHere
from gateway.ports import DiffsPort, SlicesPort, WaiversPort

PAGE = 50
STATES = ("active", "expired", "revoked", "all")
#: What the form offers as an end: long enough to repair something, short enough to be remembered.
USUAL_DAYS = 30
COLUMNS = (
    "waiver", "state", "entity", "region", "field", "class", "one_pair", "reason", "owner", "expires_at",
    "created_at", "created_by", "revoked_at", "revoked_by", "findings", "money",
)  # fmt: skip


class Filter(Narrowing, frozen=True, kw_only=True, omit_defaults=True):
    PATH = "/console/waivers"

    entity: str = ""
    region: str = ""
    state: str = ""  #: active (the default), expired, revoked, all


class Typed(msgspec.Struct, frozen=True, kw_only=True):
    """What a person has put into the form, so that a refusal loses none of it."""

    place: str = ""
    scope: str = "field"
    reason: str = ""
    owner: str = ""
    until: str = ""


class WaiverPages:
    def __init__(
        self,
        *,
        guard: Guard,
        respond: Respond,
        waivers: WaiversPort,
        diffs: DiffsPort,
        slices: SlicesPort,
        clock: Clock,
        entities: Sequence[str],
    ) -> None:
        self._guard = guard
        self._respond = respond
        self._waivers = waivers
        self._diffs = diffs
        self._slices = slices
        self._clock = clock
        self._entities = tuple(entities)

    def handlers(self) -> list[HTTPRouteHandler]:
        @get("/waivers", include_in_schema=False)
        async def page(request: AnyRequest) -> Response[str]:
            return await self._list(request, await self._guard.enter(request))

        @get("/waivers.csv", include_in_schema=False)
        async def table(request: AnyRequest) -> Stream:
            person = await self._guard.enter(request)
            narrowed = _filter(request)
            return whole(
                COLUMNS,
                lambda after, limit: self._page(person.caller, narrowed, after, limit),
                _row,
                lambda one: one.waiver.id,
                headers=attached("waivers", self._clock.now()),
            )

        @post("/waivers/{waiver_id:str}/revoke", include_in_schema=False, status_code=200)
        async def revoke(request: AnyRequest, waiver_id: FromPath[str]) -> Response[Any]:
            person, _ = await self._guard.submitted(request)
            caller = person.caller
            await self._waivers.revoke(
                waiver_id, actor=caller.name, regions=caller.regions, entities=caller.entities
            )
            return Redirect("/console/waivers?done=revoked", status_code=303)

        @get("/diffs/{diff_id:str}/waive", include_in_schema=False)
        async def ask(request: AnyRequest, diff_id: FromPath[str]) -> Response[str]:
            person = await self._guard.enter(request)
            return self._form(request, person, await self._diff(person.caller, diff_id), Typed())

        @post("/diffs/{diff_id:str}/waive", include_in_schema=False, status_code=200)
        async def waive(request: AnyRequest, diff_id: FromPath[str]) -> Response[Any]:
            person, form = await self._guard.submitted(request)
            diff = await self._diff(person.caller, diff_id)
            typed = Typed(**{name: form.get(name, "") for name in Typed.__struct_fields__})
            try:
                await self._waivers.create(_wish(diff, typed), actor=person.caller.name)
            except GatewayError as refused:
                return self._form(request, person, diff, typed, refused)
            return Redirect("/console/waivers?done=waived", status_code=303)

        return [page, table, revoke, ask, waive]

    async def _list(self, request: AnyRequest, person: Person) -> Response[str]:
        narrowed = _filter(request)
        found = await self._page(person.caller, narrowed, request.query_params.get("after"), PAGE + 1)
        slices = [one for one in await self._slices.all() if person.caller.sees(one.entity, one.region)]
        present = {one.entity for one in slices}
        shown = found[:PAGE]
        return self._respond.page(
            request,
            person,
            "waivers.html",
            f=narrowed,
            found=shown,
            more=shown[-1].waiver.id if len(found) > PAGE else None,
            states=STATES,
            soon=to_micros(self._clock.now() + timedelta(days=7)),
            entities=[entity for entity in self._entities if entity in present],
            regions=sorted({one.region for one in slices}),
            done=request.query_params.get("done", ""),
            may_change=person.may_change,
            csrf=person.csrf,
        )

    async def _page(
        self, caller: Caller, narrowed: Filter, after: str | None, limit: int
    ) -> Sequence[Standing]:
        return await self._waivers.page(
            entity=narrowed.entity or None,
            region=narrowed.region or None,
            state={"": "active", "all": None}.get(narrowed.state, narrowed.state),
            regions=caller.regions,
            entities=caller.entities,
            after=after,
            limit=limit,
        )

    async def _diff(self, caller: Caller, diff_id: str) -> Diff:
        found = await self._diffs.one(diff_id)
        if found is None or not caller.sees(found.entity, found.region):
            raise NotFoundHere(f"no difference has the id {diff_id[:60]!r}")
        return found

    def _form(
        self,
        request: AnyRequest,
        person: Person,
        diff: Diff,
        typed: Typed,
        refused: GatewayError | None = None,
    ) -> Response[str]:
        said = None if refused is None else told(refused)
        now = self._clock.now().astimezone(UTC)
        return self._respond.page(
            request,
            person,
            "waive.html",
            status=200 if said is None else said.status,
            d=diff,
            open_=_open(diff),
            waived=[one for one in diff.differences if waiver_of(one) is not None],
            side_by_side=side_by_side,
            typed=typed,
            refused=said,
            usual=(now + timedelta(days=USUAL_DAYS)).date().isoformat(),
            first=(now + timedelta(days=1)).date().isoformat(),
            last=(now + timedelta(days=LONGEST_DAYS - 1)).date().isoformat(),
            may_change=person.may_change,
            csrf=person.csrf,
        )


def _open(diff: Diff) -> list[Sample]:
    return [one for one in diff.differences if one.explained is None]


def _wish(diff: Diff, typed: Typed) -> Wish:
    """Raises Invalid for what was left out or cannot be read."""
    found = next((one for one in _open(diff) if one.path == typed.place), None)
    if found is None:
        raise _wrong("field", "pick the field whose difference is accepted")
    try:
        until = datetime.fromisoformat(typed.until.strip()).replace(tzinfo=UTC)
    except ValueError:
        raise _wrong("expires_at", "is a day, such as 2026-12-31") from None
    return Wish(
        entity=diff.entity,
        region=diff.region,
        field=found.field,
        kind=found.kind.value,
        reason=typed.reason,
        owner=typed.owner,
        expires_at=to_micros(until),
        pair=Pair(authority=found.authority, other=found.other) if typed.scope == "pair" else None,
    )


def _wrong(name: str, message: str) -> Invalid:
    return Invalid(f"{name}: {message}", errors=[FieldError(pointer=f"/{name}", code=name, message=message)])


def _filter(request: AnyRequest) -> Filter:
    """The filters of the address. What it does not know is left out, so that an old link still opens a page."""
    given = Filter.given(request.query_params)
    if given.get("state") not in STATES:
        given.pop("state", None)
    return Filter(**given)


def _row(one: Standing) -> tuple[str, ...]:
    waiver = one.waiver
    return (
        waiver.id,
        one.state,
        waiver.entity,
        waiver.region,
        waiver.field,
        waiver.kind,
        "yes" if waiver.pair is not None else "",
        waiver.reason,
        waiver.owner,
        from_micros(waiver.expires_at).isoformat(),
        from_micros(waiver.created_at).isoformat(),
        waiver.created_by,
        "" if waiver.revoked_at is None else from_micros(waiver.revoked_at).isoformat(),
        waiver.revoked_by or "",
        str(one.findings),
        ", ".join(f"{amount} {currency}" for currency, amount in sorted(one.money.items())),
    )
