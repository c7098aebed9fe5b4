"""Which record has, or is about to have, a number that only one may have. Reserved when a write is accepted, so that
two creates cannot both get it; given up when the record neither has it nor has an open write that asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import Connection, and_, or_, select

from gateway.canonical import BY_NAME
from gateway.crash import crash_point
from gateway.database import among
from gateway.database.rows import rows_by_keys
from gateway.ledger import journal
from gateway.ledger.states import OperationState
from gateway.ledger.tables import natural_key, operation, record

#: (entity, legal entity, value)
Key = tuple[str, str, str]

#: How often a key that was given up while we looked is tried for again.
TRIES = 3

_MAY_COME = [
    state.value
    for state in (
        OperationState.HELD,
        OperationState.ACCEPTED,
        OperationState.UNRESOLVED,
        OperationState.STRANDED,
    )
]


def reserve(connection: Connection, wanted: Mapping[Key, str]) -> dict[Key, str]:
    """Reserves each key for its record where it is free. Returns who has each of them now."""
    holders: dict[Key, str] = {}
    for _ in range(TRIES):
        missing = sorted(key for key in wanted if key not in holders)
        if not missing:
            break
        keys = [{"entity": entity, "scope": scope, "value": value} for entity, scope, value in missing]
        rows = [{**key, "record_id": wanted[one]} for key, one in zip(keys, missing, strict=True)]
        journal.insert_missing(connection, natural_key, rows)
        found = rows_by_keys(connection, natural_key, keys, ("entity", "scope", "value", "record_id"))
        holders.update({(row.entity, row.scope, row.value): row.record_id for row in found})
    return holders


def release(connection: Connection, record_ids: Iterable[str]) -> None:
    """Gives up the keys that these records neither have nor are about to have. The caller holds their records, and
    has written what became of their operations."""
    ids = sorted(set(record_ids))
    if not ids:
        return
    held = connection.execute(select(natural_key).where(among(natural_key.c.record_id, ids))).all()
    if not held:
        return
    kept: set[tuple[str, str]] = set()
    for row in connection.execute(
        # A tombstone has no number: what it held is the winner's, or anybody's.
        select(record.c.id, record.c.entity, record.c.image).where(
            among(record.c.id, ids), record.c.merged_into.is_(None)
        )
    ):
        if row.image is not None:
            _keep(kept, row.id, row.entity, row.image)
    for row in connection.execute(
        select(operation.c.record_id, operation.c.entity, operation.c.change).where(
            among(operation.c.record_id, ids),
            operation.c.kind != "transition",
            among(operation.c.state, _MAY_COME),
        )
    ):
        _keep(kept, row.record_id, row.entity, row.change)
    gone = [row for row in held if (row.record_id, row.value) not in kept]
    if gone:
        connection.execute(
            natural_key.delete().where(
                or_(
                    *(
                        and_(
                            natural_key.c.entity == row.entity,
                            natural_key.c.scope == row.scope,
                            natural_key.c.value == row.value,
                            natural_key.c.record_id == row.record_id,
                        )
                        for row in gone
                    )
                )
            )
        )
        crash_point("CP23")


def _keep(kept: set[tuple[str, str]], record_id: str, entity: str, document: str) -> None:
    name = BY_NAME[entity].natural_key
    value = None if name is None else msgspec.json.decode(document).get(name)
    if value is not None:
        kept.add((record_id, str(value)))
