"""Probes and figures."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.errors import StoreUnavailable
from tests.unit.http.fakes import World

Client = TestClient[Any]


@pytest.fixture
def client(world: World) -> Any:
    with TestClient(world.app()) as client:
        yield client


def test_live_asks_nobody(world: World, client: Client) -> None:
    """The process lives while it answers, whatever became of its database."""
    world.ready = StoreUnavailable()
    assert client.get("/health/live").status_code == 200


def test_ready(client: Client) -> None:
    """Ready is its own database, its migrations and its rules."""
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "ok")


def test_erp_down_is_degraded(world: World, client: Client) -> None:
    """An ERP that is down never takes the gateway out of service: it is what accepts writes meanwhile."""
    world.systems["legacy"] = "down"
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["systems"]["legacy"] == "down"


@pytest.mark.parametrize("ready", [False, StoreUnavailable("10.0.0.7")], ids=["migrations", "lost"])
def test_not_ready(world: World, client: Client, ready: bool | Exception) -> None:
    """Without its database or migrations it is not ready, and gives no address away."""
    world.ready = ready
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (503, "not_ready")
    assert "10.0.0.7" not in answer.text


def test_stale_rules_are_not_ready(world: World, client: Client) -> None:
    """A replica that has not read the rules for a while could route to the wrong system: not ready."""
    world.slices.age = 11.0
    assert client.get("/health/ready").status_code == 503


def test_metrics_count_by_route_without_ids(client: Client) -> None:
    """Figures are labelled with routes, never with ids or paths of the caller's making."""
    key = {"Authorization": "Bearer all"}
    client.get("/v1/customers/cus_1", headers=key)
    client.get("/v1/customers/cus_secret", headers=key)
    client.get("/v1/nowhere-secret", headers=key)
    client.request("SECRET", "/v1/customers", headers=key)
    figures = client.get("/metrics")
    assert figures.headers["content-type"].startswith("text/plain")
    line = 'twinrun_requests_total{method="GET",route="/v1/customers/{id}",status="404"} 2.0'
    assert line in figures.text
    assert "secret" not in figures.text.lower()
