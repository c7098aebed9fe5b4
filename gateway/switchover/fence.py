"""The fence of a move of authority: put up, drained behind, and taken down, with the held writes let go.

Behind a fence new writes are accepted and held, under an epoch that has risen. Once nothing of the old epoch is under
way they are released, to whichever system is then the authority.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select

from gateway.database import Database, among
from gateway.dispatch.claim import LATEST
from gateway.errors import FieldError, RuleRefused, RuleVersionMoved
from gateway.ids import DELIVERY, Ids
from gateway.ledger import journal, slices
from gateway.ledger.slices import Slice
from gateway.ledger.states import (
    DELIVERY_OPEN,
    DeliveryState,
    OperationEvent,
    OperationState,
    operation_after,
)
from gateway.ledger.tables import delivery, operation
from gateway.routing.plan import PLANS, Plan

#: Of a delivery that goes on by itself; a parked one needs a person.
MOVING = [state.value for state in DELIVERY_OPEN if state is not DeliveryState.PARKED]


class Fence:
    def __init__(self, *, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids

    def put(self, connection: Connection, before: Slice) -> Slice:
        key = (before.entity, before.region)
        slices.lock_exclusive(connection, key)
        there = slices.read(connection, [key])[key]
        expect(there, before.version)
        if there.draining:
            raise RuleRefused(
                "another move of this slice is under way",
                errors=[FieldError(pointer="/stage", code="draining", message="wait until it has ended")],
                gates=["draining"],
            )
        now = self._database.now(connection)
        return slices.change(
            connection,
            there,
            {"draining": True, "drain_since": now, "epoch": there.epoch + 1},
            at=now,
            actor="",
            reason="",
            numbered=False,
        )

    def lift(self, connection: Connection, fenced: Slice) -> None:
        """Gives the move up: the held writes go to the authority that was, under an epoch of their own."""
        key = (fenced.entity, fenced.region)
        slices.lock_exclusive(connection, key)
        there = slices.read(connection, [key])[key]
        if not there.draining or there.epoch != fenced.epoch:
            # Somebody has lifted it already; what stands there now, if anything, is another move's fence.
            return
        now = self._database.now(connection)
        changed = slices.change(
            connection,
            there,
            {"draining": False, "drain_since": None, "epoch": there.epoch + 1},
            at=now,
            actor="",
            reason="",
            numbered=False,
        )
        self.release(connection, changed, now)

    def release(
        self, connection: Connection, now_in_force: Slice, now: int, *, most: int | None = None
    ) -> int:
        """Held writes become accepted ones under the plan that is now in force; ``most``: the oldest so many. Returns
        how many that were."""
        plan = PLANS[now_in_force.stage]
        held = connection.execute(
            select(operation)
            .where(
                operation.c.entity == now_in_force.entity,
                operation.c.region == now_in_force.region,
                operation.c.state == OperationState.HELD.value,
            )
            .order_by(operation.c.id)
            .limit(most)
        ).all()
        if not held:
            return 0
        # With the records, no outcome of a write before these is half-way: one of the two sees that the lane has
        # something to do.
        journal.records_for_update(connection, [row.record_id for row in held])
        after = operation_after(OperationState.HELD, OperationEvent.RELEASED)
        journal.update_rows(
            connection,
            operation,
            [
                {
                    "id": row.id,
                    "state": after.value,
                    "stage": now_in_force.stage.value,
                    "authority": plan.authority.value,
                    "mirror": None if plan.mirror is None else plan.mirror.value,
                    "epoch": now_in_force.epoch,
                    "updated_at": now,
                }
                for row in held
            ],
            "id",
        )
        lines = connection.execute(
            select(delivery).where(among(delivery.c.operation_id, [row.id for row in held]))
        ).all()
        self._redirect(connection, held, lines, plan, now_in_force, now)
        journal.add_events(
            connection,
            [
                journal.event_row(
                    at=now,
                    operation_id=row.id,
                    record_id=row.record_id,
                    name="released",
                    detail=f"to {plan.authority}",
                )
                for row in held
            ],
        )
        journal.wake_lanes(connection, {(row.record_id, plan.authority.value) for row in held}, latest=LATEST)
        return len(held)

    def _redirect(
        self, connection: Connection, held: Any, lines: Any, plan: Plan, now_in_force: Slice, now: int
    ) -> None:
        changed: list[dict[str, Any]] = []
        mirrored: set[str] = set()
        for line in lines:
            if line.role == "authority":
                system, state, wake = plan.authority.value, DeliveryState.READY, now
            elif plan.mirror is not None:
                mirrored.add(line.operation_id)
                system, state, wake = plan.mirror.value, DeliveryState.BLOCKED, None
            else:
                system, state, wake = line.system, DeliveryState.SKIPPED, None
            changed.append(
                {
                    "id": line.id,
                    "system": system,
                    "state": state.value,
                    "wake_at": wake,
                    "epoch": now_in_force.epoch,
                    "updated_at": now,
                }
            )
        journal.update_rows(connection, delivery, changed, "id")
        if plan.mirror is None:
            return
        journal.insert_rows(
            connection,
            delivery,
            [
                {
                    "id": self._ids.new(DELIVERY),
                    "operation_id": row.id,
                    "record_id": row.record_id,
                    "entity": row.entity,
                    "region": row.region,
                    "system": plan.mirror.value,
                    "role": "mirror",
                    "seq": row.seq,
                    "epoch": now_in_force.epoch,
                    "state": DeliveryState.BLOCKED.value,
                    "attempt": 0,
                    "maybe_sent": 0,
                    "probes": 0,
                    "lease_expiries": 0,
                    "created_at": row.created_at,
                    "updated_at": now,
                }
                for row in held
                if row.id not in mirrored
            ],
        )


def expect(there: Slice, version: int) -> None:
    if there.version != version:
        raise RuleVersionMoved(
            f"the rule is at version {there.version}, not {version}; read it again and decide anew",
            version=there.version,
        )


def moving(connection: Connection, key: tuple[str, str], epoch: int) -> int:
    """Deliveries of the slice that go on by themselves, accepted before ``epoch``."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(delivery)
            .where(
                delivery.c.entity == key[0],
                delivery.c.region == key[1],
                among(delivery.c.state, MOVING),
                delivery.c.epoch < epoch,
            )
        ).scalar_one()
    )
