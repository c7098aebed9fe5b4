"""Opens and closes cases, many in one go, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from gateway.cases.case import Opening
from gateway.cases.kinds import KINDS, stake
from gateway.cases.tables import case_, case_event
from gateway.database import among
from gateway.database.rows import insert_new, insert_rows
from gateway.ids import CASE, Ids

#: Who is named where no person acted.
LEDGER = "the ledger"
#: Characters of a system's message that are kept.
LONGEST_MESSAGE = 2000

_HOUR = 3_600_000_000


def open_cases(connection: Connection, rows: Sequence[Opening], *, at: int, ids: Ids) -> dict[str, str]:
    """Opens a case for each of ``rows``; one that is open already only gets a line in its history. An open case of
    another kind about the same subject is closed: it is this now. ``at`` is microseconds UTC. Returns the ids of the
    cases that are new, by subject."""
    if not rows:
        return {}
    # One order for everybody, so that two commits that open the same cases wait and do not deadlock.
    subjects = {row.subject: row for row in rows}
    wanted = dict(sorted({_key(row): row for row in subjects.values()}.items()))
    _close_other_kinds(connection, wanted, at=at)
    drafts: list[dict[str, Any]] = [
        {
            "id": ids.new(CASE),
            "dedupe_key": key,
            "subject": row.subject,
            "kind": row.kind.value,
            "state": "open",
            "owner": KINDS[row.kind].owner,
            "entity": row.entity,
            "region": row.region,
            "record_id": row.record_id,
            "operation_id": row.operation_id,
            "delivery_id": row.delivery_id,
            "system": row.system,
            "role": row.role,
            "code": row.code,
            "message": None if row.message is None else row.message[:LONGEST_MESSAGE],
            "amount": None,
            "currency": None,
            "opened_at": at,
            "due_at": at + KINDS[row.kind].hours * _HOUR,
            "updated_at": at,
            **_stake(row),
        }
        for key, row in wanted.items()
    ]
    new = insert_new(connection, case_, drafts, "id")
    known = _open_ids(connection, [draft["dedupe_key"] for draft in drafts if draft["id"] not in new])
    events = [
        _event(case_id, at, LEDGER, "opened" if draft["id"] in new else "again", draft["message"])
        for draft in drafts
        if (case_id := draft["id"] if draft["id"] in new else known.get(draft["dedupe_key"])) is not None
    ]
    insert_rows(connection, case_event, events)
    return {draft["subject"]: draft["id"] for draft in drafts if draft["id"] in new}


def close_for(
    connection: Connection,
    *,
    delivery_ids: Collection[str] = (),
    operation_ids: Collection[str] = (),
    at: int,
    how: str,
    by: str = LEDGER,
    reason: str | None = None,
) -> int:
    """Closes the open cases about these deliveries, and all those about these operations, because the matter is
    settled: ``how`` says by what, such as ``found`` or ``overtaken``. Returns how many there were."""
    about: list[ColumnElement[bool]] = []
    if delivery_ids:
        about.append(among(case_.c.subject, delivery_ids))
    if operation_ids:
        about.append(among(case_.c.operation_id, operation_ids))
    if not about:
        return 0
    return close(connection, or_(*about), at=at, how=how, by=by, reason=reason)


def close(
    connection: Connection,
    which: ColumnElement[bool],
    *,
    at: int,
    how: str,
    by: str,
    reason: str | None,
    **more: Any,
) -> int:
    """Closes the open cases that ``which`` names."""
    closed = (
        connection.execute(
            case_.update()
            .where(case_.c.state == "open", which)
            .values(
                state="closed",
                closed_at=at,
                closed_by=by,
                resolution=how,
                reason=reason,
                proposal=None,
                updated_at=at,
                **more,
            )
            .returning(case_.c.id)
        )
        .scalars()
        .all()
    )
    detail = how if reason is None else f"{how}: {reason}"
    insert_rows(connection, case_event, [_event(case_id, at, by, "closed", detail) for case_id in closed])
    return len(closed)


def add_event(
    connection: Connection, case_id: str, *, at: int, actor: str, event: str, detail: str | None
) -> None:
    """Adds one line to a case's history."""
    insert_rows(connection, case_event, [_event(case_id, at, actor, event, detail)])


def open_by_kind(connection: Connection) -> dict[str, int]:
    """How many cases of each kind are open; a kind without any is not named."""
    rows = connection.execute(
        select(case_.c.kind, func.count()).where(case_.c.state == "open").group_by(case_.c.kind)
    )
    return {row[0]: int(row[1]) for row in rows}


def _key(row: Opening) -> str:
    return f"{row.kind.value}:{row.subject}"


def _stake(row: Opening) -> dict[str, Any]:
    at_stake = stake(row.entity, row.document)
    return {} if at_stake is None else {"amount": format(at_stake[0], "f"), "currency": at_stake[1]}


def _close_other_kinds(connection: Connection, wanted: dict[str, Opening], *, at: int) -> None:
    """A subject has one open case: what it turns out to be now is the newest that is known of it."""
    keys = set(wanted)
    rows = connection.execute(
        select(case_.c.id, case_.c.dedupe_key).where(
            case_.c.state == "open", among(case_.c.subject, {row.subject for row in wanted.values()})
        )
    ).all()
    stale = [row.id for row in rows if row.dedupe_key not in keys]
    if stale:
        close(connection, among(case_.c.id, stale), at=at, how="became_another", by=LEDGER, reason=None)


def _open_ids(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    if not keys:
        return {}
    rows = connection.execute(
        select(case_.c.dedupe_key, case_.c.id).where(case_.c.state == "open", among(case_.c.dedupe_key, keys))
    )
    return {row.dedupe_key: row.id for row in rows}


def _event(case_id: str, at: int, actor: str, event: str, detail: str | None) -> dict[str, Any]:
    return {"case_id": case_id, "at": at, "actor": actor, "event": event, "detail": detail}
