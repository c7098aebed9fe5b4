"""The processes of a benchmark: started, asked for what they cost, and ended with the block that started them.

Each says on standard output, in one JSON document, where it answers; what it says on standard error is kept in
a file and shown when it breaks off.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import msgspec

from tests.benchmarks.load import Done, Job

ROOT = Path(__file__).parents[2]
START_S = 120.0  #: a machine that is busy with other work starts slowly
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
IDLE_SHARE = 0.08  #: of a core; a gateway that only looks after itself uses less
REGION = "DACH"
SEEN_S = 2.0  #: after a move, until every read is routed by it for certain


class Broken(Exception):
    """A program of the benchmark did not do its part; there is no figure."""


class Program:
    """``python -m module …``. ``told`` is what it said when it was ready."""

    def __init__(
        self,
        module: str,
        arguments: tuple[str, ...] = (),
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        takes_input: bool = False,
    ) -> None:
        self._log = folder / f"{module}.log"
        self.started = time.monotonic()
        with self._log.open("ab") as errors:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE if takes_input else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=folder,
                env=environment(env),
            )
        self.told: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ready(self) -> Self:
        """Waits for its first words."""
        self.told = self.read()
        return self

    def read(self) -> dict[str, Any]:
        """The next JSON document that it says, however many lines it takes."""
        assert self._popen.stdout is not None
        said = b""
        while line := self._popen.stdout.readline():
            said += line
            try:
                return msgspec.json.decode(said)
            except msgspec.DecodeError:
                # The document goes on in the next line.
                continue
        raise Broken(f"{self._popen.args} ended: {self._log.read_text(errors='replace')[-3000:]}")

    def write(self, line: bytes) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(line + b"\n")
        self._popen.stdin.flush()

    @property
    def cpu_s(self) -> float:
        """User and system time of all its threads so far."""
        stat = Path(f"/proc/{self._popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) * TICK_S

    def memory_mib(self, what: str = "VmRSS") -> float:
        """``VmRSS``: resident now. ``VmHWM``: the most that ever was."""
        for line in Path(f"/proc/{self._popen.pid}/status").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) / 1024
        raise Broken(f"the kernel tells no {what}")

    def stop(self) -> None:
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(40)
            except subprocess.TimeoutExpired:
                self._popen.kill()
                self._popen.wait()
        for pipe in (self._popen.stdin, self._popen.stdout):
            if pipe is not None:
                pipe.close()

    def idle(self, deadline_s: float = 300.0) -> float:
        """Waits until it has hardly used a core for a second; returns its CPU time at the beginning of that
        second."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            at, cpu = time.monotonic(), self.cpu_s
            time.sleep(1.0)
            if (self.cpu_s - cpu) / (time.monotonic() - at) < IDLE_SHARE:
                return cpu
        raise Broken(f"{self._popen.args} is still at work after {deadline_s:g} s")


class Client:
    """The load client, see ``load``."""

    def __init__(self, folder: Path) -> None:
        self.program = Program("tests.benchmarks.load", folder=folder, takes_input=True)

    def __enter__(self) -> Self:
        self.program.ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.program.stop()

    def run(self, job: Job) -> Done:
        """Raises Broken when anything came that the job does not allow."""
        self.begin(job)
        return self.end(job)

    def begin(self, job: Job) -> None:
        """Starts it without waiting for what comes of it."""
        self.program.write(msgspec.json.encode(job))

    def end(self, job: Job) -> Done:
        done = msgspec.convert(self.program.read(), Done)
        if done.trouble is not None or not (done.answered or job.may_refuse):
            raise Broken(f"{job.base}: {done.statuses}: {done.trouble}")
        return done


class Erps:
    """The two simulated ERPs, empty, and what they have seen."""

    def __init__(self, folder: Path, *, latency_ms: float = 0.0) -> None:
        ports = ("--legacy-port", "0", "--cloud-port", "0", "--control-port", "0")
        self.program = Program(
            "gateway.cli",
            ("sandbox", *ports, "--scale", "empty", "--latency-ms", f"{latency_ms:g}", "--json"),
            folder=folder,
        )

    def __enter__(self) -> Self:
        told = self.program.ready().told
        self.urls: dict[str, str] = {name: told[name] for name in ("legacy", "cloud")}
        self._http = httpx.Client(base_url=told["control"], timeout=60, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.program.stop()

    def stats(self, system: str) -> dict[str, Any]:
        return self._http.get(f"/{system}/_sandbox/stats").raise_for_status().json()

    def customers(self, system: str) -> int:
        """How many the system holds."""
        return self.stats(system)["records"]["customer"]

    def fault(self, system: str, kind: str, **fields: Any) -> None:
        self._http.post(f"/{system}/_sandbox/faults", json={"kind": kind, **fields}).raise_for_status()

    def heal(self, system: str) -> None:
        self._http.delete(f"/{system}/_sandbox/faults").raise_for_status()

    def fetched(self, system: str) -> int:
        """How many customers were read from it by their key."""
        return self.stats(system)["requests"].get("customer.fetch", 0)


class Gateway:
    """``twinrun serve`` as it ships, with a key and the customers of one region at a stage."""

    def __init__(
        self,
        folder: Path,
        erps: Erps,
        database: str,
        *,
        settings: Mapping[str, str],
        port: int = 0,
        worker: bool = True,
    ) -> None:
        self._folder = folder
        self._worker = worker
        self._port = port
        self._env = {
            "TWINRUN_DATABASE": database,
            "TWINRUN_SYSTEMS__LEGACY__BASE_URL": erps.urls["legacy"],
            "TWINRUN_SYSTEMS__CLOUD__BASE_URL": erps.urls["cloud"],
            **{f"TWINRUN_{name.upper()}": value for name, value in settings.items()},
        }
        self._command("db", "upgrade")
        scopes = "read,write,admin:read,admin:write"
        made = self._command("keys", "create", "benchmark", "--scopes", scopes)
        self.headers = {"Authorization": f"Bearer {made['key']}"}

    def _command(self, *arguments: str) -> dict[str, Any]:
        with Program("gateway.cli", (*arguments, "--json"), folder=self._folder, env=self._env) as command:
            return command.ready().told

    def start(self) -> Program:
        """Starts it without waiting; ``with`` does both."""
        loops = () if self._worker else ("--no-worker",)
        arguments = ("serve", "--port", str(self._port), *loops, "--json")
        self.program = Program("gateway.cli", arguments, folder=self._folder, env=self._env)
        return self.program

    def __enter__(self) -> Self:
        self.address: str = self.start().ready().told["address"]
        self.http = httpx.Client(base_url=self.address, headers=self.headers, timeout=60, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.program.stop()

    def get(self, path: str) -> Any:
        return self.http.get(path).raise_for_status().json()

    def move_to(self, *stages: str) -> None:
        """Moves the customers of the region, stage by stage."""
        for stage in stages:
            rules = self.get("/admin/v1/rules")["items"]
            (rule,) = (rule for rule in rules if (rule["entity"], rule["region"]) == ("customer", REGION))
            body = {"stage": stage, "reason": "benchmark", "expected_version": rule["version"]}
            self.http.put(f"/admin/v1/rules/customer/{REGION}", json=body).raise_for_status()
        refreshed = time.monotonic() + SEEN_S
        while time.monotonic() < refreshed:
            # Reads see a move within a second; no figure may begin before that.
            time.sleep(0.1)

    def compared(self) -> dict[str, int]:
        """Counts of comparisons so far: ``compares``, each verdict, and each reason not to compare."""
        found = self.get(f"/admin/v1/diffs/summary?entity=customer&region={REGION}")["items"]
        if not found:
            return {"compares": 0, "shed": 0}
        return {"compares": found[0]["compares"], **found[0]["verdicts"], **found[0]["uncompared"]}


class Peer(Program):
    """A module under ``peers``; it tells its address."""

    def __init__(self, name: str, *arguments: str, folder: Path) -> None:
        super().__init__(f"tests.benchmarks.peers.{name}", arguments, folder=folder)

    def __enter__(self) -> Self:
        self.ready()
        return self

    @property
    def address(self) -> str:
        return self.told["address"]


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Without settings of whoever runs the benchmarks: the figures are of the program as it ships."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TWINRUN_")}
    return {**kept, "PYTHONPATH": str(ROOT), **(more or {})}


def wait_until(
    reached: Callable[[], bool], what: str, *, deadline_s: float = 300.0, every_s: float = 0.05
) -> float:
    """The moment at which it was first seen to be so."""
    until = time.monotonic() + deadline_s
    while not reached():
        if time.monotonic() > until:
            raise Broken(f"not within {deadline_s:g} s: {what}")
        time.sleep(every_s)
    return time.monotonic()
