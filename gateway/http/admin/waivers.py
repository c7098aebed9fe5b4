"""Waivers: differences that a person accepts for a time, with a reason, an owner and an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.canonical.values import Name, Note
from gateway.clock import rfc3339
from gateway.compare.difference import DifferenceClass
from gateway.compare.waiver import Pair, Standing, Wish
from gateway.database import from_micros, moment, to_micros
from gateway.errors import NotFoundHere
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.named import check_slice
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route, Schema
from gateway.ids import WAIVER
from gateway.ports import SlicesPort, WaiversPort

STATES = ("active", "expired", "revoked")
BASE = "/admin/v1/waivers"
_EXAMPLE_ID = f"{WAIVER}0198f0c2-7b10-7f44-9a01-5d6c7b8a9f01"
_Token = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[ -~]+$")]


class WaiverWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which differences of a slice are accepted, why, in whose name and until when. An empty `field` is the record as a
    whole. With `pair` only this one pair of values is, as a diff shows them; of a personal value its fingerprint."""

    entity: Annotated[_Token, Meta(description="the entity")]
    region: Annotated[_Token, Meta(description="the region")]
    field: Annotated[
        str,
        Meta(
            max_length=200,
            pattern="^[ -~]*$",
            description="a field as a diff names it, such as `lines[].amount`",
        ),
    ]
    kind: Annotated[DifferenceClass, Meta(description="in which way it differs")] = msgspec.field(
        name="class"
    )
    reason: Annotated[Note, Meta(min_length=1, description="why this may be so")]
    owner: Annotated[Name, Meta(description="who answers for it")]
    expires_at: Annotated[
        datetime, Meta(tz=True, description="when it is a mismatch again; at most 366 days ahead")
    ]
    pair: Pair | None = None


class WaiverTold(msgspec.Struct, frozen=True, kw_only=True):
    """A waiver. `findings` are the open ones that it covers now, and `money` what is at stake in them by currency."""

    id: str
    entity: str
    region: str
    field: str
    kind: DifferenceClass = msgspec.field(name="class")
    pair: Pair | None
    reason: str
    owner: str
    expires_at: str
    created_at: str
    created_by: str
    revoked_at: str | None
    revoked_by: str | None
    state: str
    findings: int
    money: Mapping[str, Decimal]


def told(standing: Standing) -> WaiverTold:
    """In wire form: moments in RFC 3339, amounts as decimal strings."""
    one = standing.waiver
    return WaiverTold(
        id=one.id,
        entity=one.entity,
        region=one.region,
        field=one.field,
        kind=DifferenceClass(one.kind),
        pair=one.pair,
        reason=one.reason,
        owner=one.owner,
        expires_at=rfc3339(from_micros(one.expires_at)),
        created_at=rfc3339(from_micros(one.created_at)),
        created_by=one.created_by,
        revoked_at=moment(one.revoked_at),
        revoked_by=one.revoked_by,
        state=standing.state,
        findings=standing.findings,
        money=standing.money,
    )


class Waivers:
    """The handlers of the waivers."""

    def __init__(self, *, waivers: WaiversPort, slices: SlicesPort, cursors: Cursors) -> None:
        self._waivers = waivers
        self._slices = slices
        self._listing = Listing(cursors, "waivers")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region", "state", "limit", "cursor"))
        limit = query.limit(asked)
        found = await self._waivers.page(
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            state=query.choice(asked, "state", STATES),
            regions=exchange.caller.regions,
            entities=exchange.caller.entities,
            after=self._listing.after(asked),
            limit=limit + 1,
        )
        last = found[limit - 1].waiver.id if len(found) > limit else None
        return self._listing.page(asked, [told(one) for one in found[:limit]], last=last)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        found = await self._waivers.one(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(told(found))

    async def create(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(WaiverWish, await exchange.body())
        check_slice(exchange, self._slices, wish.entity, wish.region)
        made = await self._waivers.create(
            Wish(
                entity=wish.entity,
                region=wish.region,
                field=wish.field,
                kind=wish.kind.value,
                reason=wish.reason,
                owner=wish.owner,
                expires_at=to_micros(min(max(wish.expires_at, query.FIRST), query.LAST)),
                pair=wish.pair,
            ),
            actor=exchange.caller.name,
        )
        return ok(told(made), status=201).header("location", f"{BASE}/{made.waiver.id}")

    async def revoke(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        found = await self._waivers.revoke(
            _id(exchange), actor=caller.name, regions=caller.regions, entities=caller.entities
        )
        return ok(told(found))

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        waiver: Schema = {"$ref": "#/components/schemas/WaiverTold"}
        own_id = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{WAIVER}{addresses.ID}$"},
            "The id of the waiver.",
            _EXAMPLE_ID,
        )
        return (
            Route(
                method="POST",
                path=BASE,
                name="create_waiver",
                tag="waivers",
                summary="Accept differences of one field and class for a time",
                description="What it covers is explained from now on, and a mismatch again when it has expired or was "
                "revoked: the records are compared again at both moments. It never counts as agreement, and the money "
                "at stake stays in the reports.",
                scope="admin:write",
                handle=self.create,
                parameters=parameters.TRACE,
                body=Body(
                    schema={"$ref": "#/components/schemas/WaiverWish"},
                    media=("application/json",),
                    example=_example(regions),
                ),
                gives=(
                    Gives(
                        status=201,
                        description="The waiver",
                        schema=waiver,
                        headers=("Location",),
                        links={
                            "get_waiver": {"id": "$response.body#/id"},
                            "revoke_waiver": {"id": "$response.body#/id"},
                        },
                    ),
                ),
                refuses=(errors.UnknownRegion, errors.Forbidden, errors.Invalid),
            ),
            Route(
                method="GET",
                path=BASE,
                name="list_waivers",
                tag="waivers",
                summary="Waivers, the newest first",
                description="Only those of the key's entities and regions.",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    *parameters.slice_filters(regions),
                    Parameter(
                        name="state",
                        where="query",
                        schema={"type": "string", "enum": list(STATES)},
                        description="Only those in this state.",
                    ),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(waiver)),),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}",
                name="get_waiver",
                tag="waivers",
                summary="One waiver and what it covers now",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The waiver", schema=waiver),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="DELETE",
                path=BASE + "/{id}",
                name="revoke_waiver",
                tag="waivers",
                summary="End a waiver now",
                description="It stays in the list as revoked. Revoking it twice changes nothing.",
                scope="admin:write",
                handle=self.revoke,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The waiver as it is now", schema=waiver),),
                refuses=(errors.NotFoundHere,),
            ),
        )


def _example(regions: Sequence[str]) -> dict[str, Any]:
    return {
        "entity": "customer",
        "region": regions[0] if regions else "UK",
        "field": "phone",
        "class": "case_or_space",
        "reason": "the old ERP drops blanks; to be cleaned before the switch",
        "owner": "data steward",
        "expires_at": "2026-12-31T00:00:00Z",
    }


def _id(exchange: Exchange) -> str:
    if not addresses.is_id(exchange.path["id"], WAIVER):
        raise NotFoundHere(f"an id of a waiver begins with {WAIVER}")
    return exchange.path["id"]
