"""T3: what came of a send, in one commit: the delivery, its lane, the crosswalk, the record's image, the mirror's
turn. It counts only for the attempt that it belongs to; anything later is kept as evidence and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, bindparam, or_, select

from gateway.canonical import BY_NAME
from gateway.crosswalk.store import Link, link, links_of
from gateway.database import Database, among
from gateway.database.rows import rows_by_id
from gateway.dispatch.claim import LATEST, MICROS, Claim, Claims
from gateway.dispatch.command import Document
from gateway.dispatch.conclusion import (
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
from gateway.ledger import journal
from gateway.ledger.states import (
    DeliveryEvent,
    DeliveryState,
    OperationEvent,
    OperationState,
    delivery_after,
    operation_after,
)
from gateway.ledger.tables import delivery, lane, operation
from gateway.routing.stage import System


class Outcomes:
    """The T3 step. ``slots`` says how many deliveries to a system this process may take over in that commit."""

    def __init__(
        self,
        *,
        database: Database,
        claims: Claims,
        settle_s: float,
    ) -> None:
        self._database = database
        self._claims = claims
        self._settle_s = settle_s
        self.slots: Callable[[str], int] = lambda system: 0

    def step(self, connection: Connection, conclusions: Sequence[Conclusion]) -> list[Concluded | Exception]:
        batch = _Batch(self._database, connection, conclusions, settle_s=self._settle_s)
        concluded = batch.run()
        taken = self._take_mirrors(connection, batch)
        left = bool(batch.rows.due - {(claim.record_id, claim.system) for claim in taken.values()})
        if not taken and not left:
            return list(concluded)
        return [
            msgspec.structs.replace(one, next_claim=taken.get(one.operation_id), work_left=left)
            for one in concluded
        ]

    def _take_mirrors(self, connection: Connection, batch: _Batch) -> dict[str, Claim]:
        """Claims the mirror deliveries that this commit has made ready, as far as this process has room."""
        room = {system.value: self.slots(system.value) for system in System}
        wanted: list[str] = []
        for delivery_id, system in batch.rows.unblocked:
            if room[system] > 0:
                room[system] -= 1
                wanted.append(delivery_id)
        if not wanted:
            return {}
        heads = connection.execute(_FREE_HEADS, {"ids": wanted, "now": batch.now}).all()
        open_ = journal.open_deliveries(connection, {row.record_id for row in heads})
        mine = [
            row
            for row in heads
            if (head := journal.head_of(open_.get((row.record_id, row.system), ()), LATEST)) is not None
            and head.id == row.id
            # Something older in this lane would have to be marked as overtaken; the ordinary claim does that.
            and len(open_[row.record_id, row.system]) == 1
        ]
        claims = self._claims.claim_rows(connection, mine, now=batch.now, began=batch.began)
        return {claim.operation_id: claim for claim in claims}


#: Of these deliveries those that are ready in a lane that is free.
_FREE_HEADS = (
    select(delivery)
    .join(lane, (lane.c.record_id == delivery.c.record_id) & (lane.c.system == delivery.c.system))
    .where(
        among(delivery.c.id, "ids"),
        lane.c.inflight.is_(None),
        lane.c.wake_at.is_not(None),
        or_(lane.c.quiet_until.is_(None), lane.c.quiet_until <= bindparam("now")),
        delivery.c.state == DeliveryState.READY.value,
    )
)


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

    def run(self) -> list[Concluded]:
        connection = self.connection
        claims = [one.claim for one in self.conclusions]
        records = journal.records_for_update(connection, [claim.record_id for claim in claims])
        self.record_rows = {record_id: dict(row._mapping) for record_id, row in records.items()}  # pyright: ignore[reportPrivateUsage]
        rows = rows_by_id(connection, delivery, {claim.delivery_id for claim in claims}, lock=True)
        self.operation_rows = rows_by_id(connection, operation, {claim.operation_id for claim in claims})
        self.began = self.database.clock.monotonic()
        self.now = self.database.now(connection)
        self.rows = Consequences(now=self.now, settle_s=self.settle_s)
        self.collided = self._link_first(rows)
        self.native = links_of(connection, records)
        concluded = [self._conclude(one, rows.get(one.claim.delivery_id)) for one in self.conclusions]
        self.rows.write(connection)
        return concluded

    def _link_first(self, rows: Mapping[str, Any]) -> set[str]:
        """Writes the crosswalk of what was applied; returns deliveries whose native record belongs to another."""
        links: list[Link] = []
        owners: dict[tuple[str, str], str] = {}
        for one in self.conclusions:
            row = rows.get(one.claim.delivery_id)
            if one.native_id is None or row is None or not is_current(one, row):
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
        lost = link(self.connection, links, at=self.now)
        return {owners[one.record_id, one.system] for one in lost}

    # --- one conclusion ---------------------------------------------------------------------------------------

    def _conclude(self, one: Conclusion, row: Any) -> Concluded:
        claim = one.claim
        op = self.operation_rows[claim.operation_id]
        state = OperationState(self.rows.operations.get(op.id, {}).get("state", op.state))
        if row is None or not is_current(one, row):
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
        if claim.delivery_id in self.collided:
            one = Conclusion(
                claim=claim,
                event=DeliveryEvent.GAVE_UP if row.state == "unknown" else refused_event(claim),
                code="collision",
                message=f"{claim.system} answered with {one.native_id}, which belongs to another record",
                refusal=Collision(f"{claim.system} says that this is its record {one.native_id}"),
            )
        after = delivery_after(DeliveryState(row.state), one.event)
        self._delivery(one, row, after)
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
                self.rows.freed.add((claim.record_id, claim.system))
        return Concluded(operation_id=op.id, state=state, counted=True)

    def _delivery(self, one: Conclusion, row: Any, after: DeliveryState) -> None:
        claim = one.claim
        ambiguous = one.event in (DeliveryEvent.AMBIGUOUS, DeliveryEvent.LEASE_EXPIRED)
        looking = row.state == DeliveryState.UNKNOWN.value and after is DeliveryState.UNKNOWN
        wake = (
            self.now + int(one.wait_s * MICROS)
            if after in (DeliveryState.READY, DeliveryState.UNKNOWN)
            else None
        )
        self.rows.deliveries.append(
            {
                "id": claim.delivery_id,
                "state": (DeliveryState.SKIPPED if one.withdraw else after).value,
                "maybe_sent": row.maybe_sent + (1 if ambiguous else 0),
                "wake_at": wake,
                "quarantine_until": row.lease_until + int(one.quarantine_s * MICROS)
                if ambiguous
                else row.quarantine_until,
                "probes": row.probes + 1 if looking else 0 if ambiguous else row.probes,
                "lease_expiries": expiries_after(one.event, row.lease_expiries),
                "source": one.source if after is DeliveryState.APPLIED else None,
                "code": one.code,
                "message": one.message,
                "updated_at": self.now,
            }
        )
        if row.state == DeliveryState.SENDING.value:
            self.rows.attempts.append(
                {
                    "delivery_id": claim.delivery_id,
                    "number": claim.attempt,
                    "ended_at": self.now,
                    "outcome": one.event.value,
                    "code": one.code,
                    "message": one.message,
                }
            )
        if not looking:
            self.rows.event(one, after)

    def _applied(self, one: Conclusion, row: Any, op: Any, state: OperationState) -> Concluded:
        claim = one.claim
        key = (claim.record_id, claim.system)
        self.rows.freed.add(key)
        self.rows.applied[key] = max(self.rows.applied.get(key, 0), claim.seq)
        if one.quiet and row.quarantine_until is not None and row.quarantine_until > self.now:
            self.rows.resting[key] = row.quarantine_until
        if claim.role == "mirror":
            self.rows.mirrored.add(op.id)
            self.rows.compare(claim, op)
            return Concluded(operation_id=op.id, state=state, counted=True)
        committed = operation_after(state, OperationEvent.APPLIED)
        owner = self.record_rows[claim.record_id]
        image = one.document if one.document is not None else claim.image
        self._number(claim, image, owner["legal_entity"])
        owner["version"] += 1
        owner["open_writes"] = max(0, owner["open_writes"] - 1)
        owner["image"] = journal.encode(image)
        owner["updated_at"] = self.now
        entity = BY_NAME[claim.entity]
        value = image.get(entity.match_key)
        owner["match_key"] = None if value is None else str(value)
        self.rows.records[claim.record_id] = owner
        natives = {
            system: held.native_id
            for (owner_id, system), held in self.native.items()
            if owner_id == claim.record_id
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
            image=journal.encode(image),
            answer=journal.encode(answer),
        )
        if op.mirror is None:
            self.rows.mirrored.add(op.id)
        else:
            self.rows.unblock.append(op.id)
        return Concluded(
            operation_id=op.id, state=committed, counted=True, answer=answer, version=owner["version"]
        )

    def _rejected(self, one: Conclusion, op: Any, state: OperationState, event: OperationEvent) -> Concluded:
        claim = one.claim
        key = (claim.record_id, claim.system)
        self.rows.freed.add(key)
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
        self.rows.skip.append(op.id)
        return Concluded(operation_id=op.id, state=after, counted=True, refusal=refusal)

    def _parked(self, one: Conclusion, op: Any, state: OperationState) -> Concluded:
        claim = one.claim
        if claim.role == "authority":
            after = operation_after(state, OperationEvent.GAVE_UP)
            self.rows.operation(op, state=after.value)
        else:
            after = operation_after(state, OperationEvent.MIRROR_PARKED)
            self.rows.operation(op, state=after.value)
            self.rows.freed.add((claim.record_id, claim.system))
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
