"""Gateways as they are under pressure: the defaults of what is looked at, and a sandbox of the test's own where the
order or the times of its effects matter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.settings import Settings, SystemSettings
from tests.integration.ledger.conftest import opened as opened
from tests.integration.ledger.conftest import rules as rules
from tests.systems.sandbox import SYSTEMS, Sandbox


@pytest.fixture
def erps(tmp_path: Path) -> Iterator[Sandbox]:
    """Two ERPs that nobody else writes to."""
    run = Sandbox(tmp_path)
    try:
        yield run
    finally:
        run.stop()


@pytest.fixture
def settings(journal: str, rules: Path, erps: Sandbox) -> Settings:
    return settings_of(journal, rules, erps)


def settings_of(journal: str, rules: Path, erps: Sandbox, **more: Any) -> Settings:
    """Short leases; all that has to do with pressure as it comes."""
    made = Settings(
        database=journal,
        rules=str(rules),
        systems={
            name: SystemSettings(profile=f"sandbox_{name}", base_url=erps.urls[name], timeout_s=2.0)
            for name in SYSTEMS
        },
        lease_margin_s=1.0,
        quarantine_margin_s=0.5,
        settle_s=0.2,
        recheck_s=0.5,
        confirm_s=2.0,
    )
    return msgspec.structs.replace(made, **more)


def times_of(effects: list[dict[str, Any]]) -> list[float]:
    """Seconds of each effect by the ERP's own clock."""
    return sorted(datetime.fromisoformat(one["time"]).timestamp() for one in effects)
