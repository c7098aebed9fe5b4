"""The README's first line, taken literally: a new environment, ``pip install .``, ``twinrun demo``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.house.tree import ROOT, tracked
from tests.systems.plugin import leave_out

#: Seconds in which a newcomer has seen the demo through.
DEMO_S = 90.0
INSTALL_S = 300.0


def _run(*command: str | Path, cwd: Path, limit_s: float) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TWINRUN_") and name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=kept,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that has only what ``pip install .`` brings."""
    folder = tmp_path_factory.mktemp("fresh")
    checkout = folder / "checkout"
    for path in tracked():
        copy = checkout / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    made = _run(sys.executable, "-m", "venv", folder / "venv", cwd=folder, limit_s=INSTALL_S)
    assert made.returncode == 0, made.stderr
    programs = folder / "venv" / "bin"
    installed = _run(programs / "pip", "install", "--quiet", ".", cwd=checkout, limit_s=INSTALL_S)
    if installed.returncode != 0:
        leave_out("a package index", RuntimeError(installed.stderr[-2000:]))
    # Nothing of the checkout may be needed any more.
    shutil.rmtree(checkout)
    return programs


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_needs_nothing_but_the_installed_package(fresh: Path, tmp_path: Path) -> None:
    """In a new environment, away from the checkout, every expectation of the demo holds within 90 seconds."""
    began = time.monotonic()
    done = _run(fresh / "twinrun", "demo", "--no-serve", cwd=tmp_path, limit_s=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert time.monotonic() - began < DEMO_S
    assert list(tmp_path.iterdir()) == [], "it leaves nothing in the folder where it was started"


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_without_a_driver_the_remedy_is_told(fresh: Path, tmp_path: Path) -> None:
    """PostgreSQL in the settings of an installation without its driver: exit code 2, and what to install."""
    done = subprocess.run(
        [fresh / "twinrun", "rules", "show"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "TWINRUN_DATABASE": "postgresql://nobody@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "[postgres]" in done.stderr
