"""JSON-RPC on the wire: frames, sessions, errors inside HTTP 200, tagged values, children as commands."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from pytest_httpx import HTTPXMock

from adapters.contract import Adapter, Query
from adapters.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Unauthorised,
    Unavailable,
    Unreadable,
)
from tests.unit.adapters.systems import BASE, eur, system, write

AUTH = {"kind": "session", "username": "gateway", "password": "correct horse"}
ROW = {
    "id": 7,
    "name": "Ulm AG",
    "code": "K-1",
    "comment": "call first [tw:op_1]",
    "limit": {"__class__": "Decimal", "decimal": "500.0000"},
    "state": "draft",
    "addresses": [11, 12],
    "addresses.": [{"id": 11, "street": "Am Kai 1", "city": "Ulm"}, {"id": 12, "street": "x", "city": "y"}],
    "_timestamp": "1795132800.5",
    "write_date": None,
}


def ok(result: Any) -> dict[str, Any]:
    return {"id": 1, "result": result}


def sent(httpx_mock: HTTPXMock) -> list[tuple[str, list[Any]]]:
    """Method and parameters of each call but the login."""
    bodies = [json.loads(request.content) for request in httpx_mock.get_requests()]
    return [(body["method"], body["params"]) for body in bodies if "login" not in body["method"]]


@pytest.fixture
def adapter() -> Adapter:
    return system("jsonrpc", options={"database": "erp", "context": {"company": 1}})


CONTEXT = {"language": "en", "company": 1}


async def test_fetch_is_a_search_by_id(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """Archived records are found too, dotted names come back where the profile looks, the marker is not part
    of the note, and the context of the installation is the last parameter."""
    httpx_mock.add_response(url=f"{BASE}/erp/", json=ok([ROW]))
    found = await adapter.fetch("customer", "7")
    assert (found.native_id, found.marker, found.native_version) == ("7", "op_1", "1795132800.5")
    assert found.fields == {
        "name": "Ulm AG",
        "number": "K-1",
        "note": "call first",
        "credit_limit": eur("500.00"),
        "state": "prospect",
        "billing_address": {"line1": "Am Kai 1", "city": "Ulm"},
    }
    ((method, params),) = sent(httpx_mock)
    assert method == "model.party.party.search_read"
    assert params[0] == [["id", "=", 7], ["active", "in", [True, False]]]
    assert set(params[4]) >= {"id", "code", "comment", "addresses.street", "_timestamp", "write_date"}
    assert params[-1] == CONTEXT


async def test_nothing_found_is_not_found(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """An empty answer to a search by id means that there is no such record."""
    httpx_mock.add_response(json=ok([]))
    with pytest.raises(NotFound):
        await adapter.fetch("customer", "7")


async def test_create_writes_children_and_marker(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """An amount is tagged, an address is created with the record, the marker ends the comment."""
    httpx_mock.add_response(json=ok([9]))
    fields = {
        "name": "Ulm AG",
        "note": "call",
        "credit_limit": eur("500.00"),
        "billing_address": {"line1": "Am Kai 1", "city": None},
        "state": "prospect",
    }
    receipt = await adapter.create(write("customer", fields))
    assert receipt.native_id == "9"
    assert sent(httpx_mock) == [
        (
            "model.party.party.create",
            [
                [
                    {
                        "name": "Ulm AG",
                        "comment": "call [tw:op_0192f0aa]",
                        "limit": {"__class__": "Decimal", "decimal": "500.00"},
                        "addresses": [["create", [{"street": "Am Kai 1", "city": None}]]],
                        "state": "draft",
                    }
                ],
                CONTEXT,
            ],
        )
    ]


async def test_update_keeps_the_rows_that_are_there(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """The first address is changed in place, for documents may refer to it; the lock goes into the context; the
    note that the marker stands behind is read first and stays."""
    httpx_mock.add_response(json=ok([ROW]))
    httpx_mock.add_response(json=ok([{"id": 7, "addresses": [11]}]))
    httpx_mock.add_response(json=ok(None))
    change = {"billing_address": {"line1": "Am Kai 2", "city": "Ulm"}}
    receipt = await adapter.update(write("customer", change, native_id="7", native_version="1.5"))
    found, read, written = sent(httpx_mock)
    assert found[0] == "model.party.party.search_read"
    assert read == ("model.party.party.read", [[7], ["addresses"], CONTEXT])
    record = {
        "addresses": [["write", [11], {"street": "Am Kai 2", "city": "Ulm"}]],
        "comment": "call first [tw:op_0192f0aa]",
    }
    lock = {**CONTEXT, "_timestamp": {"party.party,7": "1.5"}}
    assert written == ("model.party.party.write", [[7], record, lock])
    assert receipt.native_id == "7"


async def test_a_read_before_an_update_that_fails_has_changed_nothing(
    httpx_mock: HTTPXMock, adapter: Adapter
) -> None:
    """Only the second call writes: when the first gets no answer, sending again is safe."""
    httpx_mock.add_response(status_code=502)
    with pytest.raises(Unavailable):
        await adapter.update(write("customer", {"billing_address": None}, native_id="7"))


async def test_transition_presses_the_button(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """A named action takes the ids alone."""
    httpx_mock.add_response(json=ok(None))
    await adapter.transition(write("customer", {}, native_id="7", to_state="active"))
    assert sent(httpx_mock) == [("model.party.party.approve", [[7], CONTEXT])]


async def test_search_asks_for_one_more(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """One row beyond the limit says that there is another page, and is not part of this one."""
    httpx_mock.add_response(json=ok([ROW, ROW, ROW]))
    page = await adapter.search("customer", Query(where={"number": ("K-1", "K-2")}, limit=2))
    assert (len(page.items), page.next_cursor) == (2, "2")
    ((_, params),) = sent(httpx_mock)
    assert params[:4] == [
        [["active", "in", [True, False]], ["code", "in", ["K-1", "K-2"]]],
        0,
        3,
        [["id", "ASC"]],
    ]


async def test_find_looks_for_the_marker_inside_the_text(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """Wildcards of the pattern language are escaped."""
    httpx_mock.add_response(json=ok([]))
    assert await adapter.find("customer", marker="op_1") == ()
    ((_, params),) = sent(httpx_mock)
    assert ["comment", "like", "%op\\_1%"] in params[0]


@pytest.mark.parametrize(
    ("error", "kind", "code", "message"),
    [
        (
            ["UserError", ["The code must be unique.", "", None]],
            Rejected,
            "UserError",
            "The code must be unique.",
        ),
        (
            ["ConcurrencyException", "Records were modified"],
            Conflict,
            "ConcurrencyException",
            "Records were modified",
        ),
        (["'nosuch'", ""], Rejected, "'nosuch'", "'nosuch'"),
        ("words alone", Rejected, None, None),
    ],
    ids=["a rule", "a stale write", "an unknown field", "no frame that we know"],
)
async def test_errors_inside_a_success(
    httpx_mock: HTTPXMock, adapter: Adapter, error: Any, kind: type[Rejected], code: str, message: str
) -> None:
    """Status 200 says nothing: the frame does."""
    httpx_mock.add_response(json={"id": 1, "error": error})
    with pytest.raises(Rejected) as caught:
        await adapter.create(write("customer", {"name": "x"}))
    assert type(caught.value) is kind
    if code is not None:
        assert (caught.value.code, caught.value.message) == (code, message)


@pytest.mark.parametrize("content", [b"<html>", b"{}", b"[]", b'{"result": {"x": 1}}'])
async def test_nonsense_is_unreadable(httpx_mock: HTTPXMock, adapter: Adapter, content: bytes) -> None:
    """A success without a readable result leaves the outcome open."""
    httpx_mock.add_response(content=content)
    with pytest.raises(Unreadable):
        await adapter.fetch("customer", "7")


async def test_a_session_is_opened_once_and_again_when_it_has_ended(httpx_mock: HTTPXMock) -> None:
    """Login on first use; a 401 (with a page of HTML) logs in once more, and the call is sent again: it had
    not been let in. The password travels only in the login."""
    adapter = system("jsonrpc", auth=AUTH)
    httpx_mock.add_response(json=ok([1, "first", None]))
    httpx_mock.add_response(json=ok([ROW]))
    httpx_mock.add_response(status_code=401, html="<h1>Unauthorized</h1>")
    httpx_mock.add_response(json=ok([1, "second"]))
    httpx_mock.add_response(json=ok([ROW]))
    await adapter.fetch("customer", "7")
    await adapter.fetch("customer", "7")
    requests = httpx_mock.get_requests()
    sessions = [request.headers.get("Authorization") for request in requests]
    first, second = (b64encode(f"gateway:1:{token}".encode()).decode() for token in ("first", "second"))
    assert sessions == [None, f"Session {first}", f"Session {first}", None, f"Session {second}"]
    assert [b"correct horse" in request.content for request in requests] == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"status_code": 401, "html": "<h1>Unauthorized</h1>"}, Unauthorised),
        ({"json": {"id": 1, "result": False}}, Unauthorised),
        ({"status_code": 502}, OutcomeUnknown),
    ],
    ids=["401", "false with status 200", "no answer"],
)
async def test_a_refused_login(httpx_mock: HTTPXMock, reply: dict[str, Any], kind: type[Exception]) -> None:
    """A wrong password is Unauthorised, never shown; what only may have failed is not called wrong."""
    httpx_mock.add_response(**reply)
    with pytest.raises(kind) as caught:
        await system("jsonrpc", auth=AUTH).fetch("customer", "7")
    assert "correct horse" not in f"{caught.value!r} {caught.value}"


async def test_a_session_that_is_never_accepted_ends(httpx_mock: HTTPXMock) -> None:
    """One renewal, not a loop: then the settings are wrong, and a person must look."""
    httpx_mock.add_response(json=ok([1, "a"]))
    httpx_mock.add_response(status_code=401)
    httpx_mock.add_response(json=ok([1, "b"]))
    httpx_mock.add_response(status_code=401)
    with pytest.raises(Unauthorised):
        await system("jsonrpc", auth=AUTH).fetch("customer", "7")


def test_a_missing_database_stops_the_start() -> None:
    """What the path of the profile needs must be in the settings."""
    with pytest.raises(Misconfigured, match=r"options\.database"):
        system("jsonrpc", options={"context": {}})
