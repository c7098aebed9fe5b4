"""Webhooks at the rim: what goes on to be heard, byte by byte, and what is refused before."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.change_feed.hints import Signed
from gateway.http.hooks import BODY_LIMIT
from tests.unit.http.fakes import World

Client = TestClient[Any]
PATH = "/hooks/v1/legacy"
HEADERS = {
    "webhook-id": "msg_1",
    "webhook-timestamp": "1767322800",
    "webhook-signature": "v1,right",
    "content-type": "application/json",
}
BODY = b'{"type" :  "customer.updated"}\n'


@pytest.fixture
def nobody(client: Client) -> Client:
    """A caller without a key."""
    client.headers.pop("Authorization")
    return client


def test_what_was_sent_is_heard_as_it_came(nobody: Client, world: World) -> None:
    """No key is needed; the body goes on byte by byte, since it is what was signed."""
    answer = nobody.post(PATH, content=BODY, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (202, {"feeds": 3, "repeated": False})
    signed = Signed(id="msg_1", timestamp="1767322800", signature="v1,right", body=BODY)
    assert world.hints.heard == [("legacy", signed)]


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_without_a_part_of_the_signature(nobody: Client, world: World, name: str) -> None:
    """401 that names what is missing."""
    answer = nobody.post(PATH, content=BODY, headers={k: v for k, v in HEADERS.items() if k != name})
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:twinrun:problem:signature-wrong")
    assert answer.json()["detail"] == f"{name} is missing"
    assert answer.headers["www-authenticate"] == 'Webhook realm="twinrun"'
    assert world.hints.heard == []


@pytest.mark.parametrize(
    ("path", "changed", "status"),
    [
        pytest.param("/hooks/v1/cloud", {}, 404, id="a system without a secret"),
        pytest.param("/hooks/v1/nobody", {}, 404, id="no system"),
        pytest.param("/hooks/v1/cloud", {"webhook-id": ""}, 404, id="which is said before anything else"),
        pytest.param(PATH, {"webhook-signature": "v1,wrong"}, 401, id="signed by somebody else"),
        pytest.param(PATH, {"content-type": "text/plain"}, 415, id="not JSON"),
        pytest.param(f"{PATH}?entity=customer", {}, 400, id="a parameter"),
        pytest.param(f"{PATH}/more", {}, 404, id="nothing there"),
    ],
)
def test_what_is_refused(
    nobody: Client, world: World, path: str, changed: dict[str, str], status: int
) -> None:
    """Each with its own status, and nothing is heard."""
    answer = nobody.post(path, content=BODY, headers={**HEADERS, **changed})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert world.hints.heard == []


def test_a_hint_is_small(nobody: Client, world: World) -> None:
    """A body larger than a hint is 413, however large other bodies may be."""
    assert nobody.post(PATH, content=b" " * (BODY_LIMIT + 1), headers=HEADERS).status_code == 413
    assert nobody.get(PATH).status_code == 405
    assert world.hints.heard == []
