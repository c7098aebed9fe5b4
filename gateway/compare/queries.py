"""What people ask about comparisons: lists, one in detail, and the summary by slice, field and class."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC
from decimal import Decimal
from typing import Any, cast

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, func, select

from gateway.compare import tables
from gateway.compare.observation import Diff, FieldSummary, Sample, SliceSummary, Uncompared
from gateway.compare.tolerance import EXACT
from gateway.compare.verdict import Verdict, Why
from gateway.database import from_micros

#: Verdicts under which the two sides say the same in the end.
CONSISTENT = (Verdict.MATCH, Verdict.EXPLAINED, Verdict.LATE)

_samples = msgspec.json.Decoder(tuple[Sample, ...]).decode
_names = msgspec.json.Decoder(tuple[str, ...]).decode
_money = msgspec.json.Decoder(dict[str, Decimal]).decode


def diffs(
    conn: Connection,
    *,
    entity: str | None = None,
    region: str | None = None,
    regions: frozenset[str] | None = None,
    verdict: str | None = None,
    field: str | None = None,
    record_id: str | None = None,
    since: int | None = None,
    resolved: bool | None = None,
    after: str | None = None,
    limit: int = 50,
) -> list[Diff]:
    """Kept results, the newest first, beginning behind the id ``after``. ``since``: microseconds UTC; a
    finding that was seen again since then is among them. ``regions``: those that the caller may see.
    ``field`` is a field such as ``lines[].amount``; a container stands for its members."""
    table = tables.diff
    wanted: list[ColumnElement[bool]] = []
    for column, value in (
        (table.c.entity, entity),
        (table.c.region, region),
        (table.c.verdict, verdict),
        (table.c.record_id, record_id),
    ):
        if value is not None:
            wanted.append(column == value)
    if regions is not None:
        wanted.append(table.c.region.in_(sorted(regions)))
    if since is not None:
        wanted.append(table.c.last_at >= since)
    if resolved is not None:
        wanted.append(table.c.resolved_at.is_not(None) if resolved else table.c.resolved_at.is_(None))
    if after is not None:
        wanted.append(table.c.id < after)
    if field is not None:
        about = tables.diff_field
        inside = (
            (about.c.field == field)
            | about.c.field.startswith(field + ".", autoescape=True)
            | about.c.field.startswith(field + "[", autoescape=True)
        )
        wanted.append(table.c.id.in_(select(about.c.diff_id).where(inside)))
    rows = conn.execute(select(table).where(*wanted).order_by(table.c.id.desc()).limit(limit)).mappings()
    return [_diff(dict(row)) for row in rows]


def diff(conn: Connection, id_: str) -> Diff | None:
    """One kept result."""
    row = conn.execute(select(tables.diff).where(tables.diff.c.id == id_)).mappings().one_or_none()
    return None if row is None else _diff(dict(row))


def summary(
    conn: Connection,
    *,
    entity: str | None = None,
    region: str | None = None,
    regions: frozenset[str] | None = None,
    since: int | None = None,
) -> list[SliceSummary]:
    """What was found, by slice. Counters are kept by day, so ``since`` counts from the beginning of its day
    (UTC)."""
    day = None if since is None else from_micros(since).astimezone(UTC).date().isoformat()

    def wanted(table: Table) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        if entity is not None:
            conditions.append(table.c.entity == entity)
        if region is not None:
            conditions.append(table.c.region == region)
        if regions is not None:
            conditions.append(table.c.region.in_(sorted(regions)))
        if day is not None and "day" in table.c:
            conditions.append(table.c.day >= day)
        return conditions

    outcomes: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    table = tables.compare_counter
    grouped = (table.c.entity, table.c.region, table.c.outcome)
    for row in conn.execute(
        select(*grouped, func.sum(table.c.count)).where(*wanted(table)).group_by(*grouped)
    ):
        outcomes[row[0], row[1]][row[2]] = int(row[3])

    counts: defaultdict[tuple[str, str], list[tuple[tuple[str, str, str], int]]] = defaultdict(list)
    table = tables.field_counter
    fields = _by_field(table)
    for row in conn.execute(select(*fields, func.sum(table.c.count)).where(*wanted(table)).group_by(*fields)):
        counts[row[0], row[1]].append(((row[2], row[3], row[4]), int(row[5])))

    money: defaultdict[tuple[str, ...], dict[str, Decimal]] = defaultdict(dict)
    table = tables.stake_counter
    for row in conn.execute(
        select(*_by_field(table), table.c.currency, table.c.amount).where(*wanted(table))
    ):
        sums = money[tuple(row[:5])]
        sums[row[5]] = EXACT.add(sums.get(row[5], Decimal(0)), Decimal(row[6]))

    examples: dict[tuple[str, ...], str] = {}
    table = tables.diff_field
    fields = _by_field(table)
    for row in conn.execute(
        select(*fields, func.max(table.c.diff_id)).where(*wanted(table)).group_by(*fields)
    ):
        examples[tuple(row[:5])] = row[5]

    parted: dict[tuple[str, str], int] = {}
    table = tables.diff
    still = (table.c.verdict == Verdict.MISMATCH, table.c.resolved_at.is_(None))
    by_slice = (table.c.entity, table.c.region)
    for row in conn.execute(
        select(*by_slice, func.count(table.c.record_id.distinct()))
        .where(*wanted(table), *still)
        .group_by(*by_slice)
    ):
        parted[row[0], row[1]] = int(row[2])

    found: list[SliceSummary] = []
    for key in sorted(outcomes.keys() | counts.keys()):
        verdicts = {verdict.value: outcomes[key].get(verdict, 0) for verdict in Verdict}
        compares = sum(verdicts.values())
        found.append(
            SliceSummary(
                entity=key[0],
                region=key[1],
                compares=compares,
                verdicts=verdicts,
                uncompared={word.value: outcomes[key].get(word, 0) for word in Uncompared},
                consistency=sum(verdicts[verdict] for verdict in CONSISTENT) / compares if compares else None,
                open_mismatches=parted.get(key, 0),
                fields=tuple(
                    FieldSummary(
                        field=field,
                        kind=kind,
                        verdict=verdict,
                        count=count,
                        share=count / compares if compares else 0.0,
                        money=money.get((*key, field, kind, verdict), {}),
                        example=examples.get((*key, field, kind, verdict)),
                    )
                    for (field, kind, verdict), count in sorted(
                        counts[key], key=lambda found: (-found[1], found[0])
                    )
                ),
            )
        )
    return found


def _by_field(table: Table) -> tuple[Any, ...]:
    return table.c.entity, table.c.region, table.c.field, table.c["class"], table.c.verdict


def _diff(row: dict[str, Any]) -> Diff:
    fields: dict[str, Any] = {
        **row,
        "verdict": Verdict(row["verdict"]),
        "why": None if row["why"] is None else Why(row["why"]),
        "differences": _samples(cast("str", row["differences"])),
        "not_compared": _names(cast("str", row["not_compared"])),
        "money": _money(cast("str", row["money"])),
    }
    return Diff(**fields)
