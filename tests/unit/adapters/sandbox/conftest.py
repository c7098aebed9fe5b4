"""Both simulated ERPs in one process, loaded with a small firm."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.unit.adapters.sandbox.dialects import Cloud, Legacy


@pytest.fixture
async def legacy() -> AsyncIterator[Legacy]:
    dialect = Legacy()
    yield dialect
    await dialect.http.aclose()


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    dialect = Cloud()
    yield dialect
    await dialect.http.aclose()


@pytest.fixture(params=["legacy", "cloud"])
async def erp(request: pytest.FixtureRequest) -> AsyncIterator[Legacy | Cloud]:
    """A law that both keep is tested on both."""
    dialect = Legacy() if request.param == "legacy" else Cloud()
    yield dialect
    await dialect.http.aclose()
