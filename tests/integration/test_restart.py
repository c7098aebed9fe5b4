"""SIGKILL in the middle of a thousand writes, with processes as they are in production."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.settings import Settings, SystemSettings
from tests.integration.ledger import history
from tests.integration.ledger.world import customer, fresh, project, resource, time_entry
from tests.systems.processes import Process
from tests.systems.rules import staged
from tests.systems.sandbox import SYSTEMS, Sandbox

pytestmark = pytest.mark.slow

WRITES = 1_000
CLIENTS = 24
#: Answers after which the process is killed.
KILLS = (350, 700)
BUDGET_S = 90.0


@pytest.fixture
def erps(tmp_path: Path) -> Iterator[Sandbox]:
    """Two ERPs of the test's own that take ten milliseconds to answer, so that there is always something in flight."""
    run = Sandbox(tmp_path, latency_ms=10)
    try:
        yield run
    finally:
        run.stop()


class Served:
    """The gateway's process: killed and started again, its clients find it where it is now."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        flat = msgspec.to_builtins(settings)
        self._environment = {
            "TWINRUN_DATABASE": flat["database"],
            "TWINRUN_RULES": flat["rules"],
            "TWINRUN_PORT": "0",
            **{
                f"TWINRUN_{name.upper()}": str(flat[name])
                for name in ("lease_margin_s", "quarantine_margin_s", "settle_s", "log_level")
            },
            **{
                f"TWINRUN_SYSTEMS__{system.upper()}__{name.upper()}": str(flat["systems"][system][name])
                for system in SYSTEMS
                for name in ("profile", "base_url", "timeout_s")
            },
        }
        self._log = folder / "gateway.log"
        self.up = asyncio.Event()
        self.process: Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.to_thread(
            Process, "tests.systems.gateway_process", [], log=self._log, ready=1, env=self._environment
        )
        self.up.set()

    @property
    def url(self) -> str:
        assert self.process is not None
        return self.process.ready["it"]

    def kill(self) -> None:
        self.up.clear()
        assert self.process is not None
        self.process.kill()

    def stop(self) -> None:
        if self.process is not None and self.process.running:
            self.process.kill()

    def errors(self) -> list[str]:
        """Lines about faults of the program itself."""
        return [
            line
            for line in self._log.read_text().splitlines()
            if '"level":"error"' in line or "Traceback" in line
        ]


class Client:
    """One caller that never gives up: it repeats with the same key until it has a 2xx."""

    def __init__(self, served: Served, key: str, http: httpx.AsyncClient) -> None:
        self._served = served
        self._key = key
        self._http = http
        self.repeats = 0

    async def write(self, method: str, path: str, body: dict[str, object]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": fresh("K")}
        while True:
            await self._served.up.wait()
            try:
                answer = await self._http.request(method, self._served.url + path, json=body, headers=headers)
            except httpx.TransportError:
                self.repeats += 1
                await asyncio.sleep(0.05)
                continue
            if answer.status_code in (200, 201, 202):
                return answer
            # A twin of ours is still running, or the journal is not open yet: both say when to come back.
            assert answer.status_code in (409, 503), answer.text
            assert answer.json()["retryable"] is True, answer.text
            self.repeats += 1
            await asyncio.sleep(0.2)


async def test_killed_in_the_middle_of_a_thousand_writes(journal: str, erps: Sandbox, tmp_path: Path) -> None:
    """Every write that was answered 2xx is in both ERPs exactly once, in the order of its record, whatever was being
    done when the process was killed; nothing is left without a state."""
    settings = Settings(
        database=journal,
        rules=str(staged(tmp_path)),
        systems={
            name: SystemSettings(profile=f"sandbox_{name}", base_url=erps.urls[name], timeout_s=2.0)
            for name in SYSTEMS
        },
        lease_margin_s=1.0,
        quarantine_margin_s=0.5,
        settle_s=0.2,
    )
    key = await _key(settings)
    served = Served(settings, tmp_path)
    began = time.monotonic()
    operations: set[str] = set()
    try:
        await served.start()
        async with httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_connections=CLIENTS)) as http:
            clients = [Client(served, key, http) for _ in range(CLIENTS)]
            owner = (await clients[0].write("POST", "/v1/customers", customer())).json()["id"]
            person = (await clients[0].write("POST", "/v1/resources", resource())).json()["id"]
            work = (await clients[0].write("POST", "/v1/projects", project(owner))).json()["id"]
            left = iter(range(WRITES))
            due = list(KILLS)
            restarts: list[asyncio.Task[None]] = []

            async def run(client: Client) -> None:
                own: list[str] = []
                for number in left:
                    if own and number % 5 < 2:
                        record = own[number % len(own)]
                        answer = await client.write(
                            "PATCH", f"/v1/time-entries/{record}", {"note": f"{number}"}
                        )
                    else:
                        body = time_entry(person, work, note=f"{number}")
                        answer = await client.write("POST", "/v1/time-entries", body)
                        own.append(answer.json()["record" if answer.status_code == 202 else "id"])
                    operations.add(answer.headers["Twinrun-Operation"])
                    if due and len(operations) >= due[0]:
                        due.pop(0)
                        served.kill()
                        restarts.append(asyncio.create_task(served.start()))

            await asyncio.gather(*(run(client) for client in clients))
            await asyncio.gather(*restarts)
            assert len(restarts) == len(KILLS)
            assert sum(client.repeats for client in clients) > 0, "nobody was in the middle of anything"
        lines = await _quiet(journal, began)
    finally:
        served.stop()
    effects = {system: erps.effects(system) for system in SYSTEMS}
    found = history.faults(lines, effects)
    assert not found, "\n".join(found)
    assert len(operations) == WRITES
    marker = {line.operation: line.marker for line in lines}
    for system in SYSTEMS:
        seen = [effect["marker"] for effect in effects[system]]
        assert len(seen) == len(set(seen)) == WRITES + 3
        assert {marker[operation] for operation in operations} <= set(seen)
    assert served.errors() == []
    assert time.monotonic() - began < BUDGET_S


async def _key(settings: Settings) -> str:
    gateway = Gateway(settings)
    await gateway.open(exclusive=False)
    try:
        return (await gateway.keys.create("callers", scopes=["read", "write"], actor="tests"))[0]
    finally:
        await gateway.close()


async def _quiet(journal: str, began: float) -> list[history.Line]:
    """The deliveries once none has anything to do by itself."""
    database = Database(journal, clock=SystemClock())
    database.start()
    try:
        while True:
            lines = await database.read(history.lines)
            still = [line for line in lines if line.state in history.OPEN]
            if not still:
                return lines
            assert time.monotonic() - began < BUDGET_S, f"{len(still)} still open: {still[:5]}"
            await asyncio.sleep(0.1)
    finally:
        await database.close()
