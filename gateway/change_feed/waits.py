"""Records of a feed that are to be looked at again, since nothing can be said of them yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, exists, func, select

from gateway.change_feed.store import Work
from gateway.change_feed.tables import feed_wait
from gateway.database import among
from gateway.database.rows import put_rows
from gateway.ledger.states import OperationState
from gateway.ledger.tables import operation


def counted(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Records that are to be looked at again, by feed."""
    columns = (feed_wait.c.system, feed_wait.c.entity, feed_wait.c.region)
    query = select(*columns, func.count()).group_by(*columns)
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def add(
    connection: Connection, found: Iterable[dict[str, Any]], *, now: int, due_at: int, later: bool = False
) -> None:
    """Has these looked at again. ``later``: a person or another system has to do something first."""
    rows = [{**one, "since": now, "due_at": due_at, "later": later} for one in found]
    renew = ("region", "native_id", "why", "due_at", "later")
    put_rows(connection, feed_wait, rows, "system", "record_id", renew=renew)


def due(connection: Connection, work: Work, *, now: int, limit: int) -> Sequence[Any]:
    """Records of this feed that are to be looked at again now."""
    query = (
        select(feed_wait.c.record_id, feed_wait.c.native_id)
        .where(*_of(work.key), feed_wait.c.due_at <= now)
        .order_by(feed_wait.c.due_at)
        .limit(limit)
    )
    return connection.execute(query).all()


def any_left(connection: Connection, work: Work) -> bool:
    return connection.execute(select(feed_wait.c.record_id).where(*_of(work.key)).limit(1)).first() is not None


def over(connection: Connection, system: str, ids: Sequence[str]) -> None:
    """These need no further look."""
    connection.execute(
        delete(feed_wait).where(feed_wait.c.system == system, among(feed_wait.c.record_id, ids))
    )


def in_the_way(connection: Connection, key: tuple[str, str, str]) -> Sequence[str]:
    """Why records of this feed wait that will be judged soon, each reason once. Left out is what a person or another
    system has to see to first, and what waits for a write that a fence holds: the edit is taken in after it."""
    held = exists().where(
        operation.c.record_id == feed_wait.c.record_id, operation.c.state == OperationState.HELD.value
    )
    query = select(feed_wait.c.why).where(*_of(key), feed_wait.c.later.is_(False), ~held).distinct().limit(10)
    return sorted(connection.execute(query).scalars())


def _of(key: tuple[str, str, str]) -> tuple[Any, ...]:
    columns = feed_wait.c
    return columns.system == key[0], columns.entity == key[1], columns.region == key[2]
