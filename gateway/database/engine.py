"""Runs units: on SQLite in one writer thread, on PostgreSQL through asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from gateway.clock import Clock
from gateway.database.metadata import to_micros
from gateway.errors import StoreUnavailable

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")

#: Units that one SQLite commit may carry. A FULL commit costs about half a millisecond; beyond 64 sharing saves
#: nothing.
SHARED_UNITS = 64

_Job = tuple[Callable[[Connection], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Database:
    """The store of one process. ``start()`` before use, ``close()`` at the end.

    ``read_threads`` and ``pool_size`` bound what this process asks of the database at once.
    """

    def __init__(self, url: str, *, clock: Clock, pool_size: int = 8, read_threads: int = 2) -> None:
        self.url = make_url(url)
        self.clock = clock
        self.sqlite = self.url.get_backend_name() == "sqlite"
        self._pool_size = pool_size
        self._read_threads = read_threads
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._sync: Engine | None = None
        self._async: AsyncEngine | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._glances: Connection | None = None

    def start(self) -> None:
        """Opens the database. On SQLite it also takes the folder's lock through the writer's first connection."""
        if self.sqlite:
            self._sync = sqlite_engine(self.path)
            self._readers = ThreadPoolExecutor(self._read_threads, thread_name_prefix="sqlite-read")
            self._glances = self._sync.connect().execution_options(readonly=True, autonomous=True)
            self._writer = threading.Thread(target=self._write_loop, name="sqlite-write", daemon=True)
            self._writer.start()
        else:
            # It brings SQLAlchemy's whole ORM along, a seventh of the start of a process that only needs SQLite.
            from sqlalchemy.ext.asyncio import create_async_engine

            self._async = create_async_engine(
                self.url.set(drivername="postgresql+asyncpg"),
                pool_size=self._pool_size,
                max_overflow=0,
                pool_pre_ping=False,
                pool_use_lifo=True,
                connect_args={
                    "timeout": 5,
                    "server_settings": {
                        "statement_timeout": "15000",
                        "lock_timeout": "5000",
                        "idle_in_transaction_session_timeout": "20000",
                        "application_name": "twinrun",
                        **_PLANS,
                    },
                },
            )

    async def close(self) -> None:
        if self._writer is not None:
            self._jobs.put(None)
            await asyncio.to_thread(self._writer.join)
            self._writer = None
        if self._glances is not None:
            self._glances.close()
            self._glances = None
        if self._readers is not None:
            self._readers.shutdown(wait=True)
            self._readers = None
        if self._sync is not None:
            self._sync.dispose()
            self._sync = None
        if self._async is not None:
            await self._async.dispose()
            self._async = None

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.database or "twinrun.db")

    async def transaction(self, unit: Callable[[Connection], T]) -> T:
        """Runs ``unit`` in a transaction that is on disk when this returns. What it raises rolls it back.

        Raises StoreUnavailable when the database cannot be reached.
        """
        if self.sqlite:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[T] = loop.create_future()
            self._jobs.put((unit, future, loop))
            return await future
        if self._async is None:
            raise StoreUnavailable("the database is not open")
        with _lost_told():
            async with self._async.begin() as connection:
                return await connection.run_sync(unit)

    async def read(self, unit: Callable[[Connection], T]) -> T:
        """Runs ``unit``, which only reads, against what is committed now."""
        if self.sqlite:
            if self._readers is None:
                raise StoreUnavailable("the database is not open")
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read_sync, unit)
        if self._async is None:
            raise StoreUnavailable("the database is not open")
        with _lost_told():
            async with self._async.connect() as connection:
                # A read is one statement or a few that may each see a newer commit; no transaction block is
                # opened for it, which saves two round trips.
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                return await connection.run_sync(unit)

    async def glance(self, unit: Callable[[Connection], T]) -> T:
        """``read`` for a look by key that takes microseconds: on SQLite it is done where it is asked for, because
        going to a thread and back costs more than the look (measured: a fifth of the CPU time of a routed read)."""
        if not self.sqlite:
            return await self.read(unit)
        if self._glances is None:
            raise StoreUnavailable("the database is not open")
        return unit(self._glances)

    def now(self, connection: Connection) -> int:
        """Microseconds on the clock that leases are judged by: the server's own on PostgreSQL, this process's on
        SQLite, where there is only one process."""
        if self.sqlite:
            return to_micros(self.clock.now())
        return int(connection.execute(_SERVER_CLOCK).scalar_one())

    def _read_sync(self, unit: Callable[[Connection], T]) -> T:
        assert self._sync is not None
        with self._sync.connect().execution_options(readonly=True) as connection:
            return unit(connection)

    def _write_loop(self) -> None:
        """The one writer of a SQLite database. Takes what waits, commits it together, answers each."""
        assert self._sync is not None
        with self._sync.connect() as connection:
            while (job := self._jobs.get()) is not None:
                batch = [job]
                stop = False
                while len(batch) < SHARED_UNITS:
                    try:
                        more = self._jobs.get_nowait()
                    except queue.Empty:
                        break
                    if more is None:
                        stop = True
                        break
                    batch.append(more)
                _run_shared(connection, batch)
                if stop:
                    break


@contextlib.contextmanager
def _lost_told() -> Generator[None]:
    """A server that cannot be reached, or is lost on the way, is StoreUnavailable; whether a COMMIT that was under way
    has happened nobody knows then."""
    try:
        yield
    except (OSError, InterfaceError, TimeoutError) as lost:
        raise StoreUnavailable(type(lost).__name__) from lost
    except DBAPIError as lost:
        if lost.connection_invalidated or isinstance(lost, OperationalError) or says_not_now(lost.orig):
            raise StoreUnavailable(type(lost.orig).__name__) from lost
        raise


#: What a PostgreSQL says that is there and serves nobody: it starts, stops or recovers (57P), has no connection or no
#: room left for one (53), or has lost the one that we had (08).
_NOT_NOW = ("57P", "53", "08")


def says_not_now(told: object) -> bool:
    """Whether an error of the driver's tells of a PostgreSQL that may serve later."""
    # The driver's adapter knows few of these by name and hands the others on as errors of no kind.
    return (getattr(told, "sqlstate", None) or "").startswith(_NOT_NOW)


def _run_shared(connection: Connection, batch: list[_Job]) -> None:
    """All units in one commit; if one fails, all are rolled back and each runs again in a commit of its own."""
    if len(batch) > 1:
        results: list[Any] = []
        try:
            with connection.begin():
                results.extend(unit(connection) for unit, _, _ in batch)
        except Exception:  # noqa: BLE001, S110 - the unit that failed is told in the run one by one below
            pass
        else:
            for (_, future, loop), result in zip(batch, results, strict=True):
                _answer(loop, future, result, None)
            return
    for unit, future, loop in batch:
        try:
            with connection.begin():
                result = unit(connection)
        except Exception as raised:  # noqa: BLE001 - handed to the caller that waits for it
            _answer(loop, future, None, raised)
        else:
            _answer(loop, future, result, None)


def _answer(
    loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], result: Any, raised: Exception | None
) -> None:
    def settle() -> None:
        if future.cancelled():
            return
        if raised is None:
            future.set_result(result)
        else:
            future.set_exception(raised)

    # A loop that has closed meanwhile has nobody left who waits; the unit itself is committed.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)


#: Nearly all that this program asks goes by key, but a statement that the server plans while a table is still empty
#: gets a scan of the whole table, and keeps it in that connection until the table is analysed (measured on a new
#: journal: half of the server's time went into such scans, and more with each write). Where no index serves, the scan
#: is still made. For the same reason no bitmaps: the server would gather and sort a whole queue for its first few
#: (measured on 50,000 due lanes: 430 ms instead of 0.2).
_PLANS = {
    **{f"enable_{way}": "off" for way in ("seqscan", "bitmapscan", "hashjoin", "mergejoin")},
    "jit": "off",
}

_SERVER_CLOCK = text("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")


def sqlite_engine(path: Path) -> Engine:
    """A SQLite engine with the journal's promises: WAL, FULL sync (2xx means on disk), immediate transactions."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": 5})

    def on_connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # the driver must not open transactions by itself
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
            raw.execute(f"PRAGMA {pragma}")

    def on_begin(connection: Connection) -> None:
        # A unit of ``transaction`` is going to write, so it takes the write lock at once instead of failing half-way.
        # A reader begins deferred and never blocks the writer.
        if connection.get_execution_options().get("autonomous"):
            # Each statement sees what is committed when it runs; no snapshot is held open between looks.
            return
        if connection.get_execution_options().get("readonly"):
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
    return engine
