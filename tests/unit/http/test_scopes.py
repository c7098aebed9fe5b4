"""Who may call what, over every documented call: nothing is open by accident."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.access import SCOPES, Caller
from tests.unit.http import fakes
from tests.unit.http.fakes import World

#: Calls that need no key: probes, figures and the document; and webhooks, which a signature stands for.
SIGNED = "/hooks/v1/x"
OPEN = frozenset({"/health/live", "/health/ready", "/metrics", "/openapi.json", SIGNED})


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def client(world: World) -> Iterator[TestClient[Any]]:
    with TestClient(world.app()) as client:
        yield client


@pytest.fixture(scope="module")
def calls(client: TestClient[Any]) -> list[tuple[str, str, str | None]]:
    """Method, address and the scope that the document says is needed."""
    found: list[tuple[str, str, str | None]] = []
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            security = operation["security"]
            found.append(
                (method.upper(), re.sub(r"{[^}]*}", "x", path), security[0]["key"][0] if security else None)
            )
    return found


def test_only_probes_and_document_are_open(calls: list[tuple[str, str, str | None]]) -> None:
    """A call without a scope is one of the few that are meant to be open."""
    assert {path for _, path, scope in calls if scope is None} == OPEN


def test_writing_needs_a_writing_scope(calls: list[tuple[str, str, str | None]]) -> None:
    """The scope follows from method and side: nothing is changed with a key for reading."""
    for method, path, scope in calls:
        if scope is not None:
            side = "admin:" if path.startswith("/admin/") else ""
            act = "approve" if path.endswith(("/approve", "/sign")) else "write"
            looks = method == "GET" or path.endswith("/simulate")
            assert scope == side + ("read" if looks else act), (method, path)


def test_no_call_without_a_key(client: TestClient[Any], calls: list[tuple[str, str, str | None]]) -> None:
    """Without a key every other call is 401, whatever else is wrong with it."""
    for method, path, scope in calls:
        answer = client.request(method, path, headers={"Authorization": "Bearer nobody"})
        assert (answer.status_code == 401) == (scope is not None), (method, path)


@pytest.mark.parametrize("lacking", SCOPES)
def test_no_call_without_its_scope(
    world: World,
    client: TestClient[Any],
    calls: list[tuple[str, str, str | None]],
    lacking: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With every scope but the one that it needs, a call is 403 and reaches nobody."""
    scopes = frozenset(SCOPES) - {lacking}
    monkeypatch.setitem(fakes.CALLERS, "partial", Caller(name="partial", key_id="key_9", scopes=scopes))
    for method, path, scope in calls:
        answer = client.request(method, path, headers={"Authorization": "Bearer partial"})
        assert (answer.status_code == 403) == (scope == lacking), (method, path, answer.text)
    assert world.store.commands == []
