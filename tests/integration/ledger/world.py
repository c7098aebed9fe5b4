"""One gateway over the two simulated ERPs, as a caller and as an operator see it."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from sqlalchemy import Connection

from gateway.app import Gateway
from gateway.ledger import invariants
from gateway.routing.stage import Stage
from tests.integration.ledger import history
from tests.systems.sandbox import SYSTEMS, Sandbox

#: Long enough for a write of unknown outcome: lease, processing time and margins of the settings in conftest.
RESOLVED_S = 60.0
REGION = "UK"

_numbers = itertools.count(int(time.time() * 1000) % 1_000_000_000)


def fresh(prefix: str = "T") -> str:
    """A number that no record of this session has."""
    return f"{prefix}-{next(_numbers)}"


def customer(**more: Any) -> dict[str, Any]:
    return {"region": REGION, "name": "Harbour Engineering", "currency": "GBP", **more}


def project(customer_id: str, **more: Any) -> dict[str, Any]:
    return {
        "region": REGION,
        "name": "Quay wall survey",
        "customer_id": customer_id,
        "billing_method": "time_and_materials",
        "currency": "GBP",
        **more,
    }


def resource(**more: Any) -> dict[str, Any]:
    return {"region": REGION, "name": "Robin Example", "kind": "employee", **more}


def contract(customer_id: str, **more: Any) -> dict[str, Any]:
    body = {"region": REGION, "customer_id": customer_id, "title": "Survey", "kind": "sow", "currency": "GBP"}
    return {**body, **more}


def expense(resource_id: str, project_id: str, **more: Any) -> dict[str, Any]:
    return {
        "region": REGION,
        "resource_id": resource_id,
        "project_id": project_id,
        "date": "2026-03-02",
        "category": "travel",
        "amount": {"amount": "84.20", "currency": "GBP"},
        "billable": True,
        **more,
    }


def payment(customer_id: str, **more: Any) -> dict[str, Any]:
    return {
        "region": REGION,
        "customer_id": customer_id,
        "received_on": "2026-04-14",
        "amount": {"amount": "100.00", "currency": "GBP"},
        **more,
    }


def time_entry(resource_id: str, project_id: str, **more: Any) -> dict[str, Any]:
    return {
        "region": REGION,
        "resource_id": resource_id,
        "project_id": project_id,
        "date": "2026-03-02",
        "hours": "7.5",
        "billable": True,
        **more,
    }


def invoice(customer_id: str, **more: Any) -> dict[str, Any]:
    def money(amount: str) -> dict[str, str]:
        return {"amount": amount, "currency": "GBP"}

    line = {
        "description": "Survey on site",
        "kind": "time",
        "quantity": "7.5",
        "unit_price": money("120.00"),
        "amount": money("900.00"),
        "tax_amount": money("180.00"),
        "tax_code": "standard",
    }
    return {
        "region": REGION,
        "customer_id": customer_id,
        "currency": "GBP",
        "issue_date": "2026-03-31",
        "lines": [line],
        "net_total": money("900.00"),
        "tax_total": money("180.00"),
        "total": money("1080.00"),
        **more,
    }


class World:
    def __init__(self, gateway: Gateway, sandbox: Sandbox, client: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.sandbox = sandbox
        self.client = client
        self.began = {system: sandbox.last(system) for system in SYSTEMS}

    # --- a caller --------------------------------------------------------------------------------------------

    async def create(self, collection: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return await self.client.post(f"/v1/{collection}", json=body, headers=_headers(headers))

    async def patch(
        self, collection: str, record_id: str, body: dict[str, Any], **headers: str
    ) -> httpx.Response:
        return await self.client.patch(f"/v1/{collection}/{record_id}", json=body, headers=_headers(headers))

    async def move(self, collection: str, record_id: str, to: str, **headers: str) -> httpx.Response:
        return await self.client.post(
            f"/v1/{collection}/{record_id}/transitions", json={"to": to}, headers=_headers(headers)
        )

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def every(self, path: str) -> list[dict[str, Any]]:
        """What a list shows, to its last page: other tests have left records in these systems."""
        return [item for page in await self.pages(path) for item in page.json()["items"]]

    async def pages(self, path: str) -> list[httpx.Response]:
        """A list, page by page."""
        pages: list[httpx.Response] = []
        cursor = ""
        while True:
            pages.append(await self.client.get(f"{path}{cursor}"))
            assert pages[-1].status_code == 200, pages[-1].text
            if (following := pages[-1].json()["next_cursor"]) is None:
                return pages
            cursor = f"&cursor={following}"

    async def made(self, collection: str, body: dict[str, Any], **headers: str) -> dict[str, Any]:
        """The record of a create that has to work."""
        answer = await self.create(collection, body, **headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    # --- an operator -----------------------------------------------------------------------------------------

    async def operation(self, answer: httpx.Response | str) -> dict[str, Any]:
        id_ = answer if isinstance(answer, str) else answer.headers["Twinrun-Operation"]
        told = await self.client.get(f"/v1/operations/{id_}")
        assert told.status_code == 200, told.text
        return told.json()

    async def until(self, seen: Callable[[], Awaitable[Any]], what: str, within_s: float = RESOLVED_S) -> Any:
        """Waits for a state; the last thing seen is returned as soon as it is true."""
        deadline = time.monotonic() + within_s
        while True:
            found = await seen()
            if found:
                return found
            assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
            await asyncio.sleep(0.03)

    async def reaches(
        self, answer: httpx.Response | str, *states: str, within_s: float = RESOLVED_S
    ) -> dict[str, Any]:
        """The operation once it is in one of these states."""
        last: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal last
            last = await self.operation(answer)
            return last["state"] in states

        try:
            await self.until(there, f"{states}", within_s)
        except AssertionError:
            raise AssertionError(f"not {states} within {within_s:g} s: {last}") from None
        return last

    async def quiet(self, within_s: float = RESOLVED_S) -> None:
        """Waits until no delivery has anything to do by itself."""

        async def done() -> bool:
            return not any(line.state in history.OPEN for line in await self.lines())

        try:
            await self.until(done, "quiet", within_s)
        except AssertionError:
            still = [line for line in await self.lines() if line.state in history.OPEN]
            raise AssertionError(f"still open after {within_s:g} s: {still[:10]}") from None

    async def lines(self) -> list[history.Line]:
        return await self.gateway.database.read(history.lines)

    def effects(self, system: str, **filters: Any) -> list[dict[str, Any]]:
        """What was done to a system since this world began."""
        return self.sandbox.effects(system, since=self.began[system], **filters)

    async def times(self, answer: httpx.Response | str) -> dict[str, int]:
        """How often the operation's marker was applied, by system."""
        marker = (await self.operation(answer))["marker"]
        return {system: len(self.effects(system, marker=marker)) for system in SYSTEMS}

    def requests(self, system: str, what: str) -> int:
        return self.sandbox.stats(system)["requests"].get(what, 0)

    async def stage(self, entity: str, stage: Stage, *, region: str = REGION, **more: Any) -> Any:
        now = next(
            one for one in await self.gateway.slices.all() if (one.entity, one.region) == (entity, region)
        )
        return await self.gateway.switchover.set_stage(
            entity, region, stage=stage, reason="test", expected_version=now.version, actor="tests", **more
        )

    async def check(self, *, may_be_open: bool = False) -> None:
        """The laws of the ledger over everything that happened here."""
        effects = {system: self.effects(system) for system in SYSTEMS}
        lines = await self.lines()
        faults = [
            *history.faults(lines, effects, may_be_open=may_be_open),
            *history.epoch_faults(lines, effects),
            *await self.gateway.database.read(self._broken_laws),
        ]
        assert not faults, "\n".join(faults)

    async def check_journal(self) -> None:
        """Those that the journal keeps by itself: what was brought to a mirror was never sent to its authority."""
        assert not await self.gateway.database.read(self._broken_laws)

    def _broken_laws(self, connection: Connection) -> list[str]:
        """What the monitor of the journal would say of all that is in it."""
        seen = invariants.extent(connection, records=1_000_000)
        found = invariants.broken(connection, seen, now=self.gateway.database.now(connection))
        return [f"{law}: {record}" for law, records in found.items() for record in records]


def _headers(named: dict[str, str]) -> dict[str, str]:
    """``key`` is the Idempotency-Key; others are header names with underscores."""
    out: dict[str, str] = {}
    for name, value in named.items():
        out["Idempotency-Key" if name == "key" else name.replace("_", "-")] = value
    return out
