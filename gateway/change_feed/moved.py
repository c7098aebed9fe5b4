"""Records that have come into another slice: the feed of that slice goes on with them."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, select, update

from gateway.change_feed import waits
from gateway.change_feed.tables import feed, feed_wait
from gateway.crosswalk.store import Link
from gateway.database import among
from gateway.routing.stage import System


def follow_on(connection: Connection, links: Collection[Link], place: str, *, now: int) -> None:
    """Has these records looked at by the feeds of ``place``, those that wait for a look and, where both systems are
    followed, all others: an edit may lie behind the place of that feed and before the one that it was left at. The
    caller holds the records; moments are microseconds UTC."""
    ids = sorted({one.record_id for one in links})
    connection.execute(update(feed_wait).where(among(feed_wait.c.record_id, ids)).values(region=place))
    followed = {(row.system, row.entity) for row in connection.execute(select(feed.c.system, feed.c.entity))}
    linked = {(one.record_id, one.system) for one in links}
    found = [
        {
            "system": one.system,
            "record_id": one.record_id,
            "entity": one.entity,
            "region": place,
            "native_id": one.native_id,
            "why": "it has come into this slice",
        }
        for one in sorted(links, key=lambda one: (one.record_id, one.system))
        if (one.system, one.entity) in followed
        and all((one.record_id, system.value) in linked for system in System)
    ]
    waits.add(connection, found, now=now, due_at=now)
