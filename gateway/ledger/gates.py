"""Gates: a system that asks to be left alone is left alone by all processes, on the database's one clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, exists, select

from gateway.database.rows import insert_missing
from gateway.ledger.pressure_tables import target_gate
from gateway.ledger.tables import delivery, lane

#: The longest pause that a system is believed, in seconds.
PAUSE_CAP_S = 3600.0

MICROS = 1_000_000


def shut(connection: Connection, system: str, *, seconds: float, reason: str, now: int) -> None:
    """Shuts the gate for ``seconds`` from now, or leaves it shut where it is for longer already."""
    until = now + int(min(PAUSE_CAP_S, seconds) * MICROS)
    insert_missing(
        connection, target_gate, [{"system": system, "until": 0, "since": now, "reason": reason[:500]}]
    )
    connection.execute(
        target_gate.update()
        .where(target_gate.c.system == system, target_gate.c.until < until)
        .values(until=until, since=now, reason=reason[:500])
    )


_SHUT = select(target_gate.c.system, target_gate.c.until).where(target_gate.c.until > bindparam("now"))


def shut_for(connection: Connection, *, now: int) -> dict[str, float]:
    """Seconds that each gate stays shut, for those that are."""
    rows = connection.execute(_SHUT, {"now": now})
    return {row.system: (row.until - now) / MICROS for row in rows}


def is_open(system: ColumnElement[str], now: ColumnElement[Any]) -> ColumnElement[bool]:
    """A condition for a claim: it sees the gate as it is at that very moment."""
    return ~exists().where(target_gate.c.system == system, target_gate.c.until > now)


def wake(connection: Connection, system: str, *, now: int) -> None:
    """The system is there again: what sits out a wait for its sake is due now. Two statements, however many. What
    somebody is working on is passed over: to wait for its lock could be to wait for each other."""
    rows = (
        select(delivery.c.id)
        .where(
            delivery.c.system == system, delivery.c.state.in_(("ready", "unknown")), delivery.c.wake_at > now
        )
        .with_for_update(skip_locked=True)
    )
    connection.execute(delivery.update().where(delivery.c.id.in_(rows)).values(wake_at=now))
    lanes = (
        select(lane.c.record_id)
        .where(lane.c.system == system, lane.c.inflight.is_(None), lane.c.wake_at > now)
        .with_for_update(skip_locked=True)
    )
    connection.execute(
        lane.update().where(lane.c.system == system, lane.c.record_id.in_(lanes)).values(wake_at=now)
    )
