"""A gateway over two ERPs of the test's own, which follows what is edited there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.settings import Settings
from tests.integration.change_feed.desk import OWNED
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World
from tests.integration.pressure.conftest import erps as erps
from tests.integration.pressure.conftest import settings_of
from tests.systems.rules import PACKAGED
from tests.systems.sandbox import Sandbox


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """Every slice of one region in dual_write; who may edit what of a customer is said by rule."""
    folder = tmp_path / "rules"
    folder.mkdir()
    for file in PACKAGED.glob("*.toml"):
        text = file.read_text(encoding="utf-8")
        if "[[rules]]" in text:
            text += f'\n[[rules]]\nregion = "{REGION}"\nstage = "dual_write"\n'
        (folder / file.name).write_text(text + (OWNED if file.stem == "customer" else ""), encoding="utf-8")
    return folder


@pytest.fixture
def settings(journal: str, rules: Path, erps: Sandbox) -> Settings:
    return settings_of_feed(journal, rules, erps)


def settings_of_feed(journal: str, rules: Path, erps: Sandbox) -> Settings:
    """As under pressure, with the feeds read ten times a second."""
    return settings_of(journal, rules, erps, change_feed=True, change_feed_period_s=0.1)


@pytest.fixture
async def world(settings: Settings, erps: Sandbox) -> AsyncIterator[World]:
    async with opened(settings, erps) as one:
        yield one
