"""Adds and reads audit rows."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from gateway.audit.tables import audit
from gateway.clock import rfc3339
from gateway.database import from_micros


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """One privileged act. ``detail`` is what a reviewer needs: before, after, reason."""

    position: int
    at: str  #: RFC 3339, UTC
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


def record(
    connection: Connection, *, at: int, actor: str, action: str, subject: str, detail: dict[str, Any]
) -> None:
    """Adds one act in the caller's transaction. ``at`` is microseconds UTC."""
    connection.execute(
        insert(audit),
        [
            {
                "at": at,
                "actor": actor,
                "action": action,
                "subject": subject,
                "detail": msgspec.json.encode(detail).decode(),
            }
        ],
    )


def acts(
    connection: Connection,
    *,
    since: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    after: int | None = None,
    limit: int = 50,
) -> tuple[Act, ...]:
    """Acts from the newest to the oldest. ``after`` is the position that the last page ended with."""
    query = select(audit).order_by(audit.c.position.desc()).limit(limit)
    if since is not None:
        query = query.where(audit.c.at >= since)
    if actor is not None:
        query = query.where(audit.c.actor == actor)
    if action is not None:
        query = query.where(audit.c.action == action)
    if after is not None:
        query = query.where(audit.c.position < after)
    return tuple(
        Act(
            position=row.position,
            at=rfc3339(from_micros(row.at)),
            actor=row.actor,
            action=row.action,
            subject=row.subject,
            detail=msgspec.json.decode(row.detail),
        )
        for row in connection.execute(query)
    )
