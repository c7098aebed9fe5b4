"""A network that misbehaves: a TCP proxy between clients and one server on this machine.

It passes bytes on as they come, and knows of HTTP only where a request ends, so that a fault can be put before it,
into it, behind it, or into its answer. Connections are broken as networks break them: with RST, with FIN, or with
silence. It runs in a thread of its own and is told what to do from any other.

    with FaultProxy("127.0.0.1", port) as proxy:
        fault = proxy.put(Fault(answer_bytes=0), when=is_write, count=3)
        ...                          # three writes land, and nobody hears of it
        proxy.await_met(fault, 3)
        proxy.heal()
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Literal, TypeVar

import msgspec

CHUNK = 65_536
MET_S = 60.0  #: deadline for a fault to be met
Ending = Literal["reset", "close", "silence"]
T = TypeVar("T")


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one request and its answer. So many bytes of each pass, and what comes after is ended."""

    request_bytes: int | None = None  #: of the request; None: all of it
    answer_bytes: int | None = None  #: of the answer; None: all of it. 0: it was given, and nobody hears it
    then: Ending = "reset"  #: RST, FIN, or a connection that stays open and on which nothing comes
    hurried: bool = (
        False  #: the end comes as soon as the request is through, whatever the server does with it
    )
    latency_s: float = 0.0  #: before each piece, in both directions
    jitter_s: float = 0.0  #: at most so much more
    slice_bytes: int | None = None  #: the size of the pieces, in both directions
    bytes_per_s: float | None = None  #: of the answer

    @property
    def heard(self) -> int | None:
        """How many bytes of the answer come through."""
        return 0 if self.hurried else self.answer_bytes


_NONE = Fault()


class _Put:
    """A fault that is switched on."""

    def __init__(self, fault: Fault, when: Callable[[bytes], bool], left: int | None) -> None:
        self.fault = fault
        self.when = when
        self.left = left
        self.met = 0
        self.landed = 0


class FaultProxy:
    """Listens on a port of its own from ``with`` on."""

    def __init__(self, host: str, port: int, *, seed: int = 0) -> None:
        self.server = host, port
        self.port = 0
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy", daemon=True)
        self._changed = threading.Condition()
        self._puts: dict[int, _Put] = {}
        self._numbers = itertools.count(1)
        self._links: set[asyncio.Task[None]] = set()
        self._failed: list[BaseException] = []  #: what a connection could not bear, told at the end
        self._listener: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._failed and kind is None:
            raise self._failed[0]

    # --- what it is told, from any thread ------------------------------------------------------------------------

    def put(
        self, fault: Fault, *, when: Callable[[bytes], bool] = lambda request: True, count: int | None = None
    ) -> int:
        """Switches a fault on for the next ``count`` requests (None: for all) of which ``when`` is true, and returns
        its number. Of several that fit, the first counts."""
        with self._changed:
            number = next(self._numbers)
            self._puts[number] = _Put(fault, when, count)
        return number

    def heal(self) -> None:
        """Every request that comes from now on passes."""
        with self._changed:
            for one in self._puts.values():
                one.left = 0

    def met(self, number: int) -> int:
        """How many requests the fault has happened to."""
        with self._changed:
            return self._puts[number].met

    def landed(self, number: int) -> int:
        """Of how many of those the server was given every byte."""
        with self._changed:
            return self._puts[number].landed

    def await_met(self, number: int, times: int = 1) -> None:
        """Returns once the fault has begun to happen so often. Raises TimeoutError if it does not."""
        self._await(lambda: self._puts[number].met >= times, f"the fault was not met {times} times")

    def await_landed(self, number: int, times: int = 1) -> None:
        """Returns once the server was given so many of its requests whole. Raises TimeoutError if it is not."""
        self._await(lambda: self._puts[number].landed >= times, f"not {times} of its requests came through")

    def _await(self, seen: Callable[[], bool], otherwise: str) -> None:
        with self._changed:
            if not self._changed.wait_for(seen, MET_S):
                raise TimeoutError(f"{otherwise} within {MET_S:g} s")

    # --- what a connection asks ----------------------------------------------------------------------------------

    def due(self, request: bytes) -> tuple[Fault, _Put | None]:
        """The fault that happens to this request."""
        with self._changed:
            put = next((one for one in self._puts.values() if one.left != 0 and one.when(request)), None)
            if put is None:
                return _NONE, None
            put.met += 1
            put.left = None if put.left is None else put.left - 1
            self._changed.notify_all()
            return put.fault, put

    def came_through(self, put: _Put) -> None:
        with self._changed:
            put.landed += 1
            self._changed.notify_all()

    async def delay(self, fault: Fault) -> None:
        if fault.latency_s or fault.jitter_s:
            await asyncio.sleep(fault.latency_s + fault.jitter_s * self._rng.random())

    # --- its own thread ------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(MET_S)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._listener is not None
        self._listener.close()
        links = list(self._links)
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = self._loop.create_task(_Link(self, reader, writer).run())
        self._links.add(link)
        link.add_done_callback(self._ended)

    def _ended(self, link: asyncio.Task[None]) -> None:
        self._links.discard(link)
        failed = None if link.cancelled() else link.exception()
        if failed is not None:
            self._failed.append(failed)


class _Link:
    """One connection of a client, and its own to the server."""

    def __init__(self, proxy: FaultProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._reader = reader
        self._writer = writer
        self._fault = _NONE
        self._passed = 0  #: bytes of the answer under way

    async def run(self) -> None:
        try:
            above, below = await asyncio.open_connection(*self._proxy.server)
        except OSError:
            # The client's connection stands by now, so it can only be broken.
            reset(self._writer)
            return
        pumps = [asyncio.create_task(self._requests(below)), asyncio.create_task(self._answers(above))]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            ending = done.pop().result()
            await _cancelled(pumps)
            self._break(ending)
            if ending == "silence":
                with contextlib.suppress(ConnectionError):
                    while await self._reader.read(CHUNK):
                        pass  # what the client still says is heard by nobody
        finally:
            await _cancelled(pumps)
            below.transport.abort()
            if not self._writer.is_closing():
                self._writer.transport.abort()

    async def _requests(self, below: asyncio.StreamWriter) -> Ending:
        """Passes requests on, until one of them meets its end."""
        while True:
            request = await _whole(self._reader)
            if request is None:
                return "close"
            fault, put = self._proxy.due(request)
            self._fault, self._passed = fault, 0
            passing = request if fault.request_bytes is None else request[: fault.request_bytes]
            try:
                for piece in _pieces(passing, fault.slice_bytes):
                    await self._proxy.delay(fault)
                    below.write(piece)
                    await below.drain()
            except ConnectionError:
                return "reset"
            if len(passing) < len(request):
                return fault.then
            if put is not None:
                self._proxy.came_through(put)
            if fault.hurried:
                # A server may give a request up when its connection breaks: this one is left to do its work.
                self._break(fault.then)
                await asyncio.Event().wait()

    async def _answers(self, above: asyncio.StreamReader) -> Ending:
        """Passes answers on, until one of them meets its end."""
        try:
            while chunk := await above.read(CHUNK):
                fault = self._fault
                heard = chunk if fault.heard is None else chunk[: fault.heard - self._passed]
                self._passed += len(heard)
                size = fault.slice_bytes or (fault.bytes_per_s and max(1, int(fault.bytes_per_s / 10)))
                for piece in _pieces(heard, size):
                    await self._proxy.delay(fault)
                    self._writer.write(piece)
                    await self._writer.drain()
                    if fault.bytes_per_s:
                        await asyncio.sleep(len(piece) / fault.bytes_per_s)
                if len(heard) < len(chunk):
                    return fault.then
        except ConnectionError:
            return "reset" if self._fault.heard is None else self._fault.then
        # A server that is gone is not heard of through a line that is dead.
        return "close" if self._fault.heard is None else self._fault.then

    def _break(self, ending: Ending) -> None:
        if self._writer.is_closing():
            return
        if ending == "reset":
            reset(self._writer)
        elif ending == "close":
            self._writer.close()


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _whole(reader: asyncio.StreamReader) -> bytes | None:
    """The next request with its body; None when the client has gone."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
        if b"transfer-encoding" in fields:
            raise ValueError("a request in chunks; this proxy knows only those that say their length")
        return head + await reader.readexactly(int(fields.get(b"content-length", b"0")))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


def _pieces(data: bytes, size: int | float | None) -> Iterator[bytes]:
    step = int(size or len(data) or 1)
    return (data[at : at + step] for at in range(0, len(data), step))
