"""Writes what is to be brought into a target into the ledger: a write that the authority has already.

Its operation begins *committed*, and its delivery to the mirror *ready*, or *parked* with a case where a person has to
say which record of the target it is. From then on it is a mirror's delivery like any other. It takes the next number of
the record's stream, so whoever calls holds the record and its lanes.

What is to be decided by a person before anything is written is an operation that was *rejected*, with a case: it holds
up nobody. A backfill and a merge bring whole records; a repair also brings fields of one that the target holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.cases import Kind, Opening, open_cases
from gateway.dispatch.claim import LATEST
from gateway.dispatch.command import Document
from gateway.ids import DELIVERY, OPERATION, Ids
from gateway.ledger import journal
from gateway.ledger.states import DeliveryState, OperationState

#: What a delivery is parked with whose record fits several of the target.
AMBIGUOUS_MATCH = "ambiguous_match"


class Behalf(msgspec.Struct, frozen=True, kw_only=True):
    """On whose behalf it is written: the run or the merge, its slice and way, and what the journal calls it.
    ``origin``: that of its operations; None: as a caller's."""

    id: str
    entity: str
    region: str
    stage: str
    epoch: int
    source: str
    target: str
    event: str
    origin: str | None = None


class Bringing(msgspec.Struct, frozen=True, kw_only=True):
    """A record to be brought. ``unclear``: why a person has to look first; None: it may go. ``due_at``: not before,
    in microseconds UTC. ``fields`` and ``moves``: of a record that the target holds, these fields of the image, and
    its state; neither: the whole image. ``person``: why nothing is written and a person decides."""

    record_id: str
    image: Document
    due_at: int
    unclear: str | None = None
    fields: tuple[str, ...] = ()
    moves: bool = False
    person: str | None = None

    def parts(self) -> list[tuple[str, Document]]:
        """The writes that it takes, each by its kind: a state is moved after the fields that it is reached with."""
        if not self.fields and not self.moves:
            # No create: whoever sends an update looks for the record first, by every means that there is.
            return [("update", self.image)]
        named = {name: self.image.get(name) for name in self.fields}
        found = [("update", named)] if named else []
        return [*found, ("transition", {"to": self.image["state"]})] if self.moves else found


class Brought(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries into the target, by record, in their order; and the cases, by record."""

    deliveries: dict[str, tuple[str, ...]]
    cases: dict[str, str]


def bring(
    connection: Connection,
    behalf: Behalf,
    wanted: Sequence[Bringing],
    *,
    records: Any,
    ids: Ids,
    at: int,
) -> Brought:
    """Makes the writes. ``records`` are the locked rows by id."""
    writing = _Writing(behalf, ids=ids, at=at)
    for one in wanted:
        if one.person is None:
            writing.brings(one, records[one.record_id])
        else:
            writing.asks(one, records[one.record_id], one.person)
    return writing.write(connection)


class _Writing:
    def __init__(self, behalf: Behalf, *, ids: Ids, at: int) -> None:
        self._behalf = behalf
        self._ids = ids
        self._at = at
        self._made: dict[str, tuple[str, ...]] = {}
        self._operations: list[dict[str, Any]] = []
        self._deliveries: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._cases: list[Opening] = []
        self._numbers: list[dict[str, Any]] = []

    def brings(self, one: Bringing, row: Any) -> None:
        seq = row.seq
        for kind, change in one.parts():
            seq += 1
            self._brings(one, row, seq, kind, change)
        self._numbers.append({"id": one.record_id, "seq": seq})

    def _brings(self, one: Bringing, row: Any, seq: int, kind: str, change: Document) -> None:
        behalf, at, parked = self._behalf, self._at, one.unclear is not None
        state = OperationState.ATTENTION if parked else OperationState.COMMITTED
        operation_id = self._operation(one, row, seq, kind, change, state)
        known, delivery_id = self._ids.new(DELIVERY), self._ids.new(DELIVERY)
        self._made[one.record_id] = (*self._made.get(one.record_id, ()), delivery_id)
        into: dict[str, Any] = {
            "operation_id": operation_id,
            "record_id": one.record_id,
            "entity": behalf.entity,
            "region": behalf.region,
            "seq": seq,
            "epoch": behalf.epoch,
            "at": at,
        }
        self._deliveries.append(
            journal.delivery_row(
                **into, id=known, system=behalf.source, role="authority", state=DeliveryState.APPLIED,
                source="probe", code=None, message=None,
            )
        )  # fmt: skip
        self._deliveries.append(
            journal.delivery_row(
                **into,
                id=delivery_id,
                system=behalf.target,
                role="mirror",
                state=DeliveryState.PARKED if parked else DeliveryState.READY,
                wake_at=None if parked else one.due_at,
                source=None,
                code=AMBIGUOUS_MATCH if parked else None,
                message=one.unclear,
            )
        )
        has = f"{behalf.source} had it when it was read"
        self._event(one, operation_id, "authority_applied", has, known)
        gets = f"{behalf.source} has it, {behalf.target} is to get it: {behalf.id}"
        self._event(one, operation_id, behalf.event, gets, delivery_id)
        if parked:
            self._case(one, Kind.AMBIGUOUS_MATCH, operation_id, one.unclear, delivery_id=delivery_id, role="mirror")

    def asks(self, one: Bringing, row: Any, why: str) -> None:
        """Nothing is written; a person decides."""
        seq = row.seq + 1
        problem: Document = {"kind": "Refused", "detail": why, "errors": [], "facts": {}}
        operation_id = self._operation(one, row, seq, "update", {}, OperationState.REJECTED, problem=problem)
        self._event(one, operation_id, self._behalf.event, f"a person decides: {why}: {self._behalf.id}")
        self._case(one, Kind.REPAIR_BY_PERSON, operation_id, why)
        self._numbers.append({"id": one.record_id, "seq": seq})

    def write(self, connection: Connection) -> Brought:
        # The source's lane has come to the last write of each record, since it has it.
        numbers = {one["id"]: one["seq"] for one in self._numbers}
        came = {(record_id, self._behalf.source): numbers[record_id] for record_id in self._made}
        journal.come_to(connection, self._made, came)
        journal.update_rows(connection, journal.record, self._numbers, "id")
        journal.insert_rows(connection, journal.operation, self._operations)
        journal.insert_rows(connection, journal.delivery, self._deliveries)
        journal.add_events(connection, self._events)
        journal.wake_lanes(
            connection, {(record_id, self._behalf.target) for record_id in self._made}, latest=LATEST
        )
        opened = open_cases(connection, self._cases, at=self._at, ids=self._ids)
        cases = {one.record_id: opened[one.subject] for one in self._cases if one.subject in opened}
        return Brought(deliveries=self._made, cases=cases)

    def _operation(
        self,
        one: Bringing,
        row: Any,
        seq: int,
        kind: str,
        change: Document,
        state: OperationState,
        *,
        problem: Document | None = None,
    ) -> str:
        behalf, operation_id = self._behalf, self._ids.new(OPERATION)
        self._operations.append(
            {
                "id": operation_id,
                "record_id": one.record_id,
                "entity": behalf.entity,
                "region": behalf.region,
                "seq": seq,
                "kind": kind,
                "state": state.value,
                "confirming": False,
                "epoch": behalf.epoch,
                "stage": behalf.stage,
                "authority": behalf.source,
                "mirror": behalf.target if problem is None else None,
                "change": journal.encode(change),
                "image": journal.encode(one.image) if problem is None else None,
                "marker": self._ids.marker(),
                "client": behalf.id,
                "origin": behalf.origin,
                "trace": "{}",
                "waited_until": self._at,
                "version": row.version,
                "problem": None if problem is None else journal.encode(problem),
                "created_at": self._at,
                "updated_at": self._at,
            }
        )
        return operation_id

    def _event(
        self, one: Bringing, operation_id: str, name: str, detail: str, delivery_id: str | None = None
    ) -> None:
        self._events.append(
            journal.event_row(
                at=self._at,
                operation_id=operation_id,
                record_id=one.record_id,
                name=name,
                delivery_id=delivery_id,
                detail=detail[:1000],
            )
        )

    def _case(
        self,
        one: Bringing,
        kind: Kind,
        operation_id: str,
        message: str | None,
        *,
        delivery_id: str | None = None,
        role: str | None = None,
    ) -> None:
        self._cases.append(
            Opening(
                kind=kind,
                operation_id=operation_id,
                record_id=one.record_id,
                entity=self._behalf.entity,
                region=self._behalf.region,
                delivery_id=delivery_id,
                system=self._behalf.target,
                role=role,
                code=AMBIGUOUS_MATCH if delivery_id is not None else kind.value,
                message=message,
                document=one.image,
            )
        )
