"""Writes what is to become of edits into the ledger.

An edit in the authority is a write that the authority has already: its operation begins *committed*, with a delivery to
the mirror. An edit in the mirror is a write that the authority is yet to take, and that the mirror has already: its
operation begins *accepted*, with a delivery to the authority and none to the mirror. What goes back to where it came
from is only what a rule or a person says is to be put back. From then on they are deliveries like any others.

An edit that a person decides is an operation that was *rejected*, with a case: it holds up nobody.

Whoever calls holds the record and its lanes, and nothing of the record is on its way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.canonical import BY_NAME
from gateway.cases import Kind, Opening, close_for, open_cases
from gateway.change_feed import store
from gateway.change_feed.merge import Edits, patch_to, with_edits
from gateway.compare.jobs import schedule
from gateway.compare.observation import CompareJob
from gateway.dispatch import natural_keys
from gateway.dispatch.claim import LATEST
from gateway.dispatch.command import Document
from gateway.ids import DELIVERY, OPERATION, Ids
from gateway.ledger import journal
from gateway.ledger.slices import Slice
from gateway.ledger.states import DeliveryState, OperationState
from gateway.routing.plan import PLANS
from gateway.routing.stage import System

#: Where an operation comes from that no caller has asked for.
ORIGIN = "foreign_change"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written of one record: ``carry`` edits of a system to the other one, ``revert`` fields in a system
    to what the record says, and have a person decide ``disputed``, which is in question in ``system``."""

    row: Any  #: the record, locked
    edits: Mapping[System, Edits]
    before: Mapping[System, Edits]
    carry: Mapping[System, Edits] = {}
    revert: Mapping[System, frozenset[str]] = {}
    both: Edits = {}  #: edits that neither system holds any more: written to both, as a caller's write is
    disputed: frozenset[str] = frozenset()
    system: System | None = None
    kind: Kind = Kind.OWNERSHIP_CONFLICT
    message: str = ""
    overtaken: tuple[str, ...] = ()  #: operations whose open cases end with this one
    versions: Mapping[System, str | None] = {}


class Writing:
    """Collects what is to be written in one commit, and writes it, one statement a table."""

    def __init__(self, connection: Connection, slice_: Slice, *, ids: Ids, at: int, settle_us: int) -> None:
        self._connection = connection
        self._slice = slice_
        plan = PLANS[slice_.stage]
        assert plan.mirror is not None  # a slice with one system has no feed
        self._authority, self._mirror = plan.authority, plan.mirror
        self._ids = ids
        self._at = at
        self._settle_us = settle_us
        self._operations: list[dict[str, Any]] = []
        self._deliveries: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._records: list[dict[str, Any]] = []
        self._lanes: dict[journal.LaneKey, int] = {}
        self._wake: set[journal.LaneKey] = set()
        self._openings: list[Opening] = []
        self._edits: list[dict[str, Any]] = []
        self._compares: list[CompareJob] = []
        self._overtaken: list[str] = []
        self._numbers: dict[natural_keys.Key, str] = {}
        self._renumbered: set[str] = set()
        self._ids_of_records: set[str] = set()

    def add(self, wish: Wish, *, open_lanes: Mapping[journal.LaneKey, Any]) -> None:
        """One record. ``open_lanes``: lanes in which something waits for a person."""
        row = wish.row
        image: Document = msgspec.json.decode(row.image)
        a, m = self._authority, self._mirror
        taken = wish.carry.get(a, {})
        after = with_edits(image, taken)
        seq = row.seq
        opened = 0
        self._ids_of_records.add(row.id)
        back = {name: after.get(name) for name in sorted(wish.revert.get(m, frozenset()))}
        out = {**{name: patch_to(image.get(name), after.get(name)) for name in taken}, **back}
        for place, (kind, change) in enumerate(_parts(out, after)):
            seq += 1
            operation_id = self._operation(
                row,
                seq,
                kind,
                change,
                after,
                OperationState.COMMITTED,
                mirror=m,
                version=row.version + bool(taken),
            )
            known = self._delivery(row, operation_id, seq, a, "authority", DeliveryState.APPLIED)
            self._delivery(row, operation_id, seq, m, "mirror", DeliveryState.READY)
            self._lanes[row.id, a.value] = seq
            self._event(row, operation_id, "authority_applied", f"{a} has it: {_names(change)}", known)
            if not place:
                self._edit(wish, operation_id, a, "carried", taken)
                self._edit(wish, operation_id, m, "reverted", back)
        wanted = wish.carry.get(m, {})
        kept = {name: after.get(name) for name in sorted(wish.revert.get(a, frozenset()))}
        for names, preset, mirror in ((wish.both, None, m), (wanted, None, None), (kept, after, None)):
            goes = {name: patch_to(after.get(name), value) for name, value in names.items()}
            for place, (kind, change) in enumerate(_parts(goes, with_edits(after, names))):
                seq += 1
                opened += 1
                operation_id = self._operation(
                    row, seq, kind, change, preset, OperationState.ACCEPTED, mirror=mirror, version=None
                )
                self._delivery(row, operation_id, seq, a, "authority", DeliveryState.READY)
                if mirror is not None:
                    self._delivery(row, operation_id, seq, m, "mirror", DeliveryState.BLOCKED)
                elif preset is None and (row.id, m.value) not in open_lanes and not (out or wish.both):
                    # The mirror has come to this write, since it has it.
                    self._lanes[row.id, m.value] = seq
                if not place:
                    self._edit(wish, operation_id, m if preset is None else a, _done(preset), names)
                    self._compare(row, seq)
        if wish.disputed:
            seq += 1
            self._dispute(wish, seq, image)
        self._number(row, image, after, {**taken, **wanted})
        self._records.append(
            {
                "id": row.id,
                "seq": seq,
                "version": row.version + bool(taken),
                "open_writes": row.open_writes + opened,
                "image": journal.encode(after),
                "match_key": _text(after.get(BY_NAME[row.entity].match_key)),
                "updated_at": self._at if taken else row.updated_at,
            }
        )

    def write(self) -> int:
        """To disk. Returns how many deliveries are to be sent."""
        connection = self._connection
        journal.come_to(connection, self._ids_of_records, self._lanes)
        journal.update_rows(connection, journal.record, self._records, "id")
        journal.insert_rows(connection, journal.operation, self._operations)
        journal.insert_rows(connection, journal.delivery, self._deliveries)
        natural_keys.reserve(connection, self._numbers)
        natural_keys.release(connection, self._renumbered)
        journal.add_events(connection, self._events)
        journal.wake_lanes(connection, self._wake, latest=LATEST)
        store.add_edits(connection, self._edits)
        schedule(connection, self._compares)
        close_for(connection, operation_ids=self._overtaken, at=self._at, how="overtaken")
        open_cases(connection, self._openings, at=self._at, ids=self._ids)
        return len(self._wake)

    # --- rows ----------------------------------------------------------------------------------------------------

    def _dispute(self, wish: Wish, seq: int, image: Document) -> None:
        row, system = wish.row, wish.system
        assert system is not None
        values = {name: wish.edits[one][name] for one in System for name in wish.edits.get(one, {})}
        values = {name: value for name, value in values.items() if name in wish.disputed}
        operation_id = self._operation(
            row, seq, "update", values, None, OperationState.REJECTED, mirror=None, version=None,
            problem={"kind": "Refused", "detail": wish.message, "errors": [], "facts": {}},
        )  # fmt: skip
        for one in System:
            mine = {name: value for name, value in wish.edits.get(one, {}).items() if name in wish.disputed}
            if mine:
                self._edit(wish, operation_id, one, "conflict", mine)
        self._overtaken.extend(wish.overtaken)
        self._openings.append(
            Opening(
                kind=wish.kind,
                operation_id=operation_id,
                record_id=row.id,
                entity=row.entity,
                region=row.region,
                system=system.value,
                code=wish.kind.value,
                message=wish.message,
                document=image,
            )
        )

    def _operation(
        self,
        row: Any,
        seq: int,
        kind: str,
        change: Document,
        image: Document | None,
        state: OperationState,
        *,
        mirror: System | None,
        version: int | None,
        problem: Document | None = None,
    ) -> str:
        operation_id = self._ids.new(OPERATION)
        self._operations.append(
            {
                "id": operation_id,
                "record_id": row.id,
                "entity": row.entity,
                "region": row.region,
                "seq": seq,
                "kind": kind,
                "state": state.value,
                "confirming": False,
                "epoch": self._slice.epoch,
                "stage": self._slice.stage.value,
                "authority": self._authority.value,
                "mirror": None if mirror is None else mirror.value,
                "change": journal.encode(change),
                "image": None if image is None else journal.encode(image),
                "marker": self._ids.marker(),
                "client": ORIGIN,
                "origin": ORIGIN,
                "trace": "{}",
                "waited_until": self._at,
                "version": version,
                "problem": None if problem is None else journal.encode(problem),
                "created_at": self._at,
                "updated_at": self._at,
            }
        )
        return operation_id

    def _delivery(
        self, row: Any, operation_id: str, seq: int, system: System, role: str, state: DeliveryState
    ) -> str:
        delivery_id = self._ids.new(DELIVERY)
        ready, applied = state is DeliveryState.READY, state is DeliveryState.APPLIED
        self._deliveries.append(
            journal.delivery_row(
                id=delivery_id, operation_id=operation_id, record_id=row.id, entity=row.entity, region=row.region,
                system=system.value, role=role, seq=seq, epoch=self._slice.epoch, state=state, at=self._at,
                wake_at=self._at if ready else None, source="probe" if applied else None,
            )
        )  # fmt: skip
        if ready:
            self._wake.add((row.id, system.value))
        return delivery_id

    def _event(
        self, row: Any, operation_id: str, name: str, detail: str, delivery_id: str | None = None
    ) -> None:
        self._events.append(
            journal.event_row(
                at=self._at,
                operation_id=operation_id,
                record_id=row.id,
                name=name,
                delivery_id=delivery_id,
                detail=detail[:1000],
            )
        )

    def _edit(self, wish: Wish, operation_id: str, system: System, outcome: str, names: Edits) -> None:
        if not names:
            return
        edits, before = wish.edits.get(system, {}), wish.before.get(system, {})
        change = {name: [before.get(name), edits.get(name)] for name in names if name in edits}
        what = {
            "carried": f"goes to {system.other}",
            "reverted": "is put back",
            "conflict": "a person decides",
        }
        self._event(wish.row, operation_id, ORIGIN, f"edited in {system}: {_names(names)}: {what[outcome]}")
        self._edits.append(
            {
                "record_id": wish.row.id,
                "system": system.value,
                "outcome": outcome,
                "operation_id": operation_id,
                "version": wish.versions.get(system),
                "change": msgspec.json.encode(change).decode(),
                "at": self._at,
            }
        )

    def _compare(self, row: Any, seq: int) -> None:
        self._compares.append(
            CompareJob(
                record_id=row.id,
                entity=row.entity,
                region=row.region,
                authority=self._authority.value,
                other=self._mirror.value,
                stage=self._slice.stage.value,
                seq=seq,
                due_at=self._at + self._settle_us,
                reason="read",
            )
        )

    def _number(self, row: Any, image: Document, after: Document, edits: Edits) -> None:
        """A number that only one record may have is reserved for it, and its old one free for others."""
        name = BY_NAME[row.entity].natural_key
        if name is None or name not in edits:
            return
        if edits[name] is not None:
            self._numbers[row.entity, row.legal_entity or "", str(edits[name])] = row.id
        if after.get(name) != image.get(name):
            self._renumbered.add(row.id)


def _parts(change: Document, after: Document) -> list[tuple[str, Document]]:
    """A state is moved by a transition, after the other fields: a document is posted with what it says then."""
    fields = {name: value for name, value in change.items() if name != "state"}
    parts: list[tuple[str, Document]] = [("update", fields)] if fields else []
    if "state" in change and after.get("state") is not None:
        parts.append(("transition", {"to": after["state"]}))
    return parts


def _done(preset: Document | None) -> str:
    return "carried" if preset is None else "reverted"


def _names(change: Mapping[str, Any]) -> str:
    return ", ".join("state" if name == "to" else name for name in change)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
