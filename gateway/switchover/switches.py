"""Switches as people see them: requested with the evidence of the moment, approved by another person who signs that
evidence, followed, and aborted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.access import within
from gateway.audit import reason_of
from gateway.audit import record as audited
from gateway.database import Database
from gateway.dispatch.claim import MICROS
from gateway.errors import (
    EvidenceChanged,
    FieldError,
    Invalid,
    NotFoundHere,
    RuleRefused,
    SwitchOver,
    UnknownRegion,
)
from gateway.ids import SWITCH, Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice
from gateway.routing import transition
from gateway.routing.stage import Stage
from gateway.switchover import store
from gateway.switchover.emergency import KIND as EMERGENCY
from gateway.switchover.emergency import Emergency, counted
from gateway.switchover.emergency import seen as seen_of
from gateway.switchover.evidence import agreed, another_person, changed, digest, evidence
from gateway.switchover.fence import expect
from gateway.switchover.gates import Gates
from gateway.switchover.moves import Moves
from gateway.switchover.states import UNDER_WAY, SwitchEvent, SwitchState
from gateway.switchover.store import Counts, Problem, Switch

#: An approval has to come within this time of the request.
VALID_S = 30 * 60


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A fenced move as somebody asks for it. ``rule``: what else the rule becomes with it."""

    entity: str
    region: str
    stage: Stage
    reason: str
    expected_version: int
    override: bool = False
    rule: dict[str, Any] = {}


class _Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """What speaks for and against a move, as found before its commit; ``evidence`` and ``counts`` are made in it."""

    kind: str
    overridden: tuple[str, ...]
    accepted: tuple[str, ...]
    evidence: Callable[[Connection, Slice, int], dict[str, Any]]
    counts: Callable[[Connection, Slice], Counts | None]


class Switches:
    def __init__(
        self, *, database: Database, gates: Gates, emergency: Emergency, moves: Moves, ids: Ids
    ) -> None:
        self._database = database
        self._gates = gates
        self._emergency = emergency
        self._moves = moves
        self._ids = ids

    async def request(
        self, wish: Wish, *, actor: str, also: Callable[[Connection, Switch], None] | None = None
    ) -> Switch:
        """Asks for a move that another person is to approve. Raises UnknownRegion, RuleVersionMoved, Invalid without
        a reason or for a move that needs no switch, and RuleRefused with each gate that stands against it, and when
        the slice has a switch that has not ended. ``also`` is called in its commit."""
        said = msgspec.structs.replace(wish, reason=reason_of(wish.reason))
        return await self._add(said, actor=actor, two_person=True, also=also)

    async def emergency(self, wish: Wish, *, actor: str) -> Switch:
        """Asks to leave an authority that does not answer; its evidence lists the writes of which it is open what that
        system has done. Another person always has to approve that list. Raises what ``request`` does, RuleRefused also
        where no other system is kept and where the authority answers after all."""
        said = msgspec.structs.replace(wish, reason=reason_of(wish.reason))
        return await self._add(said, actor=actor, two_person=True, emergency=True)

    async def direct(
        self,
        wish: Wish,
        *,
        actor: str,
        approved_by: str | None = None,
        also: Callable[[Connection, Switch], None] | None = None,
    ) -> Switch:
        """The same for one person who makes the move alone, or for one that ``approved_by`` has approved before: it is
        approved with its request. ``also`` is called in its commit."""
        return await self._add(wish, actor=actor, two_person=False, approved_by=approved_by, also=also)

    async def approve(
        self,
        id_: str,
        *,
        evidence_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Switch:
        """Approves what ``evidence_hash`` stands for, and begins. To approve it twice is no error. Raises NotFoundHere,
        SecondPersonNeeded for whoever asked for it, SwitchOver when it has ended or was not approved in time, and
        EvidenceChanged, with the switch renewed to what is so now, when something in the evidence has moved."""
        asked = await self.one(id_, regions=regions, entities=entities)
        if asked.state in UNDER_WAY and asked.approved_by == actor:
            return asked
        if asked.state is SwitchState.REQUESTED:
            another_person(actor, asked.requested_by, "switch")
        found = await self._weigh(
            await self._slice(asked.key), asked.to_stage, override=True, emergency=asked.kind == EMERGENCY
        )

        def unit(connection: Connection) -> Switch | EvidenceChanged:
            there = store.held(connection, id_)
            assert there is not None
            if there.state is not SwitchState.REQUESTED:
                raise SwitchOver(f"it is {there.state.value}", state=there.state.value)
            now = self._database.now(connection)
            if now >= there.expires_at:
                raise SwitchOver("the time to approve it is over; ask for it again", state=there.state.value)
            current = slices.read(connection, [there.key])[there.key]
            seen = found.evidence(connection, current, now)
            hashed = digest(seen)
            if hashed != there.evidence_hash:
                moved = ", ".join(changed(there.evidence, seen))
                store.change(
                    connection, there, None, {"evidence": seen, "evidence_hash": hashed, "overridden": found.overridden,
                                              "rule_version": current.version,
                                              "counts": found.counts(connection, current)}
                )  # fmt: skip
                return EvidenceChanged(f"what has moved since the request: {moved}", evidence_hash=hashed)
            agreed("evidence_hash", evidence_hash, hashed, "evidence of this switch")
            self._audit(connection, there, at=now, actor=actor, action="switch.approve")
            return store.change(
                connection,
                there,
                SwitchEvent.APPROVED,
                {"approved_by": actor, "approved_at": now, "looked_at": now},
            )

        approved = await self._database.transaction(unit)
        if isinstance(approved, EvidenceChanged):
            raise approved
        self._moves.begin(id_)
        return approved

    async def abort(
        self,
        id_: str,
        *,
        reason: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Switch:
        """Ends a switch that has not ended; the slice stays as it was. To abort it twice is no error. Raises
        NotFoundHere, and SwitchOver when it is committed."""
        await self.one(id_, regions=regions, entities=entities)
        ended = await self._moves.abort(id_, Problem(code="aborted", message=reason_of(reason)), by=actor)
        assert ended is not None
        if ended.state is SwitchState.COMMITTED:
            raise SwitchOver("it is committed; ask for a switch back", state=ended.state.value)
        if ended.ended_at is None:
            raise SwitchOver(
                "the authority has moved already; ask for a switch when it has ended", state=ended.state.value
            )
        return ended

    async def one(
        self,
        id_: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Switch:
        """Raises NotFoundHere; a switch outside ``regions`` and ``entities`` is not there."""
        found = await self._database.read(lambda conn: store.one(conn, id_))
        if found is None or not within(found.entity, found.region, entities, regions):
            raise NotFoundHere(f"there is no switch {id_}")
        return found

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Switch]:
        """The newest first."""
        return await self._database.read(
            lambda conn: store.page(
                conn,
                entity=entity,
                region=region,
                state=state,
                regions=regions,
                entities=entities,
                after=after,
                limit=limit,
            )
        )

    async def _add(
        self,
        wish: Wish,
        *,
        actor: str,
        two_person: bool,
        emergency: bool = False,
        approved_by: str | None = None,
        also: Callable[[Connection, Switch], None] | None = None,
    ) -> Switch:
        key = (wish.entity, wish.region)
        current = await self._slice(key)
        expect(current, wish.expected_version)
        if not emergency and not transition.is_fenced(current.stage, wish.stage):
            message = (
                f"goes from {current.stage.value} to {wish.stage.value} without a switch: change its rule"
            )
            raise Invalid(
                f"{wish.entity} in {wish.region} {message}",
                errors=[FieldError(pointer="/stage", code="no_switch", message=message)],
            )
        found = await self._weigh(current, wish.stage, override=wish.override, emergency=emergency)

        def unit(connection: Connection) -> Switch:
            slices.lock_exclusive(connection, key)
            there = slices.read(connection, [key])[key]
            expect(there, wish.expected_version)
            before = store.open_of(connection, key)
            if before is not None:
                raise _another(before)
            now = self._database.now(connection)
            seen = found.evidence(connection, there, now)
            made = Switch(
                id=self._ids.new(SWITCH),
                entity=wish.entity,
                region=wish.region,
                kind=found.kind,
                from_stage=there.stage,
                to_stage=wish.stage,
                state=SwitchState.REQUESTED if two_person else SwitchState.APPROVED,
                rule=dict(wish.rule),
                rule_version=there.version,
                reason=wish.reason,
                overridden=found.overridden,
                accepted=found.accepted,
                evidence=seen,
                evidence_hash=digest(seen),
                two_person=two_person or approved_by is not None,
                requested_by=actor,
                requested_at=now,
                expires_at=now + VALID_S * MICROS,
                looked_at=now,
                approved_by=None if two_person else approved_by or actor,
                approved_at=None if two_person else now,
                counts=found.counts(connection, there),
            )
            store.add(connection, made)
            if also is not None:
                also(connection, made)
                # What that has written, such as a case, is part of what there is to weigh.
                seen = found.evidence(connection, there, now)
                made = store.change(
                    connection, made, None, {"evidence": seen, "evidence_hash": digest(seen)}
                )
            self._audit(connection, made, at=now, actor=actor, action="switch.request")
            return made

        return await self._database.transaction(unit)

    async def _slice(self, key: tuple[str, str]) -> Slice:
        current = (await self._database.read(lambda conn: slices.read(conn, [key]))).get(key)
        if current is None:
            raise UnknownRegion(f"no rule for {key[0]} in {key[1]}")
        return current

    async def _weigh(self, current: Slice, wanted: Stage, *, override: bool, emergency: bool) -> _Weighed:
        if emergency:
            failures = await self._emergency.weigh(current, wanted, override=override)
            return _Weighed(
                kind=EMERGENCY,
                overridden=tuple(dict.fromkeys(one.code for one in failures)),
                accepted=(),
                evidence=lambda conn, there, now: seen_of(conn, there, wanted, failures),
                counts=lambda conn, there: counted(conn, there, wanted),
            )
        found = await self._gates.weigh(current, wanted, override=override)
        return _Weighed(
            kind="rollback" if wanted.position < current.stage.position else "switch",
            overridden=tuple(one.code for one in found.failures),
            accepted=found.taken,
            evidence=lambda conn, there, now: evidence(
                conn, there, wanted, failures=found.failures, known=found.known, now=now
            ),
            counts=lambda conn, there: None,
        )

    def _audit(self, connection: Connection, one: Switch, *, at: int, actor: str, action: str) -> None:
        audited(
            connection,
            at=at,
            actor=actor,
            action=action,
            subject=one.id,
            detail={
                "slice": f"{one.entity}/{one.region}",
                "from": one.from_stage.value,
                "to": one.to_stage.value,
                "reason": one.reason,
                "overridden": list(one.overridden),
                "evidence": one.evidence_hash,
            },
        )


def _another(before: Switch) -> RuleRefused:
    begun = before.state in UNDER_WAY
    message = (
        "another move of this slice is under way; wait until it has ended"
        if begun
        else f"{before.requested_by} has asked for a switch of this slice, {before.id}: approve or abort it"
    )
    gate = "draining" if begun else "switch"
    return RuleRefused(
        message, errors=[FieldError(pointer="/stage", code=gate, message=message)], gates=[gate]
    )
