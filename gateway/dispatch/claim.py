"""Claims: which deliveries may be sent now. A claim is on disk, with its attempt, before a byte leaves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

import msgspec
from sqlalchemy import Connection, Integer, String, bindparam, or_, select

from gateway.canonical import BY_NAME
from gateway.cases import close_for
from gateway.crosswalk.store import Link, links_of
from gateway.database import Database, Instant
from gateway.database.rows import rows_by_id
from gateway.dispatch.change import post_image, whole_change
from gateway.dispatch.command import Document, Kind
from gateway.errors import GatewayError
from gateway.ledger import decisions, floors, gates, journal
from gateway.ledger.journal import Delivery
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import REPAIR, attempt, delivery, lane, operation, record
from gateway.ledger.target import NOT_REACHED

#: Entities whose mirrors take only the newest state (master data).
LATEST = frozenset(name for name, entity in BY_NAME.items() if entity.lane_mode == "latest")

MICROS = 1_000_000

#: A repeat for which there is no token is looked at again after a second, the tenth one a second later, and so on.
PUT_OFF_S = 1.0
PUT_OFF_APART_S = 0.1
PUT_OFF_CAP_S = 10.0


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
    accepted_at: int  #: microseconds UTC
    image: Document  #: the whole post-image
    change: Document
    native_id: str | None
    native_version: str | None
    lease_until: int
    #: the same moment on this process's monotonic clock: no byte leaves after it
    ends_at: float = inf
    storable: bool
    trace: dict[str, str]
    #: of a record that the system holds it gets what the write names, and nothing else
    named_only: bool = False
    #: set when the change no longer fits what the record has become; nothing is sent
    refusal: GatewayError | None = None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What one look has claimed, and how many of it were repeats, by system."""

    claims: list[Claim]
    repeats: dict[str, int]


class Claims:
    """The claim step over due lanes. ``lease_s`` gives each system's lease."""

    def __init__(self, *, database: Database, lease_s: Mapping[str, float]) -> None:
        self._database = database
        self._lease_s = lease_s

    async def due(self, rooms: Mapping[str, int], repeats: Mapping[str, int]) -> Taken:
        """Claims heads of lanes: of each system as many as it has room for, and no more ``repeats`` among them than it
        has tokens for. Billing documents first, and among equals the one that has been due for longest."""
        rooms = {system: room for system, room in rooms.items() if room > 0}
        if not rooms:
            return Taken(claims=[], repeats={})
        return await self._database.transaction(lambda conn: self.step(conn, rooms, repeats))

    def step(self, connection: Connection, rooms: Mapping[str, int], repeats: Mapping[str, int]) -> Taken:
        began = self._database.clock.monotonic()
        now = self._database.now(connection)
        keys = [
            (row.record_id, system)
            for system, room in rooms.items()
            for row in connection.execute(DUE, {"system": system, "room": room, "now": now})
        ]
        if not keys:
            return Taken(claims=[], repeats={})
        open_ = journal.open_deliveries(connection, {record_id for record_id, _ in keys})
        # After the lanes are locked: an authority that was left while we waited for them is seen as left.
        left = floors.read(connection)
        heads: list[Any] = []
        overtaken: list[Any] = []
        nothing: list[journal.LaneKey] = []
        without: list[Any] = []
        spent: Counter[str] = Counter()
        for key in keys:
            mine = open_.get(key, [])
            head = journal.head_of(mine, LATEST)
            if head is None or (head.wake_at or 0) > now:
                nothing.append(key)
                continue
            if floors.is_dead(left, head):
                # An emergency is about to take it back, or has died before it could; it holds up nobody meanwhile.
                without.append(head)
                continue
            if is_repeat(head):
                if spent[head.system] >= repeats.get(head.system, 0):
                    without.append(head)
                    continue
                spent[head.system] += 1
            heads.append(head)
            overtaken.extend(
                one
                for one in mine
                if one.seq < head.seq
                and one.role == "mirror"
                and one.state in (DeliveryState.READY, DeliveryState.PARKED)
            )
        journal.wake_lanes(connection, nothing, latest=LATEST)
        put_off(connection, without, now=now)
        supersede(connection, overtaken, at=now)
        claims = self.claim_rows(connection, heads, now=now, began=began)
        return Taken(claims=claims, repeats=dict(spent))

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
                    accepted_at=op.created_at,
                    image=image,
                    change=change,
                    native_id=None if link is None else link.native_id,
                    native_version=None if link is None else link.native_version,
                    lease_until=now + int(self._lease_s[head.system] * MICROS),
                    ends_at=began + self._lease_s[head.system],
                    storable=True,
                    trace=msgspec.json.decode(op.trace),
                    named_only=op.origin == REPAIR,
                    refusal=refusal,
                )
            )
        journal.update_rows(connection, operation, images, "id")
        start_attempts(connection, claims, now=now)
        return claims

    def following(
        self, applied: Claim, head: Delivery, *, link: Link | None, now: int, began: float
    ) -> Claim:
        """The claim of a mirror's delivery, made from the authority's that was just applied. Nothing is written."""
        lease_s = self._lease_s[head.system]
        return msgspec.structs.replace(
            applied,
            delivery_id=head.id,
            attempt=head.attempt + 1,
            maybe_sent=head.maybe_sent,
            system=head.system,
            role=head.role,
            native_id=None if link is None else link.native_id,
            native_version=None if link is None else link.native_version,
            lease_until=now + int(lease_s * MICROS),
            ends_at=began + lease_s,
            storable=True,
        )


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


#: What one system has to do now, unless it asked to be left alone.
DUE = (
    select(lane.c.record_id)
    .where(
        lane.c.system == bindparam("system"),
        lane.c.inflight.is_(None),
        lane.c.wake_at <= bindparam("now"),
        or_(lane.c.quiet_until.is_(None), lane.c.quiet_until <= bindparam("now")),
        gates.is_open(bindparam("system", type_=String), bindparam("now", type_=Instant)),
    )
    .order_by(lane.c.rank, lane.c.wake_at)
    .limit(bindparam("room", type_=Integer))
    .with_for_update(skip_locked=True, of=lane)
)


def is_repeat(head: Any) -> bool:
    """Whether a call for this delivery has reached its system before, so that one more needs a token."""
    return head.attempt > 0 and head.code not in NOT_REACHED


def put_off(connection: Connection, heads: Sequence[Any], *, now: int) -> None:
    """These lack a token. They are looked at again in a while, some later than others, and hold up nobody behind."""
    waits = [
        {
            "id": head.id,
            "wake_at": now + int(min(PUT_OFF_CAP_S, PUT_OFF_S + PUT_OFF_APART_S * place) * MICROS),
        }
        for place, head in enumerate(heads)
    ]
    journal.update_rows(connection, delivery, waits, "id")
    journal.update_rows(
        connection,
        lane,
        [
            {"record_id": head.record_id, "system": head.system, "wake_at": wait["wake_at"]}
            for head, wait in zip(heads, waits, strict=True)
        ],
        "record_id",
        "system",
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
    decisions.settle(connection, {row.operation_id for row in rows}, at=at)
    parked = [row.id for row in rows if row.state == DeliveryState.PARKED]
    if parked:
        close_for(connection, delivery_ids=parked, at=at, how="overtaken")
