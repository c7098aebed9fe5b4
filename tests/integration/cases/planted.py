"""Writes as the ledger leaves them when it needs a person, put into the journal row by row."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, Table, func, select

from gateway.audit.tables import audit
from gateway.canonical import BY_NAME
from gateway.cases import Kind, Opening, open_cases
from gateway.database import Database
from gateway.database.rows import insert_rows
from gateway.dispatch import natural_keys
from gateway.ids import DELIVERY, OPERATION, SystemIds
from gateway.ledger.tables import delivery, event, lane, natural_key, operation, record

DOCUMENTS: dict[str, dict[str, Any]] = {
    "customer": {"name": "Harbour Engineering", "number": "C-1", "state": "active"},
    "invoice": {"number": "R-1", "total": {"amount": "1080.00", "currency": "GBP"}, "state": "ready"},
}


class Write:
    """The ids of one planted write."""

    def __init__(self, entity: str, ids: SystemIds) -> None:
        self.entity = entity
        self.record_id = ids.new(BY_NAME[entity].prefix)
        self.operation_id = ids.new(OPERATION)
        self.authority = ids.new(DELIVERY)
        self.mirror = ids.new(DELIVERY)


class Planted:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.ids = SystemIds()

    async def write(
        self, entity: str, *, operation_state: str, authority: str, mirror: str, region: str = "UK"
    ) -> Write:
        """One write with its two deliveries in these states; the lane of one that is parked at the authority is
        held, as the ledger holds it."""
        made = Write(entity, self.ids)

        def unit(connection: Connection) -> None:
            at = self.database.now(connection)
            image = msgspec.json.encode(DOCUMENTS[entity]).decode()
            insert_rows(
                connection,
                record,
                [
                    {
                        "id": made.record_id, "entity": entity, "region": region, "version": 0, "seq": 1,
                        "open_writes": 1, "external_refs": "{}", "created_at": at, "updated_at": at,
                    }
                ],
            )  # fmt: skip
            insert_rows(
                connection,
                operation,
                [
                    {
                        "id": made.operation_id, "record_id": made.record_id, "entity": entity, "region": region,
                        "seq": 1, "kind": "create", "state": operation_state, "confirming": True, "epoch": 1,
                        "stage": "dual_write", "authority": "legacy", "mirror": "cloud", "change": image,
                        "image": image, "marker": self.ids.marker(), "client": "tests", "trace": "{}",
                        "waited_until": at, "created_at": at, "updated_at": at,
                    }
                ],
            )  # fmt: skip
            self._lines(
                connection,
                made,
                region,
                1,
                at,
                legacy=(made.authority, authority),
                cloud=(made.mirror, mirror),
            )
            insert_rows(
                connection,
                lane,
                [
                    {
                        "record_id": made.record_id, "system": "legacy", "applied_seq": 0,
                        "inflight": made.authority if authority in ("parked", "unknown") else None,
                    },
                    {"record_id": made.record_id, "system": "cloud", "applied_seq": 0, "inflight": None},
                ],
            )  # fmt: skip
            number = DOCUMENTS[entity]["number"]
            natural_keys.reserve(connection, {(entity, "", number): made.record_id})

        await self.database.transaction(unit)
        return made

    async def newer(self, write: Write, *, state: str, role: str = "mirror") -> str:
        """A later write of the same record, its delivery to the mirror's system in this state; after a move of
        authority, that system is in the role of the ``authority``."""
        later = self.ids.new(DELIVERY)

        def unit(connection: Connection) -> None:
            at = self.database.now(connection)
            self._lines(connection, write, "UK", 2, at, legacy=None, cloud=(later, state), role=role)

        await self.database.transaction(unit)
        return later

    async def case(self, write: Write, kind: Kind, *, role: str = "authority", region: str = "UK") -> str:
        """An open case about one of the write's deliveries; returns its id."""
        opening = self.opening(write, kind, role=role, region=region)
        opened = await self.database.transaction(
            lambda conn: open_cases(conn, [opening], at=self.database.now(conn), ids=self.ids)
        )
        return opened[opening.subject]

    def opening(self, write: Write, kind: Kind, *, role: str = "authority", region: str = "UK") -> Opening:
        return Opening(
            kind=kind,
            operation_id=write.operation_id,
            delivery_id=write.authority if role == "authority" else write.mirror,
            record_id=write.record_id,
            entity=write.entity,
            region=region,
            system="legacy" if role == "authority" else "cloud",
            role=role,
            code="unresolved",
            message="it did not say",
            document=DOCUMENTS[write.entity],
        )

    def _lines(
        self,
        connection: Connection,
        write: Write,
        region: str,
        seq: int,
        at: int,
        *,
        legacy: tuple[str, str] | None,
        cloud: tuple[str, str],
        role: str = "mirror",
    ) -> None:
        given = [("legacy", "authority", legacy), ("cloud", role, cloud)]
        insert_rows(
            connection,
            delivery,
            [
                {
                    "id": line[0], "operation_id": write.operation_id, "record_id": write.record_id,
                    "entity": write.entity, "region": region, "system": system, "role": role, "seq": seq,
                    "epoch": 1, "state": line[1], "attempt": 1, "maybe_sent": 1, "probes": 2,
                    "lease_expiries": 3, "code": "unresolved", "message": "it did not say",
                    "created_at": at, "updated_at": at,
                }
                for system, role, line in given
                if line is not None
            ],
        )  # fmt: skip

    # --- what is so now --------------------------------------------------------------------------------------

    async def row(self, table: Table, id_: str) -> Any:
        query = select(table).where(table.c.id == id_)
        return await self.database.read(lambda conn: conn.execute(query).one())

    async def delivery(self, id_: str) -> Any:
        return await self.row(delivery, id_)

    async def operation(self, id_: str) -> Any:
        return await self.row(operation, id_)

    async def lane(self, write: Write, system: str) -> Any:
        query = select(lane).where(lane.c.record_id == write.record_id, lane.c.system == system)
        return await self.database.read(lambda conn: conn.execute(query).one())

    async def journey(self, write: Write) -> list[str]:
        query = select(event.c.event).where(event.c.record_id == write.record_id).order_by(event.c.position)
        return list(await self.database.read(lambda conn: conn.execute(query).scalars().all()))

    async def numbers(self, write: Write) -> int:
        query = select(func.count()).where(natural_key.c.record_id == write.record_id)
        return await self.database.read(lambda conn: conn.execute(query).scalar_one())

    async def audited(self, subject: str) -> list[tuple[str, str, dict[str, Any]]]:
        query = select(audit).where(audit.c.subject == subject).order_by(audit.c.position)
        rows = await self.database.read(lambda conn: conn.execute(query).all())
        return [(row.action, row.actor, msgspec.json.decode(row.detail)) for row in rows]

    async def count(self, table: Table) -> int:
        return await self.database.read(
            lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one()
        )
