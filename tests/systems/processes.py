"""Programs started for tests: they say READY on their first lines, and are ended with all that they started."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY_S = 60.0  #: deadline of a start; about 1 s on a quiet machine


class DidNotStart(Exception):
    """The program ended, or said nothing, before it was ready."""


class Process:
    """``python -m module …`` in a process group of its own."""

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path,
        ready: int,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        try:
            self.ready = self._read(ready)
        except BaseException:
            self.kill()
            raise

    def _read(self, wanted: int) -> dict[str, str]:
        """The ``READY name address`` lines, by name."""
        out = self._popen.stdout
        assert out is not None
        found: dict[str, str] = {}
        until = time.monotonic() + READY_S
        rest = b""
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while len(found) < wanted:
                if not selector.select(max(0.0, until - time.monotonic())):
                    raise DidNotStart(f"not ready after {READY_S:g} s; {self.last_words()}")
                chunk = os.read(out.fileno(), 4096)
                if not chunk:
                    raise DidNotStart(f"ended before it was ready; {self.last_words()}")
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    word, _, told = line.decode().partition(" ")
                    name, _, address = told.rpartition(" ")
                    if word == "READY":
                        found[name or "it"] = address
        return found

    @property
    def id(self) -> int:
        """The process's number."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def last_words(self) -> str:
        return "its log ends:\n" + self._log.read_text(errors="replace")[-2000:]

    def signal(self, number: signal.Signals) -> None:
        """To the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, number)

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said."""
        self.signal(signal.SIGKILL)
        self._popen.wait()
        self._close()

    def stop(self) -> int:
        """Ends it as an operator would; what does not follow within twenty seconds is killed."""
        self.signal(signal.SIGTERM)
        try:
            return self._popen.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._close()

    def _close(self) -> None:
        if self._popen.stdout is not None:
            self._popen.stdout.close()
