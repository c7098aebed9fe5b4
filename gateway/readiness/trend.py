"""How comparing a slice came out, day by day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
from sqlalchemy import Connection, func, select

from gateway.compare import tables as compare
from gateway.compare.verdict import Verdict
from gateway.database import from_micros

DAYS = 30


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """One day (UTC): comparisons by how they ended."""

    day: str
    match: int = 0
    explained: int = 0
    late: int = 0
    mismatch: int = 0
    unverifiable: int = 0

    @property
    def compares(self) -> int:
        return self.match + self.explained + self.late + self.mismatch + self.unverifiable


def trend(connection: Connection, entity: str, region: str, *, now: int) -> Sequence[Day]:
    """The last days up to the day of ``now``, each there whether anything was compared or not."""
    last = from_micros(now).date()
    days = [(last - timedelta(days=back)).isoformat() for back in reversed(range(DAYS))]
    table = compare.compare_counter
    counts: dict[str, dict[str, int]] = {}
    for row in connection.execute(
        select(table.c.day, table.c.outcome, func.sum(table.c.count).label("times"))
        .where(table.c.entity == entity, table.c.region == region, table.c.day >= days[0])
        .group_by(table.c.day, table.c.outcome)
    ):
        counts.setdefault(row.day, {})[row.outcome] = int(row.times)
    return [
        Day(day=day, **{verdict.value: counts.get(day, {}).get(verdict, 0) for verdict in Verdict})
        for day in days
    ]
