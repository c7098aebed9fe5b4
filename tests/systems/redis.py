"""A Redis of the test's own, which may be taken away and brought back."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

START_S = 20.0  #: deadline of a start; about 0.1 s on a quiet machine


class Redis:
    """``redis-server`` on a port of its own; it keeps nothing."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise FileNotFoundError("redis-server is not installed")
        self._program = program
        self._log = folder / "redis.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._program, "--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                ],
                stdout=log,
                stderr=log,
                cwd=self._log.parent,
            )  # fmt: skip
        until = time.monotonic() + START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"redis-server did not start; its log ends:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """SIGKILL: every connection breaks."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1) as link:
                link.sendall(b"PING\r\n")
                return link.recv(16).startswith(b"+PONG")
        except OSError:
            return False


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[Redis]:
    """A running Redis that no other test knows."""
    from tests.systems.plugin import leave_out

    try:
        made = Redis(tmp_path)
    except FileNotFoundError as cause:
        leave_out("Redis", cause)
    made.start()
    try:
        yield made
    finally:
        made.stop()
