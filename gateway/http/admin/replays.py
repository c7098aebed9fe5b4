"""Bulk replays: dead letters counted by cause, sent again, followed and cancelled."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.canonical.values import Note
from gateway.clock import rfc3339
from gateway.database import from_micros
from gateway.dispatch.dead_letters import Cause, Narrowed
from gateway.dispatch.replay import Forecast
from gateway.dispatch.replay_runs import Run
from gateway.errors import FieldError, Invalid, Malformed, NotFoundHere, UnknownRegion
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route
from gateway.ids import REPLAY
from gateway.ports import ReplaysPort, SlicesPort

_BASE = "/admin/v1/replays"
_Token = Annotated[str, Meta(min_length=1, max_length=80, pattern="^[ -~]+$")]
_EXAMPLE_ID = f"{REPLAY}0198f0c2-9b41-7c10-8d22-3e7a6c5d4b3f"
_MOMENT = "2026-01-31T08:00:00.000000Z"


class ReplayWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are to be sent again. What is left out is not narrowed."""

    system: Annotated[_Token, Meta(description="only those on their way to this system")] | None = None
    entity: Annotated[_Token, Meta(description="only of this entity")] | None = None
    region: Annotated[_Token, Meta(description="only of this region")] | None = None
    code: Annotated[_Token, Meta(description="only where the system said this code")] | None = None
    cause: Annotated[_Token, Meta(description="only this cause, as a dry run named it")] | None = None
    since: Annotated[datetime, Meta(tz=True, description="only what came to wait then or later")] | None = (
        None
    )
    until: (
        Annotated[datetime, Meta(tz=True, description="only what waited by then: a dry run's `until`")] | None
    ) = None
    dry_run: Annotated[bool, Meta(description="count by cause, and do nothing")] = False
    reason: Annotated[Note, Meta(min_length=1, description="why; needed unless it is a dry run")] | None = (
        None
    )


class CauseTold(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one kind. ``superseded`` of them will be marked so, ``refused`` will not be sent: a newer write
    of their record is in the system, or may be."""

    cause: str
    code: str | None
    message: str  #: without its particulars
    count: int
    superseded: int
    refused: int
    oldest_at: str
    newest_at: str
    systems: tuple[str, ...]
    entities: tuple[str, ...]
    regions: tuple[str, ...]
    delivery: str  #: an example
    operation: str
    record: str
    example: str | None  #: what was said of that one


class ReplayForecast(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would do. Sent back with ``until``, it never takes more than what was counted."""

    dry_run: bool
    count: int
    superseded: int
    refused: int
    until: str
    causes: tuple[CauseTold, ...]


class RefusalTold(msgspec.Struct, frozen=True, kw_only=True):
    delivery: str
    operation: str | None
    reason: str


class ReplayTold(msgspec.Struct, frozen=True, kw_only=True):
    """One bulk replay. ``done`` of ``total`` have been decided on: sent again, superseded or refused."""

    id: str
    state: str
    filter: dict[str, str]
    actor: str
    reason: str
    total: int
    done: int
    replayed: int
    superseded: int
    refused: int
    per_s: int
    created_at: str
    updated_at: str
    ended_at: str | None
    ended_by: str | None
    href: str
    refusals: tuple[RefusalTold, ...]


def told_run(run: Run) -> ReplayTold:
    return ReplayTold(
        id=run.id,
        state=run.state,
        filter=told_filter(run.filter),
        actor=run.actor,
        reason=run.reason,
        total=run.total,
        done=run.done,
        replayed=run.replayed,
        superseded=run.superseded,
        refused=run.refused,
        per_s=run.per_s,
        created_at=run.created_at,
        updated_at=run.updated_at,
        ended_at=run.ended_at,
        ended_by=run.ended_by,
        href=f"{_BASE}/{run.id}",
        refusals=tuple(msgspec.convert(one, RefusalTold, from_attributes=True) for one in run.refusals),
    )


def told_filter(narrowed: Narrowed) -> dict[str, str]:
    """What a replay is narrowed to, moments in RFC 3339."""
    named = msgspec.structs.asdict(narrowed)
    return {
        name: rfc3339(value.astimezone(UTC)) if isinstance(value, datetime) else str(value)
        for name, value in named.items()
        if value is not None
    }


def told_forecast(found: Forecast) -> ReplayForecast:
    return ReplayForecast(
        dry_run=True,
        count=found.count,
        superseded=found.superseded,
        refused=found.refused,
        until=rfc3339(found.at.astimezone(UTC)),
        causes=tuple(told_cause(cause) for cause in found.causes),
    )


def told_cause(cause: Cause) -> CauseTold:
    return CauseTold(
        cause=cause.id,
        code=cause.code,
        message=cause.message,
        count=cause.count,
        superseded=cause.superseded,
        refused=cause.refused,
        oldest_at=rfc3339(from_micros(cause.oldest_at)),
        newest_at=rfc3339(from_micros(cause.newest_at)),
        systems=cause.systems,
        entities=cause.entities,
        regions=cause.regions,
        delivery=cause.delivery_id,
        operation=cause.operation_id,
        record=cause.record_id,
        example=cause.example,
    )


class Replays:
    """The handlers of bulk replays."""

    def __init__(
        self, *, replays: ReplaysPort, slices: SlicesPort, cursors: Cursors, systems: frozenset[str]
    ) -> None:
        self._replays = replays
        self._slices = slices
        self._systems = systems
        self._listing = Listing(cursors, "replays")

    async def start(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(ReplayWish, await exchange.body())
        caller = exchange.caller
        narrowed = self._narrowed(exchange, wish)
        if wish.dry_run:
            found = await self._replays.forecast(narrowed, regions=caller.regions, entities=caller.entities)
            return ok(told_forecast(found))
        if wish.reason is None:
            message = "say why; only a dry run needs no reason"
            raise Invalid(message, errors=[FieldError(pointer="/reason", code="missing", message=message)])
        run = await self._replays.start(
            narrowed, actor=caller.name, reason=wish.reason, regions=caller.regions, entities=caller.entities
        )
        told = told_run(run)
        return ok(told, status=202).header("location", told.href).header("retry-after", "1")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("limit", "cursor"))
        limit = query.limit(asked)
        caller = exchange.caller
        found = await self._replays.list(
            after=self._listing.after(asked),
            limit=limit + 1,
            regions=caller.regions,
            entities=caller.entities,
        )
        items = found[:limit]
        last = items[-1].id if len(found) > limit else None
        return self._listing.page(asked, [told_run(run) for run in items], last=last)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        run = await self._replays.get(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(told_run(run))

    async def cancel(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        run = await self._replays.cancel(
            _id(exchange), actor=caller.name, regions=caller.regions, entities=caller.entities
        )
        return ok(told_run(run))

    def _narrowed(self, exchange: Exchange, wish: ReplayWish) -> Narrowed:
        for name, value, allowed in (
            ("system", wish.system, self._systems),
            ("entity", wish.entity, BY_NAME),
        ):
            if value is not None and value not in allowed:
                message = f"is one of {', '.join(sorted(allowed))}"
                error = FieldError(pointer=f"/{name}", code="unknown", message=message)
                raise Malformed(f"/{name} {message}", errors=[error])
        if wish.region is not None:
            if wish.region not in self._slices.places():
                message = "is no region that a rule knows"
                error = FieldError(pointer="/region", code="unknown_region", message=message)
                raise UnknownRegion(f"{wish.region!r} {message}", errors=[error])
            exchange.may_use_region(wish.region)
        if wish.entity is not None:
            exchange.may_see(wish.entity)
        return Narrowed(
            system=wish.system,
            entity=wish.entity,
            region=wish.region,
            code=wish.code,
            cause=wish.cause,
            since=_within(wish.since),
            until=_within(wish.until),
        )

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        run: dict[str, Any] = {"$ref": "#/components/schemas/ReplayTold"}
        forecast: dict[str, Any] = {"$ref": "#/components/schemas/ReplayForecast"}
        own_id: Parameter = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{REPLAY}{addresses.ID}$"},
            "The id of the replay.",
            _EXAMPLE_ID,
        )
        example: dict[str, Any] = {"system": "cloud", "entity": "invoice", "dry_run": True}
        if regions:
            example["region"] = regions[0]
        return (
            Route(
                method="POST",
                path="/admin/v1/deliveries/replay",
                name="replay_deliveries",
                tag="deliveries",
                summary="Send parked deliveries again, by filter or by cause",
                description="With `dry_run` nothing is done: they are counted by cause. Otherwise it begins, at a "
                "bounded rate and on whichever worker is there; follow it at Location. It takes what waits now and "
                "sends each once. Never over a newer state: where a newer write of the record is in the system, or "
                "may be, a delivery of master data is superseded and any other is refused.",
                scope="admin:write",
                handle=self.start,
                parameters=parameters.TRACE,
                body=Body(
                    schema={"$ref": "#/components/schemas/ReplayWish"},
                    media=("application/json",),
                    example=example,
                ),
                gives=(
                    Gives(status=200, description="A dry run: what would be done", schema=forecast),
                    Gives(
                        status=202,
                        description="It has begun",
                        schema=run,
                        headers=("Location", "Retry-After"),
                        links={
                            "get_replay": {"id": "$response.body#/id"},
                            "cancel_replay": {"id": "$response.body#/id"},
                        },
                    ),
                ),
                refuses=(errors.UnknownRegion, errors.Forbidden, errors.Invalid),
            ),
            Route(
                method="GET",
                path=_BASE,
                name="list_replays",
                tag="deliveries",
                summary="Bulk replays, the newest first",
                scope="admin:read",
                handle=self.page,
                parameters=(*parameters.PAGED, *parameters.TRACE),
                gives=(Gives(status=200, description="A page", schema=page_of(run)),),
                refuses=(errors.ForeignCursor,),
            ),
            Route(
                method="GET",
                path=_BASE + "/{id}",
                name="get_replay",
                tag="deliveries",
                summary="How far a bulk replay has come",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The replay as it is now", schema=run),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="POST",
                path=_BASE + "/{id}/cancel",
                name="cancel_replay",
                tag="deliveries",
                summary="Send no more of a bulk replay",
                description="What was sent again stays so. Cancelling it twice changes nothing.",
                scope="admin:write",
                handle=self.cancel,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The replay as it is now", schema=run),),
                refuses=(errors.NotFoundHere, errors.CannotCancel),
            ),
        )


def _id(exchange: Exchange) -> str:
    if not addresses.is_id(exchange.path["id"], REPLAY):
        raise NotFoundHere(f"an id of a replay begins with {REPLAY}")
    return exchange.path["id"]


def _within(moment: datetime | None) -> datetime | None:
    """In UTC, and within what anything here could have been stamped with."""
    return None if moment is None else min(max(moment, query.FIRST), query.LAST).astimezone(UTC)
