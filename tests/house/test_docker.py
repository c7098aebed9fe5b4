"""The files of ``docker/`` name only what exists. Nobody builds an image here; what can be held without one is."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from gateway import app
from gateway.cli.commands import application
from gateway.settings import load
from gateway.telemetry import Metrics
from tests.house.tree import ROOT

DOCKER = ROOT / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == COMPOSE["x-twinrun"]["image"]}
RECIPE = (DOCKER / "Dockerfile").read_text("utf-8")
ENVIRONMENT = dict(re.findall(r"(TWINRUN_\w+)=(\S+)", RECIPE))


def test_the_deployment_is_whole() -> None:
    """Two gateways behind a balancer, a worker, the simulated ERPs, tables made first, PostgreSQL and Redis."""
    assert set(SERVICES) == {
        "postgres", "redis", "sandbox", "migrate", "gateway-1", "gateway-2", "worker", "balancer", "prometheus",
    }  # fmt: skip
    assert set(OURS) == {"sandbox", "migrate", "gateway-1", "gateway-2", "worker"}


@pytest.mark.parametrize("name", OURS)
def test_commands_are_the_program_s(name: str) -> None:
    """What a service runs is a command that the program takes, options and all."""
    assert re.search(r'^ENTRYPOINT \["twinrun"\]$', RECIPE, flags=re.MULTILINE)
    application().parse_args(OURS[name]["command"], print_error=False, exit_on_error=False)


@pytest.mark.parametrize("name", OURS)
def test_settings_are_the_program_s(name: str) -> None:
    """The variables of a service and of the image are settings that the program accepts, and mean what they should."""
    given = {key: re.sub(r"\$\{(\w+):\?[^}]*\}", "secret", value) for key, value in OURS[name]["environment"].items()}
    settings = load({**ENVIRONMENT, **given}, folder=DOCKER)
    assert settings.database == "postgresql://twinrun:secret@postgres:5432/twinrun"
    assert settings.redis == "redis://redis:6379/0"
    assert (settings.host, settings.port) == ("0.0.0.0", 8080)
    for system in ("legacy", "cloud"):
        assert settings.systems[system].base_url.startswith("http://sandbox:")


def test_processes_on_one_journal_are_of_two_kinds() -> None:
    """Gateways only answer, the worker has the loops, and nobody starts before the tables are there."""
    for name in ("gateway-1", "gateway-2"):
        assert SERVICES[name]["command"] == ["serve", "--no-worker"]
    assert SERVICES["worker"]["command"] == ["worker"]
    for name in ("gateway-1", "gateway-2", "worker"):
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_our_containers_may_little(name: str) -> None:
    """Read-only, without capabilities, not root, and with time to finish what is in flight."""
    service = OURS[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert int(service["stop_grace_period"].removesuffix("s")) > app.FINISH_S
    assert re.search(r"^USER 10001:10001$", RECIPE, flags=re.MULTILINE)


def test_what_is_depended_on_exists_and_can_be_healthy() -> None:
    """Dependencies are services, volumes are declared, mounted files are there, and who must be healthy is checked."""
    for service in SERVICES.values():
        for other, how in service.get("depends_on", {}).items():
            checked = SERVICES[other].get("healthcheck", {"image": other in OURS})
            assert how["condition"] != "service_healthy" or not checked.get("disable")
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("."):
                assert (DOCKER / source).is_file(), source
            else:
                assert source in COMPOSE["volumes"]


def test_addresses_between_services_meet() -> None:
    """Balancer and Prometheus call the gateways where they listen, and the path of the figures is served."""
    port = ENVIRONMENT["TWINRUN_PORT"]
    gateways = {f"gateway-1:{port}", f"gateway-2:{port}"}
    nginx = (DOCKER / "nginx.conf").read_text("utf-8")
    assert set(re.findall(r"^\s+server (gateway\S+)", nginx, flags=re.MULTILINE)) == gateways
    listens = re.search(r"^\s+listen (\d+);", nginx, flags=re.MULTILINE)
    assert listens is not None
    assert [one.rpartition(":")[2] for one in SERVICES["balancer"]["ports"]] == [listens.group(1)]
    assert nginx.count("{") == nginx.count("}")
    scraped = yaml.safe_load((DOCKER / "prometheus.yml").read_text("utf-8"))["scrape_configs"][0]
    assert set(scraped["static_configs"][0]["targets"]) == gateways
    assert '"/metrics"' in (ROOT / "gateway" / "http" / "health.py").read_text("utf-8")
    assert scraped["metrics_path"] == "/metrics"


def test_figures_that_its_remarks_name_exist() -> None:
    """A metric that the Prometheus file mentions is one that the program has."""
    families = {family.name for family in Metrics().registry.collect()}
    named = re.findall(r"twinrun_\w+", (DOCKER / "prometheus.yml").read_text("utf-8"))
    assert {name.removesuffix("_total") for name in named} <= families


def test_the_image_copies_what_the_wheel_needs() -> None:
    """Every path that the Dockerfile copies from the checkout is there, and all of the program is among them."""
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", RECIPE, flags=re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"pyproject.toml", "README.md", "LICENSE", "gateway", "adapters", "routing_rules"} <= set(copied)
    assert RECIPE.count("--require-hashes") == 2


def test_the_health_check_asks_what_is_served() -> None:
    """The image asks the readiness of its own port."""
    address = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+?)'", RECIPE)
    assert address is not None
    assert address.group(1) == ENVIRONMENT["TWINRUN_PORT"]
    assert f'"{address.group(2)}"' in (ROOT / "gateway" / "http" / "health.py").read_text("utf-8")
