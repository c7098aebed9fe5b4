"""The loop that looks, once a minute, whether the journal keeps its laws.

Any number of processes may run it. On PostgreSQL one looks at a time and the others leave that round out; each goes on
where it stopped itself, so its own figures are about the whole journal. A broken law is told in the log and in the
figures and changes nothing else: see ``gateway.ledger.invariants``.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, text

from gateway.database import Database
from gateway.database.rows import analyze_grown
from gateway.ledger import invariants
from gateway.ledger.invariants import INVARIANTS, LAST, Extent
from gateway.telemetry import Log, Metrics

EVERY_S = 60.0
#: Record ids in one line of the log.
TOLD = 20
#: Events that the first look of a process goes through: a start has more to do, and the walk finds the rest.
FIRST_EVENTS = 20_000

#: Any number that no slice's lock has; those are larger than 2^60 but for a few.
_ONE_AT_A_TIME = text("SELECT pg_try_advisory_xact_lock(7405)")


class Invariants:
    """``broken`` is what the last look found: the records by law, none where a law holds."""

    def __init__(self, *, database: Database, metrics: Metrics, log: Log) -> None:
        self._database = database
        self._metrics = metrics
        self._log = log
        self._after = 0
        self._next_after: int | None = None
        self._swept = ""
        self.broken: Mapping[str, tuple[str, ...]] = {one.name: () for one in INVARIANTS}
        for one in INVARIANTS:
            # A figure that is there from the start can be watched for any rise.
            metrics.invariant_violations.labels(one.name)
            metrics.invariant_broken.labels(one.name).set(0)

    async def run_once(self) -> int:
        """Looks once. Returns how many laws are broken; 0 also where another process is looking."""
        if self._database.sqlite:
            looked = await self._database.read(self._look)
        else:
            # The lock ends with its transaction, and so does that of the tables that are counted.
            await self._database.transaction(self._count_alone)
            looked = await self._database.transaction(self._look_alone)
        if looked is None:
            return 0
        seen, broken = looked
        self._tell(broken)
        # The next look begins where this one began to be new, so each event is looked at twice: a commit that was
        # under way may have left its positions below those that are there already.
        self._after = seen.after if self._next_after is None else self._next_after
        self._next_after = seen.upto
        self._swept = "" if seen.until == LAST else seen.until
        return sum(1 for records in broken.values() if records)

    def _count_alone(self, connection: Connection) -> None:
        if connection.execute(_ONE_AT_A_TIME).scalar_one():
            analyze_grown(connection, invariants.TABLES)

    def _look_alone(self, connection: Connection) -> tuple[Extent, dict[str, tuple[str, ...]]] | None:
        alone = connection.execute(_ONE_AT_A_TIME).scalar_one()
        return self._look(connection) if alone else None

    def _look(self, connection: Connection) -> tuple[Extent, dict[str, tuple[str, ...]]]:
        seen = invariants.extent(
            connection,
            after=self._after,
            swept=self._swept,
            records=invariants.SWEPT,
            events=FIRST_EVENTS if self._next_after is None else invariants.EVENTS,
        )
        return seen, invariants.broken(connection, seen, now=self._database.now(connection))

    def _tell(self, broken: Mapping[str, tuple[str, ...]]) -> None:
        for one in INVARIANTS:
            records = broken[one.name]
            new = set(records).difference(self.broken[one.name])
            self._metrics.invariant_broken.labels(one.name).set(len(records))
            self._metrics.invariant_violations.labels(one.name).inc(len(new))
            if records:
                self._log.error(
                    "the journal breaks a law",
                    invariant=one.name,
                    law=one.law,
                    records=list(records[:TOLD]),
                    count=len(records),
                    new=len(new),
                )
        self.broken = broken
