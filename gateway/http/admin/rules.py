"""The rules: every slice and its stage, the change of one, and who changed it when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.canonical.values import Note
from gateway.errors import FieldError, Invalid, NotFoundHere
from gateway.http import bodies, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.scheduled_wire import BASE, EffectiveAt, told
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route
from gateway.ledger.slices import Slice
from gateway.ports import SchedulePort, SimulationPort, SlicesPort, SwitchoverPort
from gateway.routing.ruleset import MOST_SAMPLE
from gateway.routing.stage import Stage
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.simulation import DAYS, MOST_DAYS


class RuleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rule is to become. What is left out stays as it is."""

    stage: Stage
    reason: Annotated[Note, Meta(min_length=1)]
    expected_version: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="the version that this change is based on")
    ]
    override: bool = False
    compare_sample: (
        Annotated[int, Meta(ge=0, le=MOST_SAMPLE, description="one read in n is compared; 0: none")] | None
    ) = None
    storable: bool | None = None
    effective_at: EffectiveAt | None = None


class DraftRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where one slice would go."""

    entity: Annotated[
        str, Meta(min_length=1, max_length=40, pattern="^[ -~]+$", description="the entity")
    ]
    region: Annotated[
        str, Meta(min_length=1, max_length=40, pattern="^[ -~]+$", description="the region")
    ]
    stage: Stage


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules as they might be. Slices that it does not name stay as they are."""

    rules: Annotated[list[DraftRule], Meta(min_length=1, max_length=1000)]
    days: Annotated[
        int, Meta(ge=1, le=MOST_DAYS, description="the writes of so many days back are routed again")
    ] = DAYS


class Rules:
    """The handlers of the rules."""

    def __init__(
        self,
        *,
        slices: SlicesPort,
        switchover: SwitchoverPort,
        schedule: SchedulePort,
        simulation: SimulationPort,
        cursors: Cursors,
    ) -> None:
        self._slices = slices
        self._schedule = schedule
        self._simulation = simulation
        self._switchover = switchover
        self._history = Listing(cursors, "rule_history")

    async def all(self, exchange: Exchange) -> Reply:
        exchange.query()
        caller = exchange.caller
        order = {name: place for place, name in enumerate(BY_NAME)}
        found = [rule for rule in await self._slices.all() if caller.sees(rule.entity, rule.region)]
        found.sort(key=lambda rule: (order.get(rule.entity, len(order)), rule.region))
        return ok({"items": found, "next_cursor": None})

    async def set(self, exchange: Exchange) -> Reply:
        exchange.query()
        rule = await self._rule(exchange)
        change = bodies.decode(RuleChange, await exchange.body())
        if change.effective_at is not None:
            return await self._at(exchange, rule, change, change.effective_at)
        return ok(
            await self._switchover.set_stage(
                rule.entity,
                rule.region,
                stage=change.stage,
                reason=change.reason,
                expected_version=change.expected_version,
                actor=exchange.caller.name,
                override=change.override,
                compare_sample=change.compare_sample,
                storable=change.storable,
            )
        )

    async def _at(self, exchange: Exchange, rule: Slice, change: RuleChange, at: datetime) -> Reply:
        beside = {"compare_sample": change.compare_sample, "storable": change.storable}
        made = await self._schedule.request(
            ScheduleWish(
                entity=rule.entity,
                region=rule.region,
                stage=change.stage,
                at=at,
                reason=change.reason,
                expected_version=change.expected_version,
                override=change.override,
                rule={name: value for name, value in beside.items() if value is not None},
            ),
            actor=exchange.caller.name,
        )
        return ok(told(made), status=202).header("location", f"{BASE}/{made.id}")

    async def simulate(self, exchange: Exchange) -> Reply:
        exchange.query()
        draft = bodies.decode(Draft, await exchange.body())
        named: dict[tuple[str, str], Stage] = {}
        for number, one in enumerate(draft.rules):
            key = (one.entity, one.region)
            if key in named:
                message = "is named twice"
                error = FieldError(pointer=f"/rules/{number}", code="repeated", message=message)
                raise Invalid(f"{one.entity} in {one.region} {message}", errors=[error])
            named[key] = one.stage
        caller = exchange.caller
        return ok(
            await self._simulation.run(
                named, days=draft.days, regions=caller.regions, entities=caller.entities
            )
        )

    async def history(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("limit", "cursor"))
        rule = await self._rule(exchange)
        limit = query.limit(asked)
        # The slice is no query parameter, but a cursor is good for its own slice only.
        context = {**asked, "slice": f"{rule.entity}/{rule.region}"}
        found = await self._slices.history(
            rule.entity, rule.region, after=self._history.after_number(context), limit=limit + 1
        )
        items = found[:limit]
        last = str(items[-1].version) if len(found) > limit else None
        return self._history.page(context, items, last=last)

    async def _rule(self, exchange: Exchange) -> Slice:
        """The slice in the path. Raises NotFoundHere for one that does not exist or that the key may not
        see."""
        entity, region = exchange.path["entity"], exchange.path["region"]
        if exchange.caller.sees(entity, region):
            for rule in await self._slices.all():
                if (rule.entity, rule.region) == (entity, region):
                    return rule
        raise NotFoundHere("no rule for this entity and region; GET /admin/v1/rules lists them")

    def routes(self, regions: tuple[str, ...]) -> tuple[Route, ...]:
        rule = {"$ref": "#/components/schemas/Slice"}
        entity_path = parameters.path(
            "entity", {"type": "string", "enum": list(BY_NAME)}, "The name of the entity.", "customer"
        )
        region_schema = {"type": "string", "enum": list(regions)} if regions else {"type": "string"}
        region_path = parameters.path(
            "region", region_schema, "The code of the region.", regions[0] if regions else None
        )
        slice_: tuple[Parameter, ...] = (entity_path, region_path)
        base = "/admin/v1/rules"
        return (
            Route(
                method="GET",
                path=base,
                name="list_rules",
                tag="rules",
                summary="Every slice with its stage",
                scope="admin:read",
                handle=self.all,
                parameters=parameters.TRACE,
                gives=(Gives(status=200, description="Every slice", schema=page_of(rule)),),
            ),
            Route(
                method="PUT",
                path=base + "/{entity}/{region}",
                name="set_rule",
                tag="rules",
                summary="Change the stage of a slice",
                description="In force for the very next write, and for reads within a second on every "
                "replica. When the authority moves, writes are held until every open delivery has ended. With "
                "`effective_at` it is made then by whichever worker comes first, once, and judged again before: what "
                "stands against it then refuses it, the slice stays as it was, and a case says so.",
                scope="admin:write",
                handle=self.set,
                parameters=(*slice_, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/RuleChange"},
                    media=("application/json",),
                    example={
                        "stage": "dual_write",
                        "reason": "The cloud side is filled",
                        "expected_version": 1,
                    },
                ),
                gives=(
                    Gives(status=200, description="The slice as it is now", schema=rule),
                    Gives(
                        status=202,
                        description="The change, which waits for its time",
                        schema={"$ref": "#/components/schemas/ScheduledTold"},
                        headers=("Location",),
                    ),
                ),
                refuses=(
                    errors.NotFoundHere,
                    errors.Invalid,
                    errors.RuleVersionMoved,
                    errors.RuleRefused,
                    errors.NotAccepted,
                ),
            ),
            Route(
                method="POST",
                path=base + "/simulate",
                name="simulate_rules",
                tag="rules",
                summary="What a draft of the rules would have meant",
                description="Routes the writes of the last days again by the draft: which slices would move and by "
                "which gates, which dependencies would break, how many writes each system would have got. Changes "
                "nothing.",
                scope="admin:read",
                handle=self.simulate,
                parameters=parameters.TRACE,
                body=Body(
                    schema={"$ref": "#/components/schemas/Draft"},
                    media=("application/json",),
                    example={
                        "rules": [
                            {"entity": "customer", "region": regions[0] if regions else "UK", "stage": "live"}
                        ]
                    },
                ),
                gives=(
                    Gives(
                        status=200,
                        description="What would have been",
                        schema={"$ref": "#/components/schemas/Simulated"},
                    ),
                ),
                refuses=(errors.UnknownRegion, errors.Invalid),
            ),
            Route(
                method="GET",
                path=base + "/{entity}/{region}/history",
                name="list_rule_history",
                tag="rules",
                summary="Who changed a slice, when and why",
                scope="admin:read",
                handle=self.history,
                parameters=(*slice_, *parameters.PAGED, *parameters.TRACE),
                gives=(
                    Gives(
                        status=200,
                        description="Changes, the newest first",
                        schema=page_of({"$ref": "#/components/schemas/SliceChange"}),
                    ),
                ),
                refuses=(errors.NotFoundHere, errors.ForeignCursor),
            ),
        )
