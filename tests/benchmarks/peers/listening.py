"""One uvicorn process with uvloop and httptools, as ``twinrun serve`` has it; says where it answers."""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

import uvicorn


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        sys.stdout.write(json.dumps({"address": f"http://{host}:{port}"}) + "\n")
        sys.stdout.flush()


def serve(app: Any, port: int = 0) -> None:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
    _Server(config).run()
