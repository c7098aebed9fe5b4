"""CPU per call of each carrier: one JSON GET of 1.2 kB over kept connections, 16 at a time.

The server is a process of its own, so that the figure is the client's alone. Prints a table.
``python -m tests.benchmarks.transport [calls]``
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import cast

import httpx
import uvloop

from adapters.profile import Limits
from adapters.transport import CARRIERS, Carrier, Request, carrier

BODY = b'{"value":"' + b"x" * 1188 + b'"}'
IN_FLIGHT = 16


def reply(body: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 23 Nov 2026 10:00:00 GMT\r\n"
        b'ETag: W/"17"\r\nContent-Length: ' + str(len(body)).encode() + b"\r\n\r\n" + body
    )


class _Answers(asyncio.Protocol):
    """Answers each request head with the same bytes; the requests measured have no body."""

    def __init__(self, body: bytes) -> None:
        self._reply = reply(body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while b"\r\n\r\n" in self._held:
            _, _, self._held = self._held.partition(b"\r\n\r\n")
            self._transport.write(self._reply)


def _serve(pipe: Connection, body: bytes) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Answers(body), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


class _Client:
    """httpx as most programs use it, for comparison."""

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(trust_env=False)

    async def send(self, request: Request) -> object:
        answer = await self._client.request(request.method, request.url, headers=request.headers)
        return answer.content

    async def close(self) -> None:
        await self._client.aclose()


async def _measure(client: Carrier | _Client, url: str, calls: int) -> tuple[float, float]:
    async def many(count: int) -> None:
        for _ in range(count):
            await client.send(Request(method="GET", url=url, headers={"Accept": "application/json"}))

    await asyncio.gather(*(many(20) for _ in range(IN_FLIGHT)))
    cpu, wall = time.process_time(), time.perf_counter()
    await asyncio.gather(*(many(calls // IN_FLIGHT) for _ in range(IN_FLIGHT)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await client.close()
    return cpu / calls * 1e6, calls / wall


@contextmanager
def serving(body: bytes) -> Iterator[str]:
    """The address of a process that answers everything with ``body``."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, body), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        server.terminate()
        server.join()


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    limits = Limits(concurrency=IN_FLIGHT)
    rows: dict[str, list[tuple[float, float]]] = {}
    with serving(BODY) as base:
        url = f"{base}/odata/v4/Customers('C100001')"
        for _ in range(3):
            for name in [*CARRIERS, "httpx.AsyncClient"]:
                make = _Client if name == "httpx.AsyncClient" else lambda name=name: carrier(name, limits)

                async def one(make=make) -> tuple[float, float]:
                    return await _measure(make(), url, calls)

                rows.setdefault(name, []).append(uvloop.run(one()))
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("aiohttp", "httpx", "uvloop"))
    print(f"{versions}; Python {sys.version.split()[0]}; load {os.getloadavg()[0]:.1f}; best of 3 × {calls}")
    print("| carrier | CPU per call | calls/s |\n|---|---|---|")
    for name, results in rows.items():
        print(f"| {name} | {min(r[0] for r in results):.0f} µs | {max(r[1] for r in results):,.0f} |")


if __name__ == "__main__":
    main()
