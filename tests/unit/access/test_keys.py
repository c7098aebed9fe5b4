"""API keys against a real SQLite database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.access import Caller, KeyRow, Keys, instance_secret
from gateway.access.keys import STALE_S
from gateway.database import Database, metadata
from gateway.database.engine import sqlite_engine
from gateway.errors import Forbidden, Malformed, NotFoundHere, StoreUnavailable, Unauthenticated
from gateway.ids import SystemIds


class HandClock:
    """A clock that a test turns by hand; its sleeps last until the test wakes them."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.slept = asyncio.Event()

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        await self.slept.wait()
        self.slept.clear()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def database(tmp_path: Path, clock: HandClock) -> AsyncIterator[Database]:
    engine = sqlite_engine(tmp_path / "keys.db")
    metadata.create_all(engine)
    engine.dispose()
    database = Database(f"sqlite:///{tmp_path / 'keys.db'}", clock=clock)
    database.start()
    yield database
    await database.close()


@pytest.fixture
async def keys(database: Database, clock: HandClock) -> AsyncIterator[Keys]:
    keys = Keys(database=database, clock=clock, ids=SystemIds())
    await keys.start()
    yield keys
    await keys.stop()


async def made(keys: Keys, **more: object) -> tuple[str, KeyRow]:
    return await keys.create("psa", scopes=["read", "write"], actor="tests", **more)  # type: ignore[arg-type]


async def test_key_opens_the_door_with_what_it_was_given(keys: Keys) -> None:
    """A caller has exactly the name, scopes, regions and entities that its key was made with."""
    secret, row = await keys.create(
        "psa", scopes=["write", "read"], regions=["DE"], entities=["invoice", "customer"], actor="anna"
    )
    caller = await keys.authenticate(f"Bearer {secret}")
    assert caller == Caller(
        name="psa",
        key_id=row.id,
        scopes=frozenset({"read", "write"}),
        regions=frozenset({"DE"}),
        entities=frozenset({"customer", "invoice"}),
    )
    assert caller.sees("invoice", "DE")
    assert not caller.sees("invoice", "US")
    assert not caller.sees("payment", "DE")
    caller.require("write")
    with pytest.raises(Forbidden):
        caller.require("admin:write")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", "Basic abc", "Bearer twk_aaaaaaaa_bbbb", "Bearer ключ", "twk_aaaaaaaa_b"],
    ids=["absent", "empty", "scheme only", "blank", "other scheme", "unknown", "not ascii", "no scheme"],
)
async def test_anything_else_is_unauthenticated(keys: Keys, header: str | None) -> None:
    """Only a key that was made here and not revoked opens the door."""
    await made(keys)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(header)


@pytest.mark.parametrize("cut", [1, 10, 43, 44], ids=str)
async def test_truncated_key_is_unauthenticated(keys: Keys, cut: int) -> None:
    """A part of a key is no key."""
    secret, _ = await made(keys)
    with pytest.raises(Unauthenticated):
        await keys.authenticate(f"Bearer {secret[:-cut]}")


async def test_scheme_is_read_in_any_case(keys: Keys) -> None:
    """The authentication scheme is case-insensitive (RFC 9110, 11.1)."""
    secret, row = await made(keys)
    assert (await keys.authenticate(f"bEARER {secret}")).key_id == row.id


async def test_key_is_nowhere_in_the_database(keys: Keys, database: Database) -> None:
    """The database holds no key, only its hash: whoever copies the file cannot call."""
    secret, row = await made(keys)
    assert row.prefix in secret
    await database.transaction(lambda connection: connection.exec_driver_sql("SELECT 1").all())
    await database.close()
    dump = "\n".join(sqlite3.connect(database.path).iterdump())
    assert row.prefix in dump
    assert secret not in dump
    assert secret.removeprefix(row.prefix) not in dump
    database.start()


async def test_revoked_key_is_refused_at_once_here(keys: Keys) -> None:
    """A revoked key is refused from the next request on in the process that revoked it."""
    secret, row = await made(keys)
    await keys.revoke(row.id, "anna")
    with pytest.raises(Unauthenticated):
        await keys.authenticate(f"Bearer {secret}")
    await keys.revoke(row.id, "anna")
    (listed,) = await keys.list()
    assert listed.revoked_at is not None


async def test_unknown_key_cannot_be_revoked(keys: Keys) -> None:
    """To revoke what does not exist is told."""
    with pytest.raises(NotFoundHere):
        await keys.revoke("key_none", "anna")


async def test_another_process_sees_both(keys: Keys, database: Database, clock: HandClock) -> None:
    """A new key works on every process at once, and a revoked one stops within one reading of the table."""
    other = Keys(database=database, clock=clock, ids=SystemIds())
    await other.start()
    secret, row = await made(keys)
    clock.seconds += 0.5
    assert (await other.authenticate(f"Bearer {secret}")).key_id == row.id
    await keys.revoke(row.id, "anna")
    clock.slept.set()
    async with asyncio.timeout(5):
        while True:
            try:
                await other.authenticate(f"Bearer {secret}")
            except Unauthenticated:
                break
            clock.slept.set()
            await asyncio.sleep(0)
    await other.stop()


async def test_known_key_costs_no_database_read(keys: Keys, database: Database) -> None:
    """A known key is found in memory: the hot path reads no database."""
    secret, _ = await made(keys)
    await database.close()
    assert (await keys.authenticate(f"Bearer {secret}")).name == "psa"
    database.start()


async def test_no_key_is_trusted_for_long_without_the_database(
    keys: Keys, database: Database, clock: HandClock
) -> None:
    """A process that has lost its database soon stops trusting what it remembers: it fails closed."""
    secret, _ = await made(keys)
    await database.close()
    clock.seconds += STALE_S + 1
    with pytest.raises(StoreUnavailable):
        await keys.authenticate(f"Bearer {secret}")
    database.start()


async def test_last_use_is_kept_coarsely(keys: Keys, clock: HandClock) -> None:
    """The moment of the last use is written down by the background loop, not by the request."""
    secret, row = await made(keys)
    clock.seconds += 120
    await keys.authenticate(f"Bearer {secret}")
    assert (await keys.list())[0].last_used_at is None
    async with asyncio.timeout(5):
        while (await keys.list())[0].last_used_at is None:
            clock.slept.set()
    assert (await keys.list())[0].last_used_at > row.created_at  # type: ignore[operator]


async def test_making_and_revoking_leave_audit_rows(keys: Keys, database: Database) -> None:
    """Both acts are remembered with who did them, and the secret is not."""
    secret, row = await made(keys)
    await keys.revoke(row.id, "bob")
    rows = await database.read(
        lambda connection: connection.exec_driver_sql(
            "SELECT actor, action, subject, detail FROM audit"
        ).all()
    )
    assert [(r.actor, r.action, r.subject) for r in rows] == [
        ("tests", "key.create", row.id),
        ("bob", "key.revoke", row.id),
    ]
    assert all(secret not in r.detail for r in rows)


@pytest.mark.parametrize(
    ("name", "scopes", "pointer"),
    [
        ("", ["read"], "/name"),
        ("a" * 101, ["read"], "/name"),
        ("a\nb", ["read"], "/name"),
        ("psa", [], "/scopes"),
        ("psa", ["root"], "/scopes"),
    ],
    ids=["no name", "long name", "control character", "no scope", "unknown scope"],
)
async def test_wrong_key_is_not_made(keys: Keys, name: str, scopes: list[str], pointer: str) -> None:
    """A key without a proper name and known scopes is refused, naming the field, and no row is written."""
    with pytest.raises(Malformed) as raised:
        await keys.create(name, scopes=scopes, actor="tests")
    assert [error.pointer for error in raised.value.errors] == [pointer]
    assert await keys.list() == ()


async def test_secret_of_the_instance_is_made_once(database: Database) -> None:
    """Many processes that start at once agree on one secret."""
    found = await asyncio.gather(*(instance_secret(database) for _ in range(20)))
    assert len(set(found)) == 1
    assert len(found[0]) == 32
