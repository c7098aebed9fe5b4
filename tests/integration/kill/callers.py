"""Upstream systems that never give up: each repeats its write with the same key, at whichever process answers, until
it is told what became of it. All that they ask and hear is noted down."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from tests.integration.ledger.world import customer, fresh, invoice, project, resource, time_entry
from tests.simulation.history import Said

#: Numbers that customers fight for: some are taken, some are given up in between.
NUMBERS = 60
#: Where a record may go next.
MOVES = {
    "time_entry": {"draft": ("submitted",), "submitted": ("approved", "rejected"), "rejected": ("draft",)},
    "invoice": {"draft": ("ready",), "ready": ("released", "void"), "released": ("posted",)},
    "resource": {"onboarding": ("active",), "active": ("on_leave",), "on_leave": ("active",)},
    "customer": {"prospect": ("active",), "active": ("blocked",), "blocked": ("active",)},
}
COLLECTION = {
    "customer": "customers",
    "time_entry": "time-entries",
    "project": "projects",
    "resource": "resources",
    "invoice": "invoices",
}
FIRST = {"customer": "prospect", "time_entry": "draft", "invoice": "draft"}  #: the state of a new record
PEOPLE = 6  #: whose authority moves to and fro
WAIT_S = 2  #: how long a caller waits before it is content with a 202
REST_S = 0.15  #: between two tries, and the pace of a caller
TRY_S = 12.0  #: seconds after which a try is given up


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One write that a caller wants made, once."""

    request: int
    action: str
    entity: str
    method: str
    path: str
    body: dict[str, Any]
    key: str
    record: str | None


class Heard(Said, kw_only=True):
    """What was said, and the wall clock (seconds since 1970) at that moment."""

    wall: float = 0.0


class Callers:
    def __init__(self, urls: Sequence[str], key: str, *, seed: int) -> None:
        self._urls = list(urls)
        self._rng = random.Random(seed)
        self._seed = seed
        self.said: list[Heard] = []
        self.wishes: dict[int, Wish] = {}
        self.accepted: dict[int, int] = {}  #: request -> the status that it was content with
        self.repeats = 0
        self.stop = asyncio.Event()
        self._requests = 0
        self._began = time.monotonic()
        self.http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {key}"}, timeout=TRY_S, limits=httpx.Limits(max_connections=40)
        )

    async def close(self) -> None:
        await self.http.aclose()

    # --- one write ---------------------------------------------------------------------------------------------

    def wish(
        self,
        action: str,
        entity: str,
        body: dict[str, Any],
        record: str | None = None,
        *,
        method: str = "POST",
    ) -> Wish:
        self._requests += 1
        path = f"/v1/{COLLECTION[entity]}"
        if record is not None:
            path += f"/{record}" + ("/transitions" if action == "transition" else "")
        made = Wish(
            request=self._requests, action=action, entity=entity, method=method, path=path, body=body, key=fresh("K"),
            record=record,
        )  # fmt: skip
        self.wishes[made.request] = made
        return made

    async def write(self, wish: Wish) -> httpx.Response:
        """The first answer that says what became of it, or that it is on disk."""
        attempt = 0
        while True:
            attempt += 1
            answer = await self.once(wish, attempt, wait_s=WAIT_S)
            if answer is not None:
                self.accepted[wish.request] = answer.status_code
                return answer
            self.repeats += 1
            await asyncio.sleep(REST_S)

    async def once(self, wish: Wish, attempt: int, *, wait_s: int) -> httpx.Response | None:
        """One try; None where it is to be repeated."""
        told = {"request": wish.request, "attempt": attempt, "action": wish.action, "entity": wish.entity}
        known = {"key": wish.key, "record": wish.record}
        self._say("invoke", **told, **known)
        # After one that did not answer, the other.
        url = self._urls[(wish.request + attempt) % len(self._urls)]
        headers = {
            "Idempotency-Key": wish.key,
            "X-Request-Id": f"{wish.request}.{attempt}",
            "Prefer": f"wait={wait_s}",
        }
        try:
            answer = await self.http.request(wish.method, url + wish.path, json=wish.body, headers=headers)
        except httpx.TransportError:
            self._say("info", **told, **known)
            return None
        code = answer.status_code
        document = answer.json() if answer.content else {}
        heard: dict[str, Any] = {
            **told,
            **known,
            "code": code,
            "operation": answer.headers.get("Twinrun-Operation"),
        }
        if code in (200, 201):
            self._say(
                "ok", **{**heard, "record": document["id"]}, version=document["version"], body=answer.text
            )
            return answer
        if code == 202:
            self._say("info", **heard)
            return answer
        later = document.get("retryable") is True and code in (409, 429, 503)
        self._say("info" if later or code >= 500 else "fail", **heard, problem=document.get("type"))
        return None if later or code >= 500 else answer

    async def read(self, entity: str, record: str) -> None:
        self._requests += 1
        told: dict[str, Any] = {
            "request": self._requests, "attempt": 1, "action": "read", "entity": entity, "record": record,
        }  # fmt: skip
        self._say("invoke", **told)
        url = self._rng.choice(self._urls)
        try:
            answer = await self.http.get(f"{url}/v1/{COLLECTION[entity]}/{record}")
        except httpx.TransportError:
            self._say("info", **told)
            return
        version = answer.json()["version"] if answer.status_code == 200 else None
        self._say("ok" if version is not None else "info", **told, code=answer.status_code, version=version)

    def _say(self, kind: str, **more: Any) -> None:
        self.said.append(
            Heard(
                place=len(self.said),
                t=time.monotonic() - self._began,
                kind=kind,
                wall=time.time(),
                **more,
            )
        )

    # --- a day's work ------------------------------------------------------------------------------------------

    async def prepare(self) -> None:
        """What the others refer to."""
        owner = self.owner = await self._made("customer", customer())
        people = [await self._made("resource", resource(name=f"Robin {n}")) for n in range(PEOPLE)]
        self.person = people[0]
        self._people = [[one, "onboarding"] for one in people]
        self.work = await self._made("project", project(owner))

    async def _made(self, entity: str, body: dict[str, Any]) -> str:
        answer = await self.write(self.wish("create", entity, body))
        assert answer.status_code in (201, 202), answer.text
        return _record(answer)

    async def work_on(self, number: int) -> None:
        """One caller, until ``stop``: creates, updates, moves, reads, and now and then the same request again."""
        rng = random.Random(f"{self._seed} {number}")
        own: dict[str, list[list[str]]] = {entity: [] for entity in FIRST}
        turn = 0
        while not self.stop.is_set():
            turn += 1
            entity = rng.choices(("customer", "resource", "time_entry", "invoice"), (3, 2, 5, 3))[0]
            # Everybody writes to the same few people, and each to other records of his own.
            mine = self._people if entity == "resource" else own[entity]
            wish, row = self._next(rng, entity, mine, f"{number}.{turn}")
            answer = await self.write(wish)
            if wish.action == "create" and answer.status_code in (201, 202):
                mine.append([_record(answer), FIRST[entity]])
                del mine[:-12]
            elif row is not None and answer.status_code == 200:
                row[1] = answer.json()["state"]
            if answer.status_code in (200, 201) and rng.random() < 0.08:
                await self.once(wish, 1_000 + turn, wait_s=WAIT_S)
            if mine and rng.random() < 0.15:
                await self.read(entity, rng.choice(mine)[0])
            await asyncio.sleep(REST_S * rng.random())

    def _next(
        self, rng: random.Random, entity: str, mine: list[list[str]], mark: str
    ) -> tuple[Wish, list[str] | None]:
        dice = rng.random()
        row = rng.choice(mine) if mine else None
        after = () if row is None else MOVES[entity].get(row[1], ())
        # A bill is made and moved; it is not changed in between.
        if row is None or (dice < 0.4 and entity != "resource") or (entity == "invoice" and not after):
            return self._new(rng, entity, mark), None
        if after and (dice < 0.65 or entity == "invoice"):
            return self.wish("transition", entity, {"to": rng.choice(after)}, row[0]), row
        if entity == "customer":
            body = {"number": f"N{rng.randrange(NUMBERS)}"} if rng.random() < 0.5 else {"phone": mark}
        elif entity == "resource":
            body = {"role": mark}
        else:
            body = {"note": mark}
        return self.wish("update", entity, body, row[0], method="PATCH"), row

    def _new(self, rng: random.Random, entity: str, mark: str) -> Wish:
        if entity == "customer":
            numbered = {"number": f"N{rng.randrange(NUMBERS)}"} if rng.random() < 0.6 else {}
            return self.wish("create", entity, customer(name=f"Customer {mark}", **numbered))
        if entity == "invoice":
            return self.wish("create", entity, bill(self.owner, mark, rng.randint(1, 4)))
        return self.wish("create", entity, time_entry(self.person, self.work, note=mark))

    async def ask_again(self, most: int) -> None:
        """At the end: all that was left with a 202, and some of the others, once more under their keys."""
        open_ = [request for request, code in self.accepted.items() if code == 202]
        done = [request for request, code in self.accepted.items() if code != 202]
        wanted = [*open_, *self._rng.sample(done, min(len(done), most))]
        places = asyncio.Semaphore(8)

        async def one(request: int) -> None:
            async with places:
                await self.once(self.wishes[request], 9_000, wait_s=0)

        await asyncio.gather(*(one(request) for request in wanted))


def bill(owner: str, mark: str, lines: int) -> dict[str, Any]:
    """An invoice with several lines, whose sums follow from them."""

    def pounds(amount: int) -> dict[str, str]:
        return {"amount": f"{amount}.00", "currency": "GBP"}

    line = {"quantity": "2", "unit_price": pounds(60), "amount": pounds(120), "tax_amount": pounds(24)}
    return invoice(
        owner,
        lines=[{**line, "description": f"{mark} line {number}"} for number in range(lines)],
        net_total=pounds(120 * lines),
        tax_total=pounds(24 * lines),
        total=pounds(144 * lines),
    )


def _record(answer: httpx.Response) -> str:
    return str(answer.json()["record" if answer.status_code == 202 else "id"])
