"""Reconciliations of whole sets: begun, followed, cancelled, and taken apart to the records of each term."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.errors import NotFoundHere
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.named import check_slice
from gateway.http.admin.reconciliation_wire import BASE, ReconciliationWish, told, told_line, told_record
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route, Schema
from gateway.ids import RECONCILIATION
from gateway.ports import ReconcilerPort, SlicesPort
from gateway.reconcile.bridge import Term
from gateway.reconcile.run import STATES

_EXAMPLE_ID = f"{RECONCILIATION}0198f0c2-9b41-7c10-8d22-3e7a6c5d4b3f"
TERMS = tuple(term.value for term in Term)


class Reconciliations:
    """The handlers of reconciliations."""

    def __init__(self, *, reconciler: ReconcilerPort, slices: SlicesPort, cursors: Cursors) -> None:
        self._reconciler = reconciler
        self._slices = slices
        self._listing = Listing(cursors, "reconciliations")
        self._records = Listing(cursors, "reconciled records")

    async def start(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(ReconciliationWish, await exchange.body())
        check_slice(exchange, self._slices, wish.entity, wish.region)
        run = await self._reconciler.start(
            wish.entity, wish.region, actor=exchange.caller.name, reason=wish.reason, sources=wish.sources
        )
        made = told(run)
        return ok(made, status=202).header("location", made.href).header("retry-after", "1")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region", "state", "limit", "cursor"))
        limit = query.limit(asked)
        caller = exchange.caller
        found = await self._reconciler.list(
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
        return self._listing.page(asked, [told_line(run) for run in items], last=last)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        run = await self._reconciler.get(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(told(run))

    async def cancel(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        run = await self._reconciler.cancel(
            _id(exchange), actor=caller.name, regions=caller.regions, entities=caller.entities
        )
        return ok(told(run))

    async def records(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("term", "measure", "currency", "limit", "cursor"))
        limit = query.limit(asked)
        caller = exchange.caller
        run_id = _id(exchange)
        term = query.choice(asked, "term", TERMS)
        # The cursor is one of this run's list: of another run it is foreign.
        context = {**asked, "reconciliation": run_id}
        found = await self._reconciler.records(
            run_id,
            term=None if term is None else Term(term),
            measure=query.token(asked, "measure"),
            currency=query.token(asked, "currency"),
            after=self._records.after(context) or "",
            limit=limit + 1,
            regions=caller.regions,
            entities=caller.entities,
        )
        items = found[:limit]
        last = items[-1].record_id if len(found) > limit else None
        return self._records.page(context, [told_record(one) for one in items], last=last)

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        run: dict[str, Any] = {"$ref": "#/components/schemas/ReconciliationTold"}
        line: dict[str, Any] = {"$ref": "#/components/schemas/ReconciliationLine"}
        record: dict[str, Any] = {"$ref": "#/components/schemas/TermRecordTold"}
        own_id: Parameter = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{RECONCILIATION}{addresses.ID}$"},
            "The id of the reconciliation.",
            _EXAMPLE_ID,
        )
        example: dict[str, Any] = {"entity": "invoice", "region": regions[0] if regions else "UK"}
        links = {
            "get_reconciliation": {"id": "$response.body#/id"},
            "cancel_reconciliation": {"id": "$response.body#/id"},
            "list_reconciled_records": {"id": "$response.body#/id"},
        }
        return (
            Route(
                method="POST",
                path=BASE,
                name="start_reconciliation",
                tag="reconciliations",
                summary="Hold the two systems of a slice against each other",
                description="Reads both sets, counts and sums them, and bridges the authority's totals to the "
                "mirror's: late, queued, in case, waived, unexplained. It runs on whichever worker is there, at the "
                "rate that the systems allow; follow it at Location. A system is read through its adapter, "
                "or from the source of the settings that is named for it. 422 for a slice that keeps one system only, "
                "and for a source that does not fit.",
                scope="admin:write",
                handle=self.start,
                parameters=parameters.TRACE,
                body=Body(
                    schema={"$ref": "#/components/schemas/ReconciliationWish"},
                    media=("application/json",),
                    example=example,
                ),
                gives=(
                    Gives(
                        status=202,
                        description="It has begun",
                        schema=run,
                        headers=("Location", "Retry-After"),
                        links=links,
                    ),
                ),
                refuses=(
                    errors.UnknownRegion,
                    errors.Forbidden,
                    errors.Invalid,
                    errors.ReconciliationRunning,
                ),
            ),
            Route(
                method="GET",
                path=BASE,
                name="list_reconciliations",
                tag="reconciliations",
                summary="Reconciliations, the newest first",
                description="Without their reports: each stands at its `href`.",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    *parameters.slice_filters(regions),
                    _narrowing("state", {"type": "string", "enum": list(STATES)}, "Only in this state."),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(line)),),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}",
                name="get_reconciliation",
                tag="reconciliations",
                summary="How far a reconciliation has come, and what it has found",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The reconciliation as it is now", schema=run),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}/records",
                name="list_reconciled_records",
                tag="reconciliations",
                summary="The records whose sides part, by term, measure and currency",
                description="Every term of the bridge leads to its records: those with `term`, `measure` and "
                "`currency` have the parts that the line adds up. Without `measure` also records that part in no "
                "amount.",
                scope="admin:read",
                handle=self.records,
                parameters=(
                    own_id,
                    _narrowing("term", {"type": "string", "enum": list(TERMS)}, "Only of this term."),
                    _narrowing("measure", parameters.TOKEN, "Only with an amount in this measure.", "total"),
                    _narrowing("currency", parameters.TOKEN, "Only with an amount in this currency.", "EUR"),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(
                    Gives(
                        status=200, description="A page, by the ids of the records", schema=page_of(record)
                    ),
                ),
                refuses=(errors.NotFoundHere, errors.ForeignCursor),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/cancel",
                name="cancel_reconciliation",
                tag="reconciliations",
                summary="End a reconciliation early",
                description="It reads and compares no more. Cancelling it twice changes nothing.",
                scope="admin:write",
                handle=self.cancel,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The reconciliation as it is now", schema=run),),
                refuses=(errors.NotFoundHere, errors.CannotCancel),
            ),
        )


def _narrowing(name: str, schema: Schema, description: str, example: str | None = None) -> Parameter:
    return Parameter(name=name, where="query", schema=schema, description=description, example=example)


def _id(exchange: Exchange) -> str:
    if not addresses.is_id(exchange.path["id"], RECONCILIATION):
        raise NotFoundHere(f"an id of a reconciliation begins with {RECONCILIATION}")
    return exchange.path["id"]
