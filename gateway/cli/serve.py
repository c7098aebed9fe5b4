"""``twinrun serve``: API, console and workers in one process, which owns its loop so that start and end are in order.

Order of start: the port is taken, the database is opened, the loops begin, and only then is the address printed.
Order of end: no new connection, answers under way are finished, the loops end, the database is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import Callable, Generator
from typing import Annotated

import msgspec
import uvicorn
import uvloop
from cyclopts import Parameter

from gateway.app import Gateway
from gateway.cli import codes
from gateway.cli.screen import Json, put_json, say
from gateway.errors import SettingWrong
from gateway.settings import Settings, load
from gateway.telemetry import configure

#: A caller may wait 25 s for a write at most; what is not answered by then after a stop is asked for is cut.
GRACE_S = 10


def serve(
    *,
    host: str | None = None,
    port: int | None = None,
    worker: Annotated[bool, Parameter(name="--worker", negative="--no-worker")] = True,
    json: Json = False,
) -> int:
    """API, console and workers in one process. Ends cleanly on SIGTERM (exit code 0) and Ctrl-C (130).

    Parameters
    ----------
    host:
        The address to listen on. Default: the settings'.
    port:
        Default: the settings'; 0: any free one.
    worker:
        Run the loops too. Without them mirrors wait for a `twinrun worker`.
    """
    settings = load()
    if port is not None and not 0 <= port <= 65_535:
        raise SettingWrong(f"--port {port}; allowed is 0 to 65535")
    settings = msgspec.structs.replace(
        settings, host=settings.host if host is None else host, port=settings.port if port is None else port
    )
    configure(settings.log_level)
    return uvloop.run(run(settings, worker=worker, json=json))


async def run(settings: Settings, *, worker: bool, json: bool) -> int:
    """Serves until a signal ends it; returns the exit code."""
    listening = _listen(settings)
    gateway = Gateway(settings)
    with contextlib.closing(listening):
        try:
            await gateway.open()
        except BaseException:
            await gateway.close()
            raise
        try:
            await gateway.start(worker=worker)
            host, port = listening.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            server = Server(
                uvicorn.Config(
                    gateway.asgi(),
                    http="httptools",
                    ws="none",
                    lifespan="on",
                    log_config=None,
                    access_log=False,
                    server_header=False,
                    proxy_headers=False,
                    timeout_graceful_shutdown=GRACE_S,
                ),
                announce=lambda: _announce(address, json=json),
            )
            ended_by = stop_on_signal(server, gateway)
            _settle_memory()
            await _hint(gateway)
            await server.serve(sockets=[listening])
        finally:
            await gateway.stop()
    return codes.INTERRUPTED if signal.SIGINT in ended_by else codes.PASS


class Server(uvicorn.Server):
    """Says when it answers, and leaves signals to whoever runs it."""

    def __init__(self, config: uvicorn.Config, *, announce: Callable[[], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started:
            self._announce()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        # The base class raises the signal again after serving, which would end the process before its loops.
        yield


def _settle_memory() -> None:
    """What the start has made stays for good, and requests leave few cycles: the collector looks at less, less often.
    (Measured: a sixth of the CPU time of a durable write.)"""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _listen(settings: Settings) -> socket.socket:
    """The port, taken before anything else is begun: a port in use is then told at once."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((settings.host, settings.port))
    except OSError as taken:
        listening.close()
        raise OSError(taken.errno, f"{settings.host}:{settings.port}: {taken.strerror}") from taken
    listening.setblocking(False)
    return listening


def stop_on_signal(server: uvicorn.Server, gateway: Gateway) -> list[signal.Signals]:
    """The signals that came. The first ends the server in order, a second one at once. From the first one on the
    process is not ready, and what it has claimed and not sent is free for others."""
    came: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        came.append(number)
        gateway.begin_to_stop()
        server.should_exit = True
        server.force_exit = len(came) > 1

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    return came


def _announce(address: str, *, json: bool) -> None:
    if json:
        put_json({"address": address, "console": f"{address}/console", "docs": f"{address}/docs"})
    else:
        sys.stdout.write(f"twinrun answers at {address}  (console {address}/console)\n")
        sys.stdout.flush()


async def _hint(gateway: Gateway) -> None:
    if not any(row.revoked_at is None for row in await gateway.keys.list()):
        say(
            "No API key yet, so nobody can call. Make one: "
            "twinrun keys create NAME --scopes read,write,admin:read,admin:write"
        )
