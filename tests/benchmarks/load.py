"""The client of the benchmarks: a process of its own that costs little, since all share one machine.

Each caller is one kept connection that asks again as soon as it is answered. ``python -m tests.benchmarks.load``
reads a job a line from standard input and answers it with a line; the caller that starts it is ``programs.Client``.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from itertools import cycle
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask for. With both ``reads`` and ``write`` every ``write_every``-th request is a write."""

    base: str
    callers: int
    label: str  #: makes names and keys of this job's writes its own
    headers: dict[str, str] = {}
    reads: tuple[str, ...] = ()  #: addresses, asked for in turn
    write: str | None = None  #: address that a customer is posted to
    write_every: int = 1
    seconds: float | None = None  #: begin no request after this time
    requests: int | None = None  #: begin this many
    pace_s: float = 0.0  #: a caller begins a request this long after its last one at the earliest
    region: str = "DACH"
    may_refuse: bool = False  #: 503 is an answer like another


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. Moments are of the machine's monotonic clock, which its processes share."""

    began: float
    ended: float
    statuses: dict[str, int]
    p50_ms: float
    p99_ms: float
    longest_ms: float = 0.0
    refused_p99_ms: float = 0.0  #: of the answers 503, where the job allows them
    trouble: str | None = None  #: the first answer that was no success

    @property
    def answered(self) -> int:
        """Requests that came to a 2xx."""
        return sum(count for status, count in self.statuses.items() if status.startswith("2"))


def customer(label: str, number: int, region: str) -> bytes:
    """A customer without a number of its own, so that nobody has to look for its twin."""
    return msgspec.json.encode(
        {
            "region": region,
            "name": f"Firm {label} {number}",
            "email": f"office-{number}@firm.example",
            "phone": "+49 30 1234567",
            "billing_address": {
                "line1": "Lange Strasse 12",
                "city": "Berlin",
                "postal_code": "10115",
                "country": "DE",
            },
            "currency": "EUR",
            "payment_terms_days": 30,
            "language": "de",
        }
    )


class Run:
    """One job under way."""

    def __init__(self, job: Job) -> None:
        place = urlsplit(job.base)
        self.host, self.port = cast("str", place.hostname), cast("int", place.port)
        self._job = job
        lines = {"Host": place.netloc, "Accept": "application/json", **job.headers}
        self._lines = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._reads = cycle(f"GET {path} HTTP/1.1\r\n{self._lines}\r\n".encode() for path in job.reads)
        self._issued = 0
        self.statuses: Counter[str] = Counter()
        self.took: list[float] = []
        self.refused: list[float] = []
        self.pace_s = job.pace_s
        self._begun = 0
        self.trouble: str | None = None
        self.began = time.monotonic()
        self._until = float("inf") if job.seconds is None else self.began + job.seconds
        self._most = float("inf") if job.requests is None else job.requests
        self._open = job.callers
        self.over = asyncio.get_running_loop().create_future()

    def request(self) -> bytes | None:
        """The bytes of the next request; None when it is over."""
        if self._issued >= self._most or time.monotonic() >= self._until:
            return None
        number = self._issued
        self._issued += 1
        job = self._job
        if job.write is None or number % job.write_every:
            return next(self._reads)
        body = customer(job.label, number, job.region)
        return (
            f"POST {job.write} HTTP/1.1\r\n{self._lines}Idempotency-Key: {job.label}-{number}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def answered(self, status: int, seconds: float, body: bytes) -> None:
        self.statuses[str(status)] += 1
        if status == 503 and self._job.may_refuse:
            self.refused.append(seconds)
            return
        self.took.append(seconds)
        if not 200 <= status < 300 and self.trouble is None:
            self.trouble = f"{status} {body[:300].decode('utf-8', 'replace')}"

    def turn(self) -> float:
        """Seconds until the next caller's first request."""
        self._begun += 1
        return self.pace_s * (self._begun - 1) / self._job.callers

    def lost(self, why: str) -> None:
        self.statuses["lost"] += 1
        self.trouble = self.trouble or why

    def leave(self) -> None:
        self._open -= 1
        if not self._open and not self.over.done():
            self.over.set_result(time.monotonic())


class Caller(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._asked = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        # Paced callers begin one after the other, as they go on.
        asyncio.get_running_loop().call_later(self._run.turn(), self._next)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._asked:
            self._run.lost(f"the connection was closed before the answer: {exc}")
            self._run.leave()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._body = b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        self._asked = False
        took = time.monotonic() - self._at
        self._run.answered(self._parser.get_status_code(), took, self._body)
        if took >= self._run.pace_s:
            self._next()
        else:
            asyncio.get_running_loop().call_later(self._run.pace_s - took, self._next)

    def _next(self) -> None:
        request = self._run.request()
        if request is None:
            self._run.leave()
            self._transport.close()
            return
        self._asked = True
        self._at = time.monotonic()
        self._transport.write(request)


async def perform(job: Job) -> Done:
    run = Run(job)
    loop = asyncio.get_running_loop()
    await asyncio.gather(
        *(loop.create_connection(lambda: Caller(run), run.host, run.port) for _ in range(job.callers))
    )
    ended = await run.over
    took, refused = sorted(run.took) or [0.0], sorted(run.refused) or [0.0]
    return Done(
        began=run.began,
        ended=ended,
        statuses=dict(run.statuses),
        p50_ms=took[len(took) // 2] * 1e3,
        p99_ms=_p99_ms(took),
        longest_ms=took[-1] * 1e3,
        refused_p99_ms=_p99_ms(refused),
        trouble=run.trouble,
    )


def _p99_ms(ordered: list[float]) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3


def main() -> None:
    decode = msgspec.json.Decoder(Job).decode
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        done = uvloop.run(perform(decode(line)))
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
