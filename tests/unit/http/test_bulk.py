"""Bulk creates at the rim: what is refused as a whole, and what is one line's answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.canonical import ENTITIES
from gateway.errors import NaturalKeyTaken, StoreUnavailable, TwinRunning
from gateway.http.examples import EXAMPLES
from tests.unit.http.fakes import BODY_LIMIT, World

NDJSON = {"Content-Type": "application/x-ndjson"}


def customer(**more: Any) -> dict[str, Any]:
    return {"region": "UK", **EXAMPLES["customer"], **more}


def send(client: TestClient[Any], *lines: Any, to: str = "customers", **headers: str) -> list[dict[str, Any]]:
    body = b"".join(
        (line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines
    )
    answer = client.post(f"/v1/{to}/bulk", content=body, headers={**NDJSON, **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.content.splitlines()]


def test_good_and_bad_lines(client: TestClient[Any], world: World) -> None:
    """What is wrong with a line is that line's problem; the others are created, and answers keep the order."""
    told = send(
        client,
        customer(idempotency_key="a"),
        b"",
        b"{nonsense",
        customer(idempotency_key="c", wrong=1),
        customer(idempotency_key="d", region="MARS"),
        b'{"x":"' + b"y" * BODY_LIMIT + b'"}',
        customer(name="last"),
    )
    assert [(one["line"], one["status"]) for one in told] == [
        (1, 201),
        (3, 400),
        (4, 400),
        (5, 400),
        (6, 413),
        (7, 201),
    ]
    assert told[0]["idempotency_key"] == "a"
    assert told[0]["record"]["name"] == "Harbour Engineering"
    assert told[0]["operation"].startswith("op_")
    assert told[2]["idempotency_key"] == "c"
    assert told[2]["problem"]["errors"][0]["pointer"] == "/wrong"
    assert told[2]["problem"]["instance"] == "/v1/customers/bulk"
    assert told[3]["problem"]["type"].endswith(":unknown-region")
    assert told[5]["record"]["name"] == "last"
    assert "idempotency_key" not in told[5]
    assert len(world.store.commands) == 2


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
def test_a_line_is_the_single_create(client: TestClient[Any], world: World, entity: Any) -> None:
    """The executor cannot tell a line from a single create: the key's scope, the body and all else are the same."""
    body = {"region": "UK", **EXAMPLES[entity.name]}
    trace = {"X-Request-Id": "one-and-the-same", "Prefer": "wait=7"}
    single = client.post(f"/v1/{entity.collection}", json=body, headers={"Idempotency-Key": "same", **trace})
    assert single.status_code == 201
    [line] = send(client, {"idempotency_key": "same", **body}, to=entity.collection, **trace)
    assert line["status"] == 201
    alone, of_many = world.store.commands
    assert alone == of_many


def test_keys_are_needed_where_a_single_create_needs_one(client: TestClient[Any], world: World) -> None:
    """A line without a key is refused for an entity whose creates need one."""
    [told] = send(client, {"region": "UK", **EXAMPLES["payment"]}, to="payments")
    assert (told["status"], told["problem"]["type"]) == (400, "urn:twinrun:problem:key-missing")
    assert world.store.commands == []


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        pytest.param(
            NaturalKeyTaken(location="cus_7"),
            {"status": 409, "location": "/v1/customers/cus_7"},
            id="number taken",
        ),
        pytest.param(
            TwinRunning(operation="op_7", retry_after_s=1),
            {"status": 409, "location": "/v1/operations/op_7", "retry_after_s": 1},
            id="twin running",
        ),
        pytest.param(StoreUnavailable(), {"status": 503, "retry_after_s": 2}, id="store away"),
        pytest.param(RuntimeError("secret"), {"status": 500}, id="a fault of ours"),
    ],
)
def test_a_refused_line(
    client: TestClient[Any], world: World, refusal: Exception, expected: dict[str, Any]
) -> None:
    """A refusal is told with all that its headers would say, and a fault of ours never in its own words."""
    world.store.refuse = refusal
    [told] = send(client, customer(idempotency_key="k"))
    problem = told.pop("problem")
    assert told == {"line": 1, "idempotency_key": "k", **expected}
    assert problem["status"] == expected["status"]
    assert "secret" not in json.dumps(problem)


def test_accepted_and_not_confirmed(client: TestClient[Any], world: World) -> None:
    """A line that is durable and not confirmed says which operation to follow."""
    world.store.status = 202
    [told] = send(client, customer(idempotency_key="k"))
    assert told["status"] == 202
    assert told["location"] == f"/v1/operations/{told['operation']}"
    assert "record" not in told


def test_no_line_no_answer(client: TestClient[Any]) -> None:
    """An empty file, or one of blank lines, is answered with nothing."""
    assert send(client) == []
    assert send(client, b"", b"  ") == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Authorization": "Bearer nobody"}, 401, id="no key"),
        pytest.param({"Authorization": "Bearer reader"}, 403, id="only reads"),
        pytest.param({"Authorization": "Bearer invoices"}, 403, id="other entities"),
        pytest.param({"Content-Type": "application/json"}, 415, id="JSON"),
        pytest.param({"Content-Encoding": "gzip"}, 415, id="packed"),
        pytest.param({"Idempotency-Key": "one"}, 400, id="a key for all"),
    ],
)
def test_refused_as_a_whole(
    client: TestClient[Any], world: World, headers: dict[str, str], status: int
) -> None:
    """What is wrong with the call itself is answered before a line is read."""
    body = json.dumps(customer()).encode()
    answer = client.post("/v1/customers/bulk", content=body, headers={**NDJSON, **headers})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert world.store.commands == []


def test_a_region_of_others(client: TestClient[Any], world: World) -> None:
    """A key of one region creates in that one only, line by line."""
    told = send(client, customer(), customer(region="US"), Authorization="Bearer uk")
    assert [one["status"] for one in told] == [201, 403]
    assert len(world.store.commands) == 1


def test_the_wait_is_each_lines(client: TestClient[Any], world: World) -> None:
    """Prefer holds for every line, and the answer says so."""
    body = b"\n".join([json.dumps(customer()).encode()] * 2)
    answer = client.post("/v1/customers/bulk", content=body, headers={**NDJSON, "Prefer": "respond-async"})
    assert answer.headers["preference-applied"] == "respond-async"
    assert [command.wait_s for command in world.store.commands] == [0.0, 0.0]
