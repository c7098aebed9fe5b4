"""Change feeds: edits made in the systems themselves, and how far each feed has come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway import errors
from gateway.canonical import BY_NAME
from gateway.change_feed.feed import STATES, Feed
from gateway.database import moment
from gateway.http import parameters, query
from gateway.http.admin.listing import page_of
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Gives, Parameter, Route
from gateway.ports import FeedsPort, SlicesPort
from gateway.routing.stage import System

BASE = "/admin/v1/feeds"


class FeedTold(msgspec.Struct, frozen=True, kw_only=True):
    """How far a feed has come. `cursor_at`: changes up to then, by the system's clock, have been taken; `lag_s`:
    seconds since which nothing is known of the system, null where it was never read. `seen` counts changes
    that were judged, `unlinked` records of the last pass that only this system holds. `why` says what stands against a
    feed that does not follow."""

    system: str
    entity: str
    region: str
    state: str
    why: str | None
    cursor_at: str | None
    read_at: str | None
    lag_s: float | None
    seen: int
    echoes: int
    carried: int
    reverted: int
    conflicts: int
    open_conflicts: int
    unlinked: int
    waiting: int


def told(feed: Feed) -> FeedTold:
    values: dict[str, Any] = {
        **msgspec.structs.asdict(feed),
        "state": feed.state.value,
        "lag_s": None if feed.lag_s is None else round(feed.lag_s, 1),
        "cursor_at": moment(feed.cursor_at),
        "read_at": moment(feed.read_at),
    }
    return FeedTold(**values)


class Feeds:
    """The handler of the feeds."""

    def __init__(self, *, follower: FeedsPort, slices: SlicesPort) -> None:
        self._follower = follower
        self._slices = slices

    async def all(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("system", "entity", "region", "state"))
        state = query.choice(asked, "state", STATES)
        caller = exchange.caller
        found = await self._follower.list(
            system=query.choice(asked, "system", tuple(System)),
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            regions=caller.regions,
            entities=caller.entities,
        )
        items = [told(one) for one in found if state in (None, one.state.value)]
        return ok({"items": items, "next_cursor": None})

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        feed: dict[str, Any] = {"$ref": "#/components/schemas/FeedTold"}
        narrowed = (
            ("system", tuple(system.value for system in System), "Only edits made in this system."),
            ("state", STATES, "Only in this state."),
        )
        return (
            Route(
                method="GET",
                path=BASE,
                name="list_feeds",
                tag="feeds",
                summary="Edits made in the systems themselves, and how far they are carried over",
                description="One line a system, entity and region. A system whose profile cannot list what has changed "
                "is `not_available`; a slice that keeps one system is `not_paired`.",
                scope="admin:read",
                handle=self.all,
                parameters=(
                    *parameters.slice_filters(regions),
                    *(
                        Parameter(
                            name=name,
                            where="query",
                            schema={"type": "string", "enum": list(values)},
                            description=description,
                        )
                        for name, values, description in narrowed
                    ),
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="Every feed", schema=page_of(feed)),),
                refuses=(errors.UnknownRegion,),
            ),
        )
