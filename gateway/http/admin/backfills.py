"""Backfills: begun, followed, paused, resumed and cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway import errors
from gateway.access import Cursors
from gateway.backfill.run import OUTCOMES, STATES, Act, Outcome
from gateway.canonical import BY_NAME
from gateway.errors import NotFoundHere
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.backfill_wire import BASE, BackfillActing, BackfillWish, told, told_record
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.named import check_slice
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route
from gateway.ids import BACKFILL
from gateway.ports import BackfillerPort, SlicesPort

_EXAMPLE_ID = f"{BACKFILL}0198f0c2-9b41-7c10-8d22-3e7a6c5d4b3f"

#: act -> (summary, description)
_ACTS: dict[Act, tuple[str, str]] = {
    Act.PAUSE: (
        "Let a backfill rest",
        "It takes no further chunk until it is resumed; what is on its way goes on. Again changes nothing.",
    ),
    Act.RESUME: ("Let a paused backfill go on", "From where it was. Again changes nothing."),
    Act.CANCEL: (
        "End a backfill early",
        "It takes no further chunk; what is on its way goes on, and what it brought stays. Again changes nothing.",
    ),
}


class Backfills:
    """The handlers of backfills."""

    def __init__(self, *, backfiller: BackfillerPort, slices: SlicesPort, cursors: Cursors) -> None:
        self._backfiller = backfiller
        self._slices = slices
        self._listing = Listing(cursors, "backfills")
        self._records = Listing(cursors, "backfilled records")

    async def start(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(BackfillWish, await exchange.body())
        check_slice(exchange, self._slices, wish.entity, wish.region)
        run = await self._backfiller.start(
            wish.entity, wish.region, actor=exchange.caller.name, reason=wish.reason
        )
        made = told(run)
        return ok(made, status=202).header("location", made.href).header("retry-after", "1")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region", "state", "limit", "cursor"))
        limit = query.limit(asked)
        caller = exchange.caller
        found = await self._backfiller.list(
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            state=query.choice(asked, "state", STATES),
            after=self._listing.after(asked),
            limit=limit + 1,
            regions=caller.regions,
            entities=caller.entities,
        )
        items = found[:limit]
        last = items[-1].id if len(found) > limit else None
        return self._listing.page(asked, [told(run) for run in items], last=last)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        run = await self._backfiller.get(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(told(run))

    def acting(self, act: Act) -> Callable[[Exchange], Awaitable[Reply]]:
        """The handler of one act."""

        async def handle(exchange: Exchange) -> Reply:
            exchange.query()
            caller = exchange.caller
            given = BackfillActing()
            if exchange.has_body:
                given = bodies.decode(BackfillActing, await exchange.body())
            run = await self._backfiller.act(
                _id(exchange),
                act,
                actor=caller.name,
                reason=given.reason,
                regions=caller.regions,
                entities=caller.entities,
            )
            return ok(told(run))

        return handle

    async def records(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("outcome", "limit", "cursor"))
        limit = query.limit(asked)
        caller = exchange.caller
        run_id = _id(exchange)
        outcome = query.choice(asked, "outcome", OUTCOMES)
        # The cursor is one of this run's list: of another run it is foreign.
        context = {**asked, "backfill": run_id}
        found = await self._backfiller.records(
            run_id,
            outcome=None if outcome is None else Outcome(outcome),
            after=self._records.after(context) or "",
            limit=limit + 1,
            regions=caller.regions,
            entities=caller.entities,
        )
        items = found[:limit]
        last = items[-1].record_id if len(found) > limit else None
        return self._records.page(context, [told_record(one) for one in items], last=last)

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        run: dict[str, Any] = {"$ref": "#/components/schemas/BackfillTold"}
        own_id: Parameter = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{BACKFILL}{addresses.ID}$"},
            "The id of the backfill.",
            _EXAMPLE_ID,
        )
        state = Parameter(
            name="state",
            where="query",
            schema={"type": "string", "enum": list(STATES)},
            description="Only in this state.",
        )
        example: dict[str, Any] = {"entity": "invoice", "region": regions[0] if regions else "UK"}
        outcome = Parameter(
            name="outcome",
            where="query",
            schema={"type": "string", "enum": list(OUTCOMES)},
            description="Only of this outcome.",
        )
        record: dict[str, Any] = {"$ref": "#/components/schemas/BackfilledRecord"}
        followed = ("get_backfill", "list_backfilled_records", *(f"{act.value}_backfill" for act in Act))
        return (
            Route(
                method="POST",
                path=BASE,
                name="start_backfill",
                tag="backfills",
                summary="Bring what the authority of a slice holds into its mirror",
                description="Links what the mirror holds already, creates the rest through the ordinary ledger, and "
                "verifies the whole at the end. It runs on whichever worker is there, at a fifth of the rate that the "
                "systems allow; follow it at Location. 422 for a slice that keeps one system only.",
                scope="admin:write",
                handle=self.start,
                parameters=parameters.TRACE,
                body=Body(
                    schema={"$ref": "#/components/schemas/BackfillWish"},
                    media=("application/json",),
                    example=example,
                ),
                gives=(
                    Gives(
                        status=202,
                        description="It has begun",
                        schema=run,
                        headers=("Location", "Retry-After"),
                        links={name: {"id": "$response.body#/id"} for name in followed},
                    ),
                ),
                refuses=(errors.UnknownRegion, errors.Forbidden, errors.Invalid, errors.BackfillRunning),
            ),
            Route(
                method="GET",
                path=BASE,
                name="list_backfills",
                tag="backfills",
                summary="Backfills, the newest first",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    *parameters.slice_filters(regions),
                    state,
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(run)),),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}",
                name="get_backfill",
                tag="backfills",
                summary="How far a backfill has come",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The backfill as it is now", schema=run),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}/records",
                name="list_backfilled_records",
                tag="backfills",
                summary="What became of each record that a backfill has taken",
                description="With the reason where one was not simply linked or created, the write into the target as "
                "it stands now, and the case of what fits several records there. Records of a run that ended long ago "
                "are kept no longer than `resolved_diffs_days`.",
                scope="admin:read",
                handle=self.records,
                parameters=(own_id, outcome, *parameters.PAGED, *parameters.TRACE),
                gives=(
                    Gives(
                        status=200, description="A page, by the ids of the records", schema=page_of(record)
                    ),
                ),
                refuses=(errors.NotFoundHere, errors.ForeignCursor),
            ),
            *(
                Route(
                    method="POST",
                    path=BASE + "/{id}/" + act.value,
                    name=f"{act.value}_backfill",
                    tag="backfills",
                    summary=summary,
                    description=description,
                    scope="admin:write",
                    handle=self.acting(act),
                    parameters=(own_id, *parameters.TRACE),
                    body=Body(
                        schema={"$ref": "#/components/schemas/BackfillActing"},
                        media=("application/json",),
                        example={"reason": "the nightly batch needs the ERP"},
                        required=False,
                    ),
                    gives=(Gives(status=200, description="The backfill as it is now", schema=run),),
                    refuses=(errors.NotFoundHere, errors.Invalid, errors.BackfillStale),
                )
                for act, (summary, description) in _ACTS.items()
            ),
        )


def _id(exchange: Exchange) -> str:
    if not addresses.is_id(exchange.path["id"], BACKFILL):
        raise NotFoundHere(f"an id of a backfill begins with {BACKFILL}")
    return exchange.path["id"]
