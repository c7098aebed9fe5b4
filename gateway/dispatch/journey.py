"""One record's whole way: where it is known, each write of it, each delivery, each difference."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from gateway.compare.tables import diff
from gateway.crosswalk import merges
from gateway.crosswalk.store import links_of
from gateway.database import Database, moment
from gateway.dispatch.operations import told_delivery, told_events
from gateway.errors import RecordNotFound
from gateway.ledger.tables import delivery, event, operation, record

#: The newest of each kind; a journey is read by a person.
SHOWN = 200


class Journey:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def of(self, record_id: str) -> dict[str, Any]:
        """Raises RecordNotFound."""
        return await self._database.read(lambda conn: _journey(conn, record_id))


def _journey(connection: Connection, record_id: str) -> dict[str, Any]:
    owner = connection.execute(select(record).where(record.c.id == record_id)).one_or_none()
    if owner is None:
        raise RecordNotFound
    operations = connection.execute(
        select(operation)
        .where(operation.c.record_id == record_id)
        .order_by(operation.c.seq.desc())
        .limit(SHOWN)
    ).all()
    deliveries = connection.execute(
        select(delivery)
        .where(delivery.c.record_id == record_id)
        .order_by(delivery.c.seq.desc())
        .limit(2 * SHOWN)
    ).all()
    events = connection.execute(
        select(event).where(event.c.record_id == record_id).order_by(event.c.position.desc()).limit(5 * SHOWN)
    ).all()
    diffs = connection.execute(
        select(diff.c.id, diff.c.verdict, diff.c.at, diff.c.operation_id, diff.c.resolved_at)
        .where(diff.c.record_id == record_id)
        .order_by(diff.c.at.desc())
        .limit(SHOWN)
    ).all()
    merged = merges.of_record(connection, record_id)
    return {
        "record": {
            "id": owner.id,
            "entity": owner.entity,
            "region": owner.region,
            "legal_entity": owner.legal_entity,
            "version": owner.version,
            "pending": owner.open_writes,
            "created_at": moment(owner.created_at),
            "updated_at": moment(owner.updated_at),
            "merged_into": owner.merged_into,
        },
        "refs": {system: link.native_id for (_, system), link in links_of(connection, [record_id]).items()},
        "operations": [
            {
                "id": row.id,
                "kind": row.kind,
                "state": row.state,
                "seq": row.seq,
                "stage": row.stage,
                "authority": row.authority,
                "version": row.version,
                "client": row.client,
                "marker": row.marker,
                "at": moment(row.created_at),
                "deliveries": [told_delivery(line) for line in deliveries if line.operation_id == row.id],
            }
            for row in operations
        ],
        "events": told_events(list(reversed(events))),
        "diffs": [
            {
                "id": row.id,
                "verdict": row.verdict,
                "at": moment(row.at),
                "operation": row.operation_id,
                "resolved_at": moment(row.resolved_at),
            }
            for row in diffs
        ],
        "merges": [
            {
                "id": one.id,
                "kind": one.kind.value,
                "state": one.state.value,
                "loser": one.loser,
                "winner": one.winner,
                "reason": one.reason,
                "requested_by": one.requested_by,
                "approved_by": one.approved_by,
                "ended_at": moment(one.ended_at),
            }
            for one in merged
        ],
    }
