"""Both databases, and two sides whose documents and fences the test owns."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from adapters.contract import Facts, Idempotency
from adapters.errors import AdapterError
from gateway.audit.tables import audit
from gateway.canonical import BY_NAME
from gateway.clock import SystemClock
from gateway.compare import Comparer, Fence, tables
from gateway.compare.observation import Held, Reading
from gateway.database import Database, metadata
from gateway.ids import SystemIds
from tests.systems.plugin import leave_out

TABLES = [
    tables.compare_job,
    tables.diff,
    tables.diff_field,
    tables.compare_counter,
    tables.field_counter,
    tables.stake_counter,
    tables.waiver,
    audit,
]
SERVER = os.environ.get("TWINRUN_TEST_DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database of each kind, with the tables of this room."""
    if request.param == "sqlite":
        url, name = f"sqlite:///{tmp_path / 'compare.db'}", ""
    else:
        name = f"twinrun_compare_{secrets.token_hex(6)}"
        try:
            await _on_server(f"CREATE DATABASE {name}")
        except OSError as cause:
            leave_out("PostgreSQL", cause)
        url = sa.make_url(SERVER).set(database=name).render_as_string(hide_password=False)
    opened = Database(url, clock=SystemClock())
    opened.start()
    try:
        await opened.transaction(lambda conn: metadata.create_all(conn, tables=TABLES))
        yield opened
    finally:
        await opened.close()
        if name:
            await _on_server(f"DROP DATABASE {name}")


async def _on_server(statement: str) -> None:
    engine = create_async_engine(
        sa.make_url(SERVER).set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT"
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(sa.text(statement))
    finally:
        await engine.dispose()


class FakeSides:
    """Two ERPs as dictionaries. A value may be a document, an error to raise, or a function that gives
    either."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], Any] = {}
        self.fences: dict[str, Fence] = {}
        self.markers: dict[tuple[str, str], str] = {}
        #: by system and record: the marker of our last write, and when it was applied
        self.written: dict[tuple[str, str], tuple[str, int]] = {}
        self.reads: list[tuple[str, str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.on_read: Callable[[str, str], Awaitable[None] | None] = lambda system, record_id: None

    def put(self, record_id: str, legacy: Any, cloud: Any) -> None:
        self.held["legacy", record_id] = legacy
        self.held["cloud", record_id] = cloud

    async def read(self, system: str, entity: str, record_id: str, *, held: Held | None = None) -> Reading:
        self.reads.append((system, record_id))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(0)
            waited = self.on_read(system, record_id)
            if waited is not None:
                await waited
            found: Any = self.held[system, record_id]
            if callable(found):
                found = found()
            if isinstance(found, Exception):
                raise found
            return Reading(document=found, marker=self.markers.get((system, record_id)))
        finally:
            self.at_once -= 1

    async def fence(self, record_id: str) -> Fence:
        return self.fences.get(record_id, Fence(open_deliveries=0, versions=(1,), quiet_since=None))


    async def unshown(self, record_id: str, shown: Mapping[str, str | None]) -> int | None:
        hidden = [
            at
            for (system, written), (marker, at) in self.written.items()
            if written == record_id and shown.get(system) != marker
        ]
        return max(hidden, default=None)


@pytest.fixture
def sides() -> FakeSides:
    return FakeSides()


def facts(system: str, entity: str) -> Facts:
    """Both products hold every field but the cloud's website of a customer."""
    mapped = frozenset(BY_NAME[entity].policy.members(""))
    return Facts(
        capabilities=frozenset(),
        idempotency=Idempotency.E_NOTHING,
        mapped=mapped - {"website"} if system == "cloud" else mapped,
    )


def expect(system: str, entity: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The legacy system keeps 35 characters of a name."""
    if system == "legacy" and fields.get("name"):
        return fields | {"name": fields["name"][:35]}
    return fields


@pytest.fixture
def make(database: Database, sides: FakeSides) -> Callable[..., Comparer]:
    """A comparer with waits of milliseconds; a test names the settings that it is about."""

    def build(**settings: Any) -> Comparer:
        return Comparer(
            **{
                "database": database,
                "sides": sides,
                "expect": expect,
                "facts": facts,
                "clock": SystemClock(),
                "ids": SystemIds(),
                "key": b"a key of this test",
                "settle_s": 0.0,
                "recheck_s": 0.0,
                "flush_s": 0.01,
            }
            | settings
        )

    return build


def no_answer(error: type[AdapterError]) -> AdapterError:
    return error("switched off by the test")
