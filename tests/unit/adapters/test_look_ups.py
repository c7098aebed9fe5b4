"""Before a write: related records are looked up by what they carry, once, and without doing anything."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from adapters.build import open_adapter
from adapters.contract import Adapter, Write
from adapters.errors import Rejected, Unavailable
from adapters.profile import parse

PROFILE = """
protocol = "jsonrpc"
product = "example"
version = "1"
source = "made up for a test, 2026-11"
grade = "simulated"
[options]
relations = { company = "company" }
[entities.project]
resource = "work"
key = "id"
key_convert = "int_text"
capabilities = ["create", "update", "transition"]
[entities.project.fields]
legal_entity = "company.code"
name = "name"
state = { path = "state", writable = false }
[entities.project.transitions]
approved = ""
active = "open"
"""


@pytest.fixture
def adapter() -> Adapter:
    return open_adapter("legacy", parse(PROFILE, file="test"), "http://erp.test", transport="httpcore")


def project(legal_entity: str = "DE01", **more: Any) -> Write:
    fields = {"legal_entity": legal_entity, "name": "Rollout"}
    return Write(entity="project", marker="op_1", external_id="prj_1", fields=fields, **more)


def answer(httpx_mock: HTTPXMock, *results: Any) -> None:
    for result in results:
        httpx_mock.add_response(
            json={"id": 1, **(result if isinstance(result, dict) else {"result": result})}
        )


def sent(httpx_mock: HTTPXMock) -> list[tuple[str, Any]]:
    bodies = [json.loads(request.content) for request in httpx_mock.get_requests()]
    return [(body["method"], body["params"][0]) for body in bodies]


LOOK_UP = ("model.company.search_read", [["code", "=", "DE01"]])
CREATE = ("model.work.create", [{"company": 4, "name": "Rollout"}])


async def test_what_was_found_is_remembered(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """The second write of the same company asks nothing."""
    answer(httpx_mock, [{"id": 4}], [7], [8])
    assert (await adapter.create(project())).native_id == "7"
    assert (await adapter.create(project())).native_id == "8"
    assert sent(httpx_mock) == [LOOK_UP, CREATE, CREATE]


async def test_what_is_not_there_is_refused_unsent(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """A record that nobody has is a refusal with its canonical field, and the write is never sent."""
    answer(httpx_mock, [])
    with pytest.raises(Rejected, match="there is no company with code = DE01") as caught:
        await adapter.create(project())
    assert (caught.value.code, caught.value.field) == ("reference_missing", "legal_entity")
    assert sent(httpx_mock) == [LOOK_UP]


async def test_a_look_up_without_an_answer_wrote_nothing(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """A read that was lost leaves no doubt about a write that was never sent: it may be sent again."""
    httpx_mock.add_exception(httpx.ReadTimeout("slow"))
    with pytest.raises(Unavailable):
        await adapter.create(project())
    assert sent(httpx_mock) == [LOOK_UP]


async def test_a_look_up_that_cannot_be_read_wrote_nothing(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """The same where the answer is no list of records."""
    answer(httpx_mock, "nonsense")
    with pytest.raises(Unavailable):
        await adapter.create(project())


async def test_a_refusal_forgets_what_it_used(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """The record that was found may have gone since: after a refusal it is looked up anew."""
    answer(httpx_mock, [{"id": 3}], {"error": ["UserError", ["No such company.", ""]]}, [{"id": 4}], [7])
    with pytest.raises(Rejected, match="No such company"):
        await adapter.create(project())
    await adapter.create(project())
    assert sent(httpx_mock)[2:] == [LOOK_UP, CREATE]


async def test_a_state_without_a_call_of_its_own_sends_the_record(
    httpx_mock: HTTPXMock, adapter: Adapter
) -> None:
    """Where the product does not tell two states apart, the move is an update without the state."""
    answer(httpx_mock, [{"id": 4}], None)
    await adapter.transition(project(native_id="7", to_state="approved"))
    assert [method for method, _ in sent(httpx_mock)] == ["model.company.search_read", "model.work.write"]


async def test_a_state_that_cannot_be_set_is_refused_unsent(httpx_mock: HTTPXMock, adapter: Adapter) -> None:
    """A state that the product computes, and that no call leads to, is not written over."""
    with pytest.raises(Rejected) as caught:
        await adapter.transition(project(native_id="7", to_state="closed"))
    assert (caught.value.code, caught.value.field) == ("transition_unavailable", "state")
    assert not httpx_mock.get_requests()
