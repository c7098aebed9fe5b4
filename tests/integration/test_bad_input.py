"""Bad input against the running program: refused clearly, and nothing is written anywhere."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from gateway.http.examples import CUSTOMER_ID, EXAMPLES
from tests.integration.service import Service, running
from tests.unit.http.fakes import BODY_LIMIT
from tests.unit.http.test_bad_input import BAD, JSON, KEY, Bad

pytestmark = pytest.mark.slow

#: Refused by the server's own parser of HTTP, before any of us sees it.
PARSER = frozenset({"unknown method"})
CUSTOMER = {"region": "UK", **EXAMPLES["customer"]}
PAYMENT = {"region": "UK", **EXAMPLES["payment"]}
# What only the whole program can tell.
DEEPER = [
    Bad("unknown record", "GET", f"/v1/customers/{CUSTOMER_ID}", 404, "record-not-found"),
    Bad("unknown native id", "GET", "/v1/customers/by-ref/legacy/nobody", 404, "record-not-found"),
    Bad("change of an unknown record", "PATCH", f"/v1/customers/{CUSTOMER_ID}", 404, "record-not-found", None,
        {"name": "x"}, JSON),
    Bad("unknown operation", "GET", "/v1/operations/op_1", 404, "operation-not-found"),
    Bad("unknown reference", "POST", "/v1/payments", 422, "reference-unknown", "/customer_id",
        PAYMENT, {**JSON, **KEY}),
    Bad("unknown legal entity", "POST", "/v1/customers", 422, "invalid", "/legal_entity",
        {**CUSTOMER, "legal_entity": "XX99"}, JSON),
    Bad("reference of a system", "POST", "/v1/customers", 422, "invalid", "/external_refs/legacy",
        {**CUSTOMER, "external_refs": {"legacy": "1"}}, JSON),
]  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(
        tmp_path_factory.mktemp("bad"), scale="empty", TWINRUN_BODY_LIMIT=str(BODY_LIMIT)
    ) as service:
        yield service


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.address, timeout=30.0) as client:
        yield client


@pytest.fixture(scope="module")
def names(service: Service) -> dict[str, str]:
    """The words that the table uses for keys, and the keys that stand for them here."""
    reader = service.make_key("reader", "read")
    return {"Bearer all": f"Bearer {service.key}", "Bearer reader": f"Bearer {reader}"}


def rows(database: Path) -> list[str]:
    """Everything that the journal holds. When a key was last used is kept as well, and is no row of a
    request."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "api_key"')]


@pytest.mark.parametrize(
    "bad", [*(bad for bad in BAD if bad.what not in PARSER), *DEEPER], ids=lambda bad: bad.what
)
def test_nothing_is_written(service: Service, client: httpx.Client, names: dict[str, str], bad: Bad) -> None:
    """Bad input is told as a problem of its own kind, and leaves no row in any table."""
    before = rows(service.database)
    body = json.dumps(bad.body).encode() if isinstance(bad.body, dict) else bad.body
    sent = {"Authorization": "Bearer all", **bad.headers}
    headers = {name: names.get(value, value) for name, value in sent.items()}
    answer = client.request(bad.method, bad.path, content=body, headers=headers)
    told = answer.json()
    assert (answer.status_code, told["type"]) == (bad.status, f"urn:twinrun:problem:{bad.slug}"), told
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["instance"] == bad.path.partition("?")[0]
    if bad.pointer is not None:
        assert bad.pointer in [error["pointer"] for error in told["errors"]]
    assert rows(service.database) == before


def test_body_over_the_limit_without_a_length(service: Service, client: httpx.Client) -> None:
    """A chunked body is cut off at the limit and leaves nothing behind."""
    before = rows(service.database)

    def chunks() -> Iterator[bytes]:
        yield b'{"name": "'
        for _ in range(64):
            yield b"a" * 1024

    answer = client.post("/v1/customers", content=chunks(), headers={**service.headers, **JSON})
    assert (answer.status_code, answer.json()["type"]) == (413, "urn:twinrun:problem:body-too-large")
    assert rows(service.database) == before


def test_good_input_is_written(service: Service, client: httpx.Client) -> None:
    """The same door lets good input through, and then there are rows: the test above can fail."""
    before = rows(service.database)
    answer = client.post("/v1/customers", json=CUSTOMER, headers=service.headers)
    assert answer.status_code == 201, answer.text
    assert rows(service.database) != before
