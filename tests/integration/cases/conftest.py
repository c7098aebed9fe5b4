"""A journal, once on each database, with writes planted in the states in which they wait for a person."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from gateway.cases import Cases
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.dispatch import natural_keys
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


@pytest.fixture
def cases(database: Database) -> Cases:
    return Cases(database=database, release=natural_keys.release, edited=lambda *_: {}, told=lambda: None)
