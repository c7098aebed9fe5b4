"""What a team would write: FastAPI, httpx and LaunchDarkly's migration class, with a test data source (no network).

It reads both ERPs at once and compares with ``==``, and writes first to one and then to the other. It keeps
nothing: no journal, no idempotency, no crosswalk (the address of a read carries both ids), no record of what
differed. LaunchDarkly's class is synchronous, so the handlers are plain functions, in as many threads as there
are callers, so that none waits for a thread.
``python -m tests.benchmarks.peers.flagged LEGACY_URL CLOUD_URL dualwrite|shadow [serial|parallel [PORT]]``
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from xml.sax.saxutils import escape

import anyio.to_thread
import httpx
from fastapi import FastAPI, HTTPException
from ldclient import Context, LDClient, Result
from ldclient.config import Config
from ldclient.integrations.test_data import TestData
from ldclient.migrations import ExecutionOrder, MigratorBuilder, Stage
from lxml import etree
from pydantic import BaseModel

from tests.benchmarks.peers.listening import serve

FLAG = "customers"
THREADS = 64
STATES = {"I": "Prospect", "A": "Active", "G": "OnHold", "X": "Archived"}
#: ours, on-premise, cloud
FIELDS = (
    ("name", "Name1", "Name"),
    ("email", "Mail", "Email"),
    ("phone", "Telefon", "Phone"),
    ("currency", "Waehrung", "CurrencyCode"),
    ("payment_terms_days", "Zahlungsziel", "PaymentTermsDays"),
    ("language", "Sprache", "Language"),
)
ADDRESS = (
    ("line1", "Strasse", "Street"),
    ("city", "Ort", "City"),
    ("postal_code", "PLZ", "PostalCode"),
    ("country", "Land", "Country"),
)


class Address(BaseModel):
    line1: str
    city: str
    postal_code: str
    country: str


class Customer(BaseModel):
    region: str
    name: str
    email: str
    phone: str
    billing_address: Address
    currency: str
    payment_terms_days: int
    language: str


class Erps:
    """Both systems' wires, in one place."""

    def __init__(self, legacy: str, cloud: str) -> None:
        limits = httpx.Limits(max_connections=2 * THREADS, max_keepalive_connections=2 * THREADS)
        self._legacy = httpx.Client(base_url=legacy, limits=limits, timeout=10, trust_env=False)
        self._cloud = httpx.Client(base_url=cloud, limits=limits, timeout=10, trust_env=False)

    def read_legacy(self, ids: Any) -> Result:
        answer = self._legacy.get(f"/erp/Kunden/{ids[0]}")
        answer.raise_for_status()
        return Result.success(from_xml(answer.content))

    def read_cloud(self, ids: Any) -> Result:
        answer = self._cloud.get(f"/odata/v4/Customers('{ids[1]}')")
        answer.raise_for_status()
        return Result.success(from_json(answer.json()))

    def write_legacy(self, customer: Any) -> Result:
        answer = self._legacy.post(
            "/erp/Kunden", content=to_xml(customer), headers={"Content-Type": "application/xml"}
        )
        answer.raise_for_status()
        return Result.success(from_xml(answer.content))

    def write_cloud(self, customer: Any) -> Result:
        answer = self._cloud.post("/odata/v4/Customers", json=to_json(customer))
        answer.raise_for_status()
        return Result.success(from_json(answer.json()))


def from_xml(content: bytes) -> dict[str, Any]:
    found = {element.tag: element.text for element in etree.fromstring(content)}
    record: dict[str, Any] = {name: found.get(legacy) for name, legacy, _ in FIELDS}
    record["payment_terms_days"] = int(record["payment_terms_days"] or 0)
    record["billing_address"] = {name: found.get(legacy) for name, legacy, _ in ADDRESS}
    record["state"] = STATES[found["Status"] or ""]
    return record


def from_json(found: dict[str, Any]) -> dict[str, Any]:
    record = {name: found.get(cloud) for name, _, cloud in FIELDS}
    address = found["BillingAddress"]
    record["billing_address"] = {name: address.get(cloud) for name, _, cloud in ADDRESS}
    record["state"] = found["Status"]
    return record


def to_xml(customer: Customer) -> bytes:
    values = {legacy: getattr(customer, name) for name, legacy, _ in FIELDS}
    values |= {legacy: getattr(customer.billing_address, name) for name, legacy, _ in ADDRESS}
    inside = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in values.items())
    return f"<Kunde><Buchungskreis>DE01</Buchungskreis><Status>I</Status>{inside}</Kunde>".encode()


def to_json(customer: Customer) -> dict[str, Any]:
    return {
        **{cloud: getattr(customer, name) for name, _, cloud in FIELDS},
        "BillingAddress": {cloud: getattr(customer.billing_address, name) for name, _, cloud in ADDRESS},
        "LegalEntity": "DE01",
        "Status": "Prospect",
    }


def build(erps: Erps, stage: Stage, order: ExecutionOrder) -> FastAPI:
    data = TestData.data_source()
    data.update(
        data.flag(FLAG)
        .variations(*(each.value for each in Stage))
        .variation_for_all(list(Stage).index(stage))
    )
    client = LDClient(Config("none", update_processor_class=data, send_events=False, diagnostic_opt_out=True))
    counts: Counter[bool] = Counter()

    def equal(old: dict[str, Any], new: dict[str, Any]) -> bool:
        same = old == new
        counts[same] += 1
        return same

    migrator: Any = (
        MigratorBuilder(client)
        .read(erps.read_legacy, erps.read_cloud, equal)
        .write(erps.write_legacy, erps.write_cloud)
        .read_execution_order(order)
        .build()
    )
    context = Context.create("DACH", "region")

    @asynccontextmanager
    async def threads(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield
        client.close()

    app = FastAPI(lifespan=threads)

    @app.get("/v1/customers/{legacy}/{cloud}")
    def read(legacy: str, cloud: str) -> dict[str, Any]:
        result = migrator.read(FLAG, context, Stage.OFF, (legacy, cloud))
        if not result.is_success():
            raise HTTPException(502, str(result.error))
        return result.value

    @app.post("/v1/customers", status_code=201)
    def write(customer: Customer) -> dict[str, Any]:
        result = migrator.write(FLAG, context, Stage.OFF, customer)
        if not result.authoritative.is_success():
            raise HTTPException(502, str(result.authoritative.error))
        return result.authoritative.value

    @app.get("/counts")
    def counted() -> dict[str, int]:
        return {"equal": counts[True], "different": counts[False]}

    return app


def main(legacy: str, cloud: str, stage: str, order: str = "parallel", port: str = "0") -> None:
    orders = {each.value: each for each in ExecutionOrder}
    serve(build(Erps(legacy, cloud), Stage(stage), orders[order]), int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
