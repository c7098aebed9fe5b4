"""T3: what came of a send, in one commit: the delivery, its lane, the crosswalk, the record's image, the mirror's
turn. It counts only for the attempt that it belongs to; anything later is kept as evidence and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
from sqlalchemy import Connection, bindparam, or_, select

from gateway.canonical import BY_NAME
from gateway.compare.store import CompareJob
from gateway.compare.store import schedule as schedule_compare
from gateway.crosswalk.store import Link, link, links_of
from gateway.database import Database, among
from gateway.database.rows import rows_by_id
from gateway.dispatch import natural_keys
from gateway.dispatch.claim import LATEST, MICROS, Claim, Claims, settle_mirrored
from gateway.dispatch.command import Document
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
from gateway.ledger.tables import attempt, delivery, idem, lane, late_outcome, operation, record
from gateway.routing.stage import System


class Conclusion(msgspec.Struct, frozen=True, kw_only=True):
    """What one attempt, or one look for it, has shown."""

    claim: Claim
    event: DeliveryEvent
    native_id: str | None = None
    native_version: str | None = None
    document: Document | None = None  #: applied by the authority: the record as it now is
    source: Literal["answer", "probe", "late"] = "answer"
    code: str | None = None
    message: str | None = None
    refusal: GatewayError | None = None  #: what the caller is told of a refused write
    wait_s: float = 0.0  #: ready or unknown: how long until the next try or look
    quarantine_s: float = 0.0  #: unknown: no resend before this, counted from the end of the lease
    quiet: bool = (
        False  #: applied, and an earlier attempt may still land: the lane rests until it cannot any more
    )
    withdraw: bool = False  #: nothing was taken, and the slice does not store: the write is given back


class Concluded(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal made of it."""

    operation_id: str
    state: OperationState
    counted: bool  #: False: the attempt was not the current one any more
    answer: Document | None = None
    version: int | None = None
    refusal: GatewayError | None = None
    next_claim: Claim | None = None  #: the mirror's delivery, claimed for this process in the same commit
    work_left: bool = False  #: the commit left lanes behind that are due and that nobody has taken yet


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
        left = bool(batch.due - {(claim.record_id, claim.system) for claim in taken.values()})
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
        for delivery_id, system in batch.unblocked:
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
        self.unblocked: list[tuple[str, str]] = []  # delivery, system
        self.deliveries: list[dict[str, Any]] = []
        self.operations: dict[str, dict[str, Any]] = {}
        self.records: dict[str, dict[str, Any]] = {}
        self.attempts: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.links: list[Link] = []
        self.applied: dict[journal.LaneKey, int] = {}
        self.resting: dict[journal.LaneKey, int] = {}
        self.freed: set[journal.LaneKey] = set()
        self.woken: set[journal.LaneKey] = set()
        self.due: set[journal.LaneKey] = set()
        self.mirrored: set[str] = set()
        self.compares: list[CompareJob] = []
        self.renumbered: set[str] = set()
        self.numbers: dict[natural_keys.Key, str] = {}
        self.given_back: list[str] = []
        self.unblock: list[str] = []
        self.skip: list[str] = []
        self.late: list[dict[str, Any]] = []

    def run(self) -> list[Concluded]:
        connection = self.connection
        claims = [one.claim for one in self.conclusions]
        records = journal.records_for_update(connection, [claim.record_id for claim in claims])
        self.record_rows = {record_id: dict(row._mapping) for record_id, row in records.items()}  # pyright: ignore[reportPrivateUsage]
        rows = rows_by_id(connection, delivery, {claim.delivery_id for claim in claims}, lock=True)
        self.operation_rows = rows_by_id(connection, operation, {claim.operation_id for claim in claims})
        self.began = self.database.clock.monotonic()
        self.now = self.database.now(connection)
        self.collided = self._link_first(rows)
        self.native = links_of(connection, records)
        concluded = [self._conclude(one, rows.get(one.claim.delivery_id)) for one in self.conclusions]
        self._write()
        return concluded

    def _link_first(self, rows: Mapping[str, Any]) -> set[str]:
        """Writes the crosswalk of what was applied; returns deliveries whose native record belongs to another."""
        links: list[Link] = []
        owners: dict[tuple[str, str], str] = {}
        for one in self.conclusions:
            row = rows.get(one.claim.delivery_id)
            if one.native_id is None or row is None or not _current(one, row):
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
        state = OperationState(self.operations.get(op.id, {}).get("state", op.state))
        if row is None or not _current(one, row):
            self.late.append(
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
                event=DeliveryEvent.GAVE_UP if row.state == "unknown" else _refused(claim),
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
                    self._operation(op, confirming=True)
            case DeliveryState.READY if one.withdraw:
                return self._rejected(one, op, state, OperationEvent.CANCELLED)
            case _:
                self.freed.add((claim.record_id, claim.system))
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
        self.deliveries.append(
            {
                "id": claim.delivery_id,
                "state": (DeliveryState.SKIPPED if one.withdraw else after).value,
                "maybe_sent": row.maybe_sent + (1 if ambiguous else 0),
                "wake_at": wake,
                "quarantine_until": row.lease_until + int(one.quarantine_s * MICROS)
                if ambiguous
                else row.quarantine_until,
                "probes": row.probes + 1 if looking else 0 if ambiguous else row.probes,
                "lease_expiries": _expiries(one.event, row.lease_expiries),
                "source": one.source if after is DeliveryState.APPLIED else None,
                "code": one.code,
                "message": one.message,
                "updated_at": self.now,
            }
        )
        if row.state == DeliveryState.SENDING.value:
            self.attempts.append(
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
            self._event(one, after)

    def _applied(self, one: Conclusion, row: Any, op: Any, state: OperationState) -> Concluded:
        claim = one.claim
        key = (claim.record_id, claim.system)
        self.freed.add(key)
        self.applied[key] = max(self.applied.get(key, 0), claim.seq)
        if one.quiet and row.quarantine_until is not None and row.quarantine_until > self.now:
            self.resting[key] = row.quarantine_until
        if claim.role == "mirror":
            self.mirrored.add(op.id)
            self._compare(claim, op)
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
        self.records[claim.record_id] = owner
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
        self._operation(
            op,
            state=committed.value,
            confirming=False,
            version=owner["version"],
            image=journal.encode(image),
            answer=journal.encode(answer),
        )
        if op.mirror is None:
            self.mirrored.add(op.id)
        else:
            self.unblock.append(op.id)
        return Concluded(
            operation_id=op.id, state=committed, counted=True, answer=answer, version=owner["version"]
        )

    def _rejected(self, one: Conclusion, op: Any, state: OperationState, event: OperationEvent) -> Concluded:
        claim = one.claim
        key = (claim.record_id, claim.system)
        self.freed.add(key)
        after = operation_after(state, event)
        owner = self.record_rows[claim.record_id]
        owner["open_writes"] = max(0, owner["open_writes"] - 1)
        self.records[claim.record_id] = owner
        refusal = one.refusal or GatewayError(one.message or "")
        self._operation(op, state=after.value, confirming=False, problem=journal.encode(told(refusal)))
        if claim.change.get(BY_NAME[claim.entity].natural_key or "") is not None:
            self.renumbered.add(claim.record_id)
        if one.withdraw:
            self.given_back.append(op.id)
        self.skip.append(op.id)
        return Concluded(operation_id=op.id, state=after, counted=True, refusal=refusal)

    def _parked(self, one: Conclusion, op: Any, state: OperationState) -> Concluded:
        claim = one.claim
        if claim.role == "authority":
            after = operation_after(state, OperationEvent.GAVE_UP)
            self._operation(op, state=after.value)
        else:
            after = operation_after(state, OperationEvent.MIRROR_PARKED)
            self._operation(op, state=after.value)
            self.freed.add((claim.record_id, claim.system))
        return Concluded(operation_id=op.id, state=after, counted=True)

    def _number(self, claim: Claim, image: Document, legal_entity: str | None) -> None:
        """An old number is free for others as soon as the record has a new one, and one that the authority itself
        has given is taken."""
        name = BY_NAME[claim.entity].natural_key
        if name is None or claim.kind == "transition":
            return
        if claim.kind == "update" and name in claim.change:
            self.renumbered.add(claim.record_id)
        given = image.get(name)
        if claim.kind == "create" and given is not None and given != claim.change.get(name):
            self.renumbered.add(claim.record_id)
            self.numbers[claim.entity, legal_entity or "", str(given)] = claim.record_id

    # --- collected --------------------------------------------------------------------------------------------

    def _operation(self, op: Any, **values: Any) -> None:
        self.operations.setdefault(op.id, {"id": op.id, "updated_at": self.now}).update(values)

    def _event(self, one: Conclusion, after: DeliveryState) -> None:
        claim = one.claim
        detail = claim.system
        if one.native_id is not None:
            detail += f" {one.native_id}"
        if one.message:
            detail += f": {one.message}"
        name = f"{claim.role}_{after.value}" if not one.withdraw else "withdrawn"
        self.events.append(
            journal.event_row(
                at=self.now,
                operation_id=claim.operation_id,
                record_id=claim.record_id,
                name=name,
                delivery_id=claim.delivery_id,
                detail=detail[:1000],
            )
        )

    def _compare(self, claim: Claim, op: Any) -> None:
        self.compares.append(
            CompareJob(
                record_id=claim.record_id,
                entity=claim.entity,
                region=claim.region,
                authority=System(op.authority),
                other=System(claim.system),
                stage=op.stage,
                operation_id=op.id,
                seq=claim.seq,
                due_at=self.now + int(self.settle_s * MICROS),
                reason="write",
            )
        )

    # --- to disk ----------------------------------------------------------------------------------------------

    def _write(self) -> None:
        connection = self.connection
        if self.given_back:
            # Nothing of it is kept: the same key may be used for the same request again.
            connection.execute(idem.delete().where(among(idem.c.operation_id, self.given_back)))
        journal.update_rows(connection, delivery, self.deliveries, "id")
        journal.update_rows(connection, attempt, self.attempts, "delivery_id", "number")
        if self.skip:
            connection.execute(
                delivery.update()
                .where(
                    among(delivery.c.operation_id, self.skip),
                    delivery.c.role == "mirror",
                    among(delivery.c.state, _SKIPPABLE),
                )
                .values(
                    state=delivery_after(DeliveryState.BLOCKED, DeliveryEvent.OPERATION_ENDED).value,
                    updated_at=self.now,
                )
            )
        if self.unblock:
            ready = connection.execute(
                delivery.update()
                .where(
                    among(delivery.c.operation_id, self.unblock),
                    delivery.c.role == "mirror",
                    delivery.c.state == DeliveryState.BLOCKED.value,
                )
                .values(
                    state=delivery_after(DeliveryState.BLOCKED, DeliveryEvent.UNBLOCKED).value,
                    wake_at=self.now,
                    updated_at=self.now,
                )
                .returning(delivery.c.id, delivery.c.record_id, delivery.c.system)
            ).all()
            self.unblocked = [(row.id, row.system) for row in ready]
            self.woken = {(row.record_id, row.system) for row in ready}
        journal.update_rows(connection, operation, list(self.operations.values()), "id")
        journal.update_rows(
            connection,
            record,
            [
                {
                    name: row[name]
                    for name in ("id", "version", "open_writes", "image", "match_key", "updated_at")
                }
                for row in self.records.values()
            ],
            "id",
        )
        journal.update_rows(
            connection,
            lane,
            [
                {"record_id": record_id, "system": system, "applied_seq": seq}
                for (record_id, system), seq in sorted(self.applied.items())
            ],
            "record_id",
            "system",
        )
        journal.update_rows(
            connection,
            lane,
            [
                {"record_id": record_id, "system": system, "quiet_until": until}
                for (record_id, system), until in sorted(self.resting.items())
            ],
            "record_id",
            "system",
        )
        natural_keys.release(connection, self.renumbered)
        natural_keys.reserve(connection, self.numbers)
        woken = journal.wake_lanes(connection, self.woken, freed=self.freed, latest=LATEST)
        self.due = {key for key, wake_at in woken.items() if wake_at <= self.now}
        journal.add_events(connection, self.events)
        settle_mirrored(connection, self.mirrored, at=self.now)
        schedule_compare(connection, self.compares)
        journal.insert_rows(connection, late_outcome, self.late)


#: What only somebody who looked can say.
_LOOKS = frozenset(
    {DeliveryEvent.FOUND, DeliveryEvent.PROVEN_ABSENT, DeliveryEvent.GAVE_UP, DeliveryEvent.LOOKED}
)
#: What an operation that ends without effect takes along with it.
_SKIPPABLE = [state.value for state in (DeliveryState.BLOCKED, DeliveryState.READY, DeliveryState.PARKED)]


def _expiries(event: DeliveryEvent, before: int) -> int:
    """Lease expiries in a row: an attempt that ended in any other way begins the count anew."""
    if event is DeliveryEvent.LEASE_EXPIRED:
        return before + 1
    return before if event in _LOOKS else 0


def _current(one: Conclusion, row: Any) -> bool:
    """Whether the journal still waits for this very attempt: a sender's word while it is *sending*, a resolver's
    while it is *unknown*."""
    waits_for = DeliveryState.UNKNOWN if one.event in _LOOKS else DeliveryState.SENDING
    return row.attempt == one.claim.attempt and row.state == waits_for.value


def _refused(claim: Claim) -> DeliveryEvent:
    return DeliveryEvent.REFUSED_AUTHORITY if claim.role == "authority" else DeliveryEvent.REFUSED_MIRROR
