"""Writes that an emergency meets under way to an authority that does not answer, many at a time.

What was never sent is *recalled*: it is held, and goes to whoever has the authority next. What was sent, or may have
been, is *stranded*: whether the system took it is open, so it is nobody's to send again. It keeps its lane, which keeps
later writes of its record behind it, and has a case. When the system is *back* each one is looked for. What is there
counts as applied; what is proven absent may be *sent again*, to the authority of then.

Each function works in the caller's transaction, in which the slice's lock is held, and locks records, lanes and
deliveries in the journal's order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from gateway.database import among
from gateway.database.rows import rows_by_id
from gateway.ledger import journal, slices
from gateway.ledger.decisions import LATEST, Decided, Held, Unfit
from gateway.ledger.states import (
    DeliveryEvent,
    DeliveryState,
    OperationEvent,
    OperationState,
    delivery_after,
    operation_after,
)
from gateway.ledger.tables import attempt, delivery, operation
from gateway.routing.plan import PLANS

#: Codes of the parked delivery of a stranded operation: it is to be looked for; it is proven absent; a person decides.
CUT_OFF, ABSENT, PERSON = "stranded", "stranded_absent", "stranded_person"

MICROS = 1_000_000

_UNDER_WAY = [OperationState.ACCEPTED.value, OperationState.UNRESOLVED.value]


class CutOff(msgspec.Struct, frozen=True, kw_only=True):
    """What one part of the writes under way became; ``stranded`` are rows of operations with their delivery. Of the
    ``looked`` at, some may have ended by themselves meanwhile."""

    looked: int
    recalled: int
    stranded: tuple[tuple[Any, Any], ...]


def is_open(row: Any) -> bool:
    """Whether it is open what a delivery to an authority did there: it is being sent, or may have been."""
    return row.state != DeliveryState.READY.value or row.maybe_sent > 0


def under_way(key: tuple[str, str], system: str, epoch: int) -> ColumnElement[bool]:
    """Operations of the slice, accepted before ``epoch``, whose authority is ``system`` and has not answered."""
    return (
        (operation.c.entity == key[0])
        & (operation.c.region == key[1])
        & among(operation.c.state, _UNDER_WAY)
        & (operation.c.authority == system)
        & (operation.c.epoch < epoch)
    )


def cut_off(
    connection: Connection,
    key: tuple[str, str],
    system: str,
    *,
    epoch: int,
    most: int,
    at: int,
    quarantine_s: Callable[[str, str], float],
) -> CutOff:
    """Recalls and strands the oldest ``most`` writes under way; none are left when none was looked at. ``at`` is
    microseconds UTC; ``quarantine_s`` says of system and entity for how long a request that was given up may land."""
    wanted = under_way(key, system, epoch)
    found = connection.execute(
        select(operation.c.id, operation.c.record_id).where(wanted).order_by(operation.c.id).limit(most)
    ).all()
    if not found:
        return CutOff(looked=0, recalled=0, stranded=())
    records = journal.records_for_update(connection, {row.record_id for row in found})
    journal.lanes_for_update(connection, records)
    # Read again: until the locks were ours the authority may still have answered.
    ids = [row.id for row in found]
    rows = connection.execute(
        select(operation).where(wanted, among(operation.c.id, ids)).order_by(operation.c.id).with_for_update()
    ).all()
    lines = {
        line.operation_id: line
        for line in connection.execute(
            select(delivery)
            .where(among(delivery.c.operation_id, [row.id for row in rows]), delivery.c.role == "authority")
            .order_by(delivery.c.id)
            .with_for_update()
        )
    }
    pairs = [(row, lines[row.id]) for row in rows]
    stranded = [pair for pair in pairs if is_open(pair[1])]
    recalled = [pair for pair in pairs if not is_open(pair[1])]
    _move(
        connection, recalled, OperationEvent.RECALLED, DeliveryEvent.RECALLED, "recalled", at=at, wake_at=None
    )
    _strand(connection, stranded, system, at=at, quarantine_s=quarantine_s)
    journal.wake_lanes(connection, {(row.record_id, system) for row, _ in recalled}, latest=LATEST)
    return CutOff(looked=len(found), recalled=len(recalled), stranded=tuple(stranded))


def among_operations(connection: Connection, operation_ids: Collection[str]) -> frozenset[str]:
    """Those of these operations that are stranded."""
    if not operation_ids:
        return frozenset()
    rows = connection.execute(
        select(operation.c.id).where(
            among(operation.c.id, sorted(set(operation_ids))),
            operation.c.state == OperationState.STRANDED.value,
        )
    )
    return frozenset(rows.scalars())


def waiting(
    connection: Connection, code: str, *, system: str | None = None, most: int = 100
) -> Sequence[Any]:
    """Deliveries of stranded operations that are parked with ``code``, the oldest first."""
    wanted = (
        select(delivery)
        .join(operation, operation.c.id == delivery.c.operation_id)
        .where(
            delivery.c.state == DeliveryState.PARKED.value,
            delivery.c.role == "authority",
            delivery.c.code == code,
            operation.c.state == OperationState.STRANDED.value,
        )
        .order_by(delivery.c.id)
        .limit(most)
    )
    if system is not None:
        wanted = wanted.where(delivery.c.system == system)
    return connection.execute(wanted).all()


def look_for(connection: Connection, decided: Collection[Decided], *, at: int) -> Unfit:
    """The system is back: these are of unknown outcome again, so that the resolver looks for them."""
    held = Held(connection, decided, role="authority")
    held.unresolved()
    held.lane_free()
    held.move(DeliveryEvent.BACK, "looked_for", at=at, wake_at=at, code="looking", probes=0)
    held.take_lanes()
    return held.unfit


def send_again(connection: Connection, decided: Collection[Decided], *, at: int) -> Unfit:
    """O18: their system did not take these stranded writes. They go to whoever has their slice's authority now, under
    its epoch, with the same marker."""
    known = rows_by_id(connection, delivery, [one.delivery_id for one in decided])
    keys = {(row.entity, row.region) for row in known.values()}
    slices.lock_shared(connection, keys)
    rules = slices.read(connection, keys)
    held = Held(connection, decided, role="authority")
    held.unresolved()
    held.keep(
        lambda row: (
            "the slice's authority is moving; decide when it has"
            if rules[row.entity, row.region].draining
            else None
        )
    )
    mirrors = {
        line.operation_id: line
        for line in connection.execute(
            select(delivery).where(
                among(delivery.c.operation_id, [row.operation_id for row in held.rows]),
                delivery.c.role == "mirror",
            )
        )
    }
    held.keep(
        lambda row: (
            "the slice keeps two systems now, and this write was accepted for one: refuse it, and have it sent anew"
            if PLANS[rules[row.entity, row.region].stage].mirror is not None
            and row.operation_id not in mirrors
            else None
        )
    )
    old: set[journal.LaneKey] = set()
    due: set[journal.LaneKey] = set()
    for row in held.rows:
        rule = rules[row.entity, row.region]
        plan = PLANS[rule.stage]
        target = plan.authority.value
        values: dict[str, Any] = {
            "id": row.id, "system": target, "epoch": rule.epoch,
            "state": delivery_after(DeliveryState(row.state), DeliveryEvent.REPLAYED).value,
            "wake_at": max(at, row.quarantine_until or 0), "code": None, "message": None, "probes": 0,
            "lease_expiries": 0, "updated_at": at,
        }  # fmt: skip
        if target != row.system:
            # Nothing of it was ever sent there.
            values |= {"maybe_sent": 0, "quarantine_until": None, "wake_at": at}
        journal.update_rows(connection, delivery, [values], "id")
        connection.execute(
            operation.update()
            .where(operation.c.id == row.operation_id)
            .values(
                state=operation_after(
                    OperationState(held.operations[row.operation_id].state), OperationEvent.SENT_AGAIN
                ).value,
                confirming=False,
                epoch=rule.epoch,
                stage=rule.stage.value,
                authority=target,
                mirror=None if plan.mirror is None else plan.mirror.value,
                updated_at=at,
            )
        )
        old.add((row.record_id, row.system))
        due.add((row.record_id, target))
        mirror = mirrors.get(row.operation_id)
        if mirror is not None:
            after = DeliveryState.BLOCKED if plan.mirror is not None else DeliveryState.SKIPPED
            system = mirror.system if plan.mirror is None else plan.mirror.value
            line = {
                "id": mirror.id,
                "system": system,
                "state": after.value,
                "epoch": rule.epoch,
                "updated_at": at,
            }
            journal.update_rows(connection, delivery, [line], "id")
            due |= {(row.record_id, mirror.system), (row.record_id, system)}
    journal.add_events(
        connection,
        [
            journal.event_row(
                at=at, operation_id=row.operation_id, record_id=row.record_id, name="sent_again", delivery_id=row.id,
                detail=f"to {PLANS[rules[row.entity, row.region].stage].authority}: "
                f"{held.decided[row.id].detail}"[:1000],
            )
            for row in held.rows
        ],
    )  # fmt: skip
    journal.wake_lanes(connection, due, freed=old, latest=LATEST)
    return held.unfit


def _strand(
    connection: Connection,
    pairs: Sequence[tuple[Any, Any]],
    system: str,
    *,
    at: int,
    quarantine_s: Callable[[str, str], float],
) -> None:
    _move(
        connection, pairs, OperationEvent.CUT_OFF, DeliveryEvent.CUT_OFF, "stranded",
        at=at, wake_at=None, code=CUT_OFF,
        message=f"{system} was left while it was open whether it took this write",
    )  # fmt: skip
    sending = [line for _, line in pairs if line.state == DeliveryState.SENDING.value]
    journal.update_rows(
        connection,
        delivery,
        [
            {
                "id": line.id,
                "maybe_sent": line.maybe_sent + 1,
                # Whoever holds the lease may lawfully send until it ends.
                "quarantine_until": (line.lease_until or at)
                + int(quarantine_s(system, line.entity) * MICROS),
            }
            for line in sending
        ],
        "id",
    )
    journal.update_rows(
        connection,
        attempt,
        [
            {
                "delivery_id": line.id, "number": line.attempt, "ended_at": at,
                "outcome": DeliveryEvent.CUT_OFF.value, "code": CUT_OFF,
            }
            for line in sending
        ],
        "delivery_id",
        "number",
    )  # fmt: skip


def _move(
    connection: Connection,
    pairs: Sequence[tuple[Any, Any]],
    event: OperationEvent,
    line_event: DeliveryEvent,
    name: str,
    *,
    at: int,
    **values: Any,
) -> None:
    journal.update_rows(
        connection,
        operation,
        [
            {
                "id": row.id,
                "state": operation_after(OperationState(row.state), event).value,
                "confirming": False,
                "updated_at": at,
            }
            for row, _ in pairs
        ],
        "id",
    )
    journal.update_rows(
        connection,
        delivery,
        [
            {
                "id": line.id,
                "state": delivery_after(DeliveryState(line.state), line_event).value,
                "updated_at": at,
                **values,
            }
            for _, line in pairs
        ],
        "id",
    )
    journal.add_events(
        connection,
        [
            journal.event_row(
                at=at, operation_id=row.id, record_id=row.record_id, name=name, delivery_id=line.id,
                detail=line.system,
            )
            for row, line in pairs
        ],
    )  # fmt: skip
