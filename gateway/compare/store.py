"""Writes what comparisons found, and answers what people ask about it. Struct in, Struct out.

Counters are exact; of what was found, samples are kept. At most ``sample_cap`` results of a (slice, field,
class, verdict) and day keep their values. A mismatch or an unverifiable beyond that keeps its row without
values, because somebody has to repair that record; an explained or a late one beyond it is only counted. What a
waiver has a part in is always kept, because it has to be found again when that is over. The same finding on the
same record is one row that says how often it was seen, and its money counts once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Connection, bindparam, select, tuple_, update

from gateway.compare import tables
from gateway.compare.jobs import schedule, upsert
from gateway.compare.observation import CompareJob, Result
from gateway.compare.tally import FieldKey, Tally, field_keys
from gateway.compare.tolerance import EXACT
from gateway.compare.verdict import Verdict
from gateway.compare.waiver import is_waived

__all__ = ["CompareJob", "record", "schedule"]

#: Differences of one result that are kept with their values; all are counted.
KEPT_DIFFERENCES = 100
#: Keys in one IN list; SQLite of any build takes this many parameters.
CHUNK = 500
#: Verdicts that settle what was open about a record. *Unverifiable* settles nothing.
SETTLING = frozenset(Verdict) - {Verdict.UNVERIFIABLE}
#: Verdicts of which every record keeps a row, whatever the cap.
ALWAYS_KEPT = frozenset({Verdict.MISMATCH, Verdict.UNVERIFIABLE})

_encode = msgspec.json.Encoder().encode
_Finding = tuple[str, str, str]  # record, verdict, fingerprint
T = TypeVar("T")


def record(conn: Connection, results: Sequence[Result], tally: Tally, *, sample_cap: int) -> None:
    """Writes ``results`` and everything in ``tally`` (which must not hold these results yet) in this
    transaction."""
    counted = Tally()
    counted.add(tally)
    kept: Counter[FieldKey] = Counter()
    if results:
        for result in results:
            counted.result(result)
        fresh = _write_rows(conn, results, kept, sample_cap)
        _add_stakes(conn, fresh)
    if counted.agreed:
        _resolve_agreed(conn, counted.agreed)
    _count(conn, counted, kept)


def _write_rows(
    conn: Connection, results: Sequence[Result], kept: Counter[FieldKey], sample_cap: int
) -> list[Result]:
    """Writes the rows, and returns the results that tell something new."""
    open_: dict[str, dict[_Finding, tuple[str, int]]] = defaultdict(dict)
    for row in _open_rows(conn, {result.record_id for result in results}):
        open_[row.record_id][row.record_id, row.verdict, row.fingerprint] = row.id, row.last_at
    ended: list[dict[str, Any]] = []
    again: dict[str, dict[str, Any]] = {}
    new: dict[_Finding, Result] = {}
    times: Counter[_Finding] = Counter()
    for result in results:
        finding = result.record_id, result.verdict, result.fingerprint
        if result.verdict in SETTLING:
            ended.extend(
                {"row": id_, "ended": result.at, "by": result.verdict}
                for other, (id_, last_at) in open_[result.record_id].items()
                if other != finding and last_at <= result.at
            )
        if result.verdict is Verdict.MATCH:
            continue
        known = open_[result.record_id].get(finding)
        if known is not None:
            seen = again.setdefault(known[0], {"row": known[0], "seen": result.at, "more": 0})
            seen["seen"] = max(seen["seen"], result.at)
            seen["more"] += 1
        else:
            new.setdefault(finding, result)
            times[finding] += 1
    if ended:
        conn.execute(_END, sorted(ended, key=_row_id))
    if again:
        conn.execute(_AGAIN, sorted(again.values(), key=_row_id))
    if new:
        _insert(conn, new, times, kept, sample_cap)
    return list(new.values())


def _insert(
    conn: Connection,
    new: dict[_Finding, Result],
    times: Counter[_Finding],
    kept: Counter[FieldKey],
    sample_cap: int,
) -> None:
    quota = _quota(conn, {key for result in new.values() for key in field_keys(result)})
    rows: list[dict[str, Any]] = []
    fields: list[dict[str, Any]] = []
    for finding, result in new.items():
        keys = field_keys(result)
        # One field still short of examples is reason enough to keep the whole result.
        shown = any(quota[key] < sample_cap for key in keys) or not keys or is_waived(result)
        if not shown and result.verdict not in ALWAYS_KEPT:
            continue
        if shown:
            quota.update(keys)
            kept.update(keys)
        rows.append(_row(result, times[finding], shown=shown))
        fields.extend(
            {
                "diff_id": result.id,
                "field": key[3],
                "class": key[4],
                "verdict": key[5],
                "entity": result.entity,
                "region": result.region,
            }
            for key in keys
        )
    if rows:
        # Another process may have found the same at the same moment; its row then stands for both.
        conn.execute(upsert(conn, tables.diff).on_conflict_do_nothing(), rows)
    if fields:
        conn.execute(tables.diff_field.insert(), fields)


def _row(result: Result, times: int, *, shown: bool) -> dict[str, Any]:
    samples = result.samples[:KEPT_DIFFERENCES] if shown else ()
    over = result.verdict is Verdict.LATE
    return {
        "id": result.id,
        "record_id": result.record_id,
        "entity": result.entity,
        "region": result.region,
        "verdict": result.verdict,
        "why": result.why,
        "authority": result.authority,
        "other": result.other,
        "stage": result.stage,
        "operation_id": result.operation_id,
        "origin": result.origin,
        "rechecks": result.rechecks,
        "fingerprint": result.fingerprint,
        "differences": _encode(samples).decode(),
        "difference_count": len(result.samples),
        "not_compared": _encode(result.not_compared).decode(),
        "money": _encode(result.money).decode(),
        "at": result.at,
        "last_at": result.at,
        "times": times,
        "resolved_at": result.at if over else None,
        "resolved_by": result.verdict if over else None,
    }


def _open_rows(conn: Connection, record_ids: Iterable[str]) -> Iterator[Any]:
    table = tables.diff
    for chunk in _chunks(sorted(record_ids)):
        yield from conn.execute(
            select(
                table.c.id, table.c.record_id, table.c.verdict, table.c.fingerprint, table.c.last_at
            ).where(table.c.record_id.in_(chunk), table.c.resolved_at.is_(None))
        )


def _resolve_agreed(conn: Connection, agreed: dict[str, tuple[int, Verdict]]) -> None:
    ended: list[dict[str, Any]] = []
    for row in _open_rows(conn, agreed):
        at, verdict = agreed[row.record_id]
        # What was found after this read is newer than what the read saw; and what is explained stays
        # explained.
        if row.last_at <= at and row.verdict != verdict:
            ended.append({"row": row.id, "ended": at, "by": verdict})
    if ended:
        conn.execute(_END, sorted(ended, key=_row_id))


def end(conn: Connection, record_id: str, *, at: int, how: str) -> None:
    """Ends what was found of a record that has no sides to be compared any more."""
    table = tables.diff
    conn.execute(
        update(table)
        .where(table.c.record_id == record_id, table.c.resolved_at.is_(None))
        .values(resolved_at=at, resolved_by=how)
    )


def _quota(conn: Connection, keys: set[FieldKey]) -> Counter[FieldKey]:
    found: Counter[FieldKey] = Counter()
    table = tables.field_counter
    columns = [table.c[name] for name in _FIELD_KEY]
    for chunk in _chunks(sorted(keys), CHUNK // len(columns)):
        for row in conn.execute(select(*columns, table.c.samples).where(tuple_(*columns).in_(chunk))):
            found[cast("FieldKey", tuple(row[:-1]))] = row[-1]
    return found


def _count(conn: Connection, tally: Tally, kept: Counter[FieldKey]) -> None:
    if tally.outcomes:
        statement = upsert(conn, tables.compare_counter)
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=list(_OUTCOME_KEY),
                set_={"count": tables.compare_counter.c.count + statement.excluded.count},
            ),
            [
                {**dict(zip(_OUTCOME_KEY, key, strict=True)), "count": count}
                for key, count in sorted(tally.outcomes.items())
            ],
        )
    if tally.fields:
        table = tables.field_counter
        statement = upsert(conn, table)
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=list(_FIELD_KEY),
                set_={
                    "count": table.c.count + statement.excluded.count,
                    "samples": table.c.samples + statement.excluded.samples,
                },
            ),
            [
                {**dict(zip(_FIELD_KEY, key, strict=True)), "count": count, "samples": kept[key]}
                for key, count in sorted(tally.fields.items())
            ],
        )


def _add_stakes(conn: Connection, results: Sequence[Result]) -> None:
    more: dict[tuple[str, ...], Decimal] = {}
    for result in results:
        for sample in result.samples:
            if sample.stake is not None and sample.stake.amount:
                verdict = result.verdict if sample.explained is None else "explained"
                key = (
                    result.day,
                    result.entity,
                    result.region,
                    sample.field,
                    sample.kind,
                    verdict,
                    sample.stake.currency,
                )
                more[key] = EXACT.add(more.get(key, Decimal(0)), sample.stake.amount)
    if not more:
        return
    table = tables.stake_counter
    columns = [table.c[name] for name in _STAKE_KEY]
    keys = sorted(more)
    named = [dict(zip(_STAKE_KEY, key, strict=True)) for key in keys]
    conn.execute(upsert(conn, table).on_conflict_do_nothing(), [{**row, "amount": "0"} for row in named])
    found: dict[tuple[str, ...], Decimal] = {}
    for chunk in _chunks(keys, CHUNK // len(columns)):
        locked = (
            select(*columns, table.c.amount)
            .where(tuple_(*columns).in_(chunk))
            .order_by(*columns)
            .with_for_update()
        )
        for row in conn.execute(locked):
            found[tuple(row[:-1])] = Decimal(row[-1])
    conn.execute(
        update(table)
        .where(*(table.c[name] == bindparam(f"key_{name}") for name in _STAKE_KEY))
        .values(amount=bindparam("sum")),
        [
            {
                **{f"key_{name}": value for name, value in row.items()},
                "sum": str(EXACT.add(found[key], more[key])),
            }
            for key, row in zip(keys, named, strict=True)
        ],
    )


def _chunks(items: Sequence[T], size: int = CHUNK) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _row_id(row: dict[str, Any]) -> str:
    return row["row"]


_OUTCOME_KEY = ("day", "entity", "region", "outcome")
_FIELD_KEY = ("day", "entity", "region", "field", "class", "verdict")
_STAKE_KEY = (*_FIELD_KEY, "currency")

_END = (
    update(tables.diff)
    .where(tables.diff.c.id == bindparam("row"), tables.diff.c.resolved_at.is_(None))
    .values(resolved_at=bindparam("ended"), resolved_by=bindparam("by"))
)
_AGAIN = (
    update(tables.diff)
    .where(tables.diff.c.id == bindparam("row"))
    .values(last_at=bindparam("seen"), times=tables.diff.c.times + bindparam("more"))
)
