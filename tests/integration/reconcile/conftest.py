"""A gateway over two ERPs that nobody else writes to: what is planted is all that there is to find."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.conftest import rules as rules
from tests.integration.ledger.world import World
from tests.integration.pressure.conftest import settings_of
from tests.systems.sandbox import Sandbox

#: Long enough for a test to mend something between the first look and the second.
SETTLE_S = 1.5


@pytest.fixture
def erps(tmp_path: Path) -> Iterator[Sandbox]:
    run = Sandbox(tmp_path)
    try:
        yield run
    finally:
        run.stop()


@pytest.fixture
def settings(journal: str, rules: Path, erps: Sandbox) -> Settings:
    return settings_of(journal, rules, erps, settle_s=SETTLE_S)


@pytest.fixture
async def world(settings: Settings, erps: Sandbox) -> AsyncIterator[World]:
    async with opened(settings, erps) as one:
        yield one
