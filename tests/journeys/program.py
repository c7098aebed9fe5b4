"""The installed program as its users start it: one process a command, in a folder of its own."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
START_S = 90.0  #: deadline of a start; about 1 s on a quiet machine
SETTINGS = """\
database = "sqlite:///{folder}/twinrun.db"
settle_s = 0.2
recheck_s = 0.5
confirm_s = 2.0
{more}

[systems.legacy]
profile = "sandbox_legacy"
base_url = "{legacy}"

[systems.cloud]
profile = "sandbox_cloud"
base_url = "{cloud}"
"""


class Done:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Program:
    """Commands in one folder, with one settings file; ``more``: further lines of it."""

    def __init__(self, folder: Path, *, legacy: str, cloud: str, more: str = "") -> None:
        self.folder = folder
        settings = SETTINGS.format(folder=folder, legacy=legacy, cloud=cloud, more=more)
        (folder / "twinrun.toml").write_text(settings, encoding="utf-8")

    def environ(self, **more: str) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("TWINRUN_", "NO_COLOR"))
        }
        return {**kept, "PYTHONPATH": str(ROOT), **more}

    def run(self, *arguments: str, within_s: float = 120, **environ: str) -> Done:
        """Runs one command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "gateway.cli", *arguments],
            cwd=self.folder,
            env=self.environ(**environ),
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def serving(self, *arguments: str) -> Iterator[Serving]:
        """The gateway while the block lasts."""
        serving = Serving(self, arguments)
        try:
            yield serving
        finally:
            serving.end(signal.SIGKILL)


class Serving:
    """``twinrun serve --json`` on any free port. ``start_s``: from the start of the process to its address."""

    def __init__(self, program: Program, arguments: tuple[str, ...]) -> None:
        self._errors = (program.folder / "serve.log").open("wb")
        began = time.monotonic()
        self._popen = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", "serve", "--json", "--port", "0", *arguments],
            cwd=program.folder,
            env=program.environ(),
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.address: str = json.loads(self._document())["address"]
        self.start_s = time.monotonic() - began

    @property
    def pid(self) -> int:
        return self._popen.pid

    def _document(self) -> str:
        """The one JSON document that it prints when it answers."""
        out = self._popen.stdout
        assert out is not None
        until = time.monotonic() + START_S
        said = b""
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while not said.endswith(b"}\n"):
                assert selector.select(max(0.0, until - time.monotonic())), f"said only {said!r}"
                chunk = os.read(out.fileno(), 4096)
                assert chunk, f"ended with {self._popen.wait()} after {said!r}"
                said += chunk
        return said.decode()

    def end(self, number: signal.Signals) -> int:
        """Sends a signal, and returns the exit code."""
        if self._popen.poll() is None:
            self._popen.send_signal(number)
        try:
            return self._popen.wait(40)
        finally:
            if self._popen.stdout is not None:
                self._popen.stdout.close()
            self._errors.close()
