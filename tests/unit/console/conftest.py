"""The console on its fakes, with a browser's manners: it sends ``Origin`` with its forms and keeps
cookies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from litestar.testing import TestClient

from tests.console.fakes import FULL, FakeGateway

BASE = "http://console.example"
Client = TestClient[Any]


@pytest.fixture
def gateway() -> FakeGateway:
    return FakeGateway()


@pytest.fixture
def client(gateway: FakeGateway) -> Iterator[Client]:
    with TestClient(gateway.asgi(), base_url=BASE) as client:
        client.headers["origin"] = BASE
        client.follow_redirects = False
        yield client


@pytest.fixture
def sign_in(client: Client) -> Callable[..., httpx.Response]:
    def go(key: str = FULL, **fields: str) -> httpx.Response:
        return client.post("/console/login", data={"key": key, **fields})

    return go


@pytest.fixture
def csrf(client: Client) -> Callable[[], str]:
    """The token of the session, as a page prints it."""

    def find() -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', client.get("/console").text)
        assert found is not None
        return found[1]

    return find
