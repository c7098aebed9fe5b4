"""How long edits are kept: what was edited may be about persons, so it goes after a time, when nobody has to decide it
any more. Operations and the audit keep that there was an edit, and of which fields."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select

from gateway.cases.tables import case_
from gateway.change_feed.tables import feed_edit


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
