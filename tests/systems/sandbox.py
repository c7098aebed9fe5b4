"""The two simulated ERPs as a process of their own: started, made faulty, and asked what was done to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.systems.processes import Process

SYSTEMS = ("legacy", "cloud")


class Sandbox:
    """A running sandbox. Everything but ``stop`` goes over its control port, which answers during an outage too."""

    def __init__(self, folder: Path, *, scale: str = "empty", latency_ms: float = 0.0) -> None:
        self._process = Process(
            "adapters.sandbox",
            [
                *("--legacy-port", "0", "--cloud-port", "0", "--control-port", "0"),
                *("--scale", scale, "--latency-ms", f"{latency_ms:g}"),
            ],
            log=folder / "sandbox.log",
            ready=3,
        )
        self.urls = {name: self._process.ready[name] for name in SYSTEMS}
        self._client = httpx.Client(base_url=self._process.ready["control"], timeout=30, trust_env=False)

    def stop(self) -> None:
        self._client.close()
        self._process.stop()

    def fault(self, system: str, kind: str, **fields: Any) -> str:
        """Switches a fault on and returns its id."""
        return self._call("POST", system, "faults", json={"kind": kind, **fields})["id"]

    def faults(self, system: str) -> list[dict[str, Any]]:
        return self._call("GET", system, "faults")["items"]

    def heal(self, system: str | None = None, fault: str | None = None) -> None:
        """Switches one fault off, or all of one system, or all."""
        for one in SYSTEMS if system is None else (system,):
            self._call("DELETE", one, "faults" if fault is None else f"faults/{fault}")

    def effects(self, system: str, **filters: Any) -> list[dict[str, Any]]:
        """What was done to the system, in order, by its own account."""
        return self._call("GET", system, "effects", params=filters)["items"]

    def last(self, system: str) -> int:
        """The number of the last effect."""
        return self._call("GET", system, "effects", params={"limit": 1})["last"]

    def edit(
        self, system: str, entity: str, key: str, values: Mapping[str, Any], *, action: str = "edit"
    ) -> Any:
        """Somebody works in the ERP itself."""
        return self._call(
            "POST", system, "edit", json={"entity": entity, "key": key, "set": values, "action": action}
        )

    def stats(self, system: str) -> dict[str, Any]:
        return self._call("GET", system, "stats")

    def _call(self, method: str, system: str, what: str, **more: Any) -> Any:
        answer = self._client.request(method, f"/{system}/_sandbox/{what}", **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One empty sandbox for the session; tests tell their writes apart by marker and by when they began."""
    run = Sandbox(tmp_path_factory.mktemp("sandbox"))
    try:
        yield run
    finally:
        run.stop()


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """The session's sandbox without faults, before and after."""
    sandbox_process.heal()
    yield sandbox_process
    sandbox_process.heal()
