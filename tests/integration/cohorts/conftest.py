"""A region whose customers and resources are in the cloud already, and a cohort of its projects that is led by it while
the other projects stay with the legacy ERP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select

from gateway.ledger import invariants
from gateway.ledger.tables import record
from gateway.settings import Settings
from tests.integration.ledger import history
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.conftest import settings as settings
from tests.integration.ledger.world import REGION, World, fresh
from tests.systems.rules import PACKAGED
from tests.systems.sandbox import SYSTEMS, Sandbox

WAVE = f"{REGION}.wave1"
#: Entities that a cohort of projects has no slice of, and that have to go first.
FIRST = ("customer", "resource", "contract")


def rule_files(
    folder: Path, *, stage: str, numbers: Sequence[str] = (), more: str = "", own: str = "dual_write"
) -> Path:
    """Rules by which the region's own slices are at ``own`` and those of its cohort at ``stage``."""
    folder.mkdir(exist_ok=True)
    for file in PACKAGED.glob("*.toml"):
        first = file.stem in FIRST
        text = file.read_text(encoding="utf-8").replace('"legacy_only"', '"live"' if first else f'"{own}"')
        if file.stem in ("project", "time_entry", "expense", "invoice", "payment"):
            text += f'\n[[rules]]\nregion = "{WAVE}"\nstage = "{stage}"\n'
        (folder / file.name).write_text(text, encoding="utf-8")
    listed = ", ".join(f'"{one}"' for one in numbers)
    (folder / "cohorts.toml").write_text(
        f'[[cohorts]]\nname = "wave1"\nregion = "{REGION}"\nroot = "project"\nnumbers = [{listed}]\n{more}',
        encoding="utf-8",
    )
    return folder


def without_cohorts(folder: Path) -> None:
    """Takes every word of the cohort out of these rules."""
    (folder / "cohorts.toml").unlink()
    for file in folder.glob("*.toml"):
        text = file.read_text(encoding="utf-8").split(f'\n[[rules]]\nregion = "{WAVE}"')[0]
        file.write_text(text, encoding="utf-8")


@pytest.fixture
def numbers() -> tuple[str, ...]:
    """Numbers of projects that begin in the cohort."""
    return tuple(fresh("W") for _ in range(4))


@pytest.fixture
def rules(tmp_path: Path, numbers: tuple[str, ...]) -> Path:
    return rule_files(tmp_path / "rules", stage="live", numbers=numbers)


@pytest.fixture
async def world(settings: Settings, sandbox: Sandbox) -> AsyncIterator[World]:
    async with opened(settings, sandbox) as one:
        yield one


async def places(world: World, *ids: str) -> list[str]:
    """Where the journal has these records."""

    def unit(connection: Connection) -> dict[str, str]:
        rows = connection.execute(select(record.c.id, record.c.region).where(record.c.id.in_(ids)))
        return {row.id: row.region for row in rows}

    found = await world.gateway.database.read(unit)
    return [found[one] for one in ids]


async def lawful(world: World) -> None:
    """Each write reached its authority first, once and in order, and the monitor of the journal has nothing to say.
    (Epochs are counted by slice, so two slices may be led by two systems in epochs of one number.)"""

    def unit(connection: Connection) -> dict[str, tuple[str, ...]]:
        seen = invariants.extent(connection, records=1_000_000)
        return invariants.broken(connection, seen, now=world.gateway.database.now(connection))

    effects: dict[str, Any] = {system: world.effects(system, limit=5000) for system in SYSTEMS}
    assert history.faults(await world.lines(), effects) == []
    found = await world.gateway.database.read(unit)
    assert {law: records for law, records in found.items() if records} == {}
