"""Reads and writes changes of rules that are asked for at a time. Struct in, Struct out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from gateway.audit import record as audited
from gateway.cases.tables import case_
from gateway.database import among
from gateway.routing.stage import Stage
from gateway.switchover.states import ScheduleEvent, ScheduleState, schedule_after
from gateway.switchover.store import Problem, as_row, from_row, newest
from gateway.switchover.tables import scheduled_change as table


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """One change of one slice at a time. Moments are microseconds UTC on the database's clock."""

    id: str
    entity: str
    region: str
    from_stage: Stage
    to_stage: Stage
    state: ScheduleState
    effective_at: int
    rule: dict[str, Any]
    reason: str
    overridden: tuple[str, ...]
    plan_hash: str
    two_person: bool
    requested_by: str
    requested_at: int
    approved_by: str | None = None
    approved_at: int | None = None
    lease_until: int | None = None
    switch_id: str | None = None
    ended_at: int | None = None
    ended_by: str | None = None
    problem: Problem | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.entity, self.region


_JSON = ("rule", "overridden", "problem")


def add(connection: Connection, one: Scheduled) -> None:
    """Writes a new one. The slice's lock is held."""
    connection.execute(insert(table), [_row(one)])


def change(
    connection: Connection, one: Scheduled, event: ScheduleEvent | None, values: Mapping[str, Any]
) -> Scheduled:
    """``one`` after ``event`` and with these values, written. The caller holds its row."""
    state = one.state if event is None else schedule_after(one.state, event)
    after = msgspec.structs.replace(one, state=state, **values)
    row = _row(after)
    del row["id"]
    connection.execute(update(table).where(table.c.id == one.id).values(**row))
    return after


def one(connection: Connection, id_: str, *, lock: bool = False) -> Scheduled | None:
    """The change; ``lock``: nobody else changes it until the transaction ends."""
    wanted = select(table).where(table.c.id == id_)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    return None if row is None else _scheduled(row)


def last_before(connection: Connection, key: tuple[str, str], at: int) -> Scheduled | None:
    """The open change of the slice whose time comes last before ``at``."""
    row = connection.execute(
        select(table)
        .where(
            table.c.entity == key[0],
            table.c.region == key[1],
            table.c.ended_at.is_(None),
            table.c.effective_at < at,
        )
        .order_by(table.c.effective_at.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _scheduled(row)


def open_at(connection: Connection, key: tuple[str, str], at: int) -> Scheduled | None:
    """The open change of the slice at this very moment."""
    row = connection.execute(
        select(table).where(
            table.c.entity == key[0],
            table.c.region == key[1],
            table.c.ended_at.is_(None),
            table.c.effective_at == at,
        )
    ).one_or_none()
    return None if row is None else _scheduled(row)


def is_any_due(connection: Connection, *, now: int) -> bool:
    """Whether there is something to take; a look that writes nothing."""
    return connection.execute(select(table.c.id).where(*_due(now)).limit(1)).first() is not None


def take(connection: Connection, *, now: int, lease_until: int, most: int) -> Sequence[Scheduled]:
    """Takes those whose time has come and that nobody is at, the earliest first, until ``lease_until``."""
    rows = connection.execute(
        select(table)
        .where(*_due(now))
        .order_by(table.c.effective_at, table.c.id)
        .limit(most)
        .with_for_update(skip_locked=True)
    ).all()
    return [change(connection, _scheduled(row), None, {"lease_until": lease_until}) for row in rows]


def _due(now: int) -> tuple[ColumnElement[bool], ...]:
    return (
        table.c.ended_at.is_(None),
        table.c.effective_at <= now,
        among(table.c.state, [ScheduleState.REQUESTED.value, ScheduleState.SCHEDULED.value]),
        or_(table.c.lease_until.is_(None), table.c.lease_until <= now),
    )


def begun(connection: Connection) -> Sequence[Scheduled]:
    """Those that a switch carries."""
    rows = connection.execute(
        select(table).where(table.c.ended_at.is_(None), table.c.state == ScheduleState.BEGUN.value)
    )
    return [_scheduled(row) for row in rows]


def with_case(connection: Connection, key: tuple[str, str]) -> Sequence[Scheduled]:
    """Those of the slice that were refused, and about which a case is open."""
    rows = connection.execute(
        select(table)
        .join(case_, case_.c.subject == table.c.id)
        .where(case_.c.state == "open", table.c.entity == key[0], table.c.region == key[1])
        .order_by(table.c.id)
    )
    return [_scheduled(row) for row in rows]


def page(
    connection: Connection,
    *,
    entity: str | None = None,
    region: str | None = None,
    state: str | None = None,
    regions: frozenset[str] | None = None,
    entities: frozenset[str] | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Sequence[Scheduled]:
    """The newest request first; ``after`` is the id that the last page ended with."""
    wanted = newest(
        table, entity=entity, region=region, state=state, regions=regions, entities=entities, after=after, limit=limit
    )
    return [_scheduled(row) for row in connection.execute(wanted)]


def audit(connection: Connection, one: Scheduled, *, at: int, actor: str, action: str, **more: Any) -> None:
    """The line of the audit about an act upon this change."""
    audited(
        connection,
        at=at,
        actor=actor,
        action=action,
        subject=one.id,
        detail={
            "slice": f"{one.entity}/{one.region}",
            "from": one.from_stage.value,
            "to": one.to_stage.value,
            "effective_at": one.effective_at,
            "reason": one.reason,
            "overridden": list(one.overridden),
            "requested_by": one.requested_by,
            "approved_by": one.approved_by,
            "plan": one.plan_hash,
            **more,
        },
    )


def _row(one: Scheduled) -> dict[str, Any]:
    return as_row(one, *_JSON)


def _scheduled(row: Any) -> Scheduled:
    return from_row(row, Scheduled, *_JSON)
