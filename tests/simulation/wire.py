"""The way between a replica and a system: an adapter whose network and whose system fail as the seed says."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any

from adapters.contract import Facts, Fields, Found, Health, Idempotency, Page, Query, Receipt, Write
from adapters.door import Door, Seen
from adapters.errors import AdapterError, NotFound, OutcomeUnknown, Throttled, Unavailable, Unreadable
from tests.simulation.erp import MAPPED, Call, Erp

#: What can happen to a mutating call, and to a reading one.
ON_WRITES = (
    "delay",
    "request lost",
    "answer lost",
    "late landing",
    "request doubled",
    "error with effect",
    "error without effect",
    "throttled",
    "hang",
    "garbage answer",
)
ON_READS = ("delay", "request lost", "error without effect", "throttled", "hang", "garbage answer")
#: Less than the margin of the quarantine: a request may leave until the very end of its lease.
LATE_S = 2.0


class Weather:
    """How one system and the way to it behave now. ``rate``: the part of the calls that something happens to."""

    def __init__(self, enabled: frozenset[str], rate: float) -> None:
        self.on_writes = tuple(one for one in ON_WRITES if one in enabled)
        self.on_reads = tuple(one for one in ON_READS if one in enabled)
        self.rate = rate
        self.down_until = 0.0
        #: what happens to the next mutating calls, in order, whatever ``rate`` says: for scenarios made by hand
        self.script: list[str] = []
        #: stops a replica for so many seconds
        self.pause: Callable[[str, float], None] = lambda replica, seconds: None
        self.counted: Counter[str] = Counter()
        self.last_landing = 0.0

    def end(self) -> None:
        self.on_writes = self.on_reads = ()
        self.rate = self.down_until = 0.0
        self.script.clear()


class SimAdapter:
    """``adapters.contract.Adapter`` of one replica for one system."""

    def __init__(
        self, erp: Erp, weather: Weather, rng: random.Random, replica: str, calls: list[Call], door: Door
    ) -> None:
        self._door = door
        self._erp = erp
        self._weather = weather
        self._rng = rng
        self._replica = replica
        self._calls = calls

    @property
    def name(self) -> str:
        return self._erp.name

    @property
    def product(self) -> str:
        return "simulated"

    def supports(self, entity: str) -> bool:
        return entity in MAPPED

    def facts(self, entity: str) -> Facts:
        return self._erp.product.facts(entity)

    def expect(self, entity: str, fields: Fields) -> Fields:
        return self._erp.product.kept({n: v for n, v in fields.items() if n in MAPPED[entity]})

    async def close(self) -> None:
        return

    # --- reads -----------------------------------------------------------------------------------------------

    async def probe(self) -> Health:
        await self._read("probe", lambda: None)
        return Health(ok=True, latency_s=0.01)

    async def fetch(self, entity: str, native_id: str, *, headers: Mapping[str, str] | None = None) -> Found:
        lag = self._rng.random() * self._erp.product.read_lag_s
        return await self._read("fetch", lambda: self._erp.fetch(entity, native_id, lag))

    async def search(self, entity: str, query: Query, *, headers: Mapping[str, str] | None = None) -> Page:
        lag = self._rng.random() * self._erp.product.search_lag_s

        def done() -> Page:
            found = [one for one in self._erp.all(entity, lag) if _fits(one, query.where)]
            start = int(query.cursor or 0)
            end = start + query.limit
            return Page(
                items=tuple(found[start:end]), next_cursor=str(end) if len(found) > end else None
            )

        return await self._read("search", done)

    async def find(
        self, entity: str, *, marker: str | None = None, external_id: str | tuple[str, ...] | None = None
    ) -> tuple[Found, ...]:
        lag = self._rng.random() * self._erp.product.search_lag_s

        def done() -> tuple[Found, ...]:
            if marker is not None:
                return tuple(one for one in self._erp.all(entity, lag) if one.marker == marker)[:10]
            ids = external_id if isinstance(external_id, tuple) else (external_id,)
            return tuple(one for one in self._erp.all(entity, lag) if one.external_id in ids)[: 10 * len(ids)]

        return await self._read("find", done, marker=marker)

    # --- writes ----------------------------------------------------------------------------------------------

    async def create(self, write: Write) -> Receipt:
        return await self._write("create", write, lambda: self._erp.create(write))

    async def update(self, write: Write) -> Receipt:
        return await self._write("update", write, lambda: self._erp.update(write))

    async def transition(self, write: Write) -> Receipt:
        return await self._write("transition", write, lambda: self._erp.transition(write))

    # --- the way there and back ------------------------------------------------------------------------------

    async def _read(self, kind: str, done: Callable[[], Any], *, marker: str | None = None) -> Any:
        return await self._call(kind, done, self._fault(self._weather.on_reads), marker)

    async def _write(self, kind: str, write: Write, done: Callable[[], Receipt]) -> Receipt:
        weather = self._weather
        fault = weather.script.pop(0) if weather.script else self._fault(weather.on_writes)
        product = self._erp.product
        if fault == "request doubled" and not (
            product.idempotency is Idempotency.A_NATIVE_KEY
            or (product.conditional and write.native_version is not None)
        ):
            fault = ""  # harmless only there; anywhere else nobody promises anything
        return await self._call(kind, done, fault, write.marker)

    def _fault(self, possible: tuple[str, ...]) -> str:
        if possible and self._rng.random() < self._weather.rate:
            return self._rng.choice(possible)
        return ""

    async def _call(self, kind: str, done: Callable[[], Any], fault: str, marker: str | None) -> Any:
        turn = await self._door.enter()
        seen = Seen.NOTHING
        try:
            result = await self._sent(kind, done, fault, marker)
            seen = Seen.ANSWERED
        except Throttled as throttled:
            seen = Seen.ANSWERED
            self._door.throttled(30.0 if throttled.retry_after_s is None else throttled.retry_after_s, "429")
            raise
        except OutcomeUnknown:
            seen = Seen.FAILED
            raise
        except Unavailable:
            seen = Seen.UNREACHED
            raise
        except AdapterError:
            seen = Seen.ANSWERED
            raise
        else:
            return result
        finally:
            self._door.leave(turn, seen)

    async def _sent(self, kind: str, done: Callable[[], Any], fault: str, marker: str | None) -> Any:
        """One request from its first byte to its last: nobody waits between the door and that byte."""
        rng, weather = self._rng, self._weather
        product = self._erp.product
        loop = self._erp.loop
        now = loop.time()
        if now < weather.down_until:
            fault = "down"
        call = Call(t=now, replica=self._replica, system=self.name, kind=kind, marker=marker, fault=fault)
        self._calls.append(call)
        if fault:
            weather.counted[fault] += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        mine = copy_context()
        going, back = 0.002 + rng.random() * 0.02, 0.002 + rng.random() * 0.02
        times: list[float] = [now + going]
        told: AdapterError | None = None
        silent = False
        match fault:
            case "delay":
                times = [now + going + rng.random() * product.timeout_s * 1.2]
            case "down":
                times, told = [], Unavailable("connection refused", system=self.name)
            case "request lost":
                times = []
                if rng.random() < 0.5:
                    told = Unavailable("connection refused", system=self.name)
                else:
                    silent = True
            case "answer lost":
                silent = True
            case "late landing":
                # Whoever gave it up did so at most ``LATE_S`` after it left, or else by its lease, which is later.
                times = [now + going + rng.random() * (product.max_processing_s + LATE_S - going)]
                silent = True
            case "request doubled":
                times.append(now + going + rng.random() * (product.max_processing_s - going))
            case "error with effect":
                told = OutcomeUnknown("502", system=self.name, code="502")
            case "error without effect":
                times = []
                kind_of = OutcomeUnknown if rng.random() < 0.5 else Unavailable
                told = kind_of("503", system=self.name, code="503")
            case "throttled":
                times = []
                after = rng.choice((1.0, 2.5, 6.0, None))
                call.paused_until = 0.0 if after is None else after
                told = Throttled("slow down", system=self.name, retry_after_s=after)
            case "hang":
                times, silent = (times, True) if rng.random() < 0.5 else ([], True)
            case "refused, and its replica stops":
                times, told = [], Unavailable("connection refused", system=self.name)
                loop.call_later(
                    0.001, weather.pause, self._replica, 3.0 + rng.random() * 2.0, context=self._erp.context
                )
            case "slow":
                times = [now + product.timeout_s * 0.9]
            case "garbage answer":
                told = Unreadable("not JSON", system=self.name)
            case _:
                pass
        weather.last_landing = max(weather.last_landing, *times, now)

        def arrive(place: int) -> None:
            result: Any = None
            raised: AdapterError | None = None
            try:
                result = done()
            except AdapterError as refused:
                raised = refused
            if place == 0 and not silent:
                loop.call_at(loop.time() + back, _settle, answer, result, told or raised, context=mine)

        for place, when in enumerate(times):
            loop.call_at(when, arrive, place, context=self._erp.context)
        if not times and told is not None:
            loop.call_at(now + going + back, _settle, answer, None, told, context=mine)
        try:
            heard = True
            try:
                async with asyncio.timeout(product.timeout_s):
                    return await answer
            except GeneratorExit:
                # The garbage collector comes by the remains of a dead replica: nobody heard anything then.
                heard = False
                raise
            finally:
                if heard:
                    call.ended = loop.time()
        except TimeoutError:
            raise OutcomeUnknown("no answer in time", system=self.name, code="timeout") from None
        except Throttled as throttled:
            call.paused_until = loop.time() + (throttled.retry_after_s or 30.0)
            raise


def _settle(answer: asyncio.Future[Any], result: Any, raised: AdapterError | None) -> None:
    if answer.done():
        return
    if raised is None:
        answer.set_result(result)
    else:
        answer.set_exception(raised)


def _fits(found: Found, where: Mapping[str, Any]) -> bool:
    for name, wanted in where.items():
        value = str(found.fields.get(name))
        if value not in wanted if isinstance(wanted, tuple) else value != wanted:
            return False
    return True


__all__ = ["ON_READS", "ON_WRITES", "NotFound", "SimAdapter", "Weather"]
