"""``twinrun demo``: the whole idea, from outside."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.cli.demo.planted import IN_THE_CLOUD, IN_THE_LEGACY
from tests.journeys.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.server]

STAGES = ("legacy_only", "dual_write", "shadow", "live", "ramp_down", "cloud_only")
#: Longer than the demo's own deadlines together; about 45 s on two quiet cores.
LONG_S = 280


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Nothing but the package: the settings file points nowhere, and the demo must not read it."""
    return Program(tmp_path, legacy="http://127.0.0.1:1", cloud="http://127.0.0.1:1")


@pytest.mark.timeout(LONG_S + 20)
def test_every_expectation_holds(program: Program) -> None:
    """One slice there and back under traffic: each planted difference is found, none else, nothing lost or doubled."""
    done = program.run("demo", "--no-serve", "--json", "--scale", "0.2", within_s=LONG_S)
    told = done.json
    assert [one for one in told["expectations"] if not one["held"]] == []
    assert (done.code, told["result"]) == (0, "pass")
    assert len(told["planted"]) == len(IN_THE_CLOUD) + len(IN_THE_LEGACY) + 2
    assert all(one["found"] == one["fields"] for one in told["planted"])
    assert told["unplanned"] == {}
    assert {row["phase"].partition(",")[0] for row in told["phases"]} == set(STAGES)
    assert all(row["writes"] > 0 for row in told["phases"])
    assert told["outage"]["accepted"] == told["outage"]["drained"] > 0
    assert {one["system"] for one in told["lost_answers"]} == {"legacy", "cloud"}
    verdicts = {one["entity"]: one["verdict"] for one in told["slices"]}
    # Three planted differences are left standing, so that one slice shows what is not ready; and no set was reconciled,
    # so that the other, with nothing against it, is not ready either.
    assert verdicts["expense"] == "fail"
    assert verdicts["time_entry"] == "inconclusive"


def test_an_interrupted_demo_leaves_nothing_behind(program: Program) -> None:
    """Ctrl-C ends the children, removes the folder and tells 130."""
    temporary = program.folder / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "demo", "--no-serve", "--scale", "0.05"],
        cwd=program.folder,
        env=program.environ(TMPDIR=str(temporary)),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "answers at" in line)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert list(temporary.iterdir()) == []
    port = int(line.partition("127.0.0.1:")[2].partition(",")[0])
    assert _closed(port)


def test_a_port_in_use_ends_it_in_one_line(program: Program) -> None:
    """What the environment refuses is exit code 3, with the cause, and no process is left."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        done = program.run("demo", "--no-serve", "--scale", "0.05", "--port", str(held.getsockname()[1]))
    assert done.code == 3
    assert "Address already in use" in done.err
    assert done.err.count("\n") == 1


def _closed(port: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) != 0:
                return True
    return False
