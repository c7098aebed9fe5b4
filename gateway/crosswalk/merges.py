"""Reads and writes merges and splits: what was asked for, by whom, and what was done. Struct in, Struct out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, or_, select, update

from gateway.crosswalk.tables import crosswalk, record_merge
from gateway.database import among

_merges = record_merge.c


class MergeState(StrEnum):
    REQUESTED = "requested"  #: waits for another person
    DONE = "done"
    ABORTED = "aborted"  #: both records stay as they were


class MergeKind(StrEnum):
    MERGE = "merge"
    SPLIT = "split"


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why one was aborted. ``code``: ``aborted`` or ``expired``."""

    code: str
    message: str


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a merge has changed. ``links``: system -> native id, of the loser before and the winner since; ``number``:
    the loser's, which it had to itself; ``image``, ``match_key``: the winner's before, where it took over the
    loser's place at the authority (``turned``); ``tombstones`` that were taken for the loser before; ``seq``: the
    winner's last write, with the one that told its mirror (``told``) of the merge."""

    links: dict[str, str]
    number: str | None = None
    turned: bool = False
    image: dict[str, Any] | None = None
    match_key: str | None = None
    tombstones: tuple[str, ...] = ()
    seq: int = 0
    told: bool = False


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """One merge, or the way back from one. Moments are microseconds UTC on the database's clock."""

    id: str
    kind: MergeKind
    entity: str
    region: str
    loser: str
    winner: str
    state: MergeState
    reason: str
    both: bool
    evidence: dict[str, Any]
    evidence_hash: str
    requested_by: str
    requested_at: int
    expires_at: int
    undoes: str | None = None
    undone_by: str | None = None
    approved_by: str | None = None
    approved_at: int | None = None
    moved: Moved | None = None
    ended_at: int | None = None
    ended_by: str | None = None
    problem: Problem | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.entity, self.region


_JSON: Mapping[str, Any] = {"evidence": dict[str, Any], "moved": Moved, "problem": Problem}


def add(connection: Connection, one: Merge) -> None:
    """Writes a new one. The loser's row is held, and no other of it waits."""
    connection.execute(insert(record_merge), [_row(one)])


def change(connection: Connection, one: Merge, **values: Any) -> Merge:
    """``one`` with these values, written. The caller has it from ``one(lock=True)``."""
    after = msgspec.structs.replace(one, **values)
    row = _row(after)
    del row["id"]
    connection.execute(update(record_merge).where(_merges.id == one.id).values(**row))
    return after


def one(connection: Connection, id_: str, *, lock: bool = False) -> Merge | None:
    """The merge; ``lock``: nobody else changes it until the transaction ends."""
    wanted = select(record_merge).where(_merges.id == id_)
    row = connection.execute(wanted.with_for_update() if lock else wanted).one_or_none()
    return None if row is None else _merge(row)


def waiting(connection: Connection, record_ids: Sequence[str]) -> Sequence[Merge]:
    """Those of these records that wait for another person, or whose time is over and nobody has ended them."""
    wanted = select(record_merge).where(
        or_(among(_merges.loser, record_ids), among(_merges.winner, record_ids)), _merges.ended_at.is_(None)
    )
    return [_merge(row) for row in connection.execute(wanted.order_by(_merges.id).with_for_update())]


def page(
    connection: Connection,
    *,
    entity: str | None,
    region: str | None,
    state: str | None,
    regions: frozenset[str] | None,
    entities: frozenset[str] | None,
    after: str | None,
    limit: int,
) -> Sequence[Merge]:
    """The newest first."""
    wanted = select(record_merge).order_by(_merges.id.desc()).limit(limit)
    for column, value in ((_merges.entity, entity), (_merges.region, region), (_merges.state, state)):
        if value is not None:
            wanted = wanted.where(column == value)
    for column, visible in ((_merges.region, regions), (_merges.entity, entities)):
        if visible is not None:
            wanted = wanted.where(among(column, sorted(visible)))
    if after is not None:
        wanted = wanted.where(_merges.id < after)
    return [_merge(row) for row in connection.execute(wanted)]


def of_record(connection: Connection, record_id: str) -> Sequence[Merge]:
    """Every merge and split in which this record is one of the two, the oldest first."""
    wanted = select(record_merge).where(or_(_merges.loser == record_id, _merges.winner == record_id))
    return [_merge(row) for row in connection.execute(wanted.order_by(_merges.id))]


def standing(connection: Connection, loser: str) -> Merge | None:
    """The merge that made this record a tombstone, if it is one."""
    wanted = select(record_merge).where(
        _merges.loser == loser,
        _merges.kind == MergeKind.MERGE.value,
        _merges.state == MergeState.DONE.value,
        _merges.undone_by.is_(None),
    )
    row = connection.execute(wanted).one_or_none()
    return None if row is None else _merge(row)


def done(connection: Connection) -> int:
    """How many have been done, ever: it rises with each commit that changes who is meant by an id."""
    wanted = select(func.count()).select_from(record_merge).where(_merges.state == MergeState.DONE.value)
    return int(connection.execute(wanted).scalar_one())


def retired(connection: Connection) -> dict[tuple[str, str], tuple[str, ...]]:
    """Native ids that stand for a record which is linked to another one in that system, by (record, system)."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in connection.execute(select(crosswalk).where(crosswalk.c.stands_for.is_not(None))):
        found.setdefault((row.stands_for, row.system), []).append(row.native_id)
    return {key: tuple(sorted(natives)) for key, natives in found.items()}


def _row(one: Merge) -> dict[str, Any]:
    row = msgspec.structs.asdict(one)
    for name in _JSON:
        row[name] = None if row[name] is None else msgspec.json.encode(row[name]).decode()
    row["kind"], row["state"] = one.kind.value, one.state.value
    return row


def _merge(row: Any) -> Merge:
    values = {name: getattr(row, name) for name in Merge.__struct_fields__}
    for name, kind in _JSON.items():
        if values[name] is not None:
            values[name] = msgspec.json.decode(values[name], type=kind)
    values.update(kind=MergeKind(row.kind), state=MergeState(row.state), both=bool(row.both))
    return Merge(**values)
