"""What each carrier says when a system misbehaves, and how often the system got the request.

The class of the error decides whether an invoice is sent again, so the matrix runs over every carrier
shipped, against a raw server that counts requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import httpx
import pytest

from adapters.errors import AdapterError, Misconfigured, OutcomeUnknown, Unavailable
from adapters.outcome import of_transport
from adapters.profile import Limits
from adapters.transport import ANSWER_LIMIT, CARRIERS, Request, carrier
from tests.systems.fault_proxy import reset

pytestmark = pytest.mark.enable_socket

LIMITS = Limits(timeout_s=0.6, connect_timeout_s=0.4)


class RawServer:
    """Reads whole requests, counts them, and does what it is told with the connection."""

    def __init__(self, behave: Behaviour) -> None:
        self.requests = 0
        self.connections = 0
        self.heads: list[bytes] = []
        self._behave = behave
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open[writer] = asyncio.current_task()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.lower().split(b"\r\n")
                        if b"content-length" in line
                    ),
                    0,
                )
                await reader.readexactly(length)
                self.requests += 1
                self.heads.append(head)
                if not await self._behave(self, writer):
                    break
        writer.close()

    async def close(self) -> None:
        """Ends what still hangs, and waits until it has ended."""
        tasks = [task for task in self._open.values() if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in self._open:
            writer.close()
            with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()


Behaviour = Callable[[RawServer, asyncio.StreamWriter], "asyncio.Future[bool] | object"]


async def close(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    return False


async def rst(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    reset(writer)
    return False


async def hang(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(30)
    return False


async def garbage(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    await writer.drain()
    return False


async def half(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":')
    await writer.drain()
    return False


async def half_then_rst(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":')
    await writer.drain()
    await asyncio.sleep(0.05)
    reset(writer)
    return False


async def half_then_hang(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"id":')
    await writer.drain()
    await asyncio.sleep(30)
    return False


async def drip(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    """Each read is quick, the whole is not: only a deadline over all of it ends this."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(300):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)
    return False


async def flood(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for _ in range(ANSWER_LIMIT // 0x10000 + 64):
        writer.write(block)
        await writer.drain()
    return False


async def redirect(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    return True


async def cookie(server: RawServer, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok")
    await writer.drain()
    return True


@contextlib.asynccontextmanager
async def raw_server(behave: Behaviour) -> AsyncIterator[tuple[RawServer, str]]:
    raw = RawServer(behave)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield raw, f"http://{host}:{port}/records"
    finally:
        server.close()
        await raw.close()


class Fault(NamedTuple):
    method: str
    behave: Behaviour
    error: tuple[type[Exception], ...]
    meaning: type[AdapterError]
    requests: int = 1


PROTOCOL, TIMEOUT = (httpx.RemoteProtocolError,), (httpx.ReadTimeout,)
BROKEN = (httpx.ReadError, httpx.RemoteProtocolError)

# fmt: off
FAULTS = {
    #                        method  the server      the carrier says      what it means
    "read then closed":      Fault("POST", close,          PROTOCOL,           OutcomeUnknown),
    "read then reset":       Fault("POST", rst,            BROKEN,             OutcomeUnknown),
    "read timeout":          Fault("POST", hang,           TIMEOUT,            OutcomeUnknown),
    "garbage":               Fault("POST", garbage,        PROTOCOL,           OutcomeUnknown),
    "half an answer":        Fault("POST", half,           PROTOCOL,           OutcomeUnknown),
    "half, then reset":      Fault("POST", half_then_rst,  BROKEN,             OutcomeUnknown),
    "half, then silence":    Fault("POST", half_then_hang, TIMEOUT,            OutcomeUnknown),
    "byte by byte":          Fault("POST", drip,           TIMEOUT,            OutcomeUnknown),
    "endless answer":        Fault("POST", flood,          PROTOCOL + TIMEOUT, OutcomeUnknown),
    "GET read then closed":  Fault("GET",  close,          PROTOCOL,           OutcomeUnknown),
    "GET read then reset":   Fault("GET",  rst,            BROKEN,             OutcomeUnknown),
}
# fmt: on


def request(method: str, url: str) -> Request:
    return Request(method=method, url=url, content=b'{"total": 1}' if method == "POST" else None)


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_request_that_was_read_is_never_called_unsent(kind: str, fault: Fault) -> None:
    """Once the server has read a request, its outcome is unknown, and the carrier has sent it exactly
    once."""
    async with raw_server(fault.behave) as (server, url):
        under_test = carrier(kind, LIMITS)
        with pytest.raises(fault.error) as caught:
            await under_test.send(request(fault.method, url))
        await under_test.close()
    assert type(of_transport(caught.value, "legacy")) is fault.meaning
    assert server.requests == fault.requests


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_kept_connection_that_breaks_leaves_the_outcome_open(kind: str, method: str) -> None:
    """A request on a kept connection may have been read before it broke: it is not repeated, nor called
    unsent."""

    async def once(server: RawServer, writer: asyncio.StreamWriter) -> bool:
        if server.requests > 1:
            return False
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        return True

    async with raw_server(once) as (server, url):
        under_test = carrier(kind, LIMITS)
        assert (await under_test.send(request(method, url))).content == b"ok"
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)) as caught:
            await under_test.send(request(method, url))
        await under_test.close()
    assert type(of_transport(caught.value, "legacy")) is OutcomeUnknown
    assert (server.requests, server.connections) == (2, 1)


@pytest.mark.parametrize("kind", CARRIERS)
async def test_a_refused_connection_is_certainly_not_taken(kind: str) -> None:
    """Nobody listens: Unavailable, safe to send again."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    under_test = carrier(kind, LIMITS)
    with pytest.raises(httpx.ConnectError) as caught:
        await under_test.send(request("POST", f"http://127.0.0.1:{port}/records"))
    await under_test.close()
    assert type(of_transport(caught.value, "legacy")) is Unavailable


@pytest.mark.parametrize("kind", CARRIERS)
async def test_a_name_without_an_address_is_certainly_not_taken(kind: str) -> None:
    """DNS knows no such host: Unavailable."""
    under_test = carrier(kind, Limits(timeout_s=20, connect_timeout_s=15))
    with pytest.raises((httpx.ConnectError, httpx.ConnectTimeout)) as caught:
        await under_test.send(request("POST", "http://no-such-host.invalid/records"))
    await under_test.close()
    assert type(of_transport(caught.value, "legacy")) is Unavailable


@pytest.mark.parametrize("kind", CARRIERS)
async def test_a_failed_tls_handshake_is_certainly_not_taken(kind: str) -> None:
    """The server speaks no TLS: the request never left, and no certificate is taken on trust."""
    async with raw_server(close) as (server, url):
        under_test = carrier(kind, LIMITS)
        with pytest.raises((httpx.ConnectError, httpx.ConnectTimeout)) as caught:
            await under_test.send(request("POST", url.replace("http://", "https://")))
        await under_test.close()
    assert type(of_transport(caught.value, "legacy")) is Unavailable
    assert server.requests == 0


@pytest.mark.parametrize("kind", CARRIERS)
async def test_an_unknown_certificate_is_refused(kind: str, certificate: ssl.SSLContext) -> None:
    """A certificate that nobody vouches for ends the call before the request is sent."""
    raw = RawServer(cookie)
    server = await asyncio.start_server(raw.serve, "127.0.0.1", 0, ssl=certificate)
    port = server.sockets[0].getsockname()[1]
    under_test = carrier(kind, LIMITS)
    with pytest.raises(httpx.ConnectError) as caught:
        await under_test.send(request("POST", f"https://localhost:{port}/records"))
    await under_test.close()
    server.close()
    await raw.close()
    assert type(of_transport(caught.value, "legacy")) is Unavailable
    assert raw.requests == 0


@pytest.mark.parametrize("kind", CARRIERS)
@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "/no/host"])
async def test_an_address_that_cannot_be_called_is_a_matter_of_settings(kind: str, url: str) -> None:
    """Nothing was sent, and trying again would not help."""
    under_test = carrier(kind, LIMITS)
    with pytest.raises((httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError)) as caught:
        await under_test.send(request("GET", url))
    await under_test.close()
    assert type(of_transport(caught.value, "legacy")) is Misconfigured


@pytest.mark.parametrize("kind", CARRIERS)
async def test_a_redirect_is_an_answer_and_not_followed(kind: str) -> None:
    """A redirect would carry our request and its secrets to an address that nobody configured."""
    async with raw_server(redirect) as (server, url):
        under_test = carrier(kind, LIMITS)
        reply = await under_test.send(request("POST", url))
        await under_test.close()
    assert (reply.status, reply.headers.get("location"), server.requests) == (307, "/elsewhere", 1)


@pytest.mark.parametrize("kind", CARRIERS)
async def test_nothing_is_sent_that_was_not_asked_for(kind: str) -> None:
    """No cookie of an earlier answer, no user agent, no accepted encodings: only what the protocol put
    there."""
    async with raw_server(cookie) as (server, url):
        under_test = carrier(kind, LIMITS)
        for _ in range(2):
            address = f"{url}?x=a%20b%2Fc"
            await under_test.send(Request(method="GET", url=address, headers={"Accept": "application/xml"}))
        await under_test.close()
    lines = server.heads[1].decode().split("\r\n")
    assert lines[0] == "GET /records?x=a%20b%2Fc HTTP/1.1"
    names = {line.partition(":")[0].lower() for line in lines[1:] if line}
    assert names <= {"host", "accept", "connection"}
