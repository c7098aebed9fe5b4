"""T3: what came of a send, in one commit: the delivery, its lane, the crosswalk, the record's image, the mirror's
turn. It counts only for the attempt that it belongs to; anything later is kept as evidence and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.canonical import BY_NAME
from gateway.crash import CONCLUDED, crash_point
from gateway.crosswalk.store import Link, link, links_of
from gateway.database import Database
from gateway.database.rows import rows_by_id
from gateway.dispatch.change import whole_change
from gateway.dispatch.claim import MICROS, Claim, Claims
from gateway.dispatch.command import Document
from gateway.dispatch.conclusion import (
    LOOKS,
    Concluded,
    Conclusion,
    Consequences,
    expiries_after,
    is_current,
    refused_event,
)
from gateway.dispatch.idempotency import told
from gateway.dispatch.present import present
from gateway.errors import Collision, GatewayError
from gateway.ids import Ids
from gateway.ledger import floors, journal
from gateway.ledger.journal import Delivery
from gateway.ledger.states import (
    DeliveryEvent,
    DeliveryState,
    OperationEvent,
    OperationState,
    delivery_after,
    operation_after,
)
from gateway.ledger.tables import operation
from gateway.routing.stage import System


class Outcomes:
    """The T3 step. ``slots`` says how many deliveries to a system this process may take over in that commit."""

    def __init__(
        self,
        *,
        database: Database,
        claims: Claims,
        ids: Ids,
        settle_s: float,
    ) -> None:
        self._database = database
        self._claims = claims
        self._ids = ids
        self._settle_s = settle_s
        self.slots: Callable[[str], int] = lambda system: 0

    def step(self, connection: Connection, conclusions: Sequence[Conclusion]) -> list[Concluded | Exception]:
        batch = _Batch(self._database, connection, conclusions, settle_s=self._settle_s)
        concluded = batch.run()
        taken = self._take_mirrors(batch)
        batch.rows.write(connection, self._ids)
        for one in conclusions:
            crash_point(CONCLUDED[one.claim.role])
        left = bool(batch.rows.due)
        if not taken and not left:
            return list(concluded)
        return [
            msgspec.structs.replace(one, next_claim=taken.get(one.operation_id), work_left=left)
            for one in concluded
        ]

    def _take_mirrors(self, batch: _Batch) -> dict[str, Claim]:
        """Claims the mirror deliveries that this commit has made ready, as far as this process has room."""
        room = {system.value: self.slots(system.value) for system in System}
        taken: dict[str, Claim] = {}
        for one in batch.rows.unblocked:
            lane = batch.rows.lanes[one.lane]
            if room[one.system] < 1 or lane.inflight is not None or (lane.quiet_until or 0) > batch.now:
                continue
            # Something older in this lane would have to be marked as overtaken; the ordinary claim does that.
            if batch.rows.head(one.lane) is not one or not batch.rows.alone(one):
                continue
            room[one.system] -= 1
            claim = self._claims.following(
                batch.settled[one.operation_id],
                one,
                link=batch.links.get(one.lane),
                now=batch.now,
                began=batch.began,
            )
            batch.rows.claim(one, claim)
            taken[one.operation_id] = claim
        return taken


class _Batch:
    def __init__(
        self,
        database: Database,
        connection: Connection,
        conclusions: Sequence[Conclusion],
        *,
        settle_s: float,
    ) -> None:
        self.database = database
        self.connection = connection
        self.conclusions = conclusions
        self.settle_s = settle_s
        #: claims of the authority that were applied, with the record as it became
        self.settled: dict[str, Claim] = {}

    def run(self) -> list[Concluded]:
        connection = self.connection
        # With the records and their lanes nothing else can move these deliveries: writes are accepted under the
        # record, and whoever claims a delivery holds its lane.
        records = journal.records_for_update(connection, [one.claim.record_id for one in self.conclusions])
        lanes = journal.lanes_for_update(connection, records)
        open_ = journal.open_deliveries(connection, records)
        self.deliveries = {one.id: one for lane in open_.values() for one in lane}
        operations = rows_by_id(connection, operation, {one.claim.operation_id for one in self.conclusions})
        self.record_rows = {record_id: dict(row._mapping) for record_id, row in records.items()}  # pyright: ignore[reportPrivateUsage]
        self.links = links_of(connection, records)
        self.floors = floors.read(connection)
        self.began = self.database.clock.monotonic()
        self.now = self.database.now(connection)
        self.rows = Consequences(
            now=self.now, settle_s=self.settle_s, lanes=lanes, open_=open_, operations=operations
        )
        self.collided = self._link_first()
        concluded = [self._conclude(one) for one in self.conclusions]
        self.rows.settle()
        return concluded

    def _link_first(self) -> set[str]:
        """Writes the crosswalk of what was applied; returns deliveries whose native record belongs to another."""
        links: list[Link] = []
        owners: dict[tuple[str, str], str] = {}
        for one in self.conclusions:
            row = self.deliveries.get(one.claim.delivery_id)
            if one.native_id is None or row is None or not self._counts(one, row):
                continue
            links.append(
                Link(
                    record_id=one.claim.record_id,
                    system=one.claim.system,
                    entity=one.claim.entity,
                    native_id=one.native_id,
                    native_version=one.native_version,
                )
            )
            owners[one.claim.record_id, one.claim.system] = one.claim.delivery_id
        lost = link(self.connection, links, at=self.now, known=self.links)
        self.links.update({(one.record_id, one.system): one for one in links if one not in lost})
        return {owners[one.record_id, one.system] for one in lost}

    def _counts(self, one: Conclusion, row: Delivery) -> bool:
        """Whether what was seen is an outcome. Of a call to an authority that was left it is evidence only; what that
        system has done is looked for when it is back."""
        heard = one.event not in LOOKS and one.event is not DeliveryEvent.LEASE_EXPIRED
        state = self.rows.operation_rows[one.claim.operation_id].state
        if one.event is DeliveryEvent.PROVEN_ABSENT and row.role == "authority" and state == OperationState.STRANDED:
            # The look began before its authority was left: it would be sent there again. It is looked for once more.
            return False
        return is_current(one, row) and not (heard and floors.is_dead(self.floors, row))

    # --- one conclusion ---------------------------------------------------------------------------------------

    def _conclude(self, one: Conclusion) -> Concluded:
        claim = one.claim
        op = self.rows.operation_rows[claim.operation_id]
        state = self.rows.state_of(op.id)
        row = self.deliveries.get(claim.delivery_id)
        if row is None or not self._counts(one, row):
            self.rows.late.append(
                {
                    "delivery_id": claim.delivery_id,
                    "number": claim.attempt,
                    "at": self.now,
                    "outcome": one.event.value,
                    "native_id": one.native_id,
                    "message": one.message,
                }
            )
            return Concluded(operation_id=op.id, state=state, counted=False)
        if one.withdraw and self.rows.may_be_told(op):
            # Who was told 202 has been promised it: it is kept and tried again, as in a slice that stores.
            one = msgspec.structs.replace(one, withdraw=False, refusal=None)
        if claim.delivery_id in self.collided:
            one = Conclusion(
                claim=claim,
                event=DeliveryEvent.GAVE_UP if row.state == "unknown" else refused_event(claim),
                code="collision",
                message=f"{claim.system} answered with {one.native_id}, which belongs to another record",
                refusal=Collision(f"{claim.system} says that this is its record {one.native_id}"),
            )
        before = DeliveryState(row.state)
        after = delivery_after(before, one.event)
        self._delivery(one, row, before, after)
        match after:
            case DeliveryState.APPLIED:
                return self._applied(one, row, op, state)
            case DeliveryState.REJECTED:
                return self._rejected(one, op, state, OperationEvent.REJECTED)
            case DeliveryState.PARKED:
                return self._parked(one, op, state)
            case DeliveryState.UNKNOWN:
                if claim.role == "authority":
                    self.rows.operation(op, confirming=True)
            case DeliveryState.READY if one.withdraw:
                return self._rejected(one, op, state, OperationEvent.CANCELLED)
            case _:
                self.rows.free((claim.record_id, claim.system))
        return Concluded(operation_id=op.id, state=state, counted=True)

    def _delivery(self, one: Conclusion, row: Delivery, before: DeliveryState, after: DeliveryState) -> None:
        ambiguous = one.event in (DeliveryEvent.AMBIGUOUS, DeliveryEvent.LEASE_EXPIRED)
        looking = before is after is DeliveryState.UNKNOWN
        again = after in (DeliveryState.READY, DeliveryState.UNKNOWN) and not one.withdraw
        if ambiguous:
            row.maybe_sent += 1
            row.quarantine_until = (row.lease_until or self.now) + int(one.quarantine_s * MICROS)
            row.probes = 0
        elif looking and one.found_nothing:
            # A look that failed has not shown that there is nothing.
            row.probes += 1
        row.state = (DeliveryState.SKIPPED if one.withdraw else after).value
        row.wake_at = self.now + int(one.wait_s * MICROS) if again else None
        row.lease_expiries = expiries_after(one.event, row.lease_expiries)
        row.source = one.source if after is DeliveryState.APPLIED else None
        row.code, row.message = one.code, one.message
        self.rows.changed(row)
        if before is DeliveryState.SENDING:
            self.rows.attempt_ended(one)
        if not looking:
            self.rows.event(one, after)

    def _applied(self, one: Conclusion, row: Delivery, op: Any, state: OperationState) -> Concluded:
        claim = one.claim
        if one.event is DeliveryEvent.FOUND:
            self.rows.settled(claim.delivery_id, "found")
        self.rows.applied(claim, quiet_until=row.quarantine_until if one.quiet else None)
        if claim.role == "mirror":
            self.rows.mirrored(op)
            self.rows.compare(claim, op)
            return Concluded(operation_id=op.id, state=state, counted=True)
        committed = operation_after(state, OperationEvent.APPLIED)
        owner = self.record_rows[claim.record_id]
        image = one.document if one.document is not None else claim.image
        entity = BY_NAME[claim.entity]
        before: Document | None = None if owner["image"] is None else msgspec.json.decode(owner["image"])
        kept = image
        if entity.lane_mode == "strict" and claim.kind == "transition":
            # A move carries no other field to the mirror. What the authority has filled in meanwhile goes there with
            # the next update, which is known by the record not having it yet.
            kept = {**claim.image, "state": image["state"]}
        self._number(claim, image, owner["legal_entity"])
        owner["version"] += 1
        owner["open_writes"] = max(0, owner["open_writes"] - 1)
        owner["image"] = encoded = journal.encode(kept)
        owner["updated_at"] = self.now
        value = image.get(entity.match_key)
        owner["match_key"] = None if value is None else str(value)
        self.rows.records[claim.record_id] = owner
        natives = {
            system.value: held.native_id
            for system in System
            if (held := self.links.get((claim.record_id, system.value))) is not None
        }
        answer = present(
            entity,
            record_id=claim.record_id,
            region=claim.region,
            legal_entity=owner["legal_entity"],
            version=owner["version"],
            document=image,
            created_at=owner["created_at"],
            updated_at=self.now,
            external_refs=msgspec.json.decode(owner["external_refs"]),
            native_ids=natives,
        )
        self.rows.operation(
            op,
            state=committed.value,
            confirming=False,
            version=owner["version"],
            image=encoded,
            answer=journal.encode(answer),
        )
        if op.mirror is None:
            self.rows.mirrored(op)
        else:
            # The mirror gets what is on disk, read back the way everybody else would read it.
            mirrored: Document = msgspec.json.decode(encoded)
            asked: Document = msgspec.json.decode(op.change)
            change = asked
            if entity.lane_mode == "strict" and before is not None:
                # With what the authority has filled in, such as its number: nothing else would bring it there.
                change = whole_change(claim.kind, _stateless(before), _stateless(mirrored), asked)
            if change != asked:
                self.rows.operation(op, change=journal.encode(change))
            self.settled[op.id] = msgspec.structs.replace(claim, image=mirrored, change=change)
            self.rows.unblock(op)
        return Concluded(
            operation_id=op.id, state=committed, counted=True, answer=answer, version=owner["version"]
        )

    def _rejected(self, one: Conclusion, op: Any, state: OperationState, event: OperationEvent) -> Concluded:
        claim = one.claim
        self.rows.free((claim.record_id, claim.system))
        after = operation_after(state, event)
        owner = self.record_rows[claim.record_id]
        owner["open_writes"] = max(0, owner["open_writes"] - 1)
        self.rows.records[claim.record_id] = owner
        refusal = one.refusal or GatewayError(one.message or "")
        self.rows.operation(op, state=after.value, confirming=False, problem=journal.encode(told(refusal)))
        if claim.change.get(BY_NAME[claim.entity].natural_key or "") is not None:
            self.rows.renumbered.add(claim.record_id)
        if one.withdraw:
            self.rows.given_back.append(op.id)
        self.rows.skip(op)
        if event is OperationEvent.REJECTED:
            self.rows.refused_late(one, op, collided=claim.delivery_id in self.collided)
        return Concluded(operation_id=op.id, state=after, counted=True, refusal=refusal)

    def _parked(self, one: Conclusion, op: Any, state: OperationState) -> Concluded:
        claim = one.claim
        self.rows.parked(one)
        if claim.role == "authority":
            after = operation_after(state, OperationEvent.GAVE_UP)
            self.rows.operation(op, state=after.value)
        else:
            after = operation_after(state, OperationEvent.MIRROR_PARKED)
            self.rows.operation(op, state=after.value)
            self.rows.free((claim.record_id, claim.system))
        return Concluded(operation_id=op.id, state=after, counted=True)

    def _number(self, claim: Claim, image: Document, legal_entity: str | None) -> None:
        """An old number is free for others as soon as the record has a new one, and one that the authority itself
        has given is taken."""
        name = BY_NAME[claim.entity].natural_key
        if name is None or claim.kind == "transition":
            return
        if claim.kind == "update" and name in claim.change:
            self.rows.renumbered.add(claim.record_id)
        given = image.get(name)
        if claim.kind == "create" and given is not None and given != claim.change.get(name):
            self.rows.renumbered.add(claim.record_id)
            self.rows.numbers[claim.entity, legal_entity or "", str(given)] = claim.record_id


def _stateless(document: Document) -> Document:
    """Its fields without its state, which only a transition moves."""
    return {name: value for name, value in document.items() if name != "state"}
