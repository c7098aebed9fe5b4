"""A journal of any size on PostgreSQL: one real write, made through the gateway, and copied row by row by the server.

A copy has ids of its own and is otherwise the write that was made, so that whatever the tables come to hold, a big
journal holds it too. *Settled* copies are done. *Waiting* ones are committed by their authority, and their mirror's
delivery is due and was never sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from sqlalchemy import Table, make_url, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.crosswalk.tables import crosswalk
from gateway.ledger.tables import attempt, delivery, event, lane, operation, record
from tests.benchmarks.load import customer
from tests.benchmarks.programs import REGION, Gateway, wait_until

#: Copies that one transaction makes.
CHUNK = 50_000
#: What every copy has of its own: table -> column -> SQL over ``c``, the copy's ids, and ``t``, the row copied.
OWN: Mapping[str, Mapping[str, str]] = {
    "record": {"id": "c.record_id", "match_key": "'B' || c.n"},
    "operation": {"id": "c.operation_id", "record_id": "c.record_id", "marker": "'TB' || c.n"},
    "delivery": {
        "id": "CASE t.role WHEN 'authority' THEN c.authority_id ELSE c.mirror_id END",
        "operation_id": "c.operation_id",
        "record_id": "c.record_id",
    },
    "lane": {"record_id": "c.record_id"},
    "attempt": {"delivery_id": "CASE d.role WHEN 'authority' THEN c.authority_id ELSE c.mirror_id END"},
    "operation_event": {
        "operation_id": "c.operation_id",
        "record_id": "c.record_id",
        "delivery_id": "CASE d.role WHEN 'authority' THEN c.authority_id WHEN 'mirror' THEN c.mirror_id END",
    },
    "crosswalk": {"record_id": "c.record_id", "native_id": "t.native_id || '-' || c.n"},
}
TABLES: Sequence[Table] = (record, operation, delivery, lane, attempt, event, crosswalk)
#: How a waiting copy differs: table -> column -> SQL. A mirror that was never sent has no attempt and no link.
WAITING: Mapping[str, Mapping[str, str]] = {
    "operation": {"state": "'committed'"},
    "delivery": {
        "state": "CASE t.role WHEN 'mirror' THEN 'ready' ELSE t.state END",
        "attempt": "CASE t.role WHEN 'mirror' THEN 0 ELSE t.attempt END",
        "lease_until": "CASE t.role WHEN 'mirror' THEN NULL ELSE t.lease_until END",
        "wake_at": "CASE t.role WHEN 'mirror' THEN t.updated_at END",
        "source": "CASE t.role WHEN 'mirror' THEN NULL ELSE t.source END",
    },
    "lane": {
        "applied_seq": "CASE t.system WHEN 'cloud' THEN 0 ELSE t.applied_seq END",
        "wake_at": "CASE t.system WHEN 'cloud' THEN (SELECT updated_at FROM operation WHERE id = :operation) END",
    },
}
#: Which rows of the real write are copied: all, or those that a write has that still waits.
ALL = {"attempt": "TRUE", "operation_event": "TRUE", "crosswalk": "TRUE"}
BEFORE_MIRROR = {
    "attempt": "d.role = 'authority'",
    "operation_event": "t.event NOT IN ('mirror_applied', 'settled')",
    "crosswalk": "t.system = 'legacy'",
}


def settled_write(gateway: Gateway) -> str:
    """Makes one write and waits until both systems have it. Returns its operation."""
    body = customer("template", 1, REGION)
    answer = gateway.http.post("/v1/customers", content=body, headers={"Content-Type": "application/json"})
    answer.raise_for_status()
    operation_id = answer.headers["Twinrun-Operation"]
    wait_until(
        lambda: gateway.get(f"/v1/operations/{operation_id}")["state"] == "settled",
        "the write that is copied",
    )
    return operation_id


def copy(url: str, operation_id: str, *, settled: int = 0, waiting: int = 0) -> list[str]:
    """Copies the write; afterwards the server knows its tables' sizes. Returns ids of some copied operations."""
    return asyncio.run(_copy(url, operation_id, settled, waiting))


async def _copy(url: str, operation_id: str, settled: int, waiting: int) -> list[str]:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    try:
        for first, last, waits in _chunks(settled, waiting):
            async with engine.begin() as connection:
                await connection.run_sync(_copy_chunk, operation_id, first, last, waits)
        async with engine.connect() as connection:
            raw = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await raw.exec_driver_sql("VACUUM ANALYZE")
            found = await raw.execute(
                text("SELECT id FROM operation WHERE marker LIKE 'TB%' ORDER BY random() LIMIT 2000")
            )
            return list(found.scalars())
    finally:
        await engine.dispose()


def _chunks(settled: int, waiting: int) -> list[tuple[int, int, bool]]:
    chunks: list[tuple[int, int, bool]] = []
    for begin, end, waits in ((0, settled, False), (settled, settled + waiting, True)):
        chunks += [(at, min(at + CHUNK, end), waits) for at in range(begin, end, CHUNK)]
    return chunks


def _copy_chunk(connection: Connection, operation_id: str, first: int, last: int, waits: bool) -> None:
    connection.execute(text("SET LOCAL synchronous_commit = off"))
    connection.execute(text("SET LOCAL jit = off"))
    connection.execute(
        text(
            "CREATE TEMP TABLE c ON COMMIT DROP AS SELECT n, 'cus_' || gen_random_uuid() AS record_id, "
            "'op_' || gen_random_uuid() AS operation_id, 'dlv_' || gen_random_uuid() AS authority_id, "
            "'dlv_' || gen_random_uuid() AS mirror_id "
            "FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n"
        ),
        {"first": first, "last": last - 1},
    )
    for table in TABLES:
        own = {**OWN[table.name], **(WAITING.get(table.name, {}) if waits else {})}
        names = [
            column.name for column in table.columns if column.computed is None and column.name != "position"
        ]
        values = ", ".join(own.get(name, f"t.{name}") for name in names)
        wanted = (BEFORE_MIRROR if waits else ALL).get(table.name, "TRUE")
        statement = (
            f"INSERT INTO {table.name} ({', '.join(names)}) "
            f"SELECT {values} FROM {_SOURCE[table.name]} CROSS JOIN c WHERE {_OF_ONE[table.name]} AND {wanted}"
        )
        connection.execute(text(statement), {"operation": operation_id})


_RECORD = "(SELECT record_id FROM operation WHERE id = :operation)"
_SOURCE = {
    "record": "record t",
    "operation": "operation t",
    "delivery": "delivery t",
    "lane": "lane t",
    "attempt": "attempt t JOIN delivery d ON d.id = t.delivery_id",
    "operation_event": "operation_event t LEFT JOIN delivery d ON d.id = t.delivery_id",
    "crosswalk": "crosswalk t",
}
_OF_ONE = {
    "record": f"t.id = {_RECORD}",
    "operation": "t.id = :operation",
    "delivery": "t.operation_id = :operation",
    "lane": f"t.record_id = {_RECORD}",
    "attempt": "d.operation_id = :operation",
    "operation_event": "t.operation_id = :operation",
    "crosswalk": f"t.record_id = {_RECORD}",
}
