"""The whole program as real processes: both simulated ERPs, and the gateway with its workers on SQLite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Any

import httpx
import msgspec

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable, "-c", "import sys; from gateway.cli import main; sys.exit(main())"]
#: Seconds; a process that says nothing for this long has failed.
PATIENCE_S = 60.0


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A running gateway, and a key that may do everything."""

    address: str
    key: str
    database: Path
    log: Path
    control: str
    folder: Path
    environment: dict[str, str]

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def make_key(self, name: str, scopes: str, *more: str) -> str:
        """Another key, made as an operator makes one; ``more`` options of the command line."""
        return make_key(self.folder, self.environment, name, scopes, *more)

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers={**self.headers, **headers}, timeout=30.0)


@contextmanager
def running(folder: Path, *, scale: str = "small", **settings: str) -> Iterator[Service]:
    """Starts everything in ``folder``, and stops it again."""
    database = folder / "journal.db"
    log = folder / "serve.log"
    with ExitStack() as stack:
        sandbox = [*PYTHON, "sandbox", "--json", "--scale", scale]
        ports = ["--legacy-port", "0", "--cloud-port", "0", "--control-port", "0"]
        systems = stack.enter_context(process([*sandbox, *ports], folder, {}, folder / "sandbox.log"))
        environment = {
            "TWINRUN_DATABASE": f"sqlite:///{database}",
            "TWINRUN_SYSTEMS__LEGACY__PROFILE": "sandbox_legacy",
            "TWINRUN_SYSTEMS__LEGACY__BASE_URL": systems["legacy"],
            "TWINRUN_SYSTEMS__CLOUD__PROFILE": "sandbox_cloud",
            "TWINRUN_SYSTEMS__CLOUD__BASE_URL": systems["cloud"],
            **settings,
        }
        served = stack.enter_context(
            process([*PYTHON, "serve", "--json", "--port", "0"], folder, environment, log)
        )
        yield Service(
            address=served["address"],
            key=make_key(folder, environment, "tests", "read,write,admin:read,admin:write"),
            database=database,
            log=log,
            control=systems["control"],
            folder=folder,
            environment=environment,
        )


def make_key(folder: Path, environment: dict[str, str], name: str, scopes: str, *more: str) -> str:
    """A key from the command line, beside the serving process."""
    made = subprocess.run(
        [*PYTHON, "keys", "create", name, "--scopes", scopes, *more, "--json"],
        cwd=folder,
        env=environment_of(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return json.loads(made.stdout)["key"]


@contextmanager
def process(
    command: Sequence[str], folder: Path, environment: dict[str, str], log: Path
) -> Iterator[dict[str, Any]]:
    """A process that prints one JSON document when it is ready; yields that."""
    with log.open("wb") as lines:
        process = subprocess.Popen(
            command, cwd=folder, env=environment_of(environment), stdout=subprocess.PIPE, stderr=lines
        )
        try:
            yield announced(process, log)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            finally:
                process.kill()
                assert process.stdout is not None
                process.stdout.close()


def announced(process: subprocess.Popen[bytes], log: Path) -> dict[str, Any]:
    """The document that the process prints when it is ready."""
    said: Queue[bytes] = Queue()
    assert process.stdout is not None
    Thread(
        target=lambda out=process.stdout: [said.put(line) for line in out] + [said.put(b"")], daemon=True
    ).start()
    text = b""
    while True:
        try:
            line = said.get(timeout=PATIENCE_S)
        except Empty:
            line = b""
        assert line, f"did not start: {log.read_text()[-2000:]}"
        text += line
        # The document is indented, so only its last line is a lone brace.
        if line.rstrip() == b"}":
            return json.loads(text)


def environment_of(more: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TWINRUN_")}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **more}
