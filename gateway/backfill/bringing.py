"""Writes what is to be brought into a target into the ledger: a write that the authority has already.

Its operation begins *committed*, and its delivery to the mirror *ready*, or *parked* with a case where a person has to
say which record of the target it is. From then on it is a mirror's delivery like any other. It takes the next number of
the record's stream, so whoever calls holds the record and its lanes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

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


class Bringing(msgspec.Struct, frozen=True, kw_only=True):
    """A record to be brought. ``unclear``: why a person has to look first; None: it may go. ``due_at``: not before,
    in microseconds UTC."""

    record_id: str
    image: Document
    due_at: int
    unclear: str | None = None


class Cause(Protocol):
    """What brings records from one system of a slice into the other: a backfill, or a merge. ``id`` names it in their
    journeys."""

    @property
    def id(self) -> str: ...
    @property
    def entity(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def target(self) -> str: ...


def bring(
    connection: Connection,
    run: Cause,
    epoch: int,
    wanted: Sequence[Bringing],
    *,
    records: Any,
    ids: Ids,
    at: int,
) -> dict[str, str]:
    """Makes the writes. ``records`` are the locked rows by id. Returns the deliveries into the target by record."""
    made: dict[str, str] = {}
    operations: list[dict[str, Any]] = []
    deliveries: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    cases: list[Opening] = []
    numbers: list[dict[str, Any]] = []
    for one in wanted:
        seq = records[one.record_id].seq + 1
        operation_id, made[one.record_id] = ids.new(OPERATION), ids.new(DELIVERY)
        image = journal.encode(one.image)
        parked = one.unclear is not None
        numbers.append({"id": one.record_id, "seq": seq})
        operations.append(
            {
                "id": operation_id,
                "record_id": one.record_id,
                "entity": run.entity,
                "region": run.region,
                "seq": seq,
                # No create: whoever sends an update looks for the record first, by every means that there is.
                "kind": "update",
                "state": (OperationState.ATTENTION if parked else OperationState.COMMITTED).value,
                "confirming": False,
                "epoch": epoch,
                "stage": run.stage,
                "authority": run.source,
                "mirror": run.target,
                "change": image,
                "image": image,
                "marker": ids.marker(),
                "client": run.id,
                "trace": "{}",
                "waited_until": at,
                "version": records[one.record_id].version,
                "created_at": at,
                "updated_at": at,
            }
        )
        into: dict[str, Any] = {
            "operation_id": operation_id,
            "record_id": one.record_id,
            "entity": run.entity,
            "region": run.region,
            "seq": seq,
            "epoch": epoch,
            "at": at,
        }
        known = ids.new(DELIVERY)
        deliveries.append(
            journal.delivery_row(
                **into, id=known, system=run.source, role="authority", state=DeliveryState.APPLIED,
                source="probe", code=None, message=None,
            )
        )  # fmt: skip
        deliveries.append(
            journal.delivery_row(
                **into,
                id=made[one.record_id],
                system=run.target,
                role="mirror",
                state=DeliveryState.PARKED if parked else DeliveryState.READY,
                wake_at=None if parked else one.due_at,
                source=None,
                code=AMBIGUOUS_MATCH if parked else None,
                message=one.unclear,
            )
        )
        events.append(
            journal.event_row(
                at=at,
                operation_id=operation_id,
                record_id=one.record_id,
                name="authority_applied",
                delivery_id=known,
                detail=f"{run.source} had it when it was read",
            )
        )
        events.append(
            journal.event_row(
                at=at,
                operation_id=operation_id,
                record_id=one.record_id,
                name="backfilled",
                delivery_id=made[one.record_id],
                detail=f"{run.source} has it, {run.target} is to get it: {run.id}",
            )
        )
        if parked:
            cases.append(
                Opening(
                    kind=Kind.AMBIGUOUS_MATCH,
                    operation_id=operation_id,
                    record_id=one.record_id,
                    entity=run.entity,
                    region=run.region,
                    delivery_id=made[one.record_id],
                    system=run.target,
                    role="mirror",
                    code=AMBIGUOUS_MATCH,
                    message=one.unclear,
                    document=one.image,
                )
            )
    # The source's lane has come to this write, since it has it.
    journal.come_to(connection, made, {(one["id"], run.source): one["seq"] for one in numbers})
    journal.update_rows(connection, journal.record, numbers, "id")
    journal.insert_rows(connection, journal.operation, operations)
    journal.insert_rows(connection, journal.delivery, deliveries)
    journal.add_events(connection, events)
    journal.wake_lanes(connection, {(record_id, run.target) for record_id in made}, latest=LATEST)
    open_cases(connection, cases, at=at, ids=ids)
    return made
