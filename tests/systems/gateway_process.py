"""The gateway as a process of its own: ``python -m tests.systems.gateway_process``, settings from the environment.

Serves the API with its loops, as ``serve`` does, and says ``READY http://…`` once it answers.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Generator

import uvicorn
import uvloop

from gateway.app import Gateway
from gateway.cli.serve import stop_on_signal
from gateway.settings import load


class _Server(uvicorn.Server):
    """Says READY when it listens, and leaves signals to ``main``."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        sys.stdout.write(f"READY http://{host}:{port}\n")
        sys.stdout.flush()


async def main() -> None:
    settings = load()
    gateway = Gateway(settings)
    await gateway.open()
    await gateway.start(worker=True)
    try:
        config = uvicorn.Config(
            gateway.asgi(),
            host=settings.host,
            port=settings.port,
            lifespan="off",
            access_log=False,
            log_config=None,
        )
        server = _Server(config)
        stop_on_signal(server, gateway)
        await server.serve()
    finally:
        await gateway.stop()


if __name__ == "__main__":
    uvloop.run(main())
