from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.unit.http.fakes import World

KEY = {"Authorization": "Bearer all"}


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Iterator[TestClient[Any]]:
    with TestClient(world.app(), raise_server_exceptions=False) as client:
        client.headers.update(KEY)
        yield client
