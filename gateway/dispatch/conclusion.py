"""What one attempt has shown, and what a batch of such conclusions leaves behind in the journal.

A *conclusion* comes from a sender or from a resolver and says what was seen. What the journal made of it is
*concluded*. The *consequences* of a batch are collected while it is judged and written in one go, table by table.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from sqlalchemy import Connection

from gateway.compare.store import CompareJob
from gateway.compare.store import schedule as schedule_compare
from gateway.database import among
from gateway.dispatch import natural_keys
from gateway.dispatch.claim import LATEST, MICROS, Claim, settle_mirrored
from gateway.dispatch.command import Document
from gateway.errors import GatewayError
from gateway.ledger import journal
from gateway.ledger.states import DeliveryEvent, DeliveryState, OperationState, delivery_after
from gateway.ledger.tables import attempt, delivery, idem, lane, late_outcome, operation, record
from gateway.routing.stage import System

#: What only somebody who looked can say.
LOOKS = frozenset(
    {DeliveryEvent.FOUND, DeliveryEvent.PROVEN_ABSENT, DeliveryEvent.GAVE_UP, DeliveryEvent.LOOKED}
)
#: What an operation that ends without effect takes along with it.
_SKIPPABLE = [state.value for state in (DeliveryState.BLOCKED, DeliveryState.READY, DeliveryState.PARKED)]


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
    withdraw: bool = False  #: nothing was taken, and the slice does not store: the write is given back


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
    """The rows of one batch. ``settle_s``: how long after a mirror write the two systems are compared."""

    def __init__(self, *, now: int, settle_s: float) -> None:
        self.now = now
        self.settle_s = settle_s
        self.unblocked: list[tuple[str, str]] = []  # delivery, system
        self.deliveries: list[dict[str, Any]] = []
        self.operations: dict[str, dict[str, Any]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self.attempts: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.applied: dict[journal.LaneKey, int] = {}
        self.resting: dict[journal.LaneKey, int] = {}
        self.freed: set[journal.LaneKey] = set()
        self.woken: set[journal.LaneKey] = set()
        self.due: set[journal.LaneKey] = set()
        self.mirrored: set[str] = set()
        self.compares: list[CompareJob] = []
        self.renumbered: set[str] = set()
        self.numbers: dict[natural_keys.Key, str] = {}
        self.given_back: list[str] = []
        self.unblock: list[str] = []
        self.skip: list[str] = []
        self.late: list[dict[str, Any]] = []

    def operation(self, op: Any, **values: Any) -> None:
        self.operations.setdefault(op.id, {"id": op.id, "updated_at": self.now}).update(values)

    def event(self, one: Conclusion, after: DeliveryState) -> None:
        claim = one.claim
        detail = claim.system
        if one.native_id is not None:
            detail += f" {one.native_id}"
        if one.message:
            detail += f": {one.message}"
        name = f"{claim.role}_{after.value}" if not one.withdraw else "withdrawn"
        self.events.append(
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
        self.compares.append(
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

    def write(self, connection: Connection) -> None:
        if self.given_back:
            # Nothing of it is kept: the same key may be used for the same request again.
            connection.execute(idem.delete().where(among(idem.c.operation_id, self.given_back)))
        journal.update_rows(connection, delivery, self.deliveries, "id")
        journal.update_rows(connection, attempt, self.attempts, "delivery_id", "number")
        if self.skip:
            connection.execute(
                delivery.update()
                .where(
                    among(delivery.c.operation_id, self.skip),
                    delivery.c.role == "mirror",
                    among(delivery.c.state, _SKIPPABLE),
                )
                .values(
                    state=delivery_after(DeliveryState.BLOCKED, DeliveryEvent.OPERATION_ENDED).value,
                    updated_at=self.now,
                )
            )
        if self.unblock:
            ready = connection.execute(
                delivery.update()
                .where(
                    among(delivery.c.operation_id, self.unblock),
                    delivery.c.role == "mirror",
                    delivery.c.state == DeliveryState.BLOCKED.value,
                )
                .values(
                    state=delivery_after(DeliveryState.BLOCKED, DeliveryEvent.UNBLOCKED).value,
                    wake_at=self.now,
                    updated_at=self.now,
                )
                .returning(delivery.c.id, delivery.c.record_id, delivery.c.system)
            ).all()
            self.unblocked = [(row.id, row.system) for row in ready]
            self.woken = {(row.record_id, row.system) for row in ready}
        journal.update_rows(connection, operation, list(self.operations.values()), "id")
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
        journal.update_rows(
            connection,
            lane,
            [
                {"record_id": record_id, "system": system, "applied_seq": seq}
                for (record_id, system), seq in sorted(self.applied.items())
            ],
            "record_id",
            "system",
        )
        journal.update_rows(
            connection,
            lane,
            [
                {"record_id": record_id, "system": system, "quiet_until": until}
                for (record_id, system), until in sorted(self.resting.items())
            ],
            "record_id",
            "system",
        )
        natural_keys.release(connection, self.renumbered)
        natural_keys.reserve(connection, self.numbers)
        woken = journal.wake_lanes(connection, self.woken, freed=self.freed, latest=LATEST)
        self.due = {key for key, wake_at in woken.items() if wake_at <= self.now}
        journal.add_events(connection, self.events)
        settle_mirrored(connection, self.mirrored, at=self.now)
        schedule_compare(connection, self.compares)
        journal.insert_rows(connection, late_outcome, self.late)
