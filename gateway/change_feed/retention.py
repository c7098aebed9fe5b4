"""How long edits and ids of webhooks are kept: what was edited may be about persons, so it goes after a time, when
nobody has to decide it any more. Operations and the audit keep that there was an edit, and of which fields."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select

from gateway.cases.tables import case_
from gateway.change_feed.tables import feed_edit, feed_hint
from gateway.database import among


def purge(connection: Connection, *, before: int, limit: int) -> int:
    """Deletes up to ``limit`` edits that were found before this moment (microseconds UTC) and that no open case is
    about. Returns how many. Safe to run by several at once."""
    found = connection.execute(
        select(feed_edit.c.position)
        .where(
            feed_edit.c.at < before,
            ~exists().where(case_.c.operation_id == feed_edit.c.operation_id, case_.c.state == "open"),
        )
        .order_by(feed_edit.c.position)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).scalars()
    positions = list(found)
    if positions:
        connection.execute(feed_edit.delete().where(feed_edit.c.position.in_(positions)))
    return len(positions)


def purge_hints(connection: Connection, *, before: int, limit: int) -> int:
    """Deletes the ids of up to ``limit`` webhooks that were heard before this moment. Returns how many. Safe to run by
    several at once."""
    found = connection.execute(
        select(feed_hint.c.system, feed_hint.c.id_hash)
        .where(feed_hint.c.at < before)
        .order_by(feed_hint.c.at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    for system in sorted({row.system for row in found}):
        ids = [row.id_hash for row in found if row.system == system]
        connection.execute(
            feed_hint.delete().where(feed_hint.c.system == system, among(feed_hint.c.id_hash, ids))
        )
    return len(found)
