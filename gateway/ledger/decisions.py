"""What a person decides about deliveries that wait for one, many at a time.

Each function locks records, lanes and deliveries in the journal's order, changes those deliveries that the decision
fits, and returns for each of the others what is so now; the caller refuses that decision. Who decided and why is the
caller's to keep, in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from gateway.canonical import BY_NAME
from gateway.database import among
from gateway.database.rows import rows_by_id
from gateway.ledger import journal
from gateway.ledger.states import (
    DELIVERY_OPEN,
    OPERATION_MOVES,
    DeliveryEvent,
    DeliveryState,
    OperationEvent,
    OperationState,
    delivery_after,
    operation_after,
)
from gateway.ledger.tables import delivery, lane, late_outcome, operation, record

#: Entities whose mirrors take only the newest state (master data).
LATEST = frozenset(name for name, entity in BY_NAME.items() if entity.lane_mode == "latest")
#: The code of a delivery that is looked for because a person says that it was applied.
CONFIRMING = "confirming"

#: Delivery id -> why the decision does not fit it.
Unfit = dict[str, str]

_TOUCHED = [state.value for state in (DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.APPLIED)]
_OPEN = [state.value for state in DELIVERY_OPEN]
_UNDECIDED = frozenset({OperationState.UNRESOLVED, OperationState.STRANDED})
_MIRRORING = [
    state.value for state, event in OPERATION_MOVES if event is OperationEvent.MIRRORS_DONE
]  # the states that mirrors can settle


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery and why it is decided so; the words go into the record's journey."""

    delivery_id: str
    detail: str
    native_id: str | None = None  #: how the system calls the record, where the person knows it


def replay(connection: Connection, decided: Collection[Decided], *, at: int) -> Unfit:
    """D12: a mirror's parked deliveries go again, with the same marker. ``at`` is microseconds UTC."""
    held = Held(connection, decided, role="mirror")
    held.none_newer()
    held.move(DeliveryEvent.REPLAYED, "replayed", at=at, **_afresh())
    journal.wake_lanes(connection, held.lanes, latest=LATEST)
    return held.unfit


def send_again(connection: Connection, decided: Collection[Decided], *, at: int) -> Unfit:
    """O12: the authority did not take these unresolved writes; they go to it again."""
    held = Held(connection, decided, role="authority")
    held.unresolved()
    held.move(DeliveryEvent.REPLAYED, "sent_again", at=at, **_afresh())
    held.move_operations(OperationEvent.SENT_AGAIN, at=at, confirming=False)
    journal.wake_lanes(connection, held.lanes, freed=held.lanes, latest=LATEST)
    return held.unfit


def refuse(
    connection: Connection, decided: Collection[Decided], *, at: int, problem: Mapping[str, Any]
) -> Unfit:
    """O12: the authority did not take these unresolved writes, and they end as refused with ``problem``. The caller
    releases the numbers that their records had reserved."""
    held = Held(connection, decided, role="authority")
    held.unresolved()
    held.move(DeliveryEvent.SAID_REFUSED, "authority_rejected", at=at, wake_at=None)
    held.move_operations(
        OperationEvent.REJECTED, at=at, confirming=False, problem=journal.encode(dict(problem))
    )
    ended: dict[str, int] = {}
    for row in held.rows:
        ended[row.record_id] = ended.get(row.record_id, 0) + 1
    journal.update_rows(
        connection,
        record,
        [
            {"id": id_, "open_writes": max(0, held.records[id_].open_writes - count)}
            for id_, count in sorted(ended.items())
        ],
        "id",
    )
    skipped = connection.execute(
        delivery.update()
        .where(
            among(delivery.c.operation_id, [row.operation_id for row in held.rows]),
            delivery.c.role == "mirror",
            delivery.c.state == DeliveryState.BLOCKED.value,
        )
        .values(
            state=delivery_after(DeliveryState.BLOCKED, DeliveryEvent.OPERATION_ENDED).value, updated_at=at
        )
        .returning(delivery.c.record_id, delivery.c.system)
    ).all()
    behind = {(row.record_id, row.system) for row in skipped}
    journal.wake_lanes(connection, held.lanes | behind, freed=held.lanes, latest=LATEST)
    return held.unfit


def confirm(connection: Connection, decided: Collection[Decided], *, at: int) -> Unfit:
    """O11: a person says that these were applied. They are of unknown outcome again, so that a look confirms it, and
    hold their lanes meanwhile. A native id that the person names is kept as evidence: see ``stated``."""
    held = Held(connection, decided, role=None)
    held.none_newer()
    held.lane_free()
    held.move(
        DeliveryEvent.SAID_APPLIED,
        "said_applied",
        at=at,
        wake_at=at,
        code=CONFIRMING,
        probes=0,
        lease_expiries=0,
    )
    held.take_lanes()
    journal.insert_rows(
        connection,
        late_outcome,
        [
            {
                "delivery_id": row.id,
                "number": row.attempt,
                "at": at,
                "outcome": DeliveryEvent.SAID_APPLIED.value,
                "native_id": held.decided[row.id].native_id,
                "message": held.decided[row.id].detail[:1000],
            }
            for row in held.rows
        ],
    )
    return held.unfit


def accept_divergence(connection: Connection, decided: Collection[Decided], *, at: int) -> Unfit:
    """D13: a mirror goes without these writes. Their operations settle if nothing else of them is open."""
    held = Held(connection, decided, role="mirror")
    held.move(DeliveryEvent.DIVERGENCE_ACCEPTED, "divergence_accepted", at=at, wake_at=None)
    settle(connection, {row.operation_id for row in held.rows}, at=at)
    journal.wake_lanes(connection, held.lanes, latest=LATEST)
    return held.unfit


def stated(connection: Connection, delivery_ids: Iterable[str]) -> dict[str, str]:
    """How the system calls what these deliveries made, as a person said last; only where one has said it."""
    ids = list(delivery_ids)
    if not ids:
        return {}
    rows = connection.execute(
        select(late_outcome.c.delivery_id, late_outcome.c.native_id)
        .where(
            among(late_outcome.c.delivery_id, ids),
            late_outcome.c.outcome == DeliveryEvent.SAID_APPLIED.value,
            late_outcome.c.native_id.is_not(None),
        )
        .order_by(late_outcome.c.position)
    )
    return {row.delivery_id: row.native_id for row in rows}


def settle(connection: Connection, operation_ids: Collection[str], *, at: int) -> None:
    """O13, O15: settles those of these committed operations whose mirrors have nothing more to do."""
    if not operation_ids:
        return
    open_ = connection.execute(
        select(delivery.c.operation_id).where(
            among(delivery.c.operation_id, list(operation_ids)),
            delivery.c.role == "mirror",
            among(delivery.c.state, _OPEN),
        )
    )
    done = set(operation_ids) - set(open_.scalars())
    if not done:
        return
    rows = connection.execute(
        select(operation.c.id, operation.c.record_id, operation.c.state)
        .where(among(operation.c.id, list(done)), among(operation.c.state, _MIRRORING))
        .order_by(operation.c.id)
        .with_for_update()
    ).all()
    journal.update_rows(
        connection,
        operation,
        [
            {
                "id": row.id,
                "state": operation_after(OperationState(row.state), OperationEvent.MIRRORS_DONE).value,
                "updated_at": at,
            }
            for row in rows
        ],
        "id",
    )
    journal.add_events(
        connection,
        [
            journal.event_row(at=at, operation_id=row.id, record_id=row.record_id, name="settled")
            for row in rows
        ],
    )


def _afresh() -> dict[str, Any]:
    """A delivery that goes again begins its counts anew; how often it may have been sent is not forgotten."""
    return {"code": None, "message": None, "probes": 0, "lease_expiries": 0}


class Held:
    """The deliveries of one decision with everything around them locked. ``rows`` are those that it fits."""

    def __init__(self, connection: Connection, decided: Collection[Decided], *, role: str | None) -> None:
        self.connection = connection
        self.decided = {one.delivery_id: one for one in decided}
        self.unfit: Unfit = {}
        known = rows_by_id(connection, delivery, list(self.decided))
        self.records = journal.records_for_update(connection, {row.record_id for row in known.values()})
        self._lanes = journal.lanes_for_update(connection, self.records)
        # Read again: between the first look and the locks anything may have happened.
        found = rows_by_id(connection, delivery, list(self.decided), lock=True)
        self.operations = rows_by_id(
            connection, operation, {row.operation_id for row in found.values()}, lock=True
        )
        self.rows: list[Any] = []
        for id_ in sorted(self.decided):
            row = found.get(id_)
            if row is None:
                self.unfit[id_] = "there is no such delivery"
            elif row.state != DeliveryState.PARKED.value:
                self.unfit[id_] = f"the delivery does not wait for a person any more: it is {row.state}"
            elif role is not None and row.role != role:
                self.unfit[id_] = f"the delivery goes to the {row.role}, and this is for the {role}'s"
            else:
                self.rows.append(row)

    @property
    def lanes(self) -> set[journal.LaneKey]:
        return {(row.record_id, row.system) for row in self.rows}

    def none_newer(self) -> None:
        """Sent after a newer write of its lane, an older one would undo it."""
        if not self.rows:
            return
        newest = {
            (row.record_id, row.system): row.seq
            for row in self.connection.execute(
                select(delivery.c.record_id, delivery.c.system, func.max(delivery.c.seq).label("seq"))
                .where(
                    among(delivery.c.record_id, {row.record_id for row in self.rows}),
                    among(delivery.c.state, _TOUCHED),
                )
                .group_by(delivery.c.record_id, delivery.c.system)
            )
        }
        self.keep(
            lambda row: (
                f"a newer write of this record, number {seq}, is in {row.system} or on its way there"
                if (seq := newest.get((row.record_id, row.system), 0)) > row.seq
                else None
            )
        )

    def unresolved(self) -> None:
        """Only while nobody knows what the authority has made of it, or what it did is for a person."""
        self.keep(
            lambda row: (
                None
                if (state := self.operations[row.operation_id].state) in _UNDECIDED
                else f"the operation is not unresolved any more: it is {state}"
            )
        )

    def lane_free(self) -> None:
        """A lane has at most one call in flight or of unknown outcome."""
        taken: set[journal.LaneKey] = set()

        def why(row: Any) -> str | None:
            key = (row.record_id, row.system)
            if self._lanes[key].inflight not in (None, row.id) or key in taken:
                return f"another write of this record is on its way to {row.system}"
            taken.add(key)
            return None

        self.keep(why)

    def take_lanes(self) -> None:
        """Each is in flight in its lane from now on, so that nothing passes it."""
        journal.update_rows(
            self.connection,
            lane,
            [
                {"record_id": row.record_id, "system": row.system, "inflight": row.id, "wake_at": None}
                for row in self.rows
            ],
            "record_id",
            "system",
        )

    def move(self, event: DeliveryEvent, name: str, *, at: int, **values: Any) -> None:
        after = delivery_after(DeliveryState.PARKED, event)
        journal.update_rows(
            self.connection,
            delivery,
            [
                {
                    "id": row.id,
                    "state": after.value,
                    "updated_at": at,
                    # An earlier attempt may land until its quarantine is over, whatever a person has found by then.
                    "wake_at": max(at, row.quarantine_until or 0),
                    **values,
                }
                for row in self.rows
            ],
            "id",
        )
        journal.add_events(
            self.connection,
            [
                journal.event_row(
                    at=at,
                    operation_id=row.operation_id,
                    record_id=row.record_id,
                    name=name,
                    delivery_id=row.id,
                    detail=f"{row.system}: {self.decided[row.id].detail}"[:1000],
                )
                for row in self.rows
            ],
        )

    def move_operations(self, event: OperationEvent, *, at: int, **values: Any) -> None:
        journal.update_rows(
            self.connection,
            operation,
            [
                {
                    "id": row.operation_id,
                    "state": operation_after(
                        OperationState(self.operations[row.operation_id].state), event
                    ).value,
                    "updated_at": at,
                    **values,
                }
                for row in self.rows
            ],
            "id",
        )

    def keep(self, why_not: Callable[[Any], str | None]) -> None:
        """Leaves out those for which ``why_not`` has a reason, and keeps the reason."""
        kept: list[Any] = []
        for row in self.rows:
            why = why_not(row)
            if why is None:
                kept.append(row)
            else:
                self.unfit[row.id] = why
        self.rows = kept
