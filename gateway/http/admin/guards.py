"""The guards of slices: what each watches, what it has seen, and what it has done."""

from __future__ import annotations

import msgspec

from gateway.database import moment
from gateway.http import parameters
from gateway.http.admin.listing import page_of
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Gives, Route
from gateway.ports import GuardsPort
from gateway.readiness import Outcome, Watched

BASE = "/admin/v1/guards"


class GuardTold(msgspec.Struct, frozen=True, kw_only=True):
    """A guarded slice. `failing` windows in a row have failed, of `windows`; `verdict` is of the last one, and
    inconclusive never demotes. Until `held_until` the guard rests; `switch` is the way back that it has opened."""

    entity: str
    region: str
    guard: str
    gates: tuple[str, ...]
    windows: int
    window_minutes: float
    then: str
    hold_hours: float
    watching: bool
    failing: int
    verdict: Outcome | None
    failed: tuple[str, ...]
    looked_at: str | None
    next_at: str | None
    acted_at: str | None
    held_until: str | None
    switch: str | None


def told(one: Watched) -> GuardTold:
    """In wire form: moments in RFC 3339."""
    return GuardTold(
        entity=one.entity,
        region=one.region,
        guard=one.guard,
        gates=one.gates,
        windows=one.windows,
        window_minutes=one.window_minutes,
        then=one.then,
        hold_hours=one.hold_hours,
        watching=one.watching,
        failing=one.failing,
        verdict=None if one.verdict is None else Outcome(one.verdict),
        failed=one.failed,
        looked_at=moment(one.looked_at),
        next_at=moment(one.next_at),
        acted_at=moment(one.acted_at),
        held_until=moment(one.held_until),
        switch=one.switch_id,
    )


class Guards:
    """The handler of the guards."""

    def __init__(self, *, guards: GuardsPort) -> None:
        self._guards = guards

    async def all(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        found = await self._guards.standing(regions=caller.regions, entities=caller.entities)
        return ok({"items": [told(one) for one in found], "next_cursor": None})

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="GET",
                path=BASE,
                name="list_guards",
                tag="readiness",
                summary="Which slices go back by themselves, and how near they are to it",
                description="By the guards of the rule files. Only slices of the key's entities and regions.",
                scope="admin:read",
                handle=self.all,
                parameters=parameters.TRACE,
                gives=(
                    Gives(
                        status=200,
                        description="Every slice that has a guard",
                        schema=page_of({"$ref": "#/components/schemas/GuardTold"}),
                    ),
                ),
            ),
        )
