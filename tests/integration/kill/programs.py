"""What is killed: the processes of the program, kept alive by a supervisor, and a PostgreSQL of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import asyncpg
import httpx
import msgspec

from gateway import crash
from tests.systems.processes import ROOT

#: The points that a campaign passes. It begins no backfill, follows no change feed, and has no emergency and no change
#: at a time: those are killed in their own tests, and the commit of a fence in the campaign of switches.
_ELSEWHERE = ("CP21", "CP22", "CP26", "CP27", "CP28", "CP29", "CP30", "CP31", "CP32", "CP33")
PASSED = tuple(name for name in crash.POINTS if name not in _ELSEWHERE)

START_S = 60.0  #: deadline of a start; about 1 s on a quiet machine
#: A point that nothing brings about within this time is given up: the process is killed where it is.
PATIENCE_S = 20.0


class CannotHave(Exception):
    """This machine has no such program."""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Postgres:
    """A cluster of the test's own, so that its postmaster may be killed."""

    def __init__(self) -> None:
        found = sorted(
            Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3])
        )
        program = str(found[-1]) if found else shutil.which("initdb")
        if program is None:
            raise CannotHave("initdb is not installed")
        self._programs = Path(program).parent
        # PostgreSQL does not run as root; then it runs as the owner that its packages make.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._home = Path(tempfile.mkdtemp(prefix="twinrun-postgres-"))
        if self._user is not None:
            shutil.chown(self._home, self._user)
        self._data = self._home / "data"
        self._port = free_port()
        self._log = self._home / "log"
        subprocess.run(
            [
                str(self._programs / "initdb"),
                "-D",
                str(self._data),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
            ],
            check=True,
            capture_output=True,
            cwd=self._home,
            user=self._user,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def address(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{name}"

    async def start(self) -> None:
        """Returns once it answers. What an earlier postmaster has left behind may hold a start up for a moment."""
        until = time.monotonic() + START_S
        while True:
            if self._process is None or self._process.poll() is not None:
                self._start()
            try:
                connection = await asyncpg.connect(self.address(), timeout=5)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                if time.monotonic() > until:
                    raise RuntimeError(f"PostgreSQL did not start: {self._log.read_text()[-2000:]}") from None
                await asyncio.sleep(0.05)
                continue
            await connection.close()
            return

    def _start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self._port),
                    "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=120",
                ],
                stdout=log, stderr=log, cwd=self._home, user=self._user, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL to the postmaster: its backends notice and are gone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # a fast shutdown
            self._process.wait(30)
        shutil.rmtree(self._home, ignore_errors=True)


class Program:
    """One running process of the program."""

    def __init__(self, id_: int) -> None:
        self.id = id_
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        return not self._code.done()

    @property
    def returncode(self) -> int | None:
        return self._code.result() if self._code.done() else None

    async def wait(self) -> int:
        """The exit code, or the signal that ended it below zero."""
        return await asyncio.shield(self._code)

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            # It may be gone, and the launcher about to say so.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.id, number)

    def ended(self, code: int) -> None:
        self._code.set_result(code)


class Launcher:
    """Starts the program; see the module of this name."""

    def __init__(self) -> None:
        self._running: dict[int, Program] = {}
        self._asked: deque[asyncio.Future[Program]] = deque()
        self._process: asyncio.subprocess.Process | None = None
        self._told: asyncio.Task[None] | None = None

    async def open(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.kill.launcher",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        self._told = asyncio.create_task(self._listen(), name="launcher")

    async def start(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> Program:
        assert self._process is not None
        assert self._process.stdin is not None
        if self._told is None or self._told.done():
            raise RuntimeError("the launcher has ended")
        asked = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        wanted = {"arguments": list(arguments), "environment": dict(environment), "log": str(log)}
        self._process.stdin.write(msgspec.json.encode(wanted) + b"\n")
        return await asked

    async def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word, id_, *code = line.decode().split()
            if word == "started":
                program = self._running[int(id_)] = Program(int(id_))
                self._asked.popleft().set_result(program)
            else:
                self._running.pop(int(id_)).ended(int(code[0]))
        for asked in self._asked:
            asked.set_exception(RuntimeError("the launcher has ended"))

    async def close(self) -> None:
        """Ends the launcher; what it has started is ended before."""
        if self._process is None or self._told is None:
            return
        assert self._process.stdin is not None
        for program in self._running.values():
            program.signal(signal.SIGKILL)
        await asyncio.gather(*(program.wait() for program in list(self._running.values())))
        self._process.stdin.close()
        await self._process.wait()
        await self._told


class Death:
    """One process that is gone."""

    def __init__(
        self, *, slot: str, point: str, order: str | None, started: float, at: float, code: int
    ) -> None:
        self.slot = slot
        self.point = (
            point  #: of the program, or ``random`` where the supervisor killed it at no point of its own
        )
        self.order = order
        self.started = started
        self.at = at
        self.code = code


class Slot:
    """One place of the deployment. What dies in it is started again, with the crash point that ``order`` names."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        launcher: Launcher,
        environment: Mapping[str, str],
        folder: Path,
        order: Callable[[Slot], tuple[str | None, float | None]],
        died: Callable[[Death], None],
        database_up: asyncio.Event,
        port: int | None = None,
    ) -> None:
        self.name = name
        self.port = port
        self._arguments = list(arguments)
        self._launcher = launcher
        self._environment = dict(environment)
        self._folder = folder
        self._order = order
        self._died = died
        self._database_up = database_up
        self.armed: str | None = None  #: what the present life is to end by
        self.process: Program | None = None
        self.logs: list[Path] = []
        self.unexpected: list[str] = []
        self.stopped = False  #: held still by SIGSTOP
        self._ending = False
        self.task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.task = asyncio.create_task(self._keep(), name=f"keep {self.name}")

    async def _keep(self) -> None:
        while not self._ending:
            await self._database_up.wait()
            order, random_s = self._order(self)
            await self._life(order, random_s)

    async def _life(self, order: str | None, random_s: float | None) -> None:
        log = self._folder / f"{self.name}-{len(self.logs)}.log"
        self.logs.append(log)
        began, lost_before = time.time(), self._losses()
        # Before it is started: whoever wants calm has to find it while it starts, too.
        self.armed = "random" if random_s is not None else order
        armed = {} if order is None else {crash.VARIABLE: order}
        process = self.process = await self._launcher.start(
            self._arguments, {**self._environment, **armed}, log
        )
        ours = False
        limit = random_s if order is None else PATIENCE_S
        try:
            code = await asyncio.wait_for(process.wait(), limit)
        except TimeoutError:
            ours = True
            self.signal(signal.SIGKILL)
            code = await process.wait()
        self.armed = None
        if self._ending and code != -signal.SIGKILL:
            return
        if code == -signal.SIGKILL:
            point = "random" if ours or order is None else self._point(log)
            self._died(
                Death(slot=self.name, point=point, order=order, started=began, at=time.time(), code=code)
            )
        elif self._database_up.is_set() and self._losses() == lost_before:
            self.unexpected.append(f"{self.name} ended with {code} by itself: {log.read_text()[-1500:]}")

    def _losses(self) -> int:
        return getattr(self._database_up, "losses", 0)

    @staticmethod
    def _point(log: Path) -> str:
        for line in reversed(log.read_text(errors="replace").splitlines()):
            if line.startswith("crash point "):
                return line.split()[2].rstrip(":")
        return "random"

    def signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.signal(number)

    async def up(self, http: httpx.AsyncClient) -> None:
        """Returns once it works. Raises TimeoutError if it does not come to that."""
        until = time.monotonic() + START_S
        while not await self._works(http):
            if time.monotonic() > until:
                raise TimeoutError(
                    f"{self.name} does not work; its log ends: {self.logs[-1].read_text()[-1500:]}"
                )
            await asyncio.sleep(0.05)

    async def _works(self, http: httpx.AsyncClient) -> bool:
        if self.port is None:
            return "twinrun works for" in self.logs[-1].read_text(errors="replace")
        try:
            return (await http.get(f"{self.url}/health/live")).status_code == 200
        except httpx.TransportError:
            return False

    async def end(self) -> int | None:
        """Ends it as an operator would. Returns the exit code."""
        self._ending = True
        assert self.task is not None
        if self.process is not None and self.process.running:
            self.signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self.process.wait(), 40)
            except TimeoutError:
                self.signal(signal.SIGKILL)
        else:
            self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        return None if self.process is None else self.process.returncode

    def own_faults(self) -> list[str]:
        """Faults of the program itself, as it logged them."""
        return [
            line
            for log in self.logs
            for line in log.read_text(errors="replace").splitlines()
            if '"level":"error"' in line or '"level":"critical"' in line or line.startswith("Traceback")
        ]


class DatabaseUp(asyncio.Event):
    """Set while the database is there; counts how often it was lost."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = 0
        self.set()

    def lose(self) -> None:
        self.losses += 1
        self.clear()
