"""A gateway in this process over the simulated ERPs in theirs, once on each database."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from gateway.app import Gateway
from gateway.settings import Settings, SystemSettings
from tests.integration.ledger.world import World
from tests.systems.rules import staged
from tests.systems.sandbox import SYSTEMS, Sandbox

PROFILES = Path(__file__).parents[3] / "adapters" / "profiles"


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The packaged rules with every slice in dual_write, the first stage that has a mirror."""
    return staged(tmp_path)


def hasty(name: str, folder: Path) -> str:
    """The packaged profile of a simulated ERP with one second, and not two, in which it may apply what was given up on:
    each write of unknown outcome waits for that, and no test here lets a request land later."""
    text = (PROFILES / f"sandbox_{name}.toml").read_text(encoding="utf-8")
    assert "max_processing_s = 2\n" in text
    file = folder / f"sandbox_{name}.toml"
    file.write_text(text.replace("max_processing_s = 2\n", "max_processing_s = 1\n"), encoding="utf-8")
    return str(file)


@pytest.fixture
def settings(journal: str, rules: Path, sandbox: Sandbox, tmp_path: Path) -> Settings:
    """Short waits, so that a write of unknown outcome is resolved within seconds."""
    return Settings(
        database=journal,
        rules=str(rules),
        systems={
            name: SystemSettings(profile=hasty(name, tmp_path), base_url=sandbox.urls[name], timeout_s=1.5)
            for name in SYSTEMS
        },
        lease_margin_s=1.0,
        quarantine_margin_s=0.5,
        breaker_pause_s=0.5,
        rules_refresh_s=0.2,
        drain_limit_s=15.0,
        settle_s=0.2,
        recheck_s=0.5,
        confirm_s=2.0,
    )


@asynccontextmanager
async def opened(settings: Settings, sandbox: Sandbox, *, worker: bool = True) -> AsyncIterator[World]:
    """A world while the block lasts. A fault of the program itself fails the test: the ledger would mend what it
    leaves behind, and nobody would see it."""
    own_faults = _Errors()
    logging.getLogger().addHandler(own_faults)
    gateway = Gateway(settings)
    await gateway.open()
    try:
        key, _ = await gateway.keys.create(
            "tests", scopes=["read", "write", "admin:read", "admin:write"], actor="tests"
        )
        await gateway.start(worker=worker)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=gateway.asgi(), raise_app_exceptions=True),  # type: ignore[arg-type]
            base_url="http://gateway",
            headers={"Authorization": f"Bearer {key}"},
            timeout=40,
        ) as client:
            yield World(gateway, sandbox, client)
    finally:
        await gateway.stop()
        logging.getLogger().removeHandler(own_faults)
    assert own_faults.seen == []


class _Errors(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(
            f"{record.getMessage()}: {record.exc_info[1]!r}" if record.exc_info else record.getMessage()
        )


@pytest.fixture
async def world(settings: Settings, sandbox: Sandbox) -> AsyncIterator[World]:
    async with opened(settings, sandbox) as one:
        yield one
