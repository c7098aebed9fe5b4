"""What is wrong is refused with problem+json that names the place, and nothing goes inwards."""

# ruff: noqa: E501 - a row of the table is a line
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from litestar.testing import TestClient

from gateway.errors import Malformed
from gateway.http.examples import EXAMPLES
from gateway.http.exchange import Exchange
from tests.unit.http.fakes import BODY_LIMIT, World

Client = TestClient[Any]
JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "k-1"}
CUSTOMER = {"region": "UK", **EXAMPLES["customer"]}
ENTRY = {"region": "UK", **EXAMPLES["time_entry"]}
EXPENSE = {"region": "UK", **EXAMPLES["expense"]}
INVOICE = {"region": "UK", **EXAMPLES["invoice"]}


class Bad(NamedTuple):
    """One wrong request: what is wrong, the request, and what is told."""

    what: str
    method: str
    path: str
    status: int
    slug: str
    pointer: str | None = None
    body: bytes | dict[str, Any] | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


def text(**changed: str) -> bytes:
    """The customer with members whose JSON is given literally."""
    members = {name: json.dumps(value) for name, value in CUSTOMER.items()} | changed
    return ("{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in members.items()) + "}").encode()


def post(
    what: str, body: bytes | dict[str, Any], pointer: str | None, status: int = 400, slug: str = "malformed"
) -> Bad:
    return Bad(what, "POST", "/v1/customers", status, slug, pointer, body, JSON)


def get(what: str, path: str, pointer: str | None, slug: str = "malformed", status: int = 400) -> Bad:
    return Bad(what, "GET", path, status, slug, pointer)


# fmt: off
BAD = [
    post("unknown field",          {**CUSTOMER, "nmae": "x"}, "/nmae"),
    post("read-only field",        {**CUSTOMER, "version": 3}, "/version"),
    post("state in a body",        {**CUSTOMER, "state": "active"}, "/state"),
    post("unknown nested field",   {**CUSTOMER, "billing_address": {"zip": "1"}}, "/billing_address/zip"),
    post("missing field",          {"region": "UK"}, "/name"),
    post("wrong type",             {**CUSTOMER, "name": 5}, "/name"),
    post("whole number as text",   {**CUSTOMER, "payment_terms_days": "30"}, "/payment_terms_days"),
    post("float money",            text(credit_limit='{"amount":12.5,"currency":"EUR"}'), "/credit_limit/amount"),
    post("integer money",          text(credit_limit='{"amount":12,"currency":"EUR"}'), "/credit_limit/amount"),
    post("exponent money",         text(credit_limit='{"amount":"1e3","currency":"EUR"}'), "/credit_limit/amount"),
    post("infinite money",         text(credit_limit='{"amount":"Infinity","currency":"EUR"}'), "/credit_limit/amount"),
    post("too many decimals",      text(credit_limit='{"amount":"1.001","currency":"EUR"}'), "/credit_limit/amount"),
    post("decimals of yen",        text(credit_limit='{"amount":"1.5","currency":"JPY"}'), "/credit_limit/amount"),
    post("unknown currency",       {**CUSTOMER, "currency": "EUX"}, "/currency"),
    post("unknown country",        {**CUSTOMER, "billing_address": {"country": "UK"}}, "/billing_address/country"),
    post("NaN",                    text(payment_terms_days="NaN"), ""),
    post("bare infinity",          text(payment_terms_days="Infinity"), ""),
    post("exponent number",        text(payment_terms_days="1e400"), ""),
    post("control character",      {**CUSTOMER, "name": "a\u0000b"}, "/name"),
    post("lone surrogate",         text(name='"\\ud800"'), ""),
    post("broken JSON",            b'{"name": ', ""),
    post("two JSON values",        b"{} {}", ""),
    post("no JSON at all",         b"name=x", ""),
    post("empty body",             b"", ""),
    post("an array",               b"[]", ""),
    post("null",                   b"null", ""),
    post("not UTF-8",              b'{"name": "\xff"}', ""),
    post("repeated member",        b'{"name": "a", "name": "b", "region": "UK"}', "/name"),
    post("deep nesting",           b'{"custom_fields":' + b'{"a":' * 40 + b"1" + b"}" * 40 + b',"name":"a","region":"UK"}', "/custom_fields"),
    post("very deep nesting",      b"[" * 2000 + b"]" * 2000, ""),
    post("unknown region",         {**CUSTOMER, "region": "MOON"}, "/region", slug="unknown-region"),
    post("malformed region",       {**CUSTOMER, "region": "uk; drop"}, "/region"),
    post("body over the limit",    b'{"name": "' + b"a" * BODY_LIMIT + b'"}', None, 413, "body-too-large"),
    Bad("media type",              "POST", "/v1/customers", 415, "media-type-unsupported", "Content-Type", b"{}", {"Content-Type": "text/plain"}),
    Bad("no media type",           "POST", "/v1/customers", 415, "media-type-unsupported", "Content-Type", b"{}"),
    Bad("merge patch to create",   "POST", "/v1/customers", 415, "media-type-unsupported", "Content-Type", CUSTOMER, {"Content-Type": "application/merge-patch+json"}),
    Bad("content coding",          "POST", "/v1/customers", 415, "media-type-unsupported", None, CUSTOMER, {**JSON, "Content-Encoding": "gzip"}),
    Bad("missing key",             "POST", "/v1/time-entries", 400, "key-missing", "Idempotency-Key", ENTRY, JSON),
    Bad("empty key",               "POST", "/v1/time-entries", 400, "malformed", "Idempotency-Key", ENTRY, {**JSON, "Idempotency-Key": '""'}),
    Bad("long key",                "POST", "/v1/time-entries", 400, "malformed", "Idempotency-Key", ENTRY, {**JSON, "Idempotency-Key": "a" * 256}),
    Bad("hours as a number",       "POST", "/v1/time-entries", 400, "malformed", "/hours", {**ENTRY, "hours": 7.5}, {**JSON, **KEY}),
    Bad("seven decimals",          "POST", "/v1/time-entries", 400, "malformed", "/hours", {**ENTRY, "hours": "1.0000001"}, {**JSON, **KEY}),
    Bad("no such day",             "POST", "/v1/time-entries", 400, "malformed", "/date", {**ENTRY, "date": "2026-02-30"}, {**JSON, **KEY}),
    Bad("mixed currencies",        "POST", "/v1/expenses", 422, "invalid", "/tax_amount/currency", {**EXPENSE, "tax_amount": {"amount": "1.00", "currency": "GBP"}}, {**JSON, **KEY}),
    Bad("totals",                  "POST", "/v1/invoices", 422, "invalid", "/total/amount", {**INVOICE, "total": {"amount": "1.00", "currency": "EUR"}}, {**JSON, **KEY}),
    Bad("region in a patch",       "PATCH", "/v1/customers/cus_1", 400, "malformed", "/region", {"region": "US"}, JSON),
    Bad("patch of an array",       "PATCH", "/v1/customers/cus_1", 400, "malformed", "", b"[]", JSON),
    Bad("unquoted If-Match",       "PATCH", "/v1/customers/cus_1", 400, "malformed", "If-Match", {"name": "x"}, {**JSON, "If-Match": "3"}),
    Bad("missing If-Match",        "PATCH", "/v1/invoices/inv_1", 428, "version-missing", "If-Match", {"due_date": "2026-04-30"}, JSON),
    Bad("transition without to",   "POST", "/v1/customers/cus_1/transitions", 400, "malformed", "/to", {}, JSON),
    Bad("transition with more",    "POST", "/v1/customers/cus_1/transitions", 400, "malformed", "/force", {"to": "active", "force": True}, JSON),
    Bad("id of another entity",    "GET", "/v1/customers/prj_1", 404, "record-not-found"),
    Bad("id that is none",         "GET", "/v1/customers/1%27%20OR%201=1", 404, "record-not-found"),
    Bad("unknown path",            "GET", "/v1/opportunities", 404, "route-not-found"),
    Bad("path beside the API",     "GET", "/v2/customers", 404, "route-not-found"),
    Bad("method",                  "DELETE", "/v1/customers", 405, "method-not-allowed"),
    Bad("method on a single path", "POST", "/metrics", 405, "method-not-allowed"),
    Bad("unknown method",          "BREW", "/v1/customers", 405, "method-not-allowed"),
    get("unknown parameter",       "/v1/customers?nmae=x", "nmae"),
    get("parameter on one record", "/v1/customers/cus_1?expand=all", "expand"),
    get("repeated parameter",      "/v1/customers?limit=5&limit=6", "limit"),
    get("limit zero",              "/v1/customers?limit=0", "limit"),
    get("limit too high",          "/v1/customers?limit=201", "limit"),
    get("limit no number",         "/v1/customers?limit=ten", "limit"),
    get("foreign cursor",          "/v1/customers?cursor=AAAA", "cursor", "foreign-cursor"),
    get("cursor of garbage",       "/v1/customers?cursor=%C3%A9", "cursor", "foreign-cursor"),
    get("unknown region filter",   "/v1/customers?region=MOON", "region", "unknown-region"),
    get("unknown state",           "/v1/customers?state=sleeping", "state"),
    get("wrong filter type",       "/v1/time-entries?billable=1", "billable"),
    get("wrong filter day",        "/v1/time-entries?date=31.01.2026", "date"),
    get("moment without zone",     "/v1/customers?updated_since=2026-01-01T00:00:00", "updated_since"),
    get("filter of another entity", "/v1/customers?billable=true", "billable"),
    Bad("no key",                  "GET", "/v1/customers", 401, "unauthenticated", headers={"Authorization": ""}),
    Bad("wrong key",               "GET", "/v1/customers", 401, "unauthenticated", headers={"Authorization": "Bearer nobody"}),
    Bad("wrong scheme",            "GET", "/v1/customers", 401, "unauthenticated", headers={"Authorization": "Basic YTpi"}),
    Bad("scope for writing",       "POST", "/v1/customers", 403, "forbidden", None, CUSTOMER, {**JSON, "Authorization": "Bearer reader"}),
    Bad("scope for operations",    "GET", "/admin/v1/rules", 403, "forbidden", headers={"Authorization": "Bearer reader"}),
    Bad("rule: unknown stage",     "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "/stage", {"stage": "later", "reason": "x", "expected_version": 1}, JSON),
    Bad("rule: no reason",         "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "/reason", {"stage": "shadow", "expected_version": 1}, JSON),
    Bad("rule: empty reason",      "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "/reason", {"stage": "shadow", "reason": "", "expected_version": 1}, JSON),
    Bad("rule: version as text",   "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "/expected_version", {"stage": "shadow", "reason": "x", "expected_version": "1"}, JSON),
    Bad("rule: huge version",      "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "/expected_version", {"stage": "shadow", "reason": "x", "expected_version": 2**31}, JSON),
    Bad("rule: unknown field",     "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "/force", {"stage": "shadow", "reason": "x", "expected_version": 1, "force": True}, JSON),
    Bad("rule: repeated member",   "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "/stage", b'{"stage":"live","reason":"x","expected_version":1,"stage":"shadow"}', JSON),
    Bad("rule: broken JSON",       "PUT", "/admin/v1/rules/customer/UK", 400, "malformed", "", b"{", JSON),
    Bad("rule: unknown slice",     "PUT", "/admin/v1/rules/customer/MOON", 404, "not-found", None, {"stage": "shadow", "reason": "x", "expected_version": 1}, JSON),
    Bad("diffs: unknown verdict",  "GET", "/admin/v1/diffs?verdict=bad", 400, "malformed", "verdict"),
    Bad("diffs: unknown region",   "GET", "/admin/v1/diffs?region=MOON", 400, "unknown-region", "region"),
    Bad("diffs: long field",       "GET", "/admin/v1/diffs?field=" + "a" * 201, 400, "malformed", "field"),
    Bad("summary: unknown region", "GET", "/admin/v1/diffs/summary?region=MOON", 400, "unknown-region", "region"),
    Bad("audit: actor no name",    "GET", "/admin/v1/audit?actor=%C3%A9", 400, "malformed", "actor"),
    Bad("deliveries: unknown state", "GET", "/admin/v1/deliveries?state=lost", 400, "malformed", "state"),
    Bad("audit: foreign cursor",   "GET", "/admin/v1/audit?cursor=x", 400, "foreign-cursor", "cursor"),
]
# fmt: on


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with TestClient(world.app(), raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.what)
def test_is_refused_clearly(world: World, client: Client, bad: Bad) -> None:
    """Bad input is a problem of its own kind that names the place, says a remedy, and reaches nobody."""
    body = json.dumps(bad.body).encode() if isinstance(bad.body, dict) else bad.body
    headers = {"Authorization": "Bearer all", **bad.headers}
    answer = client.request(bad.method, bad.path, content=body, headers=headers)
    told = answer.json()
    assert (answer.status_code, told["type"]) == (bad.status, f"urn:twinrun:problem:{bad.slug}"), told
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert told["status"] == bad.status
    assert told["detail"]
    assert told["title"] != told["detail"]
    assert told["instance"] == bad.path.partition("?")[0]
    if bad.pointer is not None:
        assert bad.pointer in [error["pointer"] for error in told["errors"]]
    assert world.store.commands == []
    assert world.slices.changes == []
    if bad.status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    if bad.status == 405:
        assert "GET" in answer.headers["allow"]


def test_body_is_counted_while_it_arrives(world: World, client: Client) -> None:
    """A body without Content-Length is refused as soon as it is over the limit, not after it was read."""
    sent = 0

    def chunks() -> Iterator[bytes]:
        nonlocal sent
        yield b'{"name": "'
        for _ in range(8):
            sent += 1024
            yield b"a" * 1024

    headers = {"Authorization": "Bearer all", **JSON}
    answer = client.post("/v1/customers", content=chunks(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["limit"] == BODY_LIMIT
    assert world.store.commands == []


def test_header_sent_twice_is_refused() -> None:
    """Two Idempotency-Keys in one request: nobody can say which was meant."""
    scope: Any = {"headers": [(b"idempotency-key", b"a"), (b"idempotency-key", b"b"), (b"if-match", b"*")]}
    exchange = Exchange(scope, lambda: None, {}, request_id="r", body_limit=1)  # type: ignore[arg-type]
    with pytest.raises(Malformed) as raised:
        exchange.header("Idempotency-Key")
    assert raised.value.errors[0].code == "repeated"
    assert exchange.header("If-Match") == "*"


def test_lost_store_is_503(client: Client) -> None:
    """While our own database cannot be reached nothing is accepted, and the answer says when to come
    again."""
    answer = client.get("/v1/customers", headers={"Authorization": "Bearer lost"})
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:twinrun:problem:store-unavailable")
    assert int(answer.headers["retry-after"]) >= 1


def test_unexpected_failure_tells_nothing(
    world: World, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody expected is a 500 with an id to find it by in the log, and no word of our insides."""
    world.store.refuse = RuntimeError("password=hunter2 at 10.0.0.7")
    answer = client.get(
        "/v1/customers/cus_1", headers={"Authorization": "Bearer all", "X-Request-Id": "r-77"}
    )
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:twinrun:problem:unexpected")
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    assert "r-77" in answer.json()["detail"]
    assert "r-77" in caplog.text
    assert "hunter2" in caplog.text
