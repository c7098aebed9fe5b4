"""The loops and the simulated ERPs as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.journeys.program import Program
from tests.systems.sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.server]


def _start(program: Program, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", *arguments],
        cwd=program.folder,
        env=program.environ(),
        stdout=subprocess.PIPE,
        text=True,
    )


def _document(process: subprocess.Popen[str]) -> object:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            break
    return json.loads("".join(lines))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_worker_says_that_it_works_and_ends_cleanly(
    tmp_path: Path, sandbox: Sandbox, number: signal.Signals, code: int
) -> None:
    """The loops run without a port, until a signal ends them."""
    process = _start(
        Program(tmp_path, legacy=sandbox.urls["legacy"], cloud=sandbox.urls["cloud"]), "worker", "--json"
    )
    with process:
        assert _document(process) == {"systems": ["cloud", "legacy"], "working": True}
        process.send_signal(number)
        assert process.wait(40) == code


def test_the_simulated_erps_stand_alone(tmp_path: Path, sandbox: Sandbox) -> None:
    """Three addresses, each of which answers when it is printed."""
    program = Program(tmp_path, legacy=sandbox.urls["legacy"], cloud=sandbox.urls["cloud"])
    ports = ("--legacy-port", "0", "--cloud-port", "0", "--control-port", "0", "--scale", "empty", "--json")
    with _start(program, "sandbox", *ports) as process:
        addresses = _document(process)
        assert isinstance(addresses, dict)
        for system in ("legacy", "cloud"):
            health = httpx.get(f"{addresses['control']}/{system}/_sandbox/health", trust_env=False)
            assert health.json()["ready"] is True
        process.terminate()
        assert process.wait(20) == 0
