"""A journal, once on each database, with dead letters planted in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.clock import SystemClock
from gateway.database import Database
from tests.integration.cases.planted import Planted


@pytest.fixture
async def database(journal: str) -> AsyncIterator[Database]:
    opened = Database(journal, clock=SystemClock())
    opened.start()
    yield opened
    await opened.close()


@pytest.fixture
def planted(database: Database) -> Planted:
    return Planted(database)
