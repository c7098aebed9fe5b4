"""Carries one request to a system and its answer back; the only room that knows what carries it.

The words and the errors are httpx's: a carrier raises ``httpx.ConnectError`` when the request was certainly
not taken, and ``httpx.ReadError``, ``ReadTimeout`` or ``RemoteProtocolError`` when it may have been. That
distinction is worth more than speed: a connect error is sent again, and an invoice would be posted twice.
Each carrier here passes ``tests/unit/adapters/test_fault_matrix.py``.

A carrier tries once: no retry, no redirect, no cookies, no proxy or certificate settings from the
environment, no header that was not asked for, and no more than ``ANSWER_LIMIT`` bytes of answer.

Requests and replies on the hot path are the two slim Structs below, since making an ``httpx.Request`` and an
``httpx.Response`` costs more than everything else here. ``httpcore`` is httpx's own transport, which
pytest-httpx intercepts.

Measured (2026-11, ``python -m tests.benchmarks.transport``, GET of 1.2 kB, 16 in flight, uvloop, CPU per
call): aiohttp 80-90 us, httpcore without httpx's client 1,150-1,400 us, ``httpx.AsyncClient`` 1,500 us.
Chosen is aiohttp, written on directly: its errors can be told apart by class. pyreqwest 0.15 is about twice
as fast, but has the same class and only other words for "refused" and "read, then closed"; an invoice should
not hang on the words of a library.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import aiohttp
import httpx
import msgspec
from yarl import URL

from adapters.profile import Limits

#: Bytes; an answer beyond it is not read on, whoever sends it.
ANSWER_LIMIT = 10 * 1024 * 1024


class Request(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    url: str  #: absolute, already percent-encoded
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    content: bytes | None = None

    def as_httpx(self) -> httpx.Request:
        return httpx.Request(self.method, self.url, headers=self.headers, content=self.content)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    headers: Mapping[str, str]  #: asked for without regard to case
    content: bytes


class Carrier(Protocol):
    async def send(self, request: Request) -> Reply:
        """Once. Raises an ``httpx.TransportError`` or ``httpx.InvalidURL``."""
        ...

    async def close(self) -> None: ...


class AiohttpCarrier:
    """aiohttp with its error classes put right, most specific first."""

    def __init__(self, limits: Limits) -> None:
        self._timeout = aiohttp.ClientTimeout(total=limits.timeout_s, sock_connect=limits.connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None

    def _open(self) -> aiohttp.ClientSession:
        # Made on first use: a session belongs to the loop that runs it, a carrier is built before there is
        # one.
        session = aiohttp.ClientSession(
            # No limit here: a request that waits for a place must not spend its time, or it would look sent.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=20),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            trust_env=False,
            auto_decompress=True,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            requote_redirect_url=False,
            raise_for_status=False,
        )
        # aiohttp repeats a GET on a kept connection that was closed; the caller owns retries, not we.
        session._retry_connection = False  # pyright: ignore[reportPrivateUsage]
        self._session = session
        return session

    async def send(self, request: Request) -> Reply:
        session = self._session or self._open()
        try:
            async with session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.content,
                headers=request.headers,
                allow_redirects=False,
            ) as answer:
                content = await answer.content.read(ANSWER_LIMIT)
                if not answer.content.at_eof():
                    content = await _rest(answer, content)
                return Reply(status=answer.status, headers=answer.headers, content=content)
        except (aiohttp.ClientError, TimeoutError, ValueError, OSError) as error:
            raise _translated(error, request) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _rest(answer: aiohttp.ClientResponse, content: bytes) -> bytes:
    parts, size = [content], len(content)
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > ANSWER_LIMIT:
            answer.close()
            raise httpx.RemoteProtocolError(f"the answer is longer than {ANSWER_LIMIT} bytes")
        parts.append(chunk)
    return b"".join(parts)


#: aiohttp's class -> httpx's class. The order is the meaning: the first that fits counts, so a class stands
#: before the classes it inherits from (a refused connection is also an OSError and a ClientConnectionError).
_ERRORS: tuple[tuple[type[BaseException], type[Exception]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # refused, DNS, TLS
    (aiohttp.ServerTimeoutError, httpx.ReadTimeout),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ServerFingerprintMismatch, httpx.ConnectError),
    (aiohttp.ClientOSError, httpx.ReadError),
    (aiohttp.ClientConnectionResetError, httpx.ReadError),
    (aiohttp.ClientPayloadError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
    (TimeoutError, httpx.ReadTimeout),
    (ssl.SSLError, httpx.ConnectError),
    (OSError, httpx.ReadError),
    (ValueError, httpx.LocalProtocolError),
)


def _translated(error: BaseException, request: Request) -> Exception:
    for theirs, ours in _ERRORS:
        if isinstance(error, theirs):
            return ours(str(error) or type(error).__name__)
    raise error


class HttpcoreCarrier:
    """httpx's own transport, without its client: what pytest-httpx intercepts."""

    def __init__(self, limits: Limits) -> None:
        self._extensions = {
            "timeout": {
                "connect": limits.connect_timeout_s,
                "read": limits.timeout_s,
                "write": limits.timeout_s,
                "pool": limits.timeout_s,
            }
        }
        self._timeout_s = limits.timeout_s
        self._transport = httpx.AsyncHTTPTransport(
            trust_env=False,
            retries=0,
            limits=httpx.Limits(
                max_connections=None,
                max_keepalive_connections=limits.concurrency,
                keepalive_expiry=20,
            ),
        )

    async def send(self, request: Request) -> Reply:
        outgoing = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=request.content,
            extensions=self._extensions,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._transport.handle_async_request(outgoing)
                try:
                    content = await _limited(answer)
                finally:
                    await answer.aclose()
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer within the time") from error
        return Reply(status=answer.status_code, headers=answer.headers, content=content)

    async def close(self) -> None:
        await self._transport.aclose()


async def _limited(answer: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for chunk in answer.aiter_bytes():
        size += len(chunk)
        if size > ANSWER_LIMIT:
            raise httpx.RemoteProtocolError(f"the answer is longer than {ANSWER_LIMIT} bytes")
        parts.append(chunk)
    return b"".join(parts)


#: name in the settings (``http.transport``) -> what carries
CARRIERS: dict[str, Callable[[Limits], Carrier]] = {
    "aiohttp": AiohttpCarrier,
    "httpcore": HttpcoreCarrier,
}


def carrier(kind: str, limits: Limits) -> Carrier:
    return CARRIERS[kind](limits)


class Pace:
    """Spaces requests out to the rate that a product bears."""

    def __init__(self, requests_per_second: float | None) -> None:
        self._gap_s = 0.0 if requests_per_second is None else 1.0 / requests_per_second
        self._next = 0.0

    def wait(self) -> Awaitable[None] | None:
        """None when there is nothing to wait for, which is the common case and costs nothing."""
        if not self._gap_s:
            return None
        now = asyncio.get_running_loop().time()
        at = max(self._next, now)
        self._next = at + self._gap_s
        return asyncio.sleep(at - now) if at > now else None
