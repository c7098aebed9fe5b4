"""Claims: which deliveries may be sent now. A claim is on disk, with its attempt, before a byte leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import msgspec
from sqlalchemy import Connection, or_, select

from gateway.canonical import BY_NAME
from gateway.crosswalk.store import links_of
from gateway.database import Database, among
from gateway.database.rows import rows_by_id
from gateway.dispatch.change import post_image, whole_change
from gateway.dispatch.command import Document, Kind
from gateway.errors import GatewayError
from gateway.ledger import journal
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState, OperationState
from gateway.ledger.tables import attempt, delivery, lane, operation, record

#: Entities whose mirrors take only the newest state (master data).
LATEST = frozenset(name for name, entity in BY_NAME.items() if entity.lane_mode == "latest")

MICROS = 1_000_000


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery that this process may send, once, before ``lease_until``."""

    delivery_id: str
    attempt: int  #: the fencing token: an outcome of another number is only evidence
    maybe_sent: int  #: earlier attempts that may have reached the system
    operation_id: str
    record_id: str
    entity: str
    region: str
    legal_entity: str | None
    system: str
    role: str
    seq: int
    kind: Kind
    marker: str
    image: Document  #: the whole post-image
    change: Document
    native_id: str | None
    native_version: str | None
    lease_until: int
    #: the same moment on this process's monotonic clock: no byte leaves after it
    ends_at: float = inf
    storable: bool
    trace: dict[str, str]
    #: set when the change no longer fits what the record has become; nothing is sent
    refusal: GatewayError | None = None


class Claims:
    """The claim step over due lanes. ``lease_s`` gives each system's lease; ``open_to`` says which systems may be
    called at all now (no gate, no open breaker)."""

    def __init__(self, *, database: Database, lease_s: Mapping[str, float]) -> None:
        self._database = database
        self._lease_s = lease_s

    async def due(self, systems: Sequence[str], limit: int) -> list[Claim]:
        """Claims up to ``limit`` heads of lanes of these systems, billing documents and others alike, oldest first."""
        if not systems or limit < 1:
            return []
        return await self._database.transaction(lambda conn: self.step(conn, systems, limit))

    def step(self, connection: Connection, systems: Sequence[str], limit: int) -> list[Claim]:
        began = self._database.clock.monotonic()
        now = self._database.now(connection)
        due = connection.execute(
            select(lane.c.record_id, lane.c.system)
            .where(
                among(lane.c.system, list(systems)),
                lane.c.inflight.is_(None),
                lane.c.wake_at <= now,
                or_(lane.c.quiet_until.is_(None), lane.c.quiet_until <= now),
            )
            .order_by(lane.c.wake_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        if not due:
            return []
        keys = [(row.record_id, row.system) for row in due]
        open_ = journal.open_deliveries(connection, {record_id for record_id, _ in keys})
        heads: list[Any] = []
        overtaken: list[Any] = []
        nothing: list[journal.LaneKey] = []
        for key in keys:
            mine = open_.get(key, [])
            head = journal.head_of(mine, LATEST)
            if head is None or (head.wake_at or 0) > now:
                nothing.append(key)
                continue
            heads.append(head)
            overtaken.extend(
                one
                for one in mine
                if one.seq < head.seq
                and one.role == "mirror"
                and one.state in (DeliveryState.READY, DeliveryState.PARKED)
            )
        journal.wake_lanes(connection, nothing, latest=LATEST)
        supersede(connection, overtaken, at=now)
        return self.claim_rows(connection, heads, now=now, began=began)

    def claim_rows(
        self, connection: Connection, heads: Sequence[Any], *, now: int, began: float
    ) -> list[Claim]:
        """Moves these deliveries to *sending* and makes their claims. The caller holds their lanes. ``began`` is the
        monotonic clock at, or a little before, ``now``."""
        if not heads:
            return []
        operations = rows_by_id(connection, operation, {head.operation_id for head in heads})
        records = rows_by_id(connection, record, {head.record_id for head in heads})
        links = links_of(connection, records)
        claims: list[Claim] = []
        images: list[dict[str, Any]] = []
        for head in heads:
            op, owner = operations[head.operation_id], records[head.record_id]
            change = msgspec.json.decode(op.change)
            refusal: GatewayError | None = None
            image: Document = {}
            if op.image is not None:
                image = msgspec.json.decode(op.image)
            else:
                # A write that queued behind another is judged against what that one left.
                base = None if owner.image is None else msgspec.json.decode(owner.image)
                try:
                    image = post_image(BY_NAME[op.entity], op.kind, base, change)
                except GatewayError as refused:
                    refusal = refused
                else:
                    change = whole_change(op.kind, base, image, change)
                    images.append(
                        {"id": op.id, "image": journal.encode(image), "change": journal.encode(change)}
                    )
            link = links.get((head.record_id, head.system))
            claims.append(
                Claim(
                    delivery_id=head.id,
                    attempt=head.attempt + 1,
                    maybe_sent=head.maybe_sent,
                    operation_id=op.id,
                    record_id=head.record_id,
                    entity=head.entity,
                    region=head.region,
                    legal_entity=owner.legal_entity,
                    system=head.system,
                    role=head.role,
                    seq=head.seq,
                    kind=op.kind,
                    marker=op.marker,
                    image=image,
                    change=change,
                    native_id=None if link is None else link.native_id,
                    native_version=None if link is None else link.native_version,
                    lease_until=now + int(self._lease_s[head.system] * MICROS),
                    ends_at=began + self._lease_s[head.system],
                    storable=True,
                    trace=msgspec.json.decode(op.trace),
                    refusal=refusal,
                )
            )
        journal.update_rows(connection, operation, images, "id")
        start_attempts(connection, claims, now=now)
        return claims


def start_attempts(connection: Connection, claims: Sequence[Claim], *, now: int) -> None:
    journal.update_rows(
        connection,
        delivery,
        [
            {
                "id": claim.delivery_id,
                "state": DeliveryState.SENDING.value,
                "attempt": claim.attempt,
                "lease_until": claim.lease_until,
                "updated_at": now,
            }
            for claim in claims
        ],
        "id",
    )
    journal.update_rows(
        connection,
        lane,
        [
            {
                "record_id": claim.record_id,
                "system": claim.system,
                "inflight": claim.delivery_id,
                "wake_at": None,
            }
            for claim in claims
        ],
        "record_id",
        "system",
    )
    journal.insert_rows(
        connection, attempt, [journal.attempt_row(claim.delivery_id, claim.attempt, now) for claim in claims]
    )


def supersede(connection: Connection, rows: Sequence[Any], *, at: int) -> None:
    """Newest wins in a mirror's lane of master data: what it overtakes is marked in the same commit."""
    if not rows:
        return
    journal.update_rows(
        connection,
        delivery,
        [{"id": row.id, "state": DeliveryState.SUPERSEDED.value, "updated_at": at} for row in rows],
        "id",
    )
    journal.add_events(
        connection,
        [
            journal.event_row(
                at=at,
                operation_id=row.operation_id,
                record_id=row.record_id,
                name="superseded",
                delivery_id=row.id,
            )
            for row in rows
        ],
    )
    settle_mirrored(connection, {row.operation_id for row in rows}, at=at)


_OPEN = [state.value for state in DELIVERY_OPEN]
_MIRRORING = [OperationState.COMMITTED.value, OperationState.ATTENTION.value]
_OPEN_MIRRORS = select(delivery.c.operation_id).where(
    among(delivery.c.operation_id, "ids"), delivery.c.role == "mirror", among(delivery.c.state, "states")
)
_COMMITTED = select(operation.c.id, operation.c.record_id).where(
    among(operation.c.id, "ids"), among(operation.c.state, "states")
)


def settle_mirrored(connection: Connection, operation_ids: set[str], *, at: int) -> None:
    """Settles those of these committed operations whose mirrors have nothing more to do."""
    if not operation_ids:
        return
    open_ = connection.execute(_OPEN_MIRRORS, {"ids": list(operation_ids), "states": _OPEN})
    done = operation_ids - set(open_.scalars())
    if not done:
        return
    rows = connection.execute(_COMMITTED, {"ids": list(done), "states": _MIRRORING}).all()
    journal.update_rows(
        connection, operation, [{"id": row.id, "state": "settled", "updated_at": at} for row in rows], "id"
    )
    journal.add_events(
        connection,
        [
            journal.event_row(at=at, operation_id=row.id, record_id=row.record_id, name="settled")
            for row in rows
        ],
    )
