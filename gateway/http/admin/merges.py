"""Merges of two records that are one, and the way back: requested, approved by another person, aborted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from gateway import errors
from gateway.access import Cursors
from gateway.canonical import BY_NAME, ENTITIES
from gateway.canonical.values import Note
from gateway.clock import rfc3339
from gateway.crosswalk.merges import Merge, MergeKind, MergeState, Problem
from gateway.database import from_micros, moment
from gateway.errors import NotFoundHere, RecordNotFound
from gateway.http import addresses, bodies, parameters, query
from gateway.http.admin.listing import Listing, page_of
from gateway.http.admin.switches import Abortion, Approval
from gateway.http.exchange import Exchange
from gateway.http.reply import Reply, ok
from gateway.http.route import Body, Gives, Parameter, Route, Schema
from gateway.ids import MERGE
from gateway.merging import MergeWish
from gateway.ports import MergingPort, SlicesPort

BASE = "/admin/v1/merges"
_EXAMPLE_ID = f"{MERGE}0198f0c2-6a10-7d44-8b01-4c5d6e7f8a91"
_PREFIXES = "|".join(entity.prefix for entity in ENTITIES)
_RECORD = f"^({_PREFIXES}){addresses.ID}$"


class MergeInto(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which record the one in the path becomes part of, and why."""

    into: Annotated[str, Meta(pattern=_RECORD, max_length=70, description="the record that stays")]
    reason: Annotated[Note, Meta(min_length=1, description="why; it is kept in the history")]
    both_at_authority: Annotated[
        bool,
        Meta(
            description="although the system that answers holds each as a record of its own: both stay there, and the "
            "one that was merged is taken for the other"
        ),
    ] = False


class SplitWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why two records that were merged are to be two again."""

    reason: Annotated[Note, Meta(min_length=1)]


class MergeTold(msgspec.Struct, frozen=True, kw_only=True):
    """A merge, or the `split` that takes one back (`undoes`). The `evidence` says what is changed by it: `links` that
    are moved and that stay with the tombstone, what becomes of its number, whose `document` it is then, and how many
    `dependants` refer to the loser; those are not part of the hash."""

    id: str
    kind: MergeKind
    entity: str
    region: str
    loser: str
    winner: str
    state: MergeState
    reason: str
    both_at_authority: bool
    evidence: dict[str, Any]
    evidence_hash: str
    undoes: str | None
    undone_by: str | None
    requested_by: str
    requested_at: str
    expires_at: str
    approved_by: str | None
    approved_at: str | None
    ended_at: str | None
    ended_by: str | None
    problem: Problem | None
    href: str


def told(one: Merge) -> MergeTold:
    """In wire form: moments in RFC 3339."""
    return MergeTold(
        id=one.id,
        kind=one.kind,
        entity=one.entity,
        region=one.region,
        loser=one.loser,
        winner=one.winner,
        state=one.state,
        reason=one.reason,
        both_at_authority=one.both,
        evidence=one.evidence,
        evidence_hash=one.evidence_hash,
        undoes=one.undoes,
        undone_by=one.undone_by,
        requested_by=one.requested_by,
        requested_at=rfc3339(from_micros(one.requested_at)),
        expires_at=rfc3339(from_micros(one.expires_at)),
        approved_by=one.approved_by,
        approved_at=moment(one.approved_at),
        ended_at=moment(one.ended_at),
        ended_by=one.ended_by,
        problem=one.problem,
        href=f"{BASE}/{one.id}",
    )


class Merges:
    """The handlers of the merges."""

    def __init__(self, *, merging: MergingPort, slices: SlicesPort, cursors: Cursors) -> None:
        self._merging = merging
        self._slices = slices
        self._listing = Listing(cursors, "merges")

    async def request(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(MergeInto, await exchange.body())
        record_id = exchange.path["id"]
        if not any(addresses.is_id(record_id, entity.prefix) for entity in ENTITIES):
            raise RecordNotFound
        caller = exchange.caller
        made = await self._merging.request(
            MergeWish(loser=record_id, winner=wish.into, reason=wish.reason, both=wish.both_at_authority),
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return self._made(made)

    async def split(self, exchange: Exchange) -> Reply:
        exchange.query()
        wish = bodies.decode(SplitWish, await exchange.body())
        caller = exchange.caller
        made = await self._merging.split(
            _id(exchange),
            reason=wish.reason,
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return self._made(made)

    @staticmethod
    def _made(made: Merge) -> Reply:
        return ok(told(made), status=201).header("location", f"{BASE}/{made.id}")

    async def page(self, exchange: Exchange) -> Reply:
        asked = exchange.query(("entity", "region", "state", "limit", "cursor"))
        limit = query.limit(asked)
        found = await self._merging.page(
            entity=query.choice(asked, "entity", BY_NAME),
            region=query.region(asked, self._slices.places()),
            state=query.choice(asked, "state", tuple(MergeState)),
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
        found = await self._merging.one(_id(exchange), regions=caller.regions, entities=caller.entities)
        return ok(told(found))

    async def approve(self, exchange: Exchange) -> Reply:
        exchange.query()
        approval = bodies.decode(Approval, await exchange.body())
        caller = exchange.caller
        found = await self._merging.approve(
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
        found = await self._merging.abort(
            _id(exchange),
            reason=wish.reason,
            actor=caller.name,
            regions=caller.regions,
            entities=caller.entities,
        )
        return ok(told(found))

    def routes(self, regions: Sequence[str]) -> tuple[Route, ...]:
        merge: Schema = {"$ref": "#/components/schemas/MergeTold"}
        own_id = parameters.path(
            "id",
            {"type": "string", "pattern": f"^{MERGE}{addresses.ID}$"},
            "The id of the merge.",
            _EXAMPLE_ID,
        )
        record_id = parameters.path(
            "id", {"type": "string", "pattern": _RECORD}, "The id of the record that becomes part of the other."
        )
        waits = Gives(
            status=201,
            description="It waits for another person",
            schema=merge,
            headers=("Location",),
            links={"get_merge": {"id": "$response.body#/id"}},
        )
        return (
            Route(
                method="POST",
                path="/admin/v1/records/{id}/merge",
                name="request_merge",
                tag="merges",
                summary="Ask for two records that are one to be merged",
                description="The answer says what would be changed, with its hash. Nothing is changed before another "
                "person has approved that hash, within 30 minutes. Then the record of the path is a tombstone: reading "
                "it leads to the other one with 308, a write to it is 409, lists leave it out, and a reference to it "
                "is taken for the other one.",
                scope="admin:write",
                handle=self.request,
                parameters=(record_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/MergeInto"},
                    media=("application/json",),
                    example={
                        "into": "cus_0198f0c2-5b7e-7cc1-9d2a-6d2f5a1f3b10",
                        "reason": "entered twice by two branches",
                        "both_at_authority": True,
                    },
                ),
                gives=(waits,),
                refuses=(errors.RecordNotFound, errors.Invalid, errors.MergeRefused),
            ),
            Route(
                method="GET",
                path=BASE,
                name="list_merges",
                tag="merges",
                summary="Merges and splits, the newest first",
                description="Only those of the key's entities and regions.",
                scope="admin:read",
                handle=self.page,
                parameters=(
                    *parameters.slice_filters(regions),
                    Parameter(
                        name="state",
                        where="query",
                        schema={"type": "string", "enum": [state.value for state in MergeState]},
                        description="Only those in this state.",
                    ),
                    *parameters.PAGED,
                    *parameters.TRACE,
                ),
                gives=(Gives(status=200, description="A page", schema=page_of(merge)),),
                refuses=(errors.UnknownRegion, errors.ForeignCursor),
            ),
            Route(
                method="GET",
                path=BASE + "/{id}",
                name="get_merge",
                tag="merges",
                summary="One merge, with what it changes",
                scope="admin:read",
                handle=self.one,
                parameters=(own_id, *parameters.TRACE),
                gives=(Gives(status=200, description="The merge", schema=merge),),
                refuses=(errors.NotFoundHere,),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/approve",
                name="approve_merge",
                tag="merges",
                summary="Approve what somebody else has asked for",
                description="Signs the hash, and does it in one commit. When what it would change has moved since, the "
                "merge carries the new hash, and the refusal says what it is.",
                scope="admin:approve",
                handle=self.approve,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/Approval"},
                    media=("application/json",),
                    example={"evidence_hash": "0" * 64},
                ),
                gives=(Gives(status=200, description="The merge, done", schema=merge),),
                refuses=(
                    errors.NotFoundHere,
                    errors.SecondPersonNeeded,
                    errors.EvidenceChanged,
                    errors.MergeOver,
                    errors.MergeRefused,
                ),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/abort",
                name="abort_merge",
                tag="merges",
                summary="End a merge or a split that is not done",
                description="Both records stay as they are.",
                scope="admin:write",
                handle=self.abort,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/Abortion"},
                    media=("application/json",),
                    example={"reason": "they are two branches after all"},
                ),
                gives=(Gives(status=200, description="The merge as it is now", schema=merge),),
                refuses=(errors.NotFoundHere, errors.Invalid, errors.MergeOver),
            ),
            Route(
                method="POST",
                path=BASE + "/{id}/split",
                name="request_split",
                tag="merges",
                summary="Ask for the way back from a merge that is done",
                description="It is approved as a merge is, and puts back what the merge has moved, as long as nothing "
                "was written that stands against it: by the winner since, or to a mirror by the merge itself. "
                "References that were written since stay with the winner.",
                scope="admin:write",
                handle=self.split,
                parameters=(own_id, *parameters.TRACE),
                body=Body(
                    schema={"$ref": "#/components/schemas/SplitWish"},
                    media=("application/json",),
                    example={"reason": "they are two customers of one name"},
                ),
                gives=(waits,),
                refuses=(errors.NotFoundHere, errors.Invalid, errors.MergeOver, errors.MergeRefused),
            ),
        )


def _id(exchange: Exchange) -> str:
    merge_id = exchange.path["id"]
    if not addresses.is_id(merge_id, MERGE):
        raise NotFoundHere(f"an id of a merge begins with {MERGE}")
    return merge_id
