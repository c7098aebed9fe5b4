"""Repairs from a reconciliation's differences: planned, asked for, approved by another person, followed, cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gateway import errors, spreadsheet
from gateway.access import Cursors
from gateway.errors import NotFoundHere
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.repair_wire import (
    BASE,
    OF_RECONCILIATION,
    RepairApproval,
    RepairEnding,
    RepairRequest,
    RepairWish,
    told,
    told_record,
)
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route
from gateway.ids import RECONCILIATION, REPAIR
from gateway.ports import RepairerPort
from gateway.repair.run import ACTIONS, OUTCOMES, Action, Outcome, Repair
from gateway.repair.sheet import COLUMNS, rows

_EXAMPLE_ID = f"{REPAIR}0198f0c2-9b41-7c10-8d22-3e7a6c5d4b3f"
_EXAMPLE_RUN = f"{RECONCILIATION}0198f0c2-9b41-7c10-8d22-3e7a6c5d4b3f"
JSON, CSV = "application/json", "text/csv"
#: Records that a CSV asks for at once.
PIECE = 200


class Repairs:
    """The handlers of repairs."""

    def __init__(self, *, repairer: RepairerPort, cursors: Cursors) -> None:
        self._repairer = repairer
        self._listing = Listing(cursors, "repairs")
        self._records = Listing(cursors, "repaired records")

    async def plan(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(RepairWish, await exchange.body())
        caller = exchange.caller
        made = told(
            await self._repairer.plan(
                _id(exchange, RECONCILIATION, "reconciliation"),
                dry_run=wish.dry_run,
                actor=caller.name,
                reason=wish.reason,
                chosen=wish.chosen,
                regions=caller.regions,
                entities=caller.entities,
            )
        )
        return ok(made, status=202).header("location", made.href).header("retry-after", "1")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("limit", "cursor"))
        limit = query.limit(asked)
        caller = exchange.caller
        run_id = _id(exchange, RECONCILIATION, "reconciliation")
        context = {**asked, "reconciliation": run_id}
        found = await self._repairer.list(
            run_id,
            after=self._listing.after(context),
            limit=limit + 1,
            regions=caller.regions,
            entities=caller.entities,
        )
        items = found[:limit]
        last = items[-1].id if len(found) > limit else None
        return self._listing.page(context, [told(one) for one in items], last=last)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        return ok(told(await self._get(exchange)))

    async def request(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(RepairRequest, await exchange.body())
        caller = exchange.caller
        found = await self._repairer.request(
            _id(exchange),
            plan_hash=wish.plan_hash,
            actor=caller.name,
            reason=wish.reason,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    async def approve(self, exchange: Exchange) -> Reply:
        exchange.query()
        approval = bodies.decode(RepairApproval, await exchange.body())
        caller = exchange.caller
        found = await self._repairer.approve(
            _id(exchange),
            plan_hash=approval.plan_hash,
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    async def cancel(self, exchange: Exchange) -> Reply:
        exchange.query()
        given = RepairEnding()
        if exchange.has_body:
            given = bodies.decode(RepairEnding, await exchange.body())
        caller = exchange.caller
        found = await self._repairer.cancel(
            _id(exchange),
            actor=caller.name,
            reason=given.reason,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    async def records(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("action", "outcome", "limit", "cursor"))
        media = exchange.accepts((JSON, CSV))
        limit = query.limit(asked)
        repair = await self._get(exchange)
        action, outcome = query.choice(asked, "action", ACTIONS), query.choice(asked, "outcome", OUTCOMES)
        narrowed: dict[str, Any] = {
            "action": None if action is None else Action(action),
            "outcome": None if outcome is None else Outcome(outcome),
            "regions": exchange.caller.regions,
            "entities": exchange.caller.entities,
        }
        # The cursor is one of this repair's list: of another one it is foreign.
        context = {**asked, "repair": repair.id}
        after = self._records.after(context) or ""
        if media == CSV:
            name = f'attachment; filename="repair-{repair.entity}-{repair.region}.csv"'
            stream = self._sheet(repair, narrowed, after)
            reply = Reply(200, media=f"{CSV}; charset=utf-8".encode(), stream=stream)
            return reply.header("vary", "accept").header("content-disposition", name)
        found = await self._repairer.records(repair.id, after=after, limit=limit + 1, **narrowed)
        items = found[:limit]
        last = items[-1].record_id if len(found) > limit else None
        page = self._records.page(context, [told_record(repair, one) for one in items], last=last)
        return page.header("vary", "accept")

    def _sheet(
        self, repair: Repair, narrowed: dict[str, Any], after: str
    ) -> Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]:
        """All records behind ``after`` as lines."""

        async def stream(send: Callable[[bytes], Awaitable[None]]) -> None:
            await send(spreadsheet.line(COLUMNS).encode())
            behind = after
            while True:
                found = await self._repairer.records(repair.id, after=behind, limit=PIECE, **narrowed)
                lines = [spreadsheet.line(cells) for one in found for cells in rows(repair, one)]
                await send("".join(lines).encode())
                if len(found) < PIECE:
                    return
                behind = found[-1].record_id

        return stream

    async def _get(self, exchange: Exchange) -> Repair:
        caller = exchange.caller
        return await self._repairer.get(_id(exchange), regions=caller.regions, entities=caller.entities)

    def routes(self) -> tuple[Route, ...]:
        repair: dict[str, Any] = {"$ref": "#/components/schemas/RepairTold"}
        record: dict[str, Any] = {"$ref": "#/components/schemas/RepairRecord"}
        run_id: Parameter = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{RECONCILIATION}{addresses.ID}$"},
            "The id of the reconciliation.",
            _EXAMPLE_RUN,
        )
        own_id: Parameter = parameters.path(
            "id", {"type": "string", "pattern": f"^{REPAIR}{addresses.ID}$"}, "The id of the repair.", _EXAMPLE_ID
        )
        followed = (
            "get_repair", "list_repair_records", "request_repair", "approve_repair", "cancel_repair",
        )  # fmt: skip
        return (
            Route(
                method="POST",
                path=OF_RECONCILIATION,
                name="plan_repair",
                tag="repairs",
                summary="Plan a repair of the mirror from a reconciliation's unexplained differences",
                description="Each record is read again in both systems, and the plan says what would be written where; "
                "nothing is written. With `dry_run` that is all; without, it is then asked for, and another person has "
                "30 minutes to approve its hash. It is planned on whichever worker is there; follow it at Location. "
                "422 for a reconciliation that has not ended, or whose slice has moved since.",
                scope="admin:write",
                handle=self.plan,
                parameters=(run_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/RepairWish"}, media=(JSON,), example={"dry_run": True}
                ),
                gives=(
                    Gives(
                        status=202,
                        description="It is being planned",
                        schema=repair,
                        headers=("Location", "Retry-After"),
                        links={name: {"id": "$response.body#/id"} for name in followed},
                    ),
                ),
                refuses=(errors.NotFoundHere, errors.Invalid, errors.RepairRunning),
            ),
            Route(
                method="GET",
                path=OF_RECONCILIATION,
                name="list_repairs",
                tag="repairs",
                summary="The repairs from one reconciliation, the newest first",
                scope="admin:read",
                handle=self.page,
                parameters=(run_id, *parameters.PAGED, *parameters.TRACE),
                gives=(Gives(status=200, description="A page", schema=page_of(repair)),),
                refuses=(errors.NotFoundHere, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}",
                name="get_repair",
                tag="repairs",
                summary="What a repair has planned, and how far it has come",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The repair as it is now", schema=repair),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}/records",
                name="list_repair_records",
                tag="repairs",
                summary="What is planned for each record of a repair, and what became of it",
                description="Each with the system, the fields from and to, the money at stake, and the write, the case "
                "or the reason where there is one. `Accept: text/csv` gives all behind the cursor as one table, a line "
                "for each field. Records of a repair that ended long ago are kept no longer than "
                "`resolved_diffs_days`.",
                scope="admin:read",
                handle=self.records,
                parameters=(
                    own_id,
                    _narrowing("action", ACTIONS, "Only of this action."),
                    _narrowing("outcome", OUTCOMES, "Only of this outcome."),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(
                    Gives(
                        status=200,
                        description="A page, by the ids of the records",
                        schema=page_of(record),
                        also=(CSV,),
                    ),
                ),
                refuses=(errors.NotFoundHere, errors.ForeignCursor, errors.NotAcceptable),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/request",
                name="request_repair",
                tag="repairs",
                summary="Ask for what a dry run has planned",
                description="Nothing is written before another person has approved the hash, within 30 minutes.",
                scope="admin:write",
                handle=self.request,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/RepairRequest"},
                    media=(JSON,),
                    example={"plan_hash": "0" * 64, "reason": "before the month is closed"},
                ),
                gives=(Gives(status=200, description="The repair, which waits for another person", schema=repair),),
                refuses=(
                    errors.NotFoundHere,
                    errors.Invalid,
                    errors.EvidenceChanged,
                    errors.RepairStale,
                    errors.RepairRunning,
                ),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/approve",
                name="approve_repair",
                tag="repairs",
                summary="Approve the plan of a repair that somebody else has asked for",
                description="Signs the hash of the plan, and workers carry it out through the ledger, chunk after "
                "chunk. Each record is read once more first; one that is not as it was planned is not written.",
                scope="admin:approve",
                handle=self.approve,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/RepairApproval"},
                    media=(JSON,),
                    example={"plan_hash": "0" * 64},
                ),
                gives=(Gives(status=200, description="The repair, on its way", schema=repair),),
                refuses=(
                    errors.NotFoundHere,
                    errors.SecondPersonNeeded,
                    errors.EvidenceChanged,
                    errors.RepairStale,
                ),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/cancel",
                name="cancel_repair",
                tag="repairs",
                summary="End a repair early",
                description="It writes no more; what is in the ledger goes on. Again changes nothing.",
                scope="admin:write",
                handle=self.cancel,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/RepairEnding"},
                    media=(JSON,),
                    example={"reason": "the supplier corrects it there"},
                    required=False,
                ),
                gives=(Gives(status=200, description="The repair as it is now", schema=repair),),
                refuses=(errors.NotFoundHere, errors.Invalid, errors.RepairStale),
            ),
        )


def _narrowing(name: str, values: Sequence[str], description: str) -> Parameter:
    return Parameter(
        name=name, where="query", schema={"type": "string", "enum": list(values)}, description=description
    )


def _id(exchange: Exchange, prefix: str = REPAIR, what: str = "repair") -> str:
    if not addresses.is_id(exchange.path["id"], prefix):
        raise NotFoundHere(f"an id of a {what} begins with {prefix}")
    return exchange.path["id"]
