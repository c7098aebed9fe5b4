"""The gateway as a process of its own: ``python -m tests.systems.gateway_process``, settings from the environment.

Serves the API with its loops, as ``serve`` does, and says ``READY http://…`` once it answers.
"""

from __future__ import annotations

import socket
import sys

import uvicorn
import uvloop

from gateway.app import Gateway
from gateway.settings import load


class _Server(uvicorn.Server):
    """Says READY when it listens."""

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
        await _Server(config).serve()
    finally:
        await gateway.stop()


if __name__ == "__main__":
    uvloop.run(main())
