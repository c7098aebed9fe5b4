"""How long what was found is kept. A difference is kept for as long as it is open; what was resolved long ago goes,
with its samples, because samples may be about persons. The counts by day stay."""

from __future__ import annotations

from sqlalchemy import Connection, select

from gateway.compare.tables import diff, diff_field
from gateway.database import among


def purge(connection: Connection, *, before: int, limit: int) -> int:
    """Deletes up to ``limit`` differences that were resolved before this moment (microseconds UTC), the oldest first.
    Returns how many. Safe to run by several at once."""
    ids = list(
        connection.execute(
            select(diff.c.id)
            .where(diff.c.resolved_at < before)
            .order_by(diff.c.resolved_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if ids:
        connection.execute(diff_field.delete().where(among(diff_field.c.diff_id, ids)))
        connection.execute(diff.delete().where(among(diff.c.id, ids)))
    return len(ids)
