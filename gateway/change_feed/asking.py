"""Has a feed read sooner than its turn, in the caller's transaction.

Whoever asks says from when on a pass has to *begin* to be of use: a pass that is under way began too early, and another
one follows it. Nothing but the time of the next pass depends on it. A feed that fails keeps its rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from gateway.change_feed.store import begin
from gateway.change_feed.tables import feed, feed_hint
from gateway.database import among
from gateway.database.rows import insert_new

Key = tuple[str, str, str]  #: system, entity, region
#: Microseconds from the beginning of a pass to that of another which a webhook asks for: a thousand of them in a second
#: cost one pass.
REST = 1_000_000
_feeds = feed.c


def sooner(connection: Connection, system: str, lags: Mapping[str, int], *, now: int) -> int:
    """Has the feeds of these entities in a system read now, and once more after the ``lags`` (microseconds) within
    which the system's list may not show a change yet. Returns how many feeds."""
    asked = 0
    wanted = _feeds.system == system, among(_feeds.entity, sorted(lags))
    for row in _locked(connection, *wanted):
        at = max(now, (row.read_at or 0) + REST)
        _ask(connection, row, at=at, until=now + lags[row.entity])
        asked += 1
    return asked


def behind_fence(connection: Connection, key: Key, *, epoch: int, past: int, now: int) -> None:
    """Has a feed read on behind the fence of this epoch, and a pass begin at ``past`` (microseconds UTC) or soon after.
    The slice's exclusive lock is held."""
    begin(connection, [key], now=now)
    for row in _locked(connection, *_is(key)):
        _ask(connection, row, at=past, until=past)
        connection.execute(update(feed).where(*_is(key)).values(drains=epoch))


def drains(connection: Connection, key: Key) -> int | None:
    """The epoch of the last fence that has waited for the feed. A lock of the slice is held."""
    return connection.execute(select(_feeds.drains).where(*_is(key))).scalar_one()


def next_pass(connection: Connection, key: Key, ended: int | None, *, now: int, period: int) -> int:
    """When the next pass begins, with the feed's row held from now on; ``ended``: one has ended that began then."""
    (row,) = _locked(connection, *_is(key))
    if ended is None:
        return row.passes_at
    if row.asked_at is not None and row.asked_at > ended:
        return max(now, row.asked_at, ended + REST)
    return now + period


def heard(connection: Connection, system: str, id_: str, *, now: int) -> bool:
    """Notes the id of a webhook. False: it was heard before."""
    id_hash = hashlib.sha256(id_.encode()).hexdigest()
    return bool(insert_new(connection, feed_hint, [{"system": system, "id_hash": id_hash, "at": now}], "id_hash"))


def _ask(connection: Connection, row: Any, *, at: int, until: int) -> None:
    connection.execute(
        update(feed)
        .where(*_is((row.system, row.entity, row.region)))
        .values(
            passes_at=min(row.passes_at, at),
            asked_at=max(row.asked_at or 0, until),
            next_at=row.next_at if row.failures else min(row.next_at, at),
        )
    )


def _locked(connection: Connection, *wanted: ColumnElement[bool]) -> Sequence[Any]:
    """These rows, held in the order of their keys."""
    order = (_feeds.system, _feeds.entity, _feeds.region)
    return connection.execute(select(feed).where(*wanted).order_by(*order).with_for_update()).all()


def _is(key: Key) -> tuple[ColumnElement[bool], ...]:
    return _feeds.system == key[0], _feeds.entity == key[1], _feeds.region == key[2]
