"""What became of a write, as its caller and the operations side see it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.access import within
from gateway.cases.queries import of_operations
from gateway.database import Database, moment
from gateway.dispatch import natural_keys
from gateway.dispatch.admission import standing
from gateway.dispatch.claim import LATEST
from gateway.dispatch.queues import WAITS, ahead_of
from gateway.errors import CannotCancel, OperationNotFound
from gateway.ledger import journal
from gateway.ledger.pressure import Pressure
from gateway.ledger.states import DeliveryState, OperationEvent, OperationState, operation_after
from gateway.ledger.tables import delivery, event, operation, record
from gateway.routing.cohort import plain


class Operations:
    def __init__(self, *, database: Database, pressure: Pressure) -> None:
        self._database = database
        self._pressure = pressure

    async def get(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]:
        """The operation with its deliveries and events, and where it stands while it waits for its authority. Raises
        OperationNotFound, also outside the caller's reach."""

        def unit(connection: Connection) -> tuple[dict[str, Any], int | None]:
            row = _visible(connection, operation_id, regions, entities)
            told = _told(connection, row)
            if row.state not in WAITS:
                return told, None
            return told, 1 + ahead_of(connection, row.id, row.entity, row.region)

        told, position = await self._database.read(unit)
        if position is not None:
            now = self._database.clock.now()
            told |= standing(self._pressure, told["authority"], position, now)
        return told

    async def cancel(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]:
        """Withdraws an operation of which nothing was ever sent. Raises CannotCancel otherwise."""

        def unit(connection: Connection) -> dict[str, Any]:
            row = _visible(connection, operation_id, regions, entities)
            owner = journal.records_for_update(connection, [row.record_id])[row.record_id]
            # Whoever claims a delivery holds its lane and nothing else: with the lanes, no claim is half-way.
            lanes = journal.lanes_for_update(connection, [row.record_id])
            row = connection.execute(
                select(operation).where(operation.c.id == operation_id).with_for_update()
            ).one()
            lines = connection.execute(
                select(delivery).where(delivery.c.operation_id == operation_id).with_for_update()
            ).all()
            state = OperationState(row.state)
            unsent = all(line.attempt == 0 and line.state in ("ready", "blocked") for line in lines)
            if state not in (OperationState.ACCEPTED, OperationState.HELD) or not unsent:
                raise CannotCancel(f"it is {state}", operation=operation_id, state=state.value)
            now = self._database.now(connection)
            after = operation_after(state, OperationEvent.CANCELLED)
            connection.execute(
                operation.update()
                .where(operation.c.id == operation_id)
                .values(state=after.value, updated_at=now)
            )
            connection.execute(
                delivery.update()
                .where(delivery.c.operation_id == operation_id)
                .values(state=DeliveryState.SKIPPED.value, updated_at=now)
            )
            connection.execute(
                record.update()
                .where(record.c.id == owner.id)
                .values(open_writes=max(0, owner.open_writes - 1))
            )
            natural_keys.release(connection, [row.record_id])
            # What waited behind it may be next. Its key still tells that it was cancelled.
            journal.wake_lanes(connection, lanes, latest=LATEST)
            journal.add_events(
                connection,
                [
                    journal.event_row(
                        at=now, operation_id=operation_id, record_id=row.record_id, name="cancelled"
                    )
                ],
            )
            return _told(connection, _visible(connection, operation_id, regions, entities))

        return await self._database.transaction(unit)


def _visible(
    connection: Connection, operation_id: str, regions: frozenset[str] | None, entities: frozenset[str] | None
) -> Any:
    row = connection.execute(select(operation).where(operation.c.id == operation_id)).one_or_none()
    if row is None or not within(row.entity, row.region, entities, regions):
        raise OperationNotFound
    return row


def _told(connection: Connection, row: Any) -> dict[str, Any]:
    lines = connection.execute(
        select(delivery).where(delivery.c.operation_id == row.id).order_by(delivery.c.role)
    ).all()
    events = connection.execute(
        select(event).where(event.c.operation_id == row.id).order_by(event.c.position)
    ).all()
    waiting = of_operations(connection, [row.id]).get(row.id)
    return {
        "id": row.id,
        "entity": row.entity,
        "region": plain(row.region),
        "record": row.record_id,
        "kind": row.kind,
        "state": row.state,
        "confirming": row.confirming,
        "stage": row.stage,
        "authority": row.authority,
        "epoch": row.epoch,
        "version": row.version,
        "marker": row.marker,
        "client": row.client,
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "problem": None if row.problem is None else _problem(row.problem),
        "deliveries": [{**told_delivery(line), "region": plain(line.region)} for line in lines],
        "events": told_events(events),
        "queue_position": None,
        "expected_at": None,
        "case": None if waiting is None else {"id": waiting.id, "kind": waiting.kind, "owner": waiting.owner},
    }


def told_delivery(line: Any) -> dict[str, Any]:
    return {
        "id": line.id,
        "operation": line.operation_id,
        "record": line.record_id,
        "entity": line.entity,
        "region": line.region,
        "system": line.system,
        "role": line.role,
        "seq": line.seq,
        "state": line.state,
        "attempt": line.attempt,
        "code": line.code,
        "message": line.message,
        "source": line.source,
        "wake_at": moment(line.wake_at),
        "created_at": moment(line.created_at),
        "updated_at": moment(line.updated_at),
    }


def told_events(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "at": moment(row.at),
            "event": row.event,
            "operation": row.operation_id,
            "delivery": row.delivery_id,
            "detail": row.detail,
        }
        for row in rows
    ]


def _problem(kept: str) -> dict[str, Any]:
    problem = msgspec.json.decode(kept)
    return {"kind": problem["kind"], "detail": problem["detail"], "errors": problem["errors"]}
