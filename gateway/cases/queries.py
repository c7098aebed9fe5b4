"""What people ask about cases: lists, one in detail, its history, and what was accepted."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select

from gateway.cases.case import Case, CaseEvent, Proposal
from gateway.cases.kinds import Kind
from gateway.cases.tables import case_, case_event
from gateway.database import among
from gateway.ledger.tables import attempt, delivery, operation

_proposal = msgspec.json.Decoder(Proposal).decode
_ANY = select(case_, operation.c.state.label("operation_state"), delivery.c.state.label("delivery_state"))


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One send of a case's delivery and what came of it."""

    number: int
    started_at: int
    outcome: str | None
    message: str | None


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is narrowed to. ``regions`` and ``entities``: those that the caller may see; None is all."""

    state: str | None = None
    owner: str | None = None
    kind: str | None = None
    entity: str | None = None
    region: str | None = None
    record_id: str | None = None
    opened_before: int | None = None  #: microseconds UTC
    regions: frozenset[str] | None = None
    entities: frozenset[str] | None = None


def page(
    connection: Connection, narrowed: Filter, *, after: tuple[int, str] | None = None, limit: int = 50
) -> list[Case]:
    """Cases by their deadline, the nearest first. ``after``: deadline and id of the last one of the page before."""
    query = _joined().order_by(case_.c.due_at, case_.c.id).limit(limit).where(*_wanted(narrowed))
    if after is not None:
        due_at, case_id = after
        query = query.where(
            or_(case_.c.due_at > due_at, and_(case_.c.due_at == due_at, case_.c.id > case_id))
        )
    return [_case(row) for row in connection.execute(query)]


def one(connection: Connection, case_id: str) -> Case | None:
    row = connection.execute(_joined().where(case_.c.id == case_id)).one_or_none()
    return None if row is None else _case(row)


def of_operations(connection: Connection, operation_ids: Iterable[str]) -> dict[str, Case]:
    """The open case of each of these operations, the most pressing one where it has several."""
    query = _joined().where(case_.c.state == "open", among(case_.c.operation_id, list(operation_ids)))
    found: dict[str, Case] = {}
    for row in connection.execute(query.order_by(case_.c.due_at.desc())):
        found[row.operation_id] = _case(row)
    return found


def events(connection: Connection, case_id: str) -> tuple[CaseEvent, ...]:
    """The history of a case, from its opening on."""
    rows = connection.execute(
        select(case_event).where(case_event.c.case_id == case_id).order_by(case_event.c.position)
    )
    return tuple(CaseEvent(at=row.at, actor=row.actor, event=row.event, detail=row.detail) for row in rows)


def attempts(connection: Connection, delivery_id: str | None) -> tuple[Attempt, ...]:
    """Every send of a delivery."""
    if delivery_id is None:
        return ()
    rows = connection.execute(
        select(attempt).where(attempt.c.delivery_id == delivery_id).order_by(attempt.c.number)
    )
    return tuple(
        Attempt(number=row.number, started_at=row.started_at, outcome=row.outcome, message=row.message)
        for row in rows
    )


def accepted(connection: Connection, record_ids: Iterable[str], *, now: int) -> dict[tuple[str, str], int]:
    """By record and system, until when a person has accepted that this system goes without a write: what differs
    there is known until then. Microseconds UTC."""
    rows = connection.execute(
        select(case_.c.record_id, case_.c.system, case_.c.accepted_until).where(
            among(case_.c.record_id, list(record_ids)),
            case_.c.accepted_until > now,
        )
    )
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.record_id, row.system)
        found[key] = max(row.accepted_until, found.get(key, 0))
    return found


def _joined() -> Select[Any]:
    return _ANY.outerjoin(operation, operation.c.id == case_.c.operation_id).outerjoin(
        delivery, delivery.c.id == case_.c.delivery_id
    )


def _wanted(narrowed: Filter) -> list[ColumnElement[bool]]:
    wanted = [
        column == value
        for column, value in (
            (case_.c.state, narrowed.state),
            (case_.c.owner, narrowed.owner),
            (case_.c.kind, narrowed.kind),
            (case_.c.entity, narrowed.entity),
            (case_.c.region, narrowed.region),
            (case_.c.record_id, narrowed.record_id),
        )
        if value is not None
    ]
    if narrowed.opened_before is not None:
        wanted.append(case_.c.opened_at < narrowed.opened_before)
    if narrowed.regions is not None:
        wanted.append(among(case_.c.region, sorted(narrowed.regions)))
    if narrowed.entities is not None:
        wanted.append(among(case_.c.entity, sorted(narrowed.entities)))
    return wanted


def _case(row: Any) -> Case:
    fields: dict[str, Any] = {name: getattr(row, name) for name in Case.__struct_fields__}
    fields["kind"] = Kind(row.kind)
    fields["amount"] = None if row.amount is None else Decimal(row.amount)
    fields["proposal"] = None if row.proposal is None else _proposal(row.proposal)
    return Case(**fields)
