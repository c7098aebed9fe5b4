"""Checks a history: what callers were told and what the journal says, against what the ERPs say was done to them.

Every write has a marker of its own and the ERPs log their effects in order, so nothing has to be searched for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from gateway.ledger.tables import delivery, operation

Effects = Mapping[str, Sequence[Mapping[str, Any]]]  #: by system, in the order in which they were done

#: Delivery states that may or may not have had an effect; at the end of a test there should be none.
OPEN = ("blocked", "ready", "sending", "unknown")


class Line:
    """One delivery with what is needed of its operation."""

    __slots__ = ("authority", "epoch", "marker", "operation", "record", "role", "seq", "state", "system")

    def __init__(self, row: Any) -> None:
        self.operation: str = row.operation_id
        self.record: str = row.record_id
        self.system: str = row.system
        self.role: str = row.role
        self.seq: int = row.seq
        self.state: str = row.state
        self.epoch: int = row.epoch
        self.marker: str = row.marker
        self.authority: str = row.authority

    def __repr__(self) -> str:
        return f"{self.role} delivery of {self.operation} (seq {self.seq}) to {self.system}, {self.state}"


def lines(connection: Connection) -> list[Line]:
    rows = connection.execute(
        select(delivery, operation.c.marker, operation.c.authority).join(
            operation, operation.c.id == delivery.c.operation_id
        )
    )
    return [Line(row) for row in rows]


def faults(deliveries: Iterable[Line], effects: Effects, *, may_be_open: bool = False) -> list[str]:
    """What is wrong with a history, in words; empty when it keeps the laws."""
    found: list[str] = []
    by_marker: dict[tuple[str, str], list[int]] = {}
    known: set[tuple[str, str]] = set()
    for system, items in effects.items():
        for item in items:
            if item["marker"]:
                by_marker.setdefault((system, item["marker"]), []).append(item["seq"])
    lanes: dict[tuple[str, str], list[tuple[int, int, Line]]] = {}
    when: dict[tuple[str, str], float] = {
        (system, item["marker"]): item["time"]
        for system, items in effects.items()
        for item in items
        if item["marker"]
    }
    operations: dict[str, dict[str, Line]] = {}
    for one in deliveries:
        key = (one.system, one.marker)
        known.add(key)
        operations.setdefault(one.operation, {})[one.role] = one
        times = len(by_marker.get(key, ()))
        if one.state in OPEN and not may_be_open:
            found.append(f"in limbo: {one}")
        elif one.state == "applied" and times == 0:
            found.append(f"lost: {one} has no effect")
        elif one.state not in ("applied", "parked", *OPEN) and times:
            found.append(f"phantom: {one} has {times} effects")
        if times > 1:
            found.append(f"doubled: {one} has {times} effects")
        if times:
            lanes.setdefault((one.record, one.system), []).append((by_marker[key][0], one.seq, one))
    for lane, done in lanes.items():
        seqs = [seq for _, seq, _ in sorted(done, key=lambda entry: entry[:2])]
        if seqs != sorted(seqs):
            found.append(f"reordered: lane {lane} has effects in the order {seqs}")
    for roles in operations.values():
        authority, mirror = roles.get("authority"), roles.get("mirror")
        if authority is not None and authority.system != authority.authority:
            found.append(f"two authorities: {authority}, and its operation names {authority.authority}")
        if authority is None or mirror is None:
            continue
        first, second = (when.get((one.system, one.marker)) for one in (authority, mirror))
        if second is not None and (first is None or second < first):
            found.append(f"mirror first: {mirror}")
    found.extend(
        f"phantom: {system} has {marker}" for system, marker in by_marker if (system, marker) not in known
    )
    return found


def epoch_faults(deliveries: Iterable[Line], effects: Effects) -> list[str]:
    """One authority per epoch, and no authority effect of an old epoch after one of a newer."""
    position = {
        (system, item["marker"]): item["time"]
        for system, items in effects.items()
        for item in items
        if item["marker"]
    }
    spans: dict[int, list[tuple[Any, Line]]] = {}
    for one in deliveries:
        at = position.get((one.system, one.marker))
        if one.role == "authority" and at is not None:
            spans.setdefault(one.epoch, []).append((at, one))
    found: list[str] = []
    latest: tuple[Any, int] | None = None
    for epoch in sorted(spans):
        done = spans[epoch]
        systems = {one.system for _, one in done}
        if len(systems) > 1:
            found.append(f"epoch {epoch} was led by {sorted(systems)}")
        first = min(at for at, _ in done)
        if latest is not None and first < latest[0]:
            found.append(f"epoch {epoch} began at {first}, before epoch {latest[1]} ended at {latest[0]}")
        latest = (max(at for at, _ in done), epoch)
    return found
