"""Changes of rules at a time: listed, approved by another person, cancelled. They are asked for where changes are."""

from __future__ import annotations

from collections.abc import Sequence

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.errors import NotFoundHere
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.scheduled_wire import BASE, Cancellation, PlanApproval, told
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route, Schema
from gateway.ids import SCHEDULED
from gateway.ports import SchedulePort, SlicesPort
from gateway.switchover.states import ScheduleState

_EXAMPLE_ID = f"{SCHEDULED}0198f0c2-6a10-7d44-8b01-4c5d6e7f8a90"


class ScheduledChanges:
    """The handlers of the scheduled changes."""

    def __init__(self, *, schedule: SchedulePort, slices: SlicesPort, cursors: Cursors) -> None:
        self._schedule = schedule
        self._slices = slices
        self._listing = Listing(cursors, "scheduled_changes")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region", "state", "limit", "cursor"))
        limit = query.limit(asked)
        found = await self._schedule.page(
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            state=query.choice(asked, "state", tuple(ScheduleState)),
            regions=exchange.caller.regions,
            entities=exchange.caller.entities,
            after=self._listing.after(asked),
            limit=limit + 1,
        )
        last = found[limit - 1].id if len(found) > limit else None
        return self._listing.page(asked, [told(one) for one in found[:limit]], last=last)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        found = await self._schedule.one(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(told(found))

    async def approve(self, exchange: Exchange) -> Reply:
        exchange.query()
        approval = bodies.decode(PlanApproval, await exchange.body())
        caller = exchange.caller
        found = await self._schedule.approve(
            _id(exchange),
            plan_hash=approval.plan_hash,
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    async def cancel(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(Cancellation, await exchange.body())
        caller = exchange.caller
        found = await self._schedule.cancel(
            _id(exchange),
            reason=wish.reason,
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        change: Schema = {"$ref": "#/components/schemas/ScheduledTold"}
        own_id = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{SCHEDULED}{addresses.ID}$"},
            "The id of the scheduled change.",
            _EXAMPLE_ID,
        )
        return (
            Route(
                method="GET",
                path=BASE,
                name="list_scheduled_changes",
                tag="rules",
                summary="Changes of rules at a time, the newest request first",
                description="Only those of the key's entities and regions.",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    *parameters.slice_filters(regions),
                    Parameter(
                        name="state",
                        where="query",
                        schema={"type": "string", "enum": [state.value for state in ScheduleState]},
                        description="Only those in this state.",
                    ),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(change)),),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}",
                name="get_scheduled_change",
                tag="rules",
                summary="One change at a time, and what became of it",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The change", schema=change),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/approve",
                name="approve_scheduled_change",
                tag="rules",
                summary="Approve what somebody else has asked for at a time",
                description="Signs the plan behind the hash, before its time. Its gates are judged then.",
                scope="admin:approve",
                handle=self.approve,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/PlanApproval"},
                    media=("application/json",),
                    example={"plan_hash": "0" * 64},
                ),
                gives=(Gives(status=200, description="The change, which waits for its time", schema=change),),
                refuses=(
                    errors.NotFoundHere,
                    errors.SecondPersonNeeded,
                    errors.EvidenceChanged,
                    errors.ScheduleOver,
                ),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/cancel",
                name="cancel_scheduled_change",
                tag="rules",
                summary="End a change whose time has not come",
                scope="admin:write",
                handle=self.cancel,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/Cancellation"},
                    media=("application/json",),
                    example={"reason": "the month is closed a day later"},
                ),
                gives=(Gives(status=200, description="The change as it is now", schema=change),),
                refuses=(errors.NotFoundHere, errors.Invalid, errors.ScheduleOver),
            ),
        )


def _id(exchange: Exchange) -> str:
    if not addresses.is_id(exchange.path["id"], SCHEDULED):
        raise NotFoundHere(f"an id of a scheduled change begins with {SCHEDULED}")
    return exchange.path["id"]
