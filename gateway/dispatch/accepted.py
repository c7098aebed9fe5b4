"""The rows that accepted writes leave on disk: record, lanes, operation, deliveries, attempt and event of each.

They are collected while a batch is judged and written table by table at its end, so that a batch of a hundred writes
takes as many statements as one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from sqlalchemy import Connection

from gateway.canonical import BY_NAME
from gateway.dispatch.claim import MICROS
from gateway.dispatch.command import Document
from gateway.dispatch.idempotency import Intent
from gateway.ledger import journal
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryState, OperationState
from gateway.ledger.tables import attempt, delivery, lane, operation, record
from gateway.routing.plan import PLANS


class Rows:
    """What one batch will write, table by table."""

    def __init__(self, *, now: int) -> None:
        self.now = now
        self.records: list[dict[str, Any]] = []
        self.record_updates: dict[str, dict[str, Any]] = {}
        self.operations: list[dict[str, Any]] = []
        self.deliveries: list[dict[str, Any]] = []
        self.lanes: dict[journal.LaneKey, dict[str, Any]] = {}
        self.lane_updates: dict[journal.LaneKey, dict[str, Any]] = {}
        self.attempts: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []

    def new_record(self, intent: Intent, key: tuple[str, str], legal_entity: str | None) -> dict[str, Any]:
        entity = BY_NAME[key[0]]
        value = intent.command.body.get(entity.match_key)
        row = {
            "id": intent.record_id,
            "entity": key[0],
            "region": key[1],
            "legal_entity": legal_entity,
            "version": 0,
            "seq": 0,
            "open_writes": 0,
            "image": None,
            "match_key": None if value is None else str(value),
            "external_refs": journal.encode(intent.command.external_refs),
            "created_at": self.now,
            "updated_at": self.now,
        }
        self.records.append(row)
        return row

    def take_lane(
        self,
        intent: Intent,
        authority: str,
        slice_: Slice,
        there_already: Mapping[journal.LaneKey, Any],
        *,
        idle: bool,
    ) -> bool:
        """Takes the authority's lane for this write if it is free, and says whether it did."""
        key = (intent.record_id, authority)
        if intent.command.kind == "create":
            for system in ("legacy", "cloud"):
                self.lanes[intent.record_id, system] = journal.lane_row(intent.record_id, system)
            if slice_.draining:
                return False
            self.lanes[key]["inflight"] = intent.authority_delivery
            return True
        there = there_already.get(key)
        for system in ("legacy", "cloud"):
            if (intent.record_id, system) not in there_already:
                self.lanes.setdefault((intent.record_id, system), journal.lane_row(intent.record_id, system))
        free = there is None or (
            there.inflight is None
            and there.wake_at is None
            and (there.quiet_until is None or there.quiet_until <= self.now)
        )
        if slice_.draining:
            return False
        if idle and free and key not in self.lane_updates:
            self.lane_updates[key] = {
                "record_id": key[0],
                "system": key[1],
                "inflight": intent.authority_delivery,
                "wake_at": None,
            }
            return True
        if there is None or there.inflight is None:
            # Nobody will wake this lane by ending something in it, so it is made due now.
            self.lane_updates.setdefault(
                key, {"record_id": key[0], "system": key[1], "inflight": None, "wake_at": self.now}
            )
        return False

    def accept(
        self,
        intent: Intent,
        slice_: Slice,
        seq: int,
        image: Document | None,
        change: Document,
        *,
        claimed: bool,
        lease_until: int,
    ) -> None:
        command = intent.command
        plan = PLANS[slice_.stage]
        held = slice_.draining
        self.operations.append(
            {
                "id": intent.operation_id,
                "record_id": intent.record_id,
                "entity": slice_.entity,
                "region": slice_.region,
                "seq": seq,
                "kind": command.kind,
                "state": (OperationState.HELD if held else OperationState.ACCEPTED).value,
                "confirming": False,
                "epoch": slice_.epoch,
                "stage": slice_.stage.value,
                "authority": plan.authority.value,
                "mirror": None if plan.mirror is None else plan.mirror.value,
                "change": journal.encode(change),
                "image": None if image is None or not claimed else journal.encode(image),
                "marker": intent.marker,
                "client": command.client,
                "trace": journal.encode(command.trace),
                "waited_until": self.now + int(command.wait_s * MICROS),
                "created_at": self.now,
                "updated_at": self.now,
            }
        )
        of: dict[str, Any] = {
            "operation_id": intent.operation_id,
            "record_id": intent.record_id,
            "entity": slice_.entity,
            "region": slice_.region,
            "seq": seq,
            "epoch": slice_.epoch,
            "at": self.now,
        }
        state = DeliveryState.BLOCKED if held else DeliveryState.SENDING if claimed else DeliveryState.READY
        self.deliveries.append(
            journal.delivery_row(
                **of,
                id=intent.authority_delivery,
                system=plan.authority.value,
                role="authority",
                state=state,
                attempt=1 if claimed else 0,
                lease_until=lease_until if claimed else None,
                wake_at=None if claimed else self.now,
            )
        )
        if plan.mirror is not None:
            self.deliveries.append(
                journal.delivery_row(
                    **of,
                    id=intent.mirror_delivery,
                    system=plan.mirror.value,
                    role="mirror",
                    state=DeliveryState.BLOCKED,
                    lease_until=None,
                )
            )
        if claimed:
            self.attempts.append(journal.attempt_row(intent.authority_delivery, 1, self.now))
        self.events.append(
            journal.event_row(
                at=self.now,
                operation_id=intent.operation_id,
                record_id=intent.record_id,
                name="held" if held else "accepted",
                detail=f"{command.kind} by {command.client}",
            )
        )

    def write(self, connection: Connection, made: Container[str]) -> None:
        """To disk, without the records and lanes of writes that were refused after all: only ``made`` ones count."""
        journal.insert_rows(connection, record, [row for row in self.records if row["id"] in made])
        journal.update_rows(
            connection,
            record,
            [
                {"id": row["id"], "seq": row["seq"], "open_writes": row["open_writes"]}
                for row in self.record_updates.values()
                if row["id"] in made
            ],
            "id",
        )
        journal.insert_missing(connection, lane, [row for key, row in self.lanes.items() if key[0] in made])
        journal.update_rows(
            connection,
            lane,
            [self.lane_updates[key] for key in sorted(self.lane_updates) if key[0] in made],
            "record_id",
            "system",
        )
        journal.insert_rows(connection, operation, self.operations)
        journal.insert_rows(connection, delivery, self.deliveries)
        journal.insert_rows(connection, attempt, self.attempts)
        journal.add_events(connection, self.events)
