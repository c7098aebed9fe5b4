"""Live traffic: a few upstream clients, each telling one story after the other, and a record of every answer."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import msgspec

from gateway.canonical import BY_NAME
from gateway.cli.demo.firm import CURRENCY, REGION, Body, Firm
from gateway.cli.demo.wire import Api, Reply, Stopped, until

CLIENTS = 4
#: Between two stories of one client: people and batch jobs are not a load test.
PAUSE_S = 0.12
#: Records of each kind that later stories may refer to.
REMEMBERED = 40
#: How long a write is waited for, in seconds; then the client follows its operation instead.
PATIENCE_S = 5


class Owned(msgspec.Struct):
    """A record that the demo has made, as its client knows it."""

    entity: str
    id: str
    version: int = 0
    body: Body = {}

    @property
    def path(self) -> str:
        return f"/v1/{BY_NAME[self.entity].collection}/{self.id}"


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write that was answered."""

    operation: str
    entity: str
    record: str
    kind: str
    status: int
    stage: str
    phase: str
    began: float
    ended: float


class Phase(msgspec.Struct):
    """What went on between two changes."""

    name: str
    began: float
    ended: float = 0.0
    answers: Counter[int] = msgspec.field(default_factory=Counter[int])
    reads: int = 0
    writes: int = 0
    longest_s: float = 0.0


class Traffic:
    """``start()`` begins the traffic and ``stop()`` ends it; everything it saw is in its fields."""

    def __init__(self, api: Api, *, seed: int) -> None:
        self.api = api
        self.firm = Firm(seed)
        self.phase = Phase(name="", began=time.monotonic())
        self.phases: list[Phase] = []
        self.writes: list[Write] = []
        self.unexpected: list[str] = []
        self.checked = 0  #: reads that were held against what was confirmed before
        self.plain = False  #: time entries are only made and noted, not moved through states
        self.patience_s = PATIENCE_S
        self.reads_may_fail = False
        self.owned: dict[str, Owned] = {}
        self.active: dict[str, deque[str]] = {
            entity: deque(maxlen=REMEMBERED) for entity in ("customer", "resource", "project")
        }
        self._tasks: list[asyncio.Task[None]] = []
        self._turns = [0] * CLIENTS
        self._turn = 0
        # fmt: off
        self._stories: tuple[tuple[int, Callable[[], Awaitable[None]]], ...] = (
            (2, self._customer), (2, self._resource), (2, self._project), (8, self._time_entry),
            (3, self._invoice), (2, self._payment), (3, self._look),
        )
        # fmt: on

    # --- its life --------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Finds active records of the firm that the first stories can refer to."""
        for entity in self.active:
            page = await self.api.get(
                f"/v1/{BY_NAME[entity].collection}",
                region=REGION,
                legal_entity="DE01",
                state="active",
                limit="8",
            )
            for record in page["items"]:
                if record.get("currency", CURRENCY) == CURRENCY:
                    self.active[entity].append(record["id"])
            if not self.active[entity]:
                raise Stopped(f"the firm has no active {entity} in {REGION}; take a larger --scale")

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._client(place)) for place in range(CLIENTS)]

    async def stop(self) -> None:
        """Ends after the stories that are being told."""
        tasks, self._tasks = self._tasks, []
        await asyncio.gather(*tasks)

    def health(self) -> None:
        """Raises what a client has broken with."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def abandon(self) -> None:
        """Ends at once."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        # What one of them broke with was told by ``health``.
        await asyncio.gather(*tasks, return_exceptions=True)

    def enter(self, name: str) -> Phase:
        """Closes the phase that was, and opens another."""
        now = time.monotonic()
        if self.phase.name:
            self.phase.ended = now
            self.phases.append(self.phase)
        self.phase = Phase(name=name, began=now)
        return self.phase

    async def turn(self) -> None:
        """Returns when every client has begun a new story: none of the old ones is still being told."""
        self._turn += 1
        turn = self._turn

        async def turned() -> bool | None:
            return all(seen >= turn for seen in self._turns) or None

        await until(turned, "the end of the stories that were being told", 90)

    async def dwell(self, requests: int, at_least_s: float) -> None:
        """Lets the traffic go on until the phase has seen so many requests, and for a moment at least."""
        phase = self.phase

        async def enough() -> bool | None:
            long_enough = time.monotonic() - phase.began >= at_least_s
            return (long_enough and phase.reads + phase.writes >= requests) or None

        await until(enough, f"{requests} requests in {phase.name}", 60)

    async def _client(self, place: int) -> None:
        weights, stories = zip(*self._stories, strict=True)
        while self._tasks:
            self._turns[place] = self._turn
            (story,) = self.firm.rng.choices(stories, weights)
            try:
                await story()
            except (aiohttp.ClientError, TimeoutError, OSError) as lost:
                self.unexpected.append(f"no answer from the gateway: {type(lost).__name__}: {lost}")
            await asyncio.sleep(PAUSE_S * 2 * self.firm.rng.random())

    # --- stories ---------------------------------------------------------------------------------------------

    async def _customer(self) -> None:
        one = await self.create("customer", self.firm.customer())
        if one is not None and await self.patch(
            one, {"phone": f"+49 731 {self.firm.rng.randrange(9999):04d}"}
        ):
            await self.check(one, "phone")
            if await self.move(one, "active"):
                self.active["customer"].append(one.id)

    async def _resource(self) -> None:
        one = await self.create("resource", self.firm.resource())
        if one is not None and await self.move(one, "active"):
            self.active["resource"].append(one.id)

    async def _project(self) -> None:
        one = await self.create("project", self.firm.project(self._any("customer")))
        if one is not None and await self.move(one, "approved") and await self.move(one, "active"):
            await self.check(one, "number")
            self.active["project"].append(one.id)

    async def _time_entry(self) -> None:
        one = await self.create(
            "time_entry", self.firm.time_entry(self._any("resource"), self._any("project"))
        )
        if one is None or not await self.patch(one, {"note": f"Corrected {self.firm.rng.randrange(10**6)}"}):
            return
        await self.check(one, "note")
        if not self.plain and await self.move(one, "submitted"):
            await self.move(one, "approved")
            await self.check(one, "note")

    async def _invoice(self) -> None:
        one = await self.create("invoice", self.firm.invoice(self._any("customer"), self._any("project")))
        if one is not None:
            await self.check(one, "number")
            await self.move(one, "ready")

    async def _payment(self) -> None:
        one = await self.create("payment", self.firm.payment(self._any("customer")))
        if one is not None:
            await self.check(one, "amount")

    async def _look(self) -> None:
        entity = self.firm.rng.choice(("customer", "project", "time_entry", "invoice"))
        await self._read(f"/v1/{BY_NAME[entity].collection}", {"region": REGION, "limit": "5"})

    def _any(self, entity: str) -> str:
        return self.firm.rng.choice(self.active[entity])

    # --- single requests -------------------------------------------------------------------------------------

    async def create(self, entity: str, body: Body) -> Owned | None:
        """The record when it was created at once; None when it was accepted for later, or refused."""
        one = await self.accept(entity, body)
        return one if one is not None and one.version else None

    async def accept(self, entity: str, body: Body) -> Owned | None:
        """The record, with version 0 when it was accepted for later; None when it was refused."""
        reply = await self._write(
            "create", entity, f"/v1/{BY_NAME[entity].collection}", {**body, "region": REGION}
        )
        if reply.status not in (201, 202):
            return None
        record = reply.body["id"] if reply.status == 201 else reply.body["record"]
        one = self.owned[record] = Owned(entity=entity, id=record, body=body)
        return self._confirmed(one, reply) if reply.status == 201 else one

    async def patch(self, one: Owned, body: Body) -> bool:
        """Whether the change was made at once."""
        one.body = {**one.body, **body}
        if_match = one.version if BY_NAME[one.entity].if_match_required else None
        reply = await self._write("update", one.entity, one.path, body, method="PATCH", if_match=if_match)
        return reply.status == 200 and self._confirmed(one, reply) is one

    async def move(self, one: Owned, to: str) -> bool:
        """Whether the record is in the state at once."""
        body = {"to": to, "reason": "demo"}
        reply = await self._write("transition", one.entity, f"{one.path}/transitions", body)
        return reply.status == 200 and self._confirmed(one, reply) is one

    async def check(self, one: Owned, field: str) -> None:
        """Reads the record and holds one field against what was confirmed: a lost write would show here."""
        reply = await self._read(one.path, None)
        if reply.status != 200:
            return
        self.checked += 1
        seen, wanted = reply.body.get(field), one.body[field]
        if seen != wanted or reply.body["version"] < one.version:
            self.unexpected.append(
                f"{one.id}: {field} is {seen!r} at version {reply.body['version']}, but {wanted!r} at version "
                f"{one.version} was confirmed before"
            )

    @staticmethod
    def _confirmed(one: Owned, reply: Reply) -> Owned:
        one.version = reply.body["version"]
        return one

    async def _write(
        self,
        kind: str,
        entity: str,
        path: str,
        body: Body,
        *,
        method: str = "POST",
        if_match: int | None = None,
    ) -> Reply:
        phase = self.phase
        reply = await self.api.call(method, path, body, if_match=if_match, wait_s=self.patience_s)
        phase.writes += 1
        phase.answers[reply.status] += 1
        phase.longest_s = max(phase.longest_s, reply.seconds)
        if reply.status not in (200, 201, 202):
            self.unexpected.append(f"{method} {path} answered {reply.status}: {_told(reply.body)}")
            return reply
        self.writes.append(
            Write(
                operation=reply.header("Twinrun-Operation"),
                entity=entity,
                record=reply.body["record"] if reply.status == 202 else reply.body["id"],
                kind=kind,
                status=reply.status,
                stage=reply.header("Twinrun-Stage"),
                phase=phase.name,
                began=reply.began,
                ended=reply.ended,
            )
        )
        return reply

    async def _read(self, path: str, params: dict[str, str] | None) -> Reply:
        phase = self.phase
        reply = await self.api.call("GET", path, params=params)
        phase.reads += 1
        phase.answers[reply.status] += 1
        if reply.status != 200 and not (reply.status == 503 and self.reads_may_fail):
            self.unexpected.append(f"GET {path} answered {reply.status}: {_told(reply.body)}")
        return reply


def _told(body: Any) -> str:
    return "nothing" if body is None else str(body.get("detail") or body.get("title"))
