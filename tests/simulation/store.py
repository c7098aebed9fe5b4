"""The database that all replicas share: in-memory SQLite, asked through SQLAlchemy as ``gateway.database.Database`` is.

One connection and one writer: each unit runs as a whole, at a moment that the seed decides, so this is a serialisable
store. What only weaker isolation can do (two units that interleave statement by statement) is not simulated here; the
integration tests on a real server are for that. Before and after a unit its replica waits, so that all others come in
between. A unit that was on its way when its replica died or froze is still done, as a COMMIT in flight would be.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextvars import copy_context
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

import gateway.access.tables
import gateway.audit.tables
import gateway.cases.tables
import gateway.compare.tables
import gateway.crosswalk.tables
import gateway.dispatch.replay_tables
import gateway.ledger.pressure_tables
import gateway.ledger.tables  # noqa: F401 - each brings its tables to the metadata
from gateway.database import to_micros
from gateway.database.metadata import metadata
from gateway.errors import StoreUnavailable
from tests.simulation.loop import Loop, Process, SimClock

T = TypeVar("T")


#: More than the program has: each is compiled once in a process, by SQLAlchemy and by SQLite.
STATEMENTS = 4_000


class _Server:
    """The SQLite connection of this operating system process: made once, so that statements stay compiled, and
    emptied for each history."""

    def __init__(self) -> None:
        self.raw = sqlite3.connect(
            ":memory:", isolation_level=None, check_same_thread=False, cached_statements=STATEMENTS
        )
        # No event is listened to: SQLAlchemy asks for listeners at every statement once an engine has one.
        self.engine = create_engine(
            "sqlite://", creator=lambda: self.raw, poolclass=StaticPool, query_cache_size=STATEMENTS
        )
        self.connection = self.engine.connect()
        #: for units that only read: each of their statements by itself, as on a server
        self.reading = self.engine.connect()
        with self.connection.begin():
            metadata.create_all(self.connection)

    def empty(self) -> Connection:
        names = self.raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            self.raw.execute(f'DELETE FROM "{name}"')  # numbers that the database gives begin anew, too
        return self.connection


_server: _Server | None = None

#: What an idle loop asks first; a yes may be wrong, a no is not. Each real look costs more than all else in a history.
DUE = {
    "deliveries": "SELECT 1 FROM lane WHERE wake_at <= :now AND inflight IS NULL LIMIT 1",
    "unknown outcomes": """
        SELECT 1 FROM delivery WHERE state = 'unknown' AND wake_at <= :now
        UNION ALL SELECT 1 FROM delivery WHERE state = 'sending' AND lease_until <= :now LIMIT 1""",
    "fences": "SELECT 1 FROM slice WHERE draining LIMIT 1",
    "left behind": """
        SELECT 1 FROM delivery WHERE state = 'parked' AND code IN ('stranded', 'stranded_absent') LIMIT 1""",
    "backfills": """
        SELECT 1 FROM backfill_run WHERE state IN ('running', 'verifying') AND next_at <= :now LIMIT 1""",
    "merges": "SELECT 1 FROM record_merge WHERE state = 'done' LIMIT 1",
    "comparisons": "SELECT 1 FROM compare_job WHERE due_at <= :now LIMIT 1",
    "uncertain": "SELECT 1 FROM delivery WHERE state IN ('sending', 'unknown') LIMIT 1",
    "anything": "SELECT 1 FROM delivery WHERE state IN ('ready', 'sending', 'unknown', 'blocked') LIMIT 1",
}

#: The same where a lane rests or its system's gate is shut: of such looks, which claim nothing unless a guard of the
#: claim is broken, a part is made all the same. A history looks several times a second, so a broken guard still shows.
CLAIMABLE = {
    "deliveries": """
        SELECT 1 FROM lane WHERE wake_at <= :now AND inflight IS NULL
        AND (quiet_until IS NULL OR quiet_until <= :now) AND NOT EXISTS
        (SELECT 1 FROM target_gate WHERE target_gate.system = lane.system AND until > :now) LIMIT 1""",
}
LOOKS_ALL_THE_SAME = 0.25


class StoreFaults:
    """What may go wrong with the store. Probabilities per transaction; ``away_until`` on the loop's clock."""

    def __init__(self) -> None:
        self.away_until = 0.0
        self.commit_lost = 0.0  #: committed, and nobody was told
        self.commit_failed = 0.0  #: not committed, and nobody was told
        self.slow = 0.0
        #: what becomes of the next commits, in order: "lost" or "failed", for histories made by hand
        self.script: list[str] = []
        self.counted: Counter[str] = Counter()

    def end(self) -> None:
        self.away_until = self.commit_lost = self.commit_failed = self.slow = 0.0
        self.script.clear()


class Store:
    """The server's side: one connection, one clock, units one after the other."""

    def __init__(self, loop: Loop, rng: random.Random) -> None:
        global _server
        _server = _server or _Server()
        self.loop = loop
        self.rng = rng
        self.process = Process("store")
        self.clock = SimClock(loop)
        self.faults = StoreFaults()
        self.raw = _server.raw
        self._connection = _server.empty()
        self._reading = _server.reading
        self._context = loop.context_of(self.process)
        self.units = 0

    def run(self, unit: Callable[[Connection], T]) -> T:
        """One unit, now, in one commit."""
        self.units += 1
        with self._connection.begin():
            self.raw.execute("BEGIN IMMEDIATE")
            return unit(self._connection)

    def look(self, unit: Callable[[Connection], T]) -> T:
        """One unit that only reads."""
        self.units += 1
        return unit(self._reading)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """What a statement selects, past SQLAlchemy."""
        cursor = self.raw.execute(statement)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def now(self) -> int:
        """Microseconds on the clock that leases are judged by."""
        return to_micros(self.clock.now())

    def may_be_due(self, what: str, clock: SimClock) -> bool:
        """Whether a loop over ``what`` may have something to do. Asked past SQLAlchemy, which is most of the cost."""
        now = {"now": to_micros(clock.now())}
        if self.raw.execute(DUE[what], now).fetchone() is None:
            return False
        claimable = CLAIMABLE.get(what)
        if claimable is None or self.raw.execute(claimable, now).fetchone() is not None:
            return True
        return self.rng.random() < LOOKS_ALL_THE_SAME

    def ask(self, unit: Callable[[Connection], Any], future: asyncio.Future[Any], *, writes: bool) -> None:
        """Runs a unit in a moment, and settles ``future`` a moment later in the process that asks."""
        rng, faults, loop = self.rng, self.faults, self.loop
        asker = copy_context()
        going = 0.0005 + rng.random() * 0.002
        if faults.slow and rng.random() < faults.slow:
            faults.counted["store slow"] += 1
            going += rng.random() * 3.0
        loop.call_at(loop.time() + going, self._do, unit, future, asker, writes, context=self._context)

    def _do(
        self, unit: Callable[[Connection], Any], future: asyncio.Future[Any], asker: Any, writes: bool
    ) -> None:
        rng, faults, loop = self.rng, self.faults, self.loop
        result: Any = None
        raised: BaseException | None = None
        fate = faults.script.pop(0) if writes and faults.script else ""
        if loop.time() < faults.away_until:
            faults.counted["store away"] += 1
            raised = StoreUnavailable("away")
        elif writes and (fate == "failed" or (faults.commit_failed and rng.random() < faults.commit_failed)):
            faults.counted["commit failed, answer lost"] += 1
            raised = StoreUnavailable("commit lost")
        else:
            try:
                result = self.run(unit) if writes else self.look(unit)
            except DBAPIError as failed:
                raised = failed
            except Exception as failed:  # noqa: BLE001 - the unit's own error goes to whoever asked
                raised = failed
            else:
                if writes and (fate == "lost" or (faults.commit_lost and rng.random() < faults.commit_lost)):
                    faults.counted["committed, answer lost"] += 1
                    raised = StoreUnavailable("commit lost")
        back = 0.0005 + rng.random() * 0.002
        loop.call_at(loop.time() + back, _settle, future, result, raised, context=asker)


def _settle(future: asyncio.Future[Any], result: Any, raised: BaseException | None) -> None:
    if future.done():
        return
    if raised is None:
        future.set_result(result)
    else:
        future.set_exception(raised)


class SimDatabase:
    """``gateway.database.Database`` of one replica. ``embedded``: the one process of a SQLite journal."""

    def __init__(self, store: Store, clock: SimClock, *, embedded: bool = False) -> None:
        self.url = make_url("sqlite://")
        self.clock = clock
        self.sqlite = embedded
        self.open = True
        self._store = store

    async def transaction(self, unit: Callable[[Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._store.ask(unit, future, writes=True)
        return await future

    async def read(self, unit: Callable[[Connection], T]) -> T:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._store.ask(unit, future, writes=False)
        return await future

    async def glance(self, unit: Callable[[Connection], T]) -> T:
        return await self.read(unit)

    def now(self, connection: Connection) -> int:
        """The clock that leases are judged by: the server's, as on PostgreSQL; this process's where it is alone."""
        return to_micros((self.clock if self.sqlite else self._store.clock).now())

    def start(self) -> None: ...

    async def close(self) -> None: ...
