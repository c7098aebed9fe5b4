"""What outlives a test run: Tryton 6.0 in an environment of its own, and a seeded database to copy.

Laws: nothing of the ERP is imported here. Two test runs may ask at once: a file lock lets one of them make
what is missing. The second start installs and seeds nothing. The home lies in the user's cache folder
(``XDG_CACHE_HOME``); its parts carry a digest of what they were made from, so a changed pin, seed or calendar
year makes a new one and leaves the old one alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DATABASE = "erp"
ADMIN = ("admin", "harbour-Light.2207:oak")  #: login and password of the administrator; loopback only
MODULES = ("account_invoice", "project_invoice", "timesheet_cost")
INSTALL_DEADLINE_S = 900.0  #: an installation from a slow registry; measured: 14 s
SEED_DEADLINE_S = 600.0  #: each step; measured: 24 s for all of them, many times that on a busy machine


class CannotInstall(Exception):
    """The ERP could not be installed or seeded on this machine."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """What outlives a run: the environment that the ERP runs in, and a seeded database to copy."""

    environment: Path
    template: Path
    seconds: dict[str, float] = field(default_factory=dict)  #: what had to be done, and how long it took

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def seed(self) -> dict[str, Any]:
        return json.loads((self.template / "seed.json").read_text())


def home(root: Path | None = None) -> Home:
    """The installed and seeded ERP; makes what is missing."""
    root = root or _user_cache() / "twinrun-tests"
    root.mkdir(parents=True, exist_ok=True)
    pins = (HERE / "requirements.txt").read_bytes()
    seed = (HERE / "seed.py").read_bytes()
    year = str(date.today().year).encode()  # the fiscal years of the seed follow the calendar
    environment = root / f"tryton60-{_digest(pins, sys.version.encode())}"
    template = root / f"tryton60-seeded-{_digest(pins, seed, year, *(name.encode() for name in MODULES))}"
    made = Home(environment=environment, template=template)
    with _locked(root / "tryton60.flock"):
        for name, folder, make in (
            ("install", environment, lambda: _install(environment)),
            ("seed", template, lambda: _seed(made)),
        ):
            if (folder / "complete").exists():
                continue
            shutil.rmtree(folder, ignore_errors=True)  # what an interrupted run left
            started = time.monotonic()
            make()
            (folder / "complete").touch()
            made.seconds[name] = time.monotonic() - started
    return made


def _install(environment: Path) -> None:
    venv.create(environment, with_pip=True, symlinks=True)
    _run(
        [environment / "bin" / "python", "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"],
        deadline_s=INSTALL_DEADLINE_S,
    )


def _seed(made: Home) -> None:
    """Make the database, activate the modules, fill it."""
    made.template.mkdir(parents=True)
    (
        made.template / f"{DATABASE}.sqlite"
    ).touch()  # the product opens a database that exists, and creates none
    configure(made.template, port=0, session_timeout_s=300)
    secret = made.template / "password"
    secret.write_text(ADMIN[1])
    config = made.template / "trytond.conf"
    admin = [made.python, made.environment / "bin" / "trytond-admin", "-c", config, "-d", DATABASE]
    env = environment_of(made.template) | {"TRYTONPASSFILE": str(secret)}
    for command in (
        [*admin, "--all", "--email", "admin@example.com", "-l", "en"],
        [*admin, "-u", *MODULES, "--activate-dependencies"],
        [made.python, HERE / "seed.py", config, DATABASE, made.template / "seed.json"],
    ):
        _run(command, deadline_s=SEED_DEADLINE_S, env=env)
    secret.unlink()


def _run(command: list[Any], *, deadline_s: float, env: dict[str, str] | None = None) -> None:
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline_s, check=False
        )
    except subprocess.TimeoutExpired as late:
        raise CannotInstall(f"{_called(words)} did not end within {deadline_s:.0f} s") from late
    if done.returncode:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise CannotInstall(f"{_called(words)} ended with {done.returncode}: …{said[-1500:]}")


def _called(words: list[str]) -> str:
    return " ".join([Path(words[0]).name, Path(words[1]).name, *words[2:4]])


def configure(folder: Path, *, port: int, session_timeout_s: int) -> None:
    (folder / "trytond.conf").write_text(
        f"[database]\nuri = sqlite://\npath = {folder}\n"
        f"[web]\nlisten = 127.0.0.1:{port}\n"
        f"[session]\ntimeout = {session_timeout_s}\n"
    )


def environment_of(folder: Path) -> dict[str, str]:
    """The ERP sees neither our import path nor our settings; warnings about its age stay out of the log."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
    return kept | {"TRYTOND_CONFIG": str(folder / "trytond.conf"), "PYTHONWARNINGS": "ignore"}


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
