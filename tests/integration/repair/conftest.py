"""A gateway over two ERPs that nobody else writes to, with two people who may ask and approve."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.conftest import rules as rules
from tests.integration.ledger.world import World
from tests.integration.pressure.conftest import erps as erps
from tests.integration.pressure.conftest import settings_of
from tests.systems.sandbox import Sandbox


@pytest.fixture
def settings(journal: str, rules: Path, erps: Sandbox) -> Settings:
    return settings_of(journal, rules, erps)


@pytest.fixture
async def world(settings: Settings, erps: Sandbox) -> AsyncIterator[World]:
    async with opened(settings, erps) as one:
        yield one
