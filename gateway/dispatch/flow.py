"""What is on its way, system by system; the lanes that are held; and one write with all that was done for it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, case, func, select

from gateway.access import within
from gateway.cases.queries import of_operations
from gateway.database import Database, among, moment
from gateway.dispatch.claim import MICROS
from gateway.dispatch.dead_letters import Cause, Letter, Narrowed, causes, letters
from gateway.dispatch.operations import told_delivery, told_events
from gateway.errors import OperationNotFound
from gateway.ledger.gates import shut_for
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import attempt, delivery, event, late_outcome, operation

#: The rate is that of this long ago until now, read from no more than so many of the newest events.
RATE_S = 60
RATE_EVENTS = 30_000
MOST_HELD = 50

_OPEN = [state.value for state in DELIVERY_OPEN]
_APPLIED = ["authority_applied", "mirror_applied"]

Scope = frozenset[str] | None  #: what a caller may see; None: all


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What is on its way to one system."""

    system: str
    states: dict[str, int]  #: open deliveries by state
    oldest_age_s: float | None  #: of what is still under way, parked ones left out
    per_minute: int  #: applied in the last minute
    shut_s: float | None  #: it asked to be left alone for so long yet

    @property
    def moving(self) -> int:
        return sum(self.states.values()) - self.parked

    @property
    def parked(self) -> int:
        return self.states.get(DeliveryState.PARKED, 0)

    @property
    def unknown(self) -> int:
        return self.states.get(DeliveryState.UNKNOWN, 0)


class HeldLane(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose writes to a system wait until it is known what became of one."""

    system: str
    entity: str
    region: str
    record_id: str
    operation_id: str
    since: int | None  #: when the attempt began of which nobody knows
    next_look: int | None
    probes: int
    behind: int  #: writes that wait behind it


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The lanes that have been held for longest, and how many there are."""

    lanes: tuple[HeldLane, ...]
    count: int


class Flow:
    """``systems`` are those that are configured: each is told, whether or not anything is on its way there."""

    def __init__(self, *, database: Database, systems: Collection[str]) -> None:
        self._database = database
        self._systems = tuple(sorted(systems, key=lambda name: (name != "legacy", name)))

    async def targets(self, *, regions: Scope = None, entities: Scope = None) -> tuple[Target, ...]:
        return await self._database.read(lambda conn: self._targets(conn, regions, entities))

    async def held(self, *, regions: Scope = None, entities: Scope = None) -> Held:
        return await self._database.read(lambda conn: _held(conn, regions, entities))

    async def causes(
        self, narrowed: Narrowed, *, regions: Scope = None, entities: Scope = None
    ) -> tuple[Cause, ...]:
        """Dead letters of either role by cause, the most frequent first."""
        return await self._database.read(
            lambda conn: causes(conn, narrowed, regions=regions, entities=entities)
        )

    async def letters(
        self,
        narrowed: Narrowed,
        *,
        after: str,
        limit: int,
        regions: Scope = None,
        entities: Scope = None,
    ) -> tuple[Letter, ...]:
        """Single dead letters in the order of their ids, behind the id ``after``."""
        return await self._database.read(
            lambda conn: letters(conn, narrowed, regions=regions, entities=entities, after=after, limit=limit)
        )

    async def operation(
        self, operation_id: str, *, regions: Scope = None, entities: Scope = None
    ) -> dict[str, Any]:
        """One write: what was asked, what was made of it, each delivery with each attempt, and every event. Raises
        OperationNotFound, also outside the caller's reach."""
        return await self._database.read(lambda conn: _operation(conn, operation_id, regions, entities))

    def _targets(self, connection: Connection, regions: Scope, entities: Scope) -> tuple[Target, ...]:
        now = self._database.now(connection)
        scope = _scope(regions, entities)
        states: dict[str, dict[str, int]] = {}
        oldest: dict[str, int] = {}
        for row in connection.execute(
            select(
                delivery.c.system,
                delivery.c.state,
                func.count().label("many"),
                func.min(delivery.c.created_at).label("oldest"),
            )
            .where(among(delivery.c.state, _OPEN), *scope)
            .group_by(delivery.c.system, delivery.c.state)
        ):
            states.setdefault(row.system, {})[row.state] = row.many
            if row.state != DeliveryState.PARKED:
                oldest[row.system] = min(row.oldest, oldest.get(row.system, row.oldest))
        newest = connection.execute(select(func.max(event.c.position))).scalar() or 0
        applied = {
            row.system: row.many
            for row in connection.execute(
                select(delivery.c.system, func.count().label("many"))
                .select_from(event.join(delivery, delivery.c.id == event.c.delivery_id))
                .where(
                    event.c.position > newest - RATE_EVENTS,
                    event.c.at > now - RATE_S * MICROS,
                    among(event.c.event, _APPLIED),
                    *scope,
                )
                .group_by(delivery.c.system)
            )
        }
        shut = shut_for(connection, now=now)
        return tuple(
            Target(
                system=system,
                states=states.get(system, {}),
                oldest_age_s=None if system not in oldest else (now - oldest[system]) / MICROS,
                per_minute=applied.get(system, 0),
                shut_s=shut.get(system),
            )
            for system in self._systems
        )


def _held(connection: Connection, regions: Scope, entities: Scope) -> Held:
    unknown = [delivery.c.state == DeliveryState.UNKNOWN.value, *_scope(regions, entities)]
    behind = delivery.alias("behind")
    waiting = (
        select(func.count())
        .where(
            behind.c.record_id == delivery.c.record_id,
            behind.c.system == delivery.c.system,
            behind.c.seq > delivery.c.seq,
            among(behind.c.state, _OPEN),
        )
        .scalar_subquery()
    )
    rows = connection.execute(
        select(delivery, attempt.c.started_at, waiting.label("behind"))
        .select_from(
            delivery.outerjoin(
                attempt,
                and_(attempt.c.delivery_id == delivery.c.id, attempt.c.number == delivery.c.attempt),
            )
        )
        .where(*unknown)
        .order_by(delivery.c.id)
        .limit(MOST_HELD)
    ).all()
    count = len(rows)
    if count == MOST_HELD:
        count = connection.execute(select(func.count()).select_from(delivery).where(*unknown)).scalar_one()
    return Held(
        lanes=tuple(
            HeldLane(
                system=row.system,
                entity=row.entity,
                region=row.region,
                record_id=row.record_id,
                operation_id=row.operation_id,
                since=row.started_at,
                next_look=row.wake_at,
                probes=row.probes,
                behind=row.behind,
            )
            for row in rows
        ),
        count=count,
    )


def _operation(connection: Connection, operation_id: str, regions: Scope, entities: Scope) -> dict[str, Any]:
    row = connection.execute(select(operation).where(operation.c.id == operation_id)).one_or_none()
    if row is None or not within(row.entity, row.region, entities, regions):
        raise OperationNotFound(f"no operation {operation_id[:60]!r}")
    lines = connection.execute(
        select(delivery)
        .where(delivery.c.operation_id == row.id)
        .order_by(case((delivery.c.role == "authority", 0), else_=1), delivery.c.id)
    ).all()
    ids = [line.id for line in lines]
    attempts = connection.execute(
        select(attempt)
        .where(among(attempt.c.delivery_id, ids))
        .order_by(attempt.c.delivery_id, attempt.c.number)
    ).all()
    late = connection.execute(
        select(late_outcome).where(among(late_outcome.c.delivery_id, ids)).order_by(late_outcome.c.position)
    ).all()
    events = connection.execute(
        select(event).where(event.c.operation_id == row.id).order_by(event.c.position)
    ).all()
    waiting = of_operations(connection, [row.id]).get(row.id)
    return {
        "id": row.id,
        "record": row.record_id,
        "entity": row.entity,
        "region": row.region,
        "kind": row.kind,
        "state": row.state,
        "confirming": row.confirming,
        "stage": row.stage,
        "epoch": row.epoch,
        "authority": row.authority,
        "mirror": row.mirror,
        "seq": row.seq,
        "version": row.version,
        "marker": row.marker,
        "client": row.client,
        "trace": _json(row.trace),
        "created_at": moment(row.created_at),
        "updated_at": moment(row.updated_at),
        "change": _json(row.change),
        "image": _json(row.image),
        "answer": _json(row.answer),
        "problem": _json(row.problem),
        "case": None if waiting is None else {"id": waiting.id, "kind": waiting.kind, "owner": waiting.owner},
        "events": told_events(events),
        "deliveries": [
            {
                **told_delivery(line),
                "quarantine_until": moment(line.quarantine_until),
                "attempts": [_attempt(one) for one in attempts if one.delivery_id == line.id],
                "late": [_late(one) for one in late if one.delivery_id == line.id],
            }
            for line in lines
        ],
    }


def _attempt(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at),
        "took_s": None if row.ended_at is None else (row.ended_at - row.started_at) / MICROS,
        "outcome": row.outcome,
        "code": row.code,
        "message": row.message,
    }


def _late(row: Any) -> dict[str, Any]:
    return {
        "number": row.number,
        "at": moment(row.at),
        "outcome": row.outcome,
        "native_id": row.native_id,
        "message": row.message,
    }


def _json(text: str | None) -> Any:
    return None if text is None else msgspec.json.decode(text)


def _scope(regions: Scope, entities: Scope) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if regions is not None:
        found.append(among(delivery.c.region, regions))
    if entities is not None:
        found.append(among(delivery.c.entity, entities))
    return found
