"""Reads and writes runs. Struct in, Struct out; every function is given the connection of its caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, func, select, update

from gateway.canonical import BY_NAME, Entity
from gateway.database.rows import insert_rows, put_rows, rows_by_keys
from gateway.reconcile import left
from gateway.reconcile.bridge import Term
from gateway.reconcile.matching import Parted
from gateway.reconcile.ranges import SIZE
from gateway.reconcile.run import Phase, SourceUse
from gateway.reconcile.tables import (
    reconcile_amount,
    reconcile_part,
    reconcile_range,
    reconcile_row,
    reconcile_run,
)
from gateway.reconcile.tally import Side, Tally
from gateway.runs import Lost

#: Rows of an ended run that are deleted at once.
SWEEP = 2_000
encode = msgspec.json.Encoder(decimal_format="string").encode
_tally = msgspec.json.Decoder(Tally).decode
_uses = msgspec.json.Decoder(dict[Side, SourceUse]).decode


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A run in the hands of whoever works on it."""

    id: str
    entity: Entity
    region: str
    authority: str
    other: str
    epoch: int
    phase: Phase
    actor: str
    scope: str
    cursor: str | None
    after: str
    previous: str | None
    read_authority: int
    read_mirror: int
    ranges: int
    skipped: int
    failures: int
    token: int
    next_at: int
    sources: Mapping[Side, SourceUse] = {}  #: a side that is not named is read through its system's adapter


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A record as a side showed it, to be kept while the run goes on."""

    record_id: str
    side: Side
    read_at: int
    digest: str
    document: str  #: JSON


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A judged range."""

    first: str
    last: str
    authority: str
    mirror: str
    clean: bool
    skipped: bool
    tally: Tally


def claim(connection: Connection, *, now: int, lease: int, only: str | None = None) -> Work | None:
    """The run that has been due for longest and that nobody holds."""
    query = (
        select(reconcile_run.c.id)
        .where(
            reconcile_run.c.state == "running",
            reconcile_run.c.next_at <= now,
            func.coalesce(reconcile_run.c.lease_until, 0) <= now,
        )
        .order_by(reconcile_run.c.next_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if only is not None:
        query = query.where(reconcile_run.c.id == only)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        return None
    row = connection.execute(
        update(reconcile_run)
        .where(reconcile_run.c.id == found)
        .values(token=reconcile_run.c.token + 1, lease_until=now + lease)
        .returning(*reconcile_run.c)
    ).one()
    return _work(row)


def advance(connection: Connection, work: Work, *, now: int, **values: Any) -> Work:
    """Writes how far the run has come. Raises Lost, which rolls the whole step back."""
    row = connection.execute(
        update(reconcile_run)
        .where(
            reconcile_run.c.id == work.id,
            reconcile_run.c.token == work.token,
            reconcile_run.c.state == "running",
        )
        .values(updated_at=now, **values)
        .returning(*reconcile_run.c)
    ).one_or_none()
    if row is None:
        raise Lost(work.id)
    return _work(row)


def keep_lease(connection: Connection, work: Work, *, until: int | None) -> bool:
    """Holds the run for longer, or lets go of it. False: somebody else has it."""
    done = connection.execute(
        update(reconcile_run)
        .where(reconcile_run.c.id == work.id, reconcile_run.c.token == work.token)
        .values(lease_until=until)
    )
    return done.rowcount == 1


def put_read(connection: Connection, run_id: str, rows: Sequence[Row], before: frozenset[str]) -> int:
    """Keeps what a side has shown; a record that was shown already is renewed. How many are new."""
    if not rows:
        return 0
    fresh = {one.record_id: one for one in rows}
    put_rows(
        connection,
        reconcile_row,
        [{"run_id": run_id, **msgspec.structs.asdict(one)} for one in fresh.values()],
        "run_id",
        "record_id",
        "side",
        renew=("read_at", "digest", "document"),
    )
    return len(fresh.keys() - before)


def shown(connection: Connection, run_id: str, side: Side, ids: Collection[str]) -> frozenset[str]:
    """Which of these records the side has shown already."""
    keys = [{"run_id": run_id, "record_id": one, "side": side} for one in sorted(ids)]
    return frozenset(row.record_id for row in rows_by_keys(connection, reconcile_row, keys, ("record_id",)))


def following(connection: Connection, work: Work) -> list[str]:
    """The ids of the records behind where matching has come to, in order: enough for one range."""
    rows = reconcile_row.c
    return list(
        connection.execute(
            select(rows.record_id)
            .where(rows.run_id == work.id, rows.record_id > work.after)
            .distinct()
            .order_by(rows.record_id)
            .limit(2 * SIZE)
        ).scalars()
    )


def cuts(connection: Connection, work: Work) -> list[str]:
    """Where the run before has cut behind here."""
    if work.previous is None:
        return []
    ranges = reconcile_range.c
    return list(
        connection.execute(
            select(ranges.last)
            .where(ranges.run_id == work.previous, ranges.last > work.after)
            .order_by(ranges.last)
            .limit(4)
        ).scalars()
    )


def digests(connection: Connection, work: Work, last: str) -> list[tuple[str, str, str]]:
    """(record id, side, digest) of the range up to ``last``, in order."""
    rows = reconcile_row.c
    found = connection.execute(
        select(rows.record_id, rows.side, rows.digest)
        .where(rows.run_id == work.id, rows.record_id > work.after, rows.record_id <= last)
        .order_by(rows.record_id, rows.side)
    )
    return [(row.record_id, row.side, row.digest) for row in found]


def documents(connection: Connection, work: Work, last: str) -> list[Row]:
    """What the range up to ``last`` holds, in order."""
    rows = reconcile_row.c
    found = connection.execute(
        select(reconcile_row)
        .where(rows.run_id == work.id, rows.record_id > work.after, rows.record_id <= last)
        .order_by(rows.record_id, rows.side)
    )
    return [
        Row(
            record_id=row.record_id,
            side=row.side,
            read_at=row.read_at,
            digest=row.digest,
            document=row.document,
        )
        for row in found
    ]


def range_before(connection: Connection, work: Work, last: str) -> Range | None:
    """The same range as the run before has judged it."""
    if work.previous is None:
        return None
    ranges = reconcile_range.c
    row = connection.execute(
        select(reconcile_range).where(
            ranges.run_id == work.previous, ranges.first == work.after, ranges.last == last
        )
    ).one_or_none()
    return None if row is None else _range(row)


def put_range(
    connection: Connection, work: Work, judged: Range, parted: Sequence[Parted], *, due_at: Mapping[str, int]
) -> None:
    """Keeps a judged range with the records of it that part, all of them suspected for now."""
    insert_rows(
        connection,
        reconcile_range,
        [
            {
                **msgspec.structs.asdict(judged),
                "run_id": work.id,
                "tally": encode(judged.tally).decode(),
            }
        ],
    )
    insert_rows(
        connection,
        reconcile_part,
        [
            {
                "run_id": work.id,
                "record_id": one.record_id,
                "kind": one.kind,
                "term": None,
                "why": one.covered,
                "read_at": one.read_at,
                "due_at": due_at[one.record_id],
                "tries": 0,
                "differences": encode(one.differences).decode(),
            }
            for one in parted
        ],
    )
    insert_rows(
        connection,
        reconcile_amount,
        [
            {
                "run_id": work.id,
                "record_id": one.record_id,
                "measure": amount.measure,
                "currency": amount.currency,
                "authority": format(amount.authority, "f"),
                "mirror": format(amount.mirror, "f"),
            }
            for one in parted
            for amount in one.amounts
        ],
    )


def tallies(connection: Connection, run_id: str) -> list[Tally]:
    """The tallies of a run's ranges."""
    ranges = reconcile_range.c
    rows = connection.execute(select(ranges.tally).where(ranges.run_id == run_id)).scalars()
    return [_tally(text) for text in rows]


def terms(connection: Connection, run_id: str) -> dict[Term | None, int]:
    """How many records each term has; None: suspected."""
    parts = reconcile_part.c
    rows = connection.execute(
        select(parts.term, func.count()).where(parts.run_id == run_id).group_by(parts.term)
    )
    return {None if row[0] is None else Term(row[0]): int(row[1]) for row in rows}


def previous_of(connection: Connection, entity: str, region: str, scope: str) -> str | None:
    """The last run of the slice that was seen through, if it compared in the same way."""
    runs = reconcile_run.c
    row = connection.execute(
        select(runs.id, runs.scope)
        .where(runs.entity == entity, runs.region == region, runs.state == "done")
        .order_by(runs.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None or row.scope != scope else row.id


def forget_ranges(connection: Connection, work: Work) -> None:
    """Ranges of earlier runs of the slice are of no use once a newer run is done."""
    runs, ranges = reconcile_run.c, reconcile_range.c
    older = select(runs.id).where(
        runs.entity == work.entity.name,
        runs.region == work.region,
        runs.id != work.id,
        runs.state != "running",
    )
    connection.execute(delete(reconcile_range).where(ranges.run_id.in_(older)))


def sweep(connection: Connection) -> int:
    """Deletes a piece of what an ended run had read. How many rows; 0: there is nothing left."""
    runs, rows = reconcile_run.c, reconcile_row.c
    run_id = connection.execute(
        select(runs.id)
        .where(runs.swept.is_(False), runs.state != "running")
        .order_by(runs.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).scalar_one_or_none()
    if run_id is None:
        return 0
    ids = list(
        connection.execute(
            select(rows.record_id).where(rows.run_id == run_id).order_by(rows.record_id).limit(SWEEP)
        ).scalars()
    )
    if ids:
        connection.execute(delete(reconcile_row).where(rows.run_id == run_id, rows.record_id <= ids[-1]))
    else:
        left.forget(connection, run_id)
        connection.execute(update(reconcile_run).where(runs.id == run_id).values(swept=True))
    return max(1, len(ids))


def _work(row: Any) -> Work:
    return Work(
        entity=BY_NAME[row.entity],
        phase=Phase(row.phase),
        sources=uses(row.sources),
        **{
            name: getattr(row, name)
            for name in Work.__struct_fields__
            if name not in ("entity", "phase", "sources")
        },
    )


def uses(stored: str | None) -> Mapping[Side, SourceUse]:
    """The sources of a run as its row has them."""
    return {} if stored is None else _uses(stored)


def _range(row: Any) -> Range:
    return Range(
        first=row.first,
        last=row.last,
        authority=row.authority,
        mirror=row.mirror,
        clean=bool(row.clean),
        skipped=bool(row.skipped),
        tally=_tally(row.tally),
    )
