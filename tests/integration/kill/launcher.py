"""``python -m tests.integration.kill.launcher``: starts the program over and over at a tenth of what a start costs.

To import the program takes 1.9 s of processor time (2026-11, a shared machine), and 1.7 s of that go to the packages
that it stands on. They are imported here once, and each start is a fork: a process of its own, in a session of its own,
that imports the program itself with its own environment, and with the crash points that this arms.

On the standard input, one start a line: ``{"arguments": […], "environment": {…}, "log": "…"}``. On the standard output
``started 4711`` for each, in order, and ``ended 4711 -9`` when it is gone.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from importlib import import_module

import msgspec

#: What the program imports that is not the program.
STANDS_ON = (
    "aiohttp",
    "alembic",
    "asyncpg",
    "cyclopts",
    "httptools",
    "httpx",
    "jinja2",
    "litestar",
    "lxml.etree",
    "prometheus_client",
    "redis.asyncio",
    "rich",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "sqlalchemy.ext.asyncio",
    "uvicorn",
    "uvloop",
)


class Start(msgspec.Struct, frozen=True, kw_only=True):
    arguments: list[str]
    environment: dict[str, str]
    log: str  #: a file, of what it says on standard error


def fork(start: Start) -> int:
    """Returns in the launcher with the number of the process, and in the process with 0, ready to be the program."""
    sys.stdout.flush()
    if process := os.fork():
        return process
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDWR)
    log = os.open(start.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for ours, theirs in ((nothing, 0), (nothing, 1), (log, 2)):
        os.dup2(ours, theirs)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(start.environment)
    sys.argv = ["twinrun", *start.arguments]
    return 0


def main() -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the launcher ends it by its input
    for name in STANDS_ON:
        import_module(name)
    assert threading.active_count() == 1, "a process with threads cannot be forked safely"
    for start in starts():
        process = fork(start)
        if not process:
            break
        say(f"started {process}")
    else:
        return 0
    # From here on it is the program, armed as its environment says.
    program = import_module("gateway.cli.commands")
    return program.main()


def starts() -> Iterator[Start]:
    """What is asked for, until the input ends; tells of the ends of processes in between."""
    ended, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(told)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    rest = b""
    while True:
        readable, _, _ = select.select([0, ended], [], [])
        if ended in readable:
            os.read(ended, 4096)
            reap()
        if 0 in readable:
            chunk = os.read(0, 65_536)
            if not chunk:
                return
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield msgspec.json.decode(line, type=Start)


def reap() -> None:
    """Tells of every process that is gone."""
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not process:
            return
        say(f"ended {process} {os.waitstatus_to_exitcode(status)}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
