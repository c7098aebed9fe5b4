"""What the journeys of a migration begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.systems.sandbox import Sandbox


@pytest.fixture
def firm(tmp_path: Path) -> Iterator[Sandbox]:
    """Two ERPs that hold the records of a small firm."""
    run = Sandbox(tmp_path, scale="small")
    try:
        yield run
    finally:
        run.stop()
