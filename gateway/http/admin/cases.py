"""The exception queue: what waits for a person, and what a person decides about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway import errors
from gateway.access import Cursors
from gateway.access.signing import foreign
from gateway.canonical import BY_NAME
from gateway.cases import Kind
from gateway.cases.case import STATES
from gateway.cases.queries import Filter
from gateway.cases.resolve import Decision
from gateway.database import to_micros
from gateway.errors import NotFoundHere
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.case_wire import (
    EXAMPLE,
    EXAMPLE_ID,
    EXAMPLE_IN_FULL,
    Assignment,
    Comment,
    Resolving,
    in_full,
    shown,
)
from gateway.http.admin.listing import Listing, page_of
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route, Schema
from gateway.ids import CASE
from gateway.ports import CasesPort, SlicesPort


class Cases:
    """The handlers of the exception queue."""

    def __init__(self, *, cases: CasesPort, slices: SlicesPort, cursors: Cursors) -> None:
        self._cases = cases
        self._slices = slices
        self._listing = Listing(cursors, "cases")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("state", "owner", "kind", "entity", "region", "limit", "cursor"))
        limit = query.limit(asked)
        caller = exchange.caller
        narrowed = Filter(
            state=query.choice(asked, "state", STATES),
            owner=asked.get("owner"),
            kind=query.choice(asked, "kind", [kind.value for kind in Kind]),
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            regions=caller.regions,
            entities=caller.entities,
        )
        found = await self._cases.page(narrowed, after=_place(self._listing.after(asked)), limit=limit + 1)
        items = found[:limit]
        last = f"{items[-1].due_at}:{items[-1].id}" if len(found) > limit else None
        return self._listing.page(asked, [shown(case) for case in items], last=last)

    async def one(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        found = await self._cases.one(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(in_full(found))

    async def assign(self, exchange: Exchange) -> Reply:
        exchange.query()
        given = bodies.decode(Assignment, await exchange.body())
        caller = exchange.caller
        return ok(
            in_full(
                await self._cases.assign(
                    _id(exchange),
                    given.owner,
                    by=caller.name,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            )
        )

    async def comment(self, exchange: Exchange) -> Reply:
        exchange.query()
        given = bodies.decode(Comment, await exchange.body())
        caller = exchange.caller
        return ok(
            in_full(
                await self._cases.comment(
                    _id(exchange),
                    given.comment,
                    by=caller.name,
                    regions=caller.regions,
                    entities=caller.entities,
                )
            )
        )

    async def resolve(self, exchange: Exchange) -> Reply:
        exchange.query()
        given = bodies.decode(Resolving, await exchange.body())
        caller = exchange.caller
        decision = Decision(
            case_id=_id(exchange),
            resolution=given.resolution,
            reason=given.reason,
            by=caller.name,
            until=None if given.until is None else to_micros(given.until),
            native_id=given.native_id,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(in_full(await self._cases.resolve(decision)))

    def routes(self, regions: tuple[str, ...]) -> tuple[Route, ...]:
        own_id = parameters.path(
            "id", {"type": "string", "pattern": f"^{CASE}{addresses.ID}$"}, "The id of the case.", EXAMPLE_ID
        )
        case: Schema = {"$ref": "#/components/schemas/CaseInFull"}
        base = "/admin/v1/cases"

        def act(name: str, summary: str, description: str, schema: str, example: Any, handle: Any) -> Route:
            return Route(
                method="POST",
                path=f"{base}/{{id}}/{name}",
                name=f"{name}_case",
                tag="cases",
                summary=summary,
                description=description,
                scope="admin:write",
                handle=handle,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": f"#/components/schemas/{schema}"},
                    media=("application/json",),
                    example=example,
                ),
                gives=(Gives(status=200, description="The case as it is now", schema=case),),
                refuses=(errors.NotFoundHere, errors.DecisionStale, errors.Invalid),
            )

        return (
            Route(
                method="GET",
                path=base,
                name="list_cases",
                tag="cases",
                summary="What waits for a person, the nearest deadline first",
                description="Only cases of the key's entities and regions. Without `state`, closed ones as well.",
                scope="admin:read",
                handle=self.page,
                parameters=(*_filters(regions), *parameters.PAGED, *parameters.TRACE),
                gives=(
                    Gives(
                        status=200,
                        description="A page",
                        schema=page_of({"$ref": "#/components/schemas/CaseLine"}),
                        example={"items": [EXAMPLE], "next_cursor": None},
                    ),
                ),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=base + "/{id}",
                name="get_case",
                tag="cases",
                summary="One case with its history",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The case", schema=case, example=EXAMPLE_IN_FULL),),
                refuses=(errors.NotFoundHere,),
            ),
            act(
                "assign",
                "Give a case to a person or a role",
                "",
                "Assignment",
                {"owner": "Kim Lee"},
                self.assign,
            ),
            act(
                "resolve",
                "Decide a case",
                "Does at once what was decided, in the same commit as its audit row. Where the case's `two_persons` "
                "names the decision, the first call proposes it, and one with another key carries it out. 409 where "
                "it does not fit any more, with what is so now.",
                "Resolving",
                {"as": "replay", "reason": "The tax code is there now"},
                self.resolve,
            ),
            act(
                "comment",
                "Add a line to the history of a case",
                "",
                "Comment",
                {"comment": "Asked the vendor, answer by noon"},
                self.comment,
            ),
        )


def _id(exchange: Exchange) -> str:
    case_id = exchange.path["id"]
    if not addresses.is_id(case_id, CASE):
        raise NotFoundHere(f"an id of a case begins with {CASE}")
    return case_id


def _place(after: str | None) -> tuple[int, str] | None:
    """Deadline and id of the case that the page before ended with."""
    if after is None:
        return None
    due_at, _, case_id = after.partition(":")
    if not due_at.isdecimal() or not case_id:
        raise foreign()
    return int(due_at), case_id


def _filters(regions: Sequence[str]) -> tuple[Parameter, ...]:
    def choice(name: str, allowed: Sequence[str], description: str) -> Parameter:
        schema: Schema = {"type": "string", "enum": list(allowed)} if allowed else {"type": "string"}
        return Parameter(name=name, where="query", schema=schema, description=description)

    return (
        choice("state", STATES, "Only in this state."),
        Parameter(
            name="owner",
            where="query",
            schema={"type": "string", "minLength": 1},
            description="Only what this person or role has.",
            example="finance",
        ),
        choice("kind", [kind.value for kind in Kind], "Only of this kind."),
        choice("entity", list(BY_NAME), "Only of this entity."),
        choice("region", list(regions), "Only in this region."),
    )
