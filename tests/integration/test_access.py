"""API keys and the deployment's secret, between processes, on each database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.access import Keys, instance_secret
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.errors import Unauthenticated
from gateway.ids import SystemIds


@pytest.fixture
async def replicas(journal: str) -> AsyncIterator[list[Database]]:
    """The same journal, opened by two processes' worth of connections."""
    opened = [Database(journal, clock=SystemClock()) for _ in range(2)]
    for database in opened:
        database.start()
    yield opened
    for database in opened:
        await database.close()


async def test_replicas_agree_on_one_secret(replicas: list[Database]) -> None:
    """However many processes start at once, cursors of one are good on the other."""
    found = await asyncio.gather(*(instance_secret(database) for database in replicas * 8))
    assert len(set(found)) == 1


async def test_key_is_known_and_forgotten_by_every_replica(replicas: list[Database]) -> None:
    """A key made on one replica works on the other at once, and soon stops there when it ends."""
    here, there = (Keys(database=database, clock=SystemClock(), ids=SystemIds()) for database in replicas)
    await here.start()
    await there.start()
    try:
        secret, row = await here.create("psa", scopes=["read"], regions=["UK"], actor="anna")
        async with asyncio.timeout(1.0):
            while True:
                try:
                    caller = await there.authenticate(f"Bearer {secret}")
                except Unauthenticated:
                    await asyncio.sleep(0.01)
                else:
                    break
        assert (caller.name, caller.regions) == ("psa", frozenset({"UK"}))
        await here.revoke(row.id, "anna")
        with pytest.raises(Unauthenticated):
            await _use_for(2.0, there, secret)
        (listed,) = await there.list()
        assert listed.revoked_at is not None
    finally:
        await here.stop()
        await there.stop()


async def _use_for(seconds: float, keys: Keys, secret: str) -> None:
    async with asyncio.timeout(seconds):
        while True:
            await keys.authenticate(f"Bearer {secret}")
            await asyncio.sleep(0.01)
