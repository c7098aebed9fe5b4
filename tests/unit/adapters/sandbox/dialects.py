"""One way to speak to either simulated ERP, so that a law that both keep is written once."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import httpx
from lxml import etree

from adapters.sandbox.asgi import AsgiApp
from adapters.sandbox.cloud.system import CloudSystem
from adapters.sandbox.data_load import load
from adapters.sandbox.firm import build
from adapters.sandbox.legacy.system import LegacySystem
from adapters.sandbox.simulator import Simulator

SMALL = 0.02


_made_up = cache(build)


def loaded(simulator: Simulator, seed: int = 7, scale: float = SMALL) -> Simulator:
    load(simulator, _made_up(seed, scale))
    return simulator


class Dialect:
    """Speaks one wire. Fields are native; a record comes back as a plain dict of texts or JSON values."""

    name: str
    simulator: Simulator

    def __init__(self) -> None:
        transport = httpx.ASGITransport(app=AsgiApp(self.simulator))  # pyright: ignore[reportArgumentType]
        self.http = httpx.AsyncClient(transport=transport, base_url="http://erp")

    async def arm(self, **fault: Any) -> dict[str, Any]:
        reply = await self.http.post("/_sandbox/faults", json=fault)
        assert reply.status_code == 201, reply.text
        return reply.json()

    async def hits(self) -> list[int]:
        return [fault["hits"] for fault in (await self.http.get("/_sandbox/faults")).json()["items"]]

    async def effects(self, **query: Any) -> list[dict[str, Any]]:
        reply = await self.http.get("/_sandbox/effects", params=query)
        assert reply.status_code == 200, reply.text
        return reply.json()["items"]

    async def edit(self, **edit: Any) -> httpx.Response:
        return await self.http.post("/_sandbox/edit", json=edit)

    def native(self, entity: str, canonical: dict[str, Any]) -> dict[str, Any]:
        """Canonical scalar names to native ones; values are native already."""
        table = self.simulator.shelves[entity].table
        return {table.by_canon[name].name: value for name, value in canonical.items()}


class Legacy(Dialect):
    name = "legacy"

    def __init__(self, simulator: Simulator | None = None) -> None:
        self.simulator = simulator or loaded(LegacySystem())
        super().__init__()

    def path(self, entity: str) -> str:
        return f"/erp/{self.simulator.shelves[entity].table.path}"

    def body(self, entity: str, fields: dict[str, Any], marker: str | None = None) -> str:
        item = self.simulator.shelves[entity].table.item
        parts = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
        return f"<{item}>{parts}{f'<Referenz>{marker}</Referenz>' if marker else ''}</{item}>"

    async def create(self, entity: str, fields: dict[str, Any], marker: str | None = None) -> httpx.Response:
        return await self.http.post(self.path(entity), content=self.body(entity, fields, marker).encode())

    async def update(
        self, entity: str, key: str, fields: dict[str, Any], marker: str | None = None
    ) -> httpx.Response:
        content = self.body(entity, fields, marker).encode()
        return await self.http.put(f"{self.path(entity)}/{key}", content=content)

    async def fetch(self, entity: str, key: str) -> httpx.Response:
        return await self.http.get(f"{self.path(entity)}/{key}")

    async def keys(self, entity: str, name: str, value: str) -> list[str]:
        reply = await self.http.get(self.path(entity), params={name: value})
        return [record[0].text or "" for record in etree.fromstring(reply.content)]

    def record(self, reply: httpx.Response) -> dict[str, Any]:
        return {child.tag: child.text for child in etree.fromstring(reply.content)}

    def problem(self, reply: httpx.Response) -> tuple[int, str, str | None]:
        root = etree.fromstring(reply.content)
        return reply.status_code, root.findtext("Code") or "", root.findtext("Feld")


class Cloud(Dialect):
    name = "cloud"

    def __init__(self, simulator: Simulator | None = None) -> None:
        self.simulator = simulator or loaded(CloudSystem())
        super().__init__()

    def path(self, entity: str) -> str:
        return f"/odata/v4/{self.simulator.shelves[entity].table.path}"

    async def create(self, entity: str, fields: dict[str, Any], marker: str | None = None) -> httpx.Response:
        return await self.http.post(self.path(entity), content=self._body(fields, marker))

    async def update(
        self, entity: str, key: str, fields: dict[str, Any], marker: str | None = None
    ) -> httpx.Response:
        return await self.http.patch(
            f"{self.path(entity)}('{key}')", content=self._body(fields, marker), headers={"If-Match": "*"}
        )

    async def upsert(
        self, entity: str, external_id: str, fields: dict[str, Any], marker: str | None = None, **headers: str
    ) -> httpx.Response:
        return await self.http.patch(
            f"{self.path(entity)}(ExternalId='{external_id}')",
            content=self._body(fields, marker),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def _body(self, fields: dict[str, Any], marker: str | None) -> bytes:
        return json.dumps({**fields, **({"LastOperation": marker} if marker else {})}).encode()

    async def fetch(self, entity: str, key: str) -> httpx.Response:
        return await self.http.get(f"{self.path(entity)}('{key}')")

    async def keys(self, entity: str, name: str, value: str) -> list[str]:
        reply = await self.http.get(self.path(entity), params={"$filter": f"{name} eq '{value}'"})
        key = self.simulator.shelves[entity].table.key
        return [record[key] for record in reply.json()["value"]]

    def record(self, reply: httpx.Response) -> dict[str, Any]:
        return reply.json()

    def problem(self, reply: httpx.Response) -> tuple[int, str, str | None]:
        error = reply.json()["error"]
        return reply.status_code, error["code"], error.get("target")


def first_key(dialect: Dialect, entity: str, nth: int = 0) -> str:
    """Some seeded record that is active."""
    shelf = dialect.simulator.shelves[entity]
    table = shelf.table
    keys = [
        row.key for row in shelf.rows.values() if table.word_of[row.values[table.status.name]] == "active"
    ]
    return keys[nth]
