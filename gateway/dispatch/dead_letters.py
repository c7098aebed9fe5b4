"""Dead letters: deliveries that wait for a person, narrowed by a filter and grouped by their cause.

A *cause* is the system's code and what its message says once the particulars (ids, numbers, quoted names) are taken
out: a thousand refusals of one kind are one line, and can be sent again as one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, case, exists, func, select

from gateway.database import among, to_micros
from gateway.database.rows import rows_by_id
from gateway.dispatch.claim import LATEST
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery

#: Characters of a message that are looked at.
LONGEST = 300
_PARTICULAR = re.compile(
    r"""(?P<quoted>"[^"]*"|'[^']*'|`[^`]*`|«[^»]*»|“[^”]*”)"""
    r"""|(?P<id>\b[a-z]{3}_[0-9A-Za-z-]{6,}\b|\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b)"""
    r"""|(?P<code>\b(?=[\w/.-]*\d)\w[\w/.-]*\w|\b\d)"""
)
_TOUCHED = [state.value for state in (DeliveryState.SENDING, DeliveryState.UNKNOWN, DeliveryState.APPLIED)]
_PAGE = 500


class Narrowed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which dead letters are meant; None means any. ``since`` and ``until`` are about when one came to wait."""

    system: str | None = None
    entity: str | None = None
    region: str | None = None
    code: str | None = None
    cause: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one kind. Of ``count``, a newer write has overtaken some: ``superseded`` will be marked so, as
    their mirrors take only the newest state; ``refused`` would undo the newer one, and will not be sent."""

    id: str
    role: str
    code: str | None
    message: str  #: without its particulars
    count: int
    superseded: int
    refused: int
    oldest_at: int
    newest_at: int
    systems: tuple[str, ...]
    entities: tuple[str, ...]
    regions: tuple[str, ...]
    delivery_id: str  #: an example
    operation_id: str
    record_id: str
    example: str | None  #: what was said of that one, in full


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One dead letter."""

    delivery_id: str
    operation_id: str
    record_id: str
    system: str
    role: str
    entity: str
    region: str
    cause: str
    code: str | None
    message: str | None
    attempt: int
    since: int  #: when it came to wait


def plain(message: str | None) -> str:
    """What a message says without its particulars: quoted names, ids and numbers are an ellipsis."""
    return " ".join(_PARTICULAR.sub("…", (message or "")[:LONGEST]).split())


def cause_of(role: str, code: str | None, message: str | None) -> str:
    """The short name of a cause; the same on every replica."""
    told = msgspec.json.encode([role, code, plain(message)])
    return hashlib.sha256(told).hexdigest()[:12]


def causes(
    connection: Connection,
    narrowed: Narrowed,
    *,
    regions: frozenset[str] | None = None,
    entities: frozenset[str] | None = None,
    role: str | None = None,
) -> tuple[Cause, ...]:
    """Dead letters by cause, the most frequent first."""
    message = func.substr(delivery.c.message, 1, LONGEST)
    newer = case((_newer(), 1), else_=0)
    # Only a newer state contains an older one: what an authority was sent is a patch.
    contained = case((_newer(role="mirror"), 1), else_=0)
    latest = among(delivery.c.entity, LATEST)
    rows = connection.execute(
        select(
            delivery.c.role,
            delivery.c.code,
            message.label("message"),
            delivery.c.system,
            delivery.c.entity,
            delivery.c.region,
            func.count().label("count"),
            func.sum(newer).label("newer"),
            func.sum(case((latest, contained), else_=0)).label("superseded"),
            func.min(delivery.c.updated_at).label("oldest"),
            func.max(delivery.c.updated_at).label("newest"),
            func.max(delivery.c.id).label("example"),
        )
        .where(*_where(narrowed, regions, entities, role))
        .group_by(
            delivery.c.role, delivery.c.code, message, delivery.c.system, delivery.c.entity, delivery.c.region
        )
    ).all()
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(cause_of(row.role, row.code, row.message), []).append(row)
    if narrowed.cause is not None:
        groups = {name: members for name, members in groups.items() if name == narrowed.cause}
    examples = rows_by_id(
        connection, delivery, {max(one.example for one in members) for members in groups.values()}
    )
    found: list[Cause] = []
    for name, members in groups.items():
        example = examples[max(one.example for one in members)]
        superseded = sum(int(one.superseded) for one in members)
        found.append(
            Cause(
                id=name,
                role=example.role,
                code=example.code,
                message=plain(example.message),
                count=sum(one.count for one in members),
                superseded=superseded,
                refused=sum(int(one.newer) for one in members) - superseded,
                oldest_at=min(one.oldest for one in members),
                newest_at=max(one.newest for one in members),
                systems=_distinct(one.system for one in members),
                entities=_distinct(one.entity for one in members),
                regions=_distinct(one.region for one in members),
                delivery_id=example.id,
                operation_id=example.operation_id,
                record_id=example.record_id,
                example=example.message,
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.count, one.id)))


def waiting(
    connection: Connection,
    narrowed: Narrowed,
    *,
    regions: frozenset[str] | None,
    entities: frozenset[str] | None,
    after: str,
    limit: int,
) -> tuple[list[str], str | None]:
    """Up to ``limit`` mirrors' dead letters behind the id ``after``, in the order of their ids, and how far was looked;
    None when that was to the end."""
    query = (
        select(delivery.c.id, delivery.c.role, delivery.c.code, delivery.c.message)
        .where(*_where(narrowed, regions, entities, "mirror"))
        .order_by(delivery.c.id)
    )
    found: list[str] = []
    for row in _paged(connection, query, after):
        if narrowed.cause is None or cause_of(row.role, row.code, row.message) == narrowed.cause:
            found.append(row.id)
            if len(found) == limit:
                return found, row.id
    return found, None


def letters(
    connection: Connection,
    narrowed: Narrowed,
    *,
    regions: frozenset[str] | None,
    entities: frozenset[str] | None,
    after: str,
    limit: int,
) -> tuple[Letter, ...]:
    """Up to ``limit`` dead letters of either role behind the id ``after``, in the order of their ids."""
    query = select(delivery).where(*_where(narrowed, regions, entities, None)).order_by(delivery.c.id)
    found: list[Letter] = []
    for row in _paged(connection, query, after):
        cause = cause_of(row.role, row.code, row.message)
        if narrowed.cause in (None, cause):
            found.append(
                Letter(
                    delivery_id=row.id,
                    operation_id=row.operation_id,
                    record_id=row.record_id,
                    system=row.system,
                    role=row.role,
                    entity=row.entity,
                    region=row.region,
                    cause=cause,
                    code=row.code,
                    message=row.message,
                    attempt=row.attempt,
                    since=row.updated_at,
                )
            )
            if len(found) == limit:
                break
    return tuple(found)


def _paged(connection: Connection, query: Select[*tuple[Any, ...]], after: str) -> Iterator[Row[Any]]:
    while True:
        rows = connection.execute(query.where(delivery.c.id > after).limit(_PAGE)).all()
        yield from rows
        if len(rows) < _PAGE:
            return
        after = rows[-1].id


def _where(
    narrowed: Narrowed, regions: frozenset[str] | None, entities: frozenset[str] | None, role: str | None
) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [delivery.c.state == DeliveryState.PARKED.value]
    for column, value in (
        (delivery.c.role, role),
        (delivery.c.system, narrowed.system),
        (delivery.c.entity, narrowed.entity),
        (delivery.c.region, narrowed.region),
        (delivery.c.code, narrowed.code),
    ):
        if value is not None:
            found.append(column == value)
    if narrowed.since is not None:
        found.append(delivery.c.updated_at >= to_micros(narrowed.since))
    if narrowed.until is not None:
        found.append(delivery.c.updated_at <= to_micros(narrowed.until))
    if regions is not None:
        found.append(among(delivery.c.region, regions))
    if entities is not None:
        found.append(among(delivery.c.entity, entities))
    return found


def _newer(*, role: str | None = None) -> ColumnElement[bool]:
    """Whether a newer write of the lane, in this role if one is named, is in the system or may be."""
    other = delivery.alias("newer")
    found = exists().where(
        other.c.record_id == delivery.c.record_id,
        other.c.system == delivery.c.system,
        other.c.seq > delivery.c.seq,
        among(other.c.state, _TOUCHED),
    )
    return found if role is None else found.where(other.c.role == role)


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(values)))
