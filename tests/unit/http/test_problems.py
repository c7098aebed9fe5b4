"""How a refusal leaves."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from gateway import errors
from gateway.errors import FieldError, GatewayError
from gateway.http.problems import PROBLEMS, TYPE, render, row

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, GatewayError)]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_kind_of_refusal_has_a_row_of_its_own(kind: type[GatewayError]) -> None:
    """No class of error is told by its parent's row: each was thought of."""
    assert kind in PROBLEMS


def test_slugs_are_unique_and_titles_constant() -> None:
    """A type names one kind of problem, and a title belongs to it."""
    slugs = [found.slug for found in PROBLEMS.values()]
    assert len(set(slugs)) == len(slugs)
    titles = [kind.title() for kind in PROBLEMS]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_form_of_rfc_9457(kind: type[GatewayError]) -> None:
    """Every refusal renders with all members of the form, and title and detail are never mixed up."""
    reply = render(kind("particular words"), instance="/v1/customers")
    body = msgspec.json.decode(reply.body)
    assert reply.media == b"application/problem+json"
    assert body == {
        "type": TYPE + row(kind).slug,
        "title": kind.title(),
        "status": reply.status,
        "detail": "particular words",
        "instance": "/v1/customers",
        "retryable": kind.retryable,
    }


def test_facts_become_members_and_headers() -> None:
    """Facts are members of the problem, but for those that HTTP has a header for; ids become addresses."""
    error = errors.NaturalKeyTaken(
        "number 7",
        errors=[FieldError(pointer="/number", code="taken", message="use it")],
        location="cus_1",
        retry_after_s=1.2,
        operation="op_1",
        legal=["active"],
        replayed=True,
    )
    reply = render(error, instance="/v1/customers")
    body = msgspec.json.decode(reply.body)
    assert dict(reply.headers) == {
        b"location": b"/v1/customers/cus_1",
        b"retry-after": b"2",
        b"idempotent-replayed": b"true",
    }
    assert body["operation"] == "op_1"
    assert body["legal"] == ["active"]
    assert body["errors"] == [{"pointer": "/number", "code": "taken", "message": "use it"}]
    assert "location" not in body


def test_running_twin_names_the_operation_to_follow() -> None:
    """409 for a twin carries Retry-After and the Location of its operation."""
    headers = dict(render(errors.TwinRunning(operation="op_7"), instance="/").headers)
    assert headers[b"location"] == b"/v1/operations/op_7"
    assert headers[b"retry-after"]


@pytest.mark.parametrize("kind", [errors.NotAccepted, errors.StoreUnavailable, errors.TooManyRequests])
def test_come_again_says_when(kind: type[GatewayError]) -> None:
    """503 and 429 always carry Retry-After."""
    assert b"retry-after" in dict(render(kind(), instance="/").headers)


def test_unauthenticated_says_how() -> None:
    """401 carries a Bearer challenge with the reason of RFC 6750."""
    headers = dict(render(errors.Unauthenticated(error="invalid_token"), instance="/").headers)
    assert headers[b"www-authenticate"] == b'Bearer realm="twinrun", error="invalid_token"'


def test_value_cannot_end_a_header() -> None:
    """What stands in a header came from elsewhere and cannot begin a line of its own."""
    headers = dict(render(errors.NaturalKeyTaken(location="/v1/a\r\nset-cookie: x=1"), instance="/").headers)
    assert b"\r" not in headers[b"location"]
    assert b"\n" not in headers[b"location"]
