"""Where and when a figure was made: read from the repository and the machine, never typed."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[2]


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a reader needs to make the figure again, or to doubt it."""

    commit: str  #: of the program; ``+`` behind it: with changes that are in no commit
    date: str  #: ISO 8601, UTC, when the run began
    machine: str
    seeds: str  #: which of them; ``none`` where nothing is drawn by lot


def origin(seeds: str) -> Origin:
    """Of a run that begins now. Raises CalledProcessError outside of a git checkout: there is no commit to name."""
    return Origin(
        commit=_git("rev-parse", "--short=12", "HEAD")
        + ("+" if _git("status", "--porcelain", "-uno") else ""),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=machine(),
        seeds=seeds,
    )


def machine() -> str:
    """Cores, kind, Python, and how busy it was: rates of a shared machine say little without it."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()
