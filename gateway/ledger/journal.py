"""The set-based statements under intake, claim and outcome: rows in, rows changed, lanes kept in order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, select

from gateway.database.rows import insert_missing, insert_new, insert_rows, rows_among, rows_by_id, update_rows
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import attempt, delivery, event, lane, operation, record
from gateway.routing.stage import System

#: (record id, system)
LaneKey = tuple[str, str]


def last_applied(*columns: Any) -> Select[*tuple[Any, ...]]:
    """Of the write of each lane that was applied last: columns of its delivery and its operation."""
    return (
        select(*columns)
        .join_from(lane, delivery, (lane.c.record_id == delivery.c.record_id) & (lane.c.system == delivery.c.system))
        .join(operation, operation.c.id == delivery.c.operation_id)
        .where(lane.c.applied_seq == delivery.c.seq, delivery.c.state == DeliveryState.APPLIED.value)
    )


class Lane(msgspec.Struct, kw_only=False):
    """A lane as it is in the journal; whoever holds its lock may change it here and write it with ``write_lanes``."""

    record_id: str
    system: str
    inflight: str | None
    applied_seq: int
    wake_at: int | None
    quiet_until: int | None

    @property
    def key(self) -> LaneKey:
        return self.record_id, self.system


class Delivery(msgspec.Struct, kw_only=False):
    """A delivery that still has something to do; changed here and written with ``write_deliveries``."""

    id: str
    operation_id: str
    record_id: str
    entity: str
    region: str
    system: str
    role: str
    seq: int
    epoch: int
    state: str
    attempt: int
    maybe_sent: int
    lease_until: int | None
    wake_at: int | None
    quarantine_until: int | None
    probes: int
    lease_expiries: int
    source: str | None
    code: str | None
    message: str | None

    @property
    def lane(self) -> LaneKey:
        return self.record_id, self.system


#: What ``write_deliveries`` writes: all that may change while a delivery is open.
_DELIVERY_CHANGES = (
    "state",
    "attempt",
    "maybe_sent",
    "lease_until",
    "wake_at",
    "quarantine_until",
    "probes",
    "lease_expiries",
    "source",
    "code",
    "message",
)
_OPEN = [state.value for state in DELIVERY_OPEN]
_LANE = ("record_id", "system")
# Statements of the path of every write are made once; making one costs about as much as running it.


def encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def records_for_update(connection: Connection, ids: Iterable[str]) -> dict[str, Any]:
    """Locks records in the order of their ids, which is the one order in which anybody locks several."""
    return rows_by_id(connection, record, set(ids), lock=True)


def lanes_for_update(connection: Connection, record_ids: Iterable[str]) -> dict[LaneKey, Lane]:
    """Locks the lanes of records that the caller has locked already."""
    wanted = sorted(set(record_ids))
    if not wanted:
        return {}
    rows = rows_among(
        connection, lane, {"record_id": wanted}, columns=Lane.__struct_fields__, order=_LANE, lock=True
    )
    return {one.key: one for row in rows if (one := Lane(*row))}


def open_deliveries(connection: Connection, record_ids: Iterable[str]) -> dict[LaneKey, list[Delivery]]:
    """What each lane of these records still has to do, lowest write first."""
    wanted = list(set(record_ids))
    if not wanted:
        return {}
    found: dict[LaneKey, list[Delivery]] = {}
    states = {"record_id": wanted, "state": _OPEN}
    for row in rows_among(connection, delivery, states, columns=Delivery.__struct_fields__, order=("seq",)):
        one = Delivery(*row)
        found.setdefault(one.lane, []).append(one)
    return found


def write_deliveries(connection: Connection, deliveries: Iterable[Delivery], *, at: int) -> None:
    """Writes what has changed in these. The caller holds their lanes."""
    update_rows(
        connection,
        delivery,
        [
            {"id": one.id, **{name: getattr(one, name) for name in _DELIVERY_CHANGES}, "updated_at": at}
            for one in deliveries
        ],
        "id",
    )


def write_lanes(connection: Connection, lanes: Iterable[Lane]) -> None:
    """Writes lanes that the caller holds."""
    update_rows(connection, lane, [msgspec.structs.asdict(one) for one in lanes], "record_id", "system")


def head_of(deliveries: Sequence[Delivery], latest: frozenset[str]) -> Delivery | None:
    """The delivery of a lane that may be claimed next, or None. ``latest`` names the entities whose mirrors take
    only the newest state; an authority's lane is always strict, because a patch is not a snapshot. For the same reason
    nothing but a newer state of a mirror overtakes one: a lane has deliveries of both roles after a move of
    authority."""
    if any(one.state in (DeliveryState.SENDING, DeliveryState.UNKNOWN) for one in deliveries):
        return None
    passed: list[Delivery] = []
    for one in deliveries:
        if _may_be_overtaken(one, latest):
            passed.append(one)
            continue
        if one.role == "authority" and passed:
            break
        # The lowest open write of a strict lane goes first or nothing does. So does one that may have been sent
        # already: overtaken, it could still land, on top of the newer state.
        return one if one.state == DeliveryState.READY else None
    ready = [one for one in passed if one.state == DeliveryState.READY]
    return ready[-1] if ready else None


def _may_be_overtaken(one: Delivery, latest: frozenset[str]) -> bool:
    if one.role != "mirror" or one.entity not in latest:
        return False
    # Whatever its state: one that may have been applied is somebody's, a resolver's or a person's, until that is known.
    return not one.maybe_sent


def wake_lanes(
    connection: Connection,
    keys: Iterable[LaneKey],
    *,
    latest: frozenset[str],
    freed: Iterable[LaneKey] = (),
) -> dict[LaneKey, int]:
    """Sets when each of these lanes has something to claim. ``freed`` lanes also give up what was in flight there.
    Returns when, for those that have."""
    free = set(freed)
    wanted = set(keys) | free
    if not wanted:
        return {}
    open_ = open_deliveries(connection, {record_id for record_id, _ in wanted})
    rows: list[dict[str, Any]] = []
    for key in sorted(wanted):
        head = head_of(open_.get(key, ()), latest)
        row: dict[str, Any] = {
            "record_id": key[0],
            "system": key[1],
            "wake_at": None if head is None else (head.wake_at or 0),
        }
        if key in free:
            row["inflight"] = None
        rows.append(row)
    update_rows(connection, lane, rows, "record_id", "system")
    return {(row["record_id"], row["system"]): row["wake_at"] for row in rows if row["wake_at"] is not None}


def add_events(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    insert_rows(connection, event, rows)


def event_row(
    *,
    at: int,
    operation_id: str,
    record_id: str,
    name: str,
    delivery_id: str | None = None,
    detail: str | None = None,
) -> dict[str, Any]:
    return {
        "operation_id": operation_id,
        "record_id": record_id,
        "delivery_id": delivery_id,
        "at": at,
        "event": name,
        "detail": detail,
    }


def delivery_row(
    *,
    id: str,  # noqa: A002 - the column's name
    operation_id: str,
    record_id: str,
    entity: str,
    region: str,
    system: str,
    role: str,
    seq: int,
    epoch: int,
    state: DeliveryState,
    at: int,
    **values: Any,
) -> dict[str, Any]:
    """A delivery that was never sent, but for what ``values`` say."""
    return {
        "id": id,
        "operation_id": operation_id,
        "record_id": record_id,
        "entity": entity,
        "region": region,
        "system": system,
        "role": role,
        "seq": seq,
        "epoch": epoch,
        "state": state.value,
        "attempt": 0,
        "maybe_sent": 0,
        "probes": 0,
        "lease_expiries": 0,
        "wake_at": None,
        "created_at": at,
        "updated_at": at,
        **values,
    }


def lane_row(record_id: str, system: str) -> dict[str, Any]:
    """A lane in which nothing has been yet."""
    return {"record_id": record_id, "system": system, "inflight": None, "applied_seq": 0, "wake_at": None}


def come_to(connection: Connection, record_ids: Iterable[str], lanes: Mapping[LaneKey, int]) -> None:
    """``lanes`` have come to these writes, which their systems have. A record that was only seen so far gets its lanes.
    The caller holds the records."""
    rows = [lane_row(record_id, system.value) for record_id in sorted(set(record_ids)) for system in System]
    insert_missing(connection, lane, rows)
    applied = [{"record_id": key[0], "system": key[1], "applied_seq": seq} for key, seq in sorted(lanes.items())]
    update_rows(connection, lane, applied, "record_id", "system")


def attempt_row(delivery_id: str, number: int, at: int) -> dict[str, Any]:
    return {"delivery_id": delivery_id, "number": number, "started_at": at}


__all__ = [
    "LaneKey",
    "add_events",
    "attempt",
    "attempt_row",
    "delivery",
    "encode",
    "event_row",
    "head_of",
    "insert_missing",
    "insert_new",
    "insert_rows",
    "lane",
    "lanes_for_update",
    "open_deliveries",
    "operation",
    "record",
    "records_for_update",
    "update_rows",
    "wake_lanes",
]
