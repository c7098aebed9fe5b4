"""What one attempt has shown, and what a batch of such conclusions leaves behind in the journal.

A *conclusion* comes from a sender or from a resolver and says what was seen. What the journal made of it is
*concluded*. The *consequences* of a batch are worked out in memory, on rows that the batch holds locked, and written
in one go, one statement a table: a delivery that is unblocked and claimed in the same commit is written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection

from gateway.cases import Kind, Opening, close_for, kind_of, open_cases
from gateway.compare.store import CompareJob
from gateway.compare.store import schedule as schedule_compare
from gateway.database import among
from gateway.dispatch import natural_keys
from gateway.dispatch.claim import LATEST, MICROS, Claim
from gateway.dispatch.command import Document
from gateway.errors import GatewayError
from gateway.ids import Ids
from gateway.ledger import journal
from gateway.ledger.journal import Delivery, Lane, LaneKey
from gateway.ledger.states import (
    DELIVERY_OPEN,
    DeliveryEvent,
    DeliveryState,
    OperationEvent,
    OperationState,
    delivery_after,
    operation_after,
)
from gateway.ledger.tables import attempt, idem, late_outcome, operation, record
from gateway.routing.stage import System

#: Microseconds before its caller's time is over in which a write counts as told to be accepted already: the commit of
#: what became of it takes some of them.
TOLD_WITHIN = MICROS // 4
#: What only somebody who looked can say.
LOOKS = frozenset(
    {DeliveryEvent.FOUND, DeliveryEvent.PROVEN_ABSENT, DeliveryEvent.GAVE_UP, DeliveryEvent.LOOKED}
)
#: What an operation that ends without effect takes along with it.
_SKIPPABLE = frozenset({DeliveryState.BLOCKED, DeliveryState.READY, DeliveryState.PARKED})
#: States in which an operation waits for its mirrors.
_MIRRORING = frozenset({OperationState.COMMITTED, OperationState.ATTENTION})


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt, or one look for it, has shown."""

    claim: Claim
    event: DeliveryEvent
    native_id: str | None = None
    native_version: str | None = None
    document: Document | None = None  #: applied by the authority: the record as it now is
    source: Literal["answer", "probe", "late"] = "answer"
    code: str | None = None
    message: str | None = None
    refusal: GatewayError | None = None  #: what the caller is told of a refused write
    wait_s: float = 0.0  #: ready or unknown: how long until the next try or look
    quarantine_s: float = 0.0  #: unknown: no resend before this, counted from the end of the lease
    quiet: bool = (
        False  #: applied, and an earlier attempt may still land: the lane rests until it cannot any more
    )
    found_nothing: bool = False  #: a look that was answered, and it was not there
    #: nothing was taken, and the slice does not store: the write is given back, if its caller still waits for it
    withdraw: bool = False


class Concluded(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal made of it."""

    operation_id: str
    state: OperationState
    counted: bool  #: False: the attempt was not the current one any more
    answer: Document | None = None
    version: int | None = None
    refusal: GatewayError | None = None
    next_claim: Claim | None = None  #: the mirror's delivery, claimed for this process in the same commit
    work_left: bool = False  #: the commit left lanes behind that are due and that nobody has taken yet


def expiries_after(event: DeliveryEvent, before: int) -> int:
    """Lease expiries in a row: an attempt that ended in any other way begins the count anew."""
    if event is DeliveryEvent.LEASE_EXPIRED:
        return before + 1
    return before if event in LOOKS else 0


def is_current(one: Conclusion, row: Any) -> bool:
    """Whether the journal still waits for this very attempt: a sender's word while it is *sending*, a resolver's
    while it is *unknown*."""
    waits_for = DeliveryState.UNKNOWN if one.event in LOOKS else DeliveryState.SENDING
    return row.attempt == one.claim.attempt and row.state == waits_for.value


def refused_event(claim: Claim) -> DeliveryEvent:
    return DeliveryEvent.REFUSED_AUTHORITY if claim.role == "authority" else DeliveryEvent.REFUSED_MIRROR


class Consequences:
    """One batch, with the rows that it holds. ``settle_s``: how long after a mirror write the two systems are
    compared."""

    def __init__(
        self,
        *,
        now: int,
        settle_s: float,
        lanes: Mapping[LaneKey, Lane],
        open_: Mapping[LaneKey, Sequence[Delivery]],
        operations: Mapping[str, Any],
    ) -> None:
        self.now = now
        self.settle_s = settle_s
        self.lanes = lanes
        self.open = open_
        self.operation_rows = operations
        self.unblocked: list[Delivery] = []
        self.due: set[LaneKey] = set()
        self.claimed: list[Claim] = []
        self.records: dict[str, dict[str, Any]] = {}
        self.late: list[dict[str, Any]] = []
        self.renumbered: set[str] = set()
        self.numbers: dict[natural_keys.Key, str] = {}
        self.given_back: list[str] = []
        self._touched: dict[str, Delivery] = {}
        self._lanes: dict[LaneKey, Lane] = {}
        self._operations: dict[str, dict[str, Any]] = {}
        self._ended: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._mirrored: list[str] = []
        self._compares: list[CompareJob] = []
        self._cases: list[Opening] = []
        #: deliveries whose cases are closed, because the journal has settled the matter: by what -> which
        self._closed: dict[str, list[str]] = {}

    # --- what a conclusion does --------------------------------------------------------------------------------

    def state_of(self, operation_id: str) -> OperationState:
        return OperationState(
            self._operations.get(operation_id, {}).get("state", self.operation_rows[operation_id].state)
        )

    def operation(self, op: Any, **values: Any) -> None:
        self._operations.setdefault(op.id, {"id": op.id, "updated_at": self.now}).update(values)

    def changed(self, one: Delivery) -> None:
        self._touched[one.id] = one

    def attempt_ended(self, one: Conclusion) -> None:
        self._ended.append(
            {
                "delivery_id": one.claim.delivery_id,
                "number": one.claim.attempt,
                "ended_at": self.now,
                "outcome": one.event.value,
                "code": one.code,
                "message": one.message,
            }
        )

    def free(self, key: LaneKey) -> None:
        """What was in flight in this lane has ended."""
        lane = self.lanes[key]
        lane.inflight = None
        self._lanes[key] = lane

    def applied(self, claim: Claim, *, quiet_until: int | None) -> None:
        """The lane has come to this write; until ``quiet_until`` it rests, since an earlier attempt may still land."""
        key = claim.record_id, claim.system
        self.free(key)
        lane = self.lanes[key]
        lane.applied_seq = max(lane.applied_seq, claim.seq)
        if quiet_until is not None and quiet_until > self.now:
            lane.quiet_until = quiet_until

    def unblock(self, op: Any) -> None:
        """The authority has applied it: its mirrors' turn."""
        for one in self._mirrors(op):
            if one.state == DeliveryState.BLOCKED:
                one.state = delivery_after(DeliveryState.BLOCKED, DeliveryEvent.UNBLOCKED).value
                one.wake_at = self.now
                self.changed(one)
                self.unblocked.append(one)
                self._lanes[one.lane] = self.lanes[one.lane]

    def skip(self, op: Any) -> None:
        """It has ended without effect, so no mirror gets it."""
        for one in self._mirrors(op):
            if one.state in _SKIPPABLE:
                if one.state == DeliveryState.PARKED:
                    self.settled(one.id, "operation_ended")
                one.state = delivery_after(DeliveryState(one.state), DeliveryEvent.OPERATION_ENDED).value
                self.changed(one)
                self._lanes[one.lane] = self.lanes[one.lane]

    def mirrored(self, op: Any) -> None:
        """A mirror of it is done, or it has none."""
        self._mirrored.append(op.id)

    def event(self, one: Conclusion, after: DeliveryState) -> None:
        claim = one.claim
        detail = claim.system
        if one.native_id is not None:
            detail += f" {one.native_id}"
        if one.message:
            detail += f": {one.message}"
        name = f"{claim.role}_{after.value}" if not one.withdraw else "withdrawn"
        self._events.append(
            journal.event_row(
                at=self.now,
                operation_id=claim.operation_id,
                record_id=claim.record_id,
                name=name,
                delivery_id=claim.delivery_id,
                detail=detail[:1000],
            )
        )

    def compare(self, claim: Claim, op: Any) -> None:
        self._compares.append(
            CompareJob(
                record_id=claim.record_id,
                entity=claim.entity,
                region=claim.region,
                authority=System(op.authority),
                other=System(claim.system),
                stage=op.stage,
                operation_id=op.id,
                seq=claim.seq,
                due_at=self.now + int(self.settle_s * MICROS),
                reason="write",
            )
        )

    def parked(self, one: Conclusion) -> None:
        """Nothing more is tried by itself: from this commit on a person has it."""
        self._case(one, kind_of(one.code, one.claim.role))

    def may_be_told(self, op: Any) -> bool:
        """Whether the caller has been told that the write is accepted, or may be while this is being committed."""
        return self.now + TOLD_WITHIN >= op.waited_until

    def refused_late(self, one: Conclusion, op: Any, *, collided: bool) -> None:
        """The authority has refused a write whose caller was told, or may have been told, that it is accepted. Or it
        has not refused it and ``collided``: then something of ours stands in a record of somebody else."""
        if collided:
            self._case(one, Kind.COLLISION)
        elif op.origin is not None:
            self._case(one, Kind.EDIT_REFUSED)
        elif self.may_be_told(op):
            self._case(one, Kind.REFUSED_AFTER_ACCEPTANCE)

    def settled(self, delivery_id: str, how: str) -> None:
        """A case about it, if there is one, needs nobody any more."""
        self._closed.setdefault(how, []).append(delivery_id)

    def _case(self, one: Conclusion, kind: Kind) -> None:
        claim = one.claim
        self._cases.append(
            Opening(
                kind=kind,
                operation_id=claim.operation_id,
                record_id=claim.record_id,
                entity=claim.entity,
                region=claim.region,
                delivery_id=claim.delivery_id,
                system=claim.system,
                role=claim.role,
                code=one.code,
                message=one.message,
                document=claim.image,
            )
        )

    # --- and what follows for its lanes and operations -----------------------------------------------------------

    def settle(self) -> None:
        """To be called when all is judged: operations whose mirrors are done are settled, and each lane says when it
        has something to claim."""
        for operation_id in dict.fromkeys(self._mirrored):
            state, op = self.state_of(operation_id), self.operation_rows[operation_id]
            if state not in _MIRRORING or any(one.state in DELIVERY_OPEN for one in self._mirrors(op)):
                continue
            self.operation(op, state=operation_after(state, OperationEvent.MIRRORS_DONE).value)
            self._events.append(
                journal.event_row(
                    at=self.now, operation_id=operation_id, record_id=op.record_id, name="settled"
                )
            )
        for key, lane in self._lanes.items():
            head = self.head(key)
            lane.wake_at = None if head is None else (head.wake_at or 0)
            if lane.wake_at is not None and lane.wake_at <= self.now:
                self.due.add(key)

    def head(self, key: LaneKey) -> Delivery | None:
        """What may be claimed next in this lane, as it now is."""
        return journal.head_of([one for one in self.open.get(key, ()) if one.state in DELIVERY_OPEN], LATEST)

    def alone(self, one: Delivery) -> bool:
        """Whether nothing else is open in its lane."""
        return not any(
            other.state in DELIVERY_OPEN for other in self.open.get(one.lane, ()) if other.id != one.id
        )

    def claim(self, one: Delivery, claim: Claim) -> None:
        """Its lane is free and this process takes it over, in this very commit."""
        one.state = delivery_after(DeliveryState(one.state), DeliveryEvent.CLAIMED).value
        one.attempt, one.lease_until = claim.attempt, claim.lease_until
        self.changed(one)
        lane = self.lanes[one.lane]
        lane.inflight, lane.wake_at = one.id, None
        self._lanes[one.lane] = lane
        self.due.discard(one.lane)
        self.claimed.append(claim)

    def write(self, connection: Connection, ids: Ids) -> None:
        if self.given_back:
            # Nothing of it is kept: the same key may be used for the same request again.
            connection.execute(idem.delete().where(among(idem.c.operation_id, self.given_back)))
        journal.write_deliveries(connection, self._touched.values(), at=self.now)
        journal.update_rows(connection, attempt, self._ended, "delivery_id", "number")
        journal.insert_rows(
            connection,
            attempt,
            [journal.attempt_row(claim.delivery_id, claim.attempt, self.now) for claim in self.claimed],
        )
        journal.update_rows(connection, operation, list(self._operations.values()), "id")
        journal.update_rows(
            connection,
            record,
            [
                {
                    name: row[name]
                    for name in ("id", "version", "open_writes", "image", "match_key", "updated_at")
                }
                for row in self.records.values()
            ],
            "id",
        )
        journal.write_lanes(connection, [lane for _, lane in sorted(self._lanes.items())])
        natural_keys.release(connection, self.renumbered)
        natural_keys.reserve(connection, self.numbers)
        journal.add_events(connection, self._events)
        schedule_compare(connection, self._compares)
        journal.insert_rows(connection, late_outcome, self.late)
        for how, delivery_ids in self._closed.items():
            close_for(connection, delivery_ids=delivery_ids, at=self.now, how=how)
        open_cases(connection, self._cases, at=self.now, ids=ids)

    def _mirrors(self, op: Any) -> list[Delivery]:
        return [
            one
            for system in System
            for one in self.open.get((op.record_id, system.value), ())
            if one.operation_id == op.id and one.role == "mirror"
        ]
