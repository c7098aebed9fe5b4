"""Reads and writes feeds and what they have seen, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, delete, func, select, update

from gateway.cases.tables import case_
from gateway.change_feed.tables import feed, feed_edit, feed_seen, feed_wait
from gateway.database import among
from gateway.database.rows import insert_missing, insert_rows, put_rows
from gateway.dispatch.command import Document
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import delivery, event, lane, operation
from gateway.ledger.target import EDITED
from gateway.runs import Lost

#: Kinds of cases that the feed opens.
KINDS = ("ownership_conflict", "edit_loop")
#: Microseconds before its beginning from which a feed follows a system.
BEFORE_US = 600 * 1_000_000
_MOVING = [state.value for state in DELIVERY_OPEN if state is not DeliveryState.PARKED]
_feeds = feed.c
_COUNTERS = ("seen", "echoes", "carried", "reverted", "conflicts", "unlinked")


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A feed in the hands of whoever works on it. Moments are microseconds UTC."""

    system: str
    entity: str
    region: str
    cursor_at: int
    page: str | None
    newest: int | None
    pass_at: int | None
    passes_at: int
    unlinked: int
    failures: int
    token: int

    @property
    def name(self) -> str:
        return f"{self.system}/{self.entity}/{self.region}"


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a system last showed of a record. ``document``: what both had in common then."""

    record_id: str
    system: str
    version: str | None
    digest: str
    document: Document
    seq: int


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """An edit that was found before. ``change``: field -> [before, after]."""

    record_id: str
    system: str
    outcome: str
    operation_id: str
    change: dict[str, list[Any]]
    at: int


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A write of ours that a system has applied."""

    seq: int
    kind: str
    change: Document
    marker: str
    at: int

    @property
    def fields(self) -> frozenset[str]:
        """The fields that it named."""
        return frozenset({"state"} if self.kind == "transition" else self.change)


def begin(connection: Connection, keys: Iterable[tuple[str, str, str]], *, now: int) -> None:
    """Makes the feeds that are not there yet: they follow what changes from now on, and a little from before, since a
    system's clock may be behind."""
    rows = [
        {
            "system": system, "entity": entity, "region": region, "cursor_at": now - BEFORE_US, "passes_at": now,
            **dict.fromkeys(_COUNTERS, 0), "failures": 0, "token": 0, "next_at": now, "updated_at": now,
        }
        for system, entity, region in sorted(keys)
    ]  # fmt: skip
    insert_missing(connection, feed, rows)


def claim(
    connection: Connection, keys: Collection[tuple[str, str, str]], *, now: int, lease: int
) -> Work | None:
    """The one of these feeds that has been due for longest and that nobody holds. Microseconds."""
    rows = connection.execute(
        select(_feeds.system, _feeds.entity, _feeds.region)
        .where(_feeds.next_at <= now, func.coalesce(_feeds.lease_until, 0) <= now)
        .order_by(_feeds.next_at)
    )
    found = next((tuple(row) for row in rows if tuple(row) in keys), None)
    if found is None:
        return None
    row = connection.execute(
        update(feed)
        .where(*_is(*found), func.coalesce(_feeds.lease_until, 0) <= now)
        .values(token=_feeds.token + 1, lease_until=now + lease)
        .returning(*_feeds)
    ).one_or_none()
    return None if row is None else _work(row)


def advance(
    connection: Connection, work: Work, *, now: int, counted: dict[str, int] | None = None, **values: Any
) -> Work:
    """Writes how far the feed has come. Raises Lost, which rolls the whole step back."""
    counts = {name: _feeds[name] + number for name, number in (counted or {}).items() if number}
    row = connection.execute(
        update(feed)
        .where(*_is(work.system, work.entity, work.region), _feeds.token == work.token)
        .values(updated_at=now, **counts, **values)
        .returning(*_feeds)
    ).one_or_none()
    if row is None:
        raise Lost(work.name)
    return _work(row)


def keep_lease(connection: Connection, work: Work, *, until: int | None) -> bool:
    """Holds the feed for longer, or lets go of it. False: somebody else has it."""
    done = connection.execute(
        update(feed)
        .where(*_is(work.system, work.entity, work.region), _feeds.token == work.token)
        .values(lease_until=until)
    )
    return done.rowcount == 1


def rows(connection: Connection) -> dict[tuple[str, str, str], Any]:
    """Every feed by (system, entity, region)."""
    return {(row.system, row.entity, row.region): row for row in connection.execute(select(feed))}


def waiting(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Records that are to be looked at again, by feed."""
    columns = (feed_wait.c.system, feed_wait.c.entity, feed_wait.c.region)
    query = select(*columns, func.count()).group_by(*columns)
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query)}


def open_conflicts(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Open cases by feed."""
    columns = (case_.c.system, case_.c.entity, case_.c.region)
    query = select(*columns, func.count()).where(case_.c.state == "open", case_.c.kind.in_(KINDS))
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(query.group_by(*columns))}


# --- records -----------------------------------------------------------------------------------------------------


def position(connection: Connection) -> int:
    """The journal's last event."""
    return connection.execute(select(func.max(event.c.position))).scalar() or 0


def moved_since(connection: Connection, ids: Sequence[str], mark: int) -> frozenset[str]:
    """Which of these records something has happened to since the mark."""
    query = select(event.c.record_id).where(among(event.c.record_id, ids), event.c.position > mark).distinct()
    return frozenset(connection.execute(query).scalars())


def moving(connection: Connection, ids: Sequence[str]) -> frozenset[str]:
    """Which of these records have a delivery on its way. One that itself waits for an edit to be taken in is at rest,
    and so is what is ready behind it."""
    columns = (delivery.c.record_id, delivery.c.system, delivery.c.role, delivery.c.state, delivery.c.code)
    query = select(*columns).where(among(delivery.c.record_id, ids), among(delivery.c.state, _MOVING))
    found = connection.execute(query).all()
    resting = {
        (row.record_id, row.system)
        for row in found
        if row.state == DeliveryState.READY.value and row.code == EDITED
    }
    return frozenset(
        row.record_id
        for row in found
        if row.state != DeliveryState.READY.value
        or row.role != "mirror"
        or (row.record_id, row.system) not in resting
    )


def written_since(connection: Connection, record_id: str, since: int) -> dict[str, frozenset[str]]:
    """The fields of a record that writes of ours have reached in each system since then."""
    query = (
        select(delivery.c.system, operation.c.kind, operation.c.change)
        .join(operation, operation.c.id == delivery.c.operation_id)
        .where(
            delivery.c.record_id == record_id,
            delivery.c.state == DeliveryState.APPLIED.value,
            delivery.c.attempt > 0,
            delivery.c.updated_at >= since,
        )
    )
    return _named(connection.execute(query))


def racing(connection: Connection, operation_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """The fields that these writes name, by record."""
    query = select(operation.c.record_id, operation.c.kind, operation.c.change).where(
        among(operation.c.id, list(operation_ids))
    )
    return _named(connection.execute(query))


def _named(rows: Iterable[Any]) -> dict[str, frozenset[str]]:
    """The fields that writes name: rows of what they are told apart by, their kind, and their change."""
    found: dict[str, frozenset[str]] = {}
    for key, kind, change in rows:
        named = {"state"} if kind == "transition" else msgspec.json.decode(change)
        found[key] = found.get(key, frozenset()) | frozenset(named)
    return found


def applied_seqs(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], int]:
    """The number of the last write that each lane of these records has come to."""
    query = select(lane.c.record_id, lane.c.system, lane.c.applied_seq).where(among(lane.c.record_id, ids))
    return {(row.record_id, row.system): row.applied_seq for row in connection.execute(query)}


def seen_of(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], Seen]:
    """What each system last showed of these records, by (record id, system)."""
    query = select(feed_seen).where(among(feed_seen.c.record_id, ids))
    found = [
        Seen(
            document=msgspec.json.decode(row.document),
            **{name: getattr(row, name) for name in Seen.__struct_fields__ if name != "document"},
        )
        for row in connection.execute(query)
    ]
    return {(one.record_id, one.system): one for one in found}


def keep_seen(connection: Connection, found: Iterable[Seen], *, now: int) -> None:
    rows = [
        {
            **msgspec.structs.asdict(one),
            "document": msgspec.json.encode(one.document).decode(),
            "seen_at": now,
        }
        for _, one in sorted({(one.record_id, one.system): one for one in found}.items())
    ]
    put_rows(
        connection,
        feed_seen,
        rows,
        "record_id",
        "system",
        renew=("version", "digest", "document", "seq", "seen_at"),
    )


def sent(connection: Connection, ids: Sequence[str]) -> dict[tuple[str, str], list[Sent]]:
    """Writes of ours that were sent and applied since each system was last seen, oldest first, and the last one of all
    in any case."""
    since = func.coalesce(feed_seen.c.seq, 0)
    other = delivery.alias("other")
    newest = (
        select(func.max(other.c.seq))
        .where(
            other.c.record_id == delivery.c.record_id,
            other.c.system == delivery.c.system,
            other.c.state == DeliveryState.APPLIED.value,
            other.c.attempt > 0,
        )
        .correlate(delivery)
        .scalar_subquery()
    )
    query = (
        select(
            delivery.c.record_id, delivery.c.system, delivery.c.seq, delivery.c.updated_at,
            operation.c.kind, operation.c.change, operation.c.marker,
        )
        .join(operation, operation.c.id == delivery.c.operation_id)
        .outerjoin(
            feed_seen, and_(feed_seen.c.record_id == delivery.c.record_id, feed_seen.c.system == delivery.c.system)
        )
        .where(
            among(delivery.c.record_id, ids),
            delivery.c.state == DeliveryState.APPLIED.value,
            delivery.c.attempt > 0,
            (delivery.c.seq > since) | (delivery.c.seq == newest),
        )
        .order_by(delivery.c.seq)
    )  # fmt: skip
    found: dict[tuple[str, str], list[Sent]] = {}
    for row in connection.execute(query):
        found.setdefault((row.record_id, row.system), []).append(
            Sent(
                seq=row.seq,
                kind=row.kind,
                change=msgspec.json.decode(row.change),
                marker=row.marker,
                at=row.updated_at,
            )
        )
    return found


# --- edits and waits -----------------------------------------------------------------------------------------------


def edits_since(connection: Connection, ids: Sequence[str], since: int) -> dict[str, list[Edit]]:
    """Edits found of these records since then, oldest first."""
    query = (
        select(feed_edit)
        .where(among(feed_edit.c.record_id, ids), feed_edit.c.at >= since)
        .order_by(feed_edit.c.position)
    )
    found: dict[str, list[Edit]] = {}
    for row in connection.execute(query):
        found.setdefault(row.record_id, []).append(_edit(row))
    return found


def edits_of_operation(connection: Connection, operation_id: str) -> list[Edit]:
    """The edits that this operation stands for."""
    query = select(feed_edit).where(feed_edit.c.operation_id == operation_id).order_by(feed_edit.c.position)
    return [_edit(row) for row in connection.execute(query)]


def add_edits(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    insert_rows(connection, feed_edit, rows)


def stopped(connection: Connection, ids: Sequence[str]) -> dict[str, list[Any]]:
    """The open cases of the feed about these records: (id, kind, operation id)."""
    query = select(case_.c.record_id, case_.c.id, case_.c.kind, case_.c.operation_id).where(
        among(case_.c.record_id, ids), case_.c.state == "open", case_.c.kind.in_(KINDS)
    )
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query):
        found.setdefault(row.record_id, []).append(row)
    return found


def wait(connection: Connection, found: Iterable[dict[str, Any]], *, now: int, due_at: int) -> None:
    """Has these looked at again."""
    rows = [{**one, "since": now, "due_at": due_at} for one in found]
    put_rows(connection, feed_wait, rows, "system", "record_id", renew=("region", "native_id", "why", "due_at"))


def due(connection: Connection, work: Work, *, now: int, limit: int) -> Sequence[Any]:
    """Records of this feed that are to be looked at again now."""
    query = (
        select(feed_wait.c.record_id, feed_wait.c.native_id)
        .where(*_of(work), feed_wait.c.due_at <= now)
        .order_by(feed_wait.c.due_at)
        .limit(limit)
    )
    return connection.execute(query).all()


def waits(connection: Connection, work: Work) -> bool:
    return connection.execute(select(feed_wait.c.record_id).where(*_of(work)).limit(1)).first() is not None


def waited(connection: Connection, system: str, ids: Sequence[str]) -> None:
    """These need no further look."""
    connection.execute(
        delete(feed_wait).where(feed_wait.c.system == system, among(feed_wait.c.record_id, ids))
    )


def _of(work: Work) -> tuple[Any, ...]:
    columns = feed_wait.c
    return columns.system == work.system, columns.entity == work.entity, columns.region == work.region


def _is(system: str, entity: str, region: str) -> tuple[Any, ...]:
    return _feeds.system == system, _feeds.entity == entity, _feeds.region == region


def _work(row: Any) -> Work:
    return Work(**{name: getattr(row, name) for name in Work.__struct_fields__})


def _edit(row: Any) -> Edit:
    values = {name: getattr(row, name) for name in Edit.__struct_fields__ if name != "change"}
    return Edit(change=msgspec.json.decode(row.change), **values)
