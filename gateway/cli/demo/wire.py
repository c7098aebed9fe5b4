"""The two things that the demo talks to: the gateway's HTTP face, and the switches of the simulated ERPs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import uuid4

import aiohttp
import msgspec

T = TypeVar("T")

#: How often a state is looked at while it is waited for.
LOOK_S = 0.1


class Stopped(Exception):
    """The demo cannot go on."""


class TooLate(Stopped):
    """A state that was waited for did not come in time."""


class Unanswered(Stopped):
    """A read that has to succeed did not."""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """One answer, and when it was asked for and given."""

    status: int
    body: Any
    headers: dict[str, str]
    began: float
    ended: float

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def header(self, name: str) -> str:
        return self.headers.get(name.lower(), "")


class Api:
    """The gateway, with a key."""

    def __init__(self, address: str, key: str) -> None:
        self.address = address
        self._session = aiohttp.ClientSession(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"},
            connector=aiohttp.TCPConnector(limit=64),
            timeout=aiohttp.ClientTimeout(total=60),
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: dict[str, str] | None = None,
        if_match: int | None = None,
        wait_s: int | None = None,
    ) -> Reply:
        """One request. Every write carries a key of its own, so that it could be repeated without harm."""
        headers: dict[str, str] = {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if method in {"POST", "PATCH"}:
            headers["Idempotency-Key"] = uuid4().hex
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        if wait_s is not None:
            headers["Prefer"] = f"wait={wait_s}"
        data = None if body is None else msgspec.json.encode(body)
        began = time.monotonic()
        async with self._session.request(method, path, data=data, headers=headers, params=params) as answer:
            text = await answer.read()
            ended = time.monotonic()
            return Reply(
                status=answer.status,
                body=msgspec.json.decode(text) if text and "json" in answer.content_type else None,
                headers={name.lower(): value for name, value in answer.headers.items()},
                began=began,
                ended=ended,
            )

    async def get(self, path: str, **params: str) -> Any:
        """The body of a read that has to succeed. Raises Unanswered."""
        reply = await self.call("GET", path, params=params or None)
        if reply.status != 200:
            raise Unanswered(f"GET {path} answered {reply.status}: {reply.body}")
        return reply.body

    async def every(self, path: str, **params: str) -> list[Any]:
        """Every item of a list, page by page."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, **params, limit="200", **({"cursor": cursor} if cursor else {}))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items


class Control:
    """The switches and effect logs of both simulated ERPs, which work also while an ERP is down."""

    def __init__(self, address: str) -> None:
        self._session = aiohttp.ClientSession(base_url=address, timeout=aiohttp.ClientTimeout(total=30))

    async def close(self) -> None:
        await self._session.close()

    async def arm(self, system: str, **fault: Any) -> str:
        """Switches a fault on; returns its id."""
        return str((await self._ask("POST", system, "faults", fault))["id"])

    async def disarm(self, system: str, fault: str) -> None:
        await self._ask("DELETE", system, f"faults/{fault}")

    async def hits(self, system: str, fault: str) -> int:
        """How often a fault has struck."""
        items = (await self._ask("GET", system, "faults"))["items"]
        return next(int(item["hits"]) for item in items if item["id"] == fault)

    async def edit(self, system: str, entity: str, action: str, key: str, given: dict[str, Any]) -> None:
        """Somebody works in the ERP itself."""
        await self._ask(
            "POST", system, "edit", {"entity": entity, "action": action, "key": key, "set": given}
        )

    async def effects(self, system: str) -> list[dict[str, Any]]:
        """What the ERP itself says was done to its records."""
        return (await self._ask("GET", system, "effects"))["items"]

    async def records(self, system: str) -> dict[str, int]:
        return (await self._ask("GET", system, "stats"))["records"]

    async def _ask(self, method: str, system: str, what: str, body: Any = None) -> Any:
        data = None if body is None else msgspec.json.encode(body)
        async with self._session.request(method, f"/{system}/_sandbox/{what}", data=data) as answer:
            text = await answer.read()
            if answer.status >= 400:
                raise Unanswered(
                    f"the simulated {system} answered {answer.status} to {what}: {text.decode()}"
                )
            return msgspec.json.decode(text) if text else None


async def until(look: Callable[[], Awaitable[T | None]], what: str, within_s: float) -> T:
    """What ``look`` comes to see. Raises TooLate when it has seen nothing ``within_s`` seconds."""
    deadline = time.monotonic() + within_s
    while True:
        seen = await look()
        if seen is not None:
            return seen
        if time.monotonic() >= deadline:
            raise TooLate(f"{what} did not come within {within_s:g} s")
        await asyncio.sleep(LOOK_S)
