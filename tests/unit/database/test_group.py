"""Shared commits: what waits together commits together, and nobody fails for a neighbour."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from gateway.clock import SystemClock
from gateway.database import Database, GroupCommit


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database(f"sqlite:///{tmp_path / 'shared.db'}", clock=SystemClock())
    opened.start()
    await opened.transaction(lambda conn: conn.execute(text("CREATE TABLE kept (n INTEGER PRIMARY KEY)")))
    yield opened
    await opened.close()


async def _kept(database: Database) -> list[int]:
    return await database.read(lambda conn: list(conn.execute(text("SELECT n FROM kept ORDER BY n")).scalars()))


async def test_items_that_wait_share_one_step(database: Database) -> None:
    """While one batch commits the others gather, so that fifty items need far fewer than fifty steps."""
    sizes: list[int] = []

    def step(connection: Connection, items: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(items))
        connection.execute(text("INSERT INTO kept VALUES (:n)"), [{"n": item} for item in items])
        return [item * 2 for item in items]

    group: GroupCommit[int, int] = GroupCommit(database, step)
    assert await asyncio.gather(*(group.submit(n) for n in range(50))) == [n * 2 for n in range(50)]
    assert await _kept(database) == list(range(50))
    assert len(sizes) < 10


async def test_a_bad_item_fails_alone(database: Database) -> None:
    """An item that breaks its batch is found by halving; every other item of the batch is committed."""

    def step(connection: Connection, items: Sequence[int]) -> list[int | Exception]:
        connection.execute(text("INSERT INTO kept VALUES (:n)"), [{"n": item} for item in items])
        if 7 in items:
            raise ValueError("seven")
        return list(items)

    group: GroupCommit[int, int] = GroupCommit(database, step)
    results = await asyncio.gather(*(group.submit(n) for n in range(20)), return_exceptions=True)
    assert [n for n, result in enumerate(results) if isinstance(result, Exception)] == [7]
    assert await _kept(database) == [n for n in range(20) if n != 7]


async def test_a_refused_item_is_told_to_its_own_caller(database: Database) -> None:
    """An outcome that is an exception is raised to whoever submitted that item, and the rest of the batch stands."""

    def step(connection: Connection, items: Sequence[int]) -> list[int | Exception]:
        connection.execute(text("INSERT INTO kept VALUES (:n)"), [{"n": item} for item in items if item != 3])
        return [KeyError(item) if item == 3 else item for item in items]

    group: GroupCommit[int, int] = GroupCommit(database, step)
    results = await asyncio.gather(*(group.submit(n) for n in range(5)), return_exceptions=True)
    assert isinstance(results[3], KeyError)
    assert await _kept(database) == [0, 1, 2, 4]


async def test_a_unit_that_fails_leaves_nothing(database: Database) -> None:
    """What a unit wrote before it raised is rolled back, and a unit committed beside it stays."""

    def fails(connection: Connection) -> None:
        connection.execute(text("INSERT INTO kept VALUES (1)"))
        raise RuntimeError("no")

    def holds(connection: Connection) -> None:
        connection.execute(text("INSERT INTO kept VALUES (2)"))

    failed, held = await asyncio.gather(
        database.transaction(fails), database.transaction(holds), return_exceptions=True
    )
    assert isinstance(failed, RuntimeError)
    assert held is None
    assert await _kept(database) == [2]


async def test_an_item_put_in_as_a_batch_ends_is_not_forgotten(database: Database) -> None:
    """Whoever puts an item in at the very moment that the lane falls idle is served without anybody's help."""
    group: GroupCommit[int, int] = GroupCommit(database, lambda _, items: list(items), lanes=1)
    following: list[asyncio.Future[int]] = []
    first = group.put(1)
    first.add_done_callback(lambda _: following.append(group.put(2)))
    await first
    async with asyncio.timeout(5):
        assert await following[0] == 2
