"""Switches: moves of authority, requested with their evidence, approved by another person, followed and aborted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME
from gateway.canonical.values import Note
from gateway.clock import rfc3339
from gateway.database import from_micros, moment
from gateway.errors import FieldError, Invalid, NotFoundHere
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin import scheduled_wire
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.named import check_slice
from gateway.http.admin.scheduled_wire import EffectiveAt
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route, Schema
from gateway.ids import SWITCH
from gateway.ports import SchedulePort, SlicesPort, SwitchesPort
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.states import SwitchState
from gateway.switchover.store import Counts, Problem, Switch
from gateway.switchover.switches import Wish

BASE = "/admin/v1/switches"
_EXAMPLE_ID = f"{SWITCH}0198f0c2-6a10-7d44-8b01-4c5d6e7f8a90"
_Token = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[ -~]+$")]
_Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", description="of the evidence that you have looked at")]


class SwitchWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which slice is to go to which stage, and why. `expected_version` is that of its rule; left out, the rule as it is
    now."""

    entity: Annotated[_Token, Meta(description="the entity")]
    region: Annotated[_Token, Meta(description="the region")]
    stage: Annotated[Stage, Meta(description="where it is to go; a move back is a rollback")]
    reason: Annotated[Note, Meta(min_length=1, description="why; it is kept in the history")]
    expected_version: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    override: Annotated[bool, Meta(description="although a gate fails; each is named in the evidence")] = (
        False
    )
    emergency: Annotated[
        bool,
        Meta(
            description="the authority does not answer: the slice goes back to `shadow` without it. The evidence lists "
            "the writes of which it is open what that system has done"
        ),
    ] = False
    at: EffectiveAt | None = None


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is approved: the evidence behind this hash, and nothing else."""

    evidence_hash: _Hash


class Abortion(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a switch is ended."""

    reason: Annotated[Note, Meta(min_length=1)]


class SwitchTold(msgspec.Struct, frozen=True, kw_only=True):
    """A switch. `remaining` deliveries of before the fence were under way at the last look. `overridden` are gates that
    fail and were overridden. `counts` are an emergency's: what it cut off, took back, and had still to deliver."""

    id: str
    entity: str
    region: str
    kind: str
    state: SwitchState
    from_stage: Stage
    to_stage: Stage
    from_authority: str
    to_authority: str
    reason: str
    rule_version: int
    overridden: tuple[str, ...]
    evidence: dict[str, Any]
    evidence_hash: str
    two_person: bool
    requested_by: str
    requested_at: str
    expires_at: str
    approved_by: str | None
    approved_at: str | None
    epoch: int | None
    fenced_at: str | None
    drain_until: str | None
    remaining: int | None
    counts: Counts | None
    ended_at: str | None
    ended_by: str | None
    problem: Problem | None
    href: str


def told(one: Switch) -> SwitchTold:
    """In wire form: moments in RFC 3339."""
    return SwitchTold(
        id=one.id,
        entity=one.entity,
        region=one.region,
        kind=one.kind,
        state=one.state,
        from_stage=one.from_stage,
        to_stage=one.to_stage,
        from_authority=PLANS[one.from_stage].authority.value,
        to_authority=one.next_authority,
        reason=one.reason,
        rule_version=one.rule_version,
        overridden=one.overridden,
        evidence=one.evidence,
        evidence_hash=one.evidence_hash,
        two_person=one.two_person,
        requested_by=one.requested_by,
        requested_at=rfc3339(from_micros(one.requested_at)),
        expires_at=rfc3339(from_micros(one.expires_at)),
        approved_by=one.approved_by,
        approved_at=moment(one.approved_at),
        epoch=one.epoch,
        fenced_at=moment(one.fenced_at),
        drain_until=moment(one.drain_until),
        remaining=one.remaining,
        counts=one.counts,
        ended_at=moment(one.ended_at),
        ended_by=one.ended_by,
        problem=one.problem,
        href=f"{BASE}/{one.id}",
    )


class Switches:
    """The handlers of the switches."""

    def __init__(
        self, *, switches: SwitchesPort, schedule: SchedulePort, slices: SlicesPort, cursors: Cursors
    ) -> None:
        self._switches = switches
        self._schedule = schedule
        self._slices = slices
        self._listing = Listing(cursors, "switches")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region", "state", "limit", "cursor"))
        limit = query.limit(asked)
        found = await self._switches.page(
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            state=query.choice(asked, "state", tuple(SwitchState)),
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
        found = await self._switches.one(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(told(found))

    async def request(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(SwitchWish, await exchange.body())
        check_slice(exchange, self._slices, wish.entity, wish.region)
        if wish.at is not None:
            return await self._at(exchange, wish, wish.at)
        version = wish.expected_version
        if version is None:
            rules = await self._slices.all()
            version = next(r.version for r in rules if (r.entity, r.region) == (wish.entity, wish.region))
        asked = Wish(
            entity=wish.entity,
            region=wish.region,
            stage=wish.stage,
            reason=wish.reason,
            expected_version=version,
            override=wish.override,
        )
        ask = self._switches.emergency if wish.emergency else self._switches.request
        made = await ask(asked, actor=exchange.caller.name)
        return ok(told(made), status=201).header("location", f"{BASE}/{made.id}")

    async def _at(self, exchange: Exchange, wish: SwitchWish, at: datetime) -> Reply:
        if wish.emergency:
            message = "an emergency is now; leave it out"
            raise Invalid(
                f"at: {message}", errors=[FieldError(pointer="/at", code="emergency", message=message)]
            )
        made = await self._schedule.request(
            ScheduleWish(
                entity=wish.entity,
                region=wish.region,
                stage=wish.stage,
                at=at,
                reason=wish.reason,
                expected_version=wish.expected_version,
                override=wish.override,
                two_person=True,
            ),
            actor=exchange.caller.name,
        )
        return ok(scheduled_wire.told(made), status=202).header("location", f"{scheduled_wire.BASE}/{made.id}")

    async def approve(self, exchange: Exchange) -> Reply:
        exchange.query()
        approval = bodies.decode(Approval, await exchange.body())
        caller = exchange.caller
        found = await self._switches.approve(
            _id(exchange),
            evidence_hash=approval.evidence_hash,
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    async def abort(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(Abortion, await exchange.body())
        caller = exchange.caller
        found = await self._switches.abort(
            _id(exchange),
            reason=wish.reason,
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        switch: Schema = {"$ref": "#/components/schemas/SwitchTold"}
        own_id = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{SWITCH}{addresses.ID}$"},
            "The id of the switch.",
            _EXAMPLE_ID,
        )
        return (
            Route(
                method="POST",
                path=BASE,
                name="request_switch",
                tag="switches",
                summary="Ask for a move of authority, or for the way back",
                description="The answer carries the evidence of this moment and its hash. Nothing moves before another "
                "person has approved that hash, within 30 minutes. With `emergency` an authority that does not answer "
                "is left: what it had confirmed is delivered from the journal, what was never sent goes to the system "
                "that takes over, and each write whose outcome there is open becomes `stranded`, with a case.",
                scope="admin:write",
                handle=self.request,
                parameters=parameters.TRACE,
                body=Body(
                    schema={"$ref": "#/components/schemas/SwitchWish"},
                    media=("application/json",),
                    example=_example(regions),
                ),
                gives=(
                    Gives(
                        status=201,
                        description="The switch, which waits for another person",
                        schema=switch,
                        headers=("Location",),
                        links={"get_switch": {"id": "$response.body#/id"}},
                    ),
                    Gives(
                        status=202,
                        description="With `at`: the change, which waits for another person and then for its time",
                        schema={"$ref": "#/components/schemas/ScheduledTold"},
                        headers=("Location",),
                        links={"get_scheduled_change": {"id": "$response.body#/id"}},
                    ),
                ),
                refuses=(
                    errors.UnknownRegion,
                    errors.Forbidden,
                    errors.Invalid,
                    errors.RuleVersionMoved,
                    errors.RuleRefused,
                ),
            ),
            Route(
                method="GET",
                path=BASE,
                name="list_switches",
                tag="switches",
                summary="Switches, the newest first",
                description="Only those of the key's entities and regions.",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    *parameters.slice_filters(regions),
                    Parameter(
                        name="state",
                        where="query",
                        schema={"type": "string", "enum": [state.value for state in SwitchState]},
                        description="Only those in this state.",
                    ),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(switch)),),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}",
                name="get_switch",
                tag="switches",
                summary="One switch and how far it has come",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The switch", schema=switch),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/approve",
                name="approve_switch",
                tag="switches",
                summary="Approve what somebody else has asked for",
                description="Signs the hash of the evidence and begins the move. When the evidence has moved since, "
                "the switch carries the new one, and the refusal says what it is.",
                scope="admin:approve",
                handle=self.approve,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/Approval"},
                    media=("application/json",),
                    example={"evidence_hash": "0" * 64},
                ),
                gives=(Gives(status=200, description="The switch, on its way", schema=switch),),
                refuses=(
                    errors.NotFoundHere,
                    errors.SecondPersonNeeded,
                    errors.EvidenceChanged,
                    errors.SwitchOver,
                ),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/abort",
                name="abort_switch",
                tag="switches",
                summary="End a switch that is not committed",
                description="The slice stays as it was; writes that were held go to the authority that was.",
                scope="admin:write",
                handle=self.abort,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/Abortion"},
                    media=("application/json",),
                    example={"reason": "the month is not closed yet"},
                ),
                gives=(Gives(status=200, description="The switch as it is now", schema=switch),),
                refuses=(errors.NotFoundHere, errors.Invalid, errors.SwitchOver),
            ),
        )


def _example(regions: Sequence[str]) -> dict[str, Any]:
    return {
        "entity": "customer",
        "region": regions[0] if regions else "UK",
        "stage": "live",
        "reason": "a week in shadow without a mismatch",
    }




def _id(exchange: Exchange) -> str:
    if not addresses.is_id(exchange.path["id"], SWITCH):
        raise NotFoundHere(f"an id of a switch begins with {SWITCH}")
    return exchange.path["id"]
