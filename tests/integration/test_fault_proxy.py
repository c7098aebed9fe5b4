"""The fault proxy itself: what the server gets and what the client sees, for each fault, byte by byte.

The server here is a raw one that counts; the client is a plain socket, so that RST, FIN and silence are told apart by
the system and by nobody's library.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.systems.fault_proxy import Fault, FaultProxy

pytestmark = pytest.mark.enable_socket

BODY = b"x" * 300
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + BODY
SILENCE_S = 0.3  #: nothing for so long is silence; no state that the other side reaches is told to a socket


class Server(socketserver.ThreadingTCPServer):
    """Answers each whole request, and remembers what it was sent."""

    daemon_threads = True

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.partial: list[bytes] = []
        self.ended = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return self.server_address[1]


class Handler(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        data = b""
        try:
            while piece := self.request.recv(65536):
                data += piece
                if data == request(data[5:6].decode()):
                    self.server.got.append(data)
                    data = b""
                    self.request.sendall(ANSWER)
        except ConnectionError:
            pass  # the proxy has broken the line, which is what is looked at
        finally:
            self.server.partial.append(data)
            self.server.ended.release()


def request(name: str = "a") -> bytes:
    return f"POST {name} HTTP/1.1\r\nHost: here\r\ncontent-LENGTH: 100\r\n\r\n".encode() + b"y" * 100


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        serving = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield made
        made.shutdown()
        serving.join()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", server.port) as made:
        yield made


class Client:
    """One connection through the proxy."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)

    def ask(self, name: str = "a") -> tuple[bytes, str]:
        """What came of one request, and how it ended: ``whole``, ``reset``, ``close`` or ``silence``."""
        self.socket.sendall(request(name))
        return self.hear()

    def hear(self) -> tuple[bytes, str]:
        heard = b""
        try:
            while heard != ANSWER:
                piece = self.socket.recv(65536)
                if not piece:
                    return heard, "close"
                heard += piece
        except ConnectionResetError:
            return heard, "reset"
        except TimeoutError:
            return heard, "silence"
        return heard, "whole"

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Client]:
    with closing(Client(proxy)) as made:
        yield made


def test_without_a_fault_every_byte_passes(server: Server, client: Client) -> None:
    """Many requests on one connection, both ways unchanged."""
    for name in "abc":
        assert client.ask(name) == (ANSWER, "whole")
    assert server.got == [request(name) for name in "abc"]


# fmt: off
ENDINGS = {
    #                       the fault                                                 heard  ending    done  part
    "before, reset":   (Fault(request_bytes=0, then="reset"),                         0,    "reset",   0,   0),
    "before, closed":  (Fault(request_bytes=0, then="close"),                         0,    "close",   0,   0),
    "before, silent":  (Fault(request_bytes=0, then="silence"),                       0,    "silence", 0,   0),
    "inside, reset":   (Fault(request_bytes=60, then="reset"),                        0,    "reset",   0,   60),
    "inside, closed":  (Fault(request_bytes=60, then="close"),                        0,    "close",   0,   60),
    "inside, silent":  (Fault(request_bytes=60, then="silence"),                      0,    "silence", 0,   60),
    "behind, reset":   (Fault(hurried=True, then="reset"),                            0,    "reset",   1,   0),
    "behind, closed":  (Fault(hurried=True, then="close"),                            0,    "close",   1,   0),
    "answered, reset": (Fault(answer_bytes=0, then="reset"),                          0,    "reset",   1,   0),
    "answered, closed":(Fault(answer_bytes=0, then="close"),                          0,    "close",   1,   0),
    "half-open":       (Fault(answer_bytes=0, then="silence"),                        0,    "silence", 1,   0),
    "answer, closed":  (Fault(answer_bytes=50, then="close"),                         50,   "close",   1,   0),
    "answer, silent":  (Fault(answer_bytes=50, then="silence"),                       50,   "silence", 1,   0),
    "limit not met":   (Fault(answer_bytes=len(ANSWER), then="reset"),                None, "whole",   1,   0),
    "slices":          (Fault(slice_bytes=7),                                         None, "whole",   1,   0),
    "latency":         (Fault(latency_s=0.01, jitter_s=0.02),                         None, "whole",   1,   0),
    "bandwidth":       (Fault(bytes_per_s=5_000),                                     None, "whole",   1,   0),
}
# fmt: on


@pytest.mark.parametrize(("fault", "heard", "ending", "done", "part"), ENDINGS.values(), ids=ENDINGS.keys())
def test_a_fault_is_what_it_says(
    server: Server,
    proxy: FaultProxy,
    client: Client,
    fault: Fault,
    heard: int | None,
    ending: str,
    done: int,
    part: int,
) -> None:
    """The client hears exactly so much and this end, and the server has had exactly so much of the request."""
    number = proxy.put(fault)
    if ending == "silence":
        client.socket.settimeout(SILENCE_S)
    assert client.ask() == (ANSWER[:heard], ending)
    client.close()
    assert server.ended.acquire(timeout=20)
    assert (len(server.got), [len(one) for one in server.partial]) == (done, [part])
    assert (proxy.met(number), proxy.landed(number)) == (1, done)


def test_an_answer_may_be_broken_off(server: Server, proxy: FaultProxy, client: Client) -> None:
    """RST in the middle of an answer: some of it may be heard, never all, and the connection is reset."""
    proxy.put(Fault(answer_bytes=50, then="reset"))
    heard, ending = client.ask()
    assert (heard in (b"", ANSWER[:50]), ending, len(server.got)) == (True, "reset", 1)


def test_a_fault_happens_so_often_and_to_whom_it_is_meant_for(proxy: FaultProxy) -> None:
    """``when`` chooses, ``count`` ends it, and what it did not happen to passes."""
    number = proxy.put(Fault(request_bytes=0), when=lambda one: one.startswith(b"POST b"), count=2)
    ends = []
    for name in "abbba":
        with closing(Client(proxy)) as one:
            ends.append(one.ask(name)[1])
    assert ends == ["whole", "reset", "reset", "whole", "whole"]
    assert (proxy.met(number), proxy.landed(number)) == (2, 0)


def test_a_kept_connection_breaks_at_the_request_that_is_meant(proxy: FaultProxy, client: Client) -> None:
    """The requests before it on the same connection had their answers."""
    proxy.put(Fault(answer_bytes=0), when=lambda one: one.startswith(b"POST c"))
    assert [client.ask(name)[1] for name in "abc"] == ["whole", "whole", "reset"]


def test_healed_it_lets_everything_pass(proxy: FaultProxy) -> None:
    """A fault is over for what begins after it was switched off."""
    number = proxy.put(Fault(request_bytes=0))
    with closing(Client(proxy)) as one:
        assert one.ask()[1] == "reset"
    proxy.heal()
    with closing(Client(proxy)) as one:
        assert one.ask()[1] == "whole"
    assert proxy.met(number) == 1


def test_latency_holds_up_the_request_and_nobody_else(
    server: Server, proxy: FaultProxy, client: Client
) -> None:
    """Who asks later on a line without latency is answered first, and the server has not seen the other's request."""
    number = proxy.put(Fault(latency_s=3600), count=1)
    client.socket.sendall(request("a"))
    proxy.await_met(number)
    with closing(Client(proxy)) as other:
        assert other.ask("b")[1] == "whole"
    assert server.got == [request("b")]


def test_a_narrow_line_brings_an_answer_bit_by_bit(server: Server, proxy: FaultProxy, client: Client) -> None:
    """The first bytes are heard while the others are still on their way."""
    proxy.put(Fault(bytes_per_s=1))
    client.socket.sendall(request())
    assert client.socket.recv(65536) == ANSWER[:1]
    assert server.got == [request()]


def test_a_server_that_is_not_there_is_a_broken_connection(proxy: FaultProxy, server: Server) -> None:
    """The proxy says nothing that the server has not said."""
    server.shutdown()
    server.server_close()
    try:
        with closing(Client(proxy)) as one:
            heard = one.ask()
    except (ConnectionResetError, BrokenPipeError):
        heard = b"", "reset"  # so soon that it was broken while we spoke
    assert heard == (b"", "reset")


def test_it_tells_when_a_request_has_come_through(server: Server, proxy: FaultProxy, client: Client) -> None:
    """Whoever waits for a fault learns of it while the client still waits for its answer."""
    number = proxy.put(Fault(answer_bytes=0, then="silence"))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(client.ask)
        proxy.await_met(number)
        proxy.await_landed(number)
        assert not asked.done()
        client.socket.shutdown(socket.SHUT_RDWR)
        assert asked.result()[0] == b""
    # What has landed at the server's door its thread has still to read.
    assert server.ended.acquire(timeout=20)
    assert server.got == [request()]


def test_a_request_that_does_not_say_its_length_is_refused(server: Server) -> None:
    """The proxy would not know where it ends, and a fault would come at the wrong byte: it breaks the line and says
    so at the end."""

    def broken() -> None:
        with FaultProxy("127.0.0.1", server.port) as proxy, closing(Client(proxy)) as client:
            client.socket.sendall(b"POST a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert client.hear()[0] == b""

    with pytest.raises(ValueError, match="say their length"):
        broken()
    assert server.got == []
