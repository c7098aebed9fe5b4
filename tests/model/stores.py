"""The real databases in place of the simulated store: the program's own engine, one unit after the other.

The engine lives in a thread with a loop of its own. The world stands still while a unit runs there, so real time never
gets into a history; the order of units is the world's, as on the simulated store, and what runs is the statements, the
types and the constraints of the database itself.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sqlalchemy import Connection, text

from gateway.clock import SystemClock
from gateway.database import Database, to_micros
from gateway.database.metadata import metadata
from tests.simulation.loop import Loop, SimClock
from tests.simulation.store import DUE, Store

T = TypeVar("T")


class Server:
    """A database with this version's tables, shared by the histories of a run. Use it as a context manager."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, clock=SystemClock())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="store", daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()

        async def start() -> None:
            self._database.start()

        self._wait(start())
        return self

    def __exit__(self, *raised: object) -> None:
        self._wait(self._database.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def store(self, loop: Loop, rng: random.Random) -> DatabaseStore:
        """An empty store for the next history."""
        return DatabaseStore(loop, rng, self)

    def run(self, unit: Callable[[Connection], T]) -> T:
        """One unit, in one commit."""
        return self._wait(self._database.transaction(unit))

    def look(self, unit: Callable[[Connection], T]) -> T:
        """One unit that only reads."""
        return self._wait(self._database.read(unit))

    def empty(self) -> None:
        """Nothing of the last history is left, and numbers that the database gives begin anew."""
        names = [table.name for table in metadata.sorted_tables]

        def unit(connection: Connection) -> None:
            if self._database.sqlite:
                for name in reversed(names):
                    connection.exec_driver_sql(f'DELETE FROM "{name}"')
            else:
                whole = ", ".join(f'"{name}"' for name in names)
                connection.exec_driver_sql(f"TRUNCATE {whole} RESTART IDENTITY CASCADE")

        self.run(unit)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


class DatabaseStore(Store):
    """The simulation's store, with its units run by a real database."""

    def __init__(self, loop: Loop, rng: random.Random, server: Server) -> None:
        super().__init__(loop, rng)
        self._server = server
        server.empty()

    def run(self, unit: Callable[[Connection], T]) -> T:
        self.units += 1
        return self._server.run(unit)

    def look(self, unit: Callable[[Connection], T]) -> T:
        self.units += 1
        return self._server.look(unit)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        def unit(connection: Connection) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(text(statement)).mappings()]

        return self._server.look(unit)

    def may_be_due(self, what: str, clock: SimClock) -> bool:
        def unit(connection: Connection) -> bool:
            parameters = {"now": to_micros(clock.now())} if ":now" in DUE[what] else {}
            return connection.execute(text(DUE[what]), parameters).first() is not None

        return self._server.look(unit)
