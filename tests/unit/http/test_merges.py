"""What the routes of merges ask for, and how what comes of it is told."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.dispatch.known_records import merged
from tests.unit.http.fakes import World

LOSER = "cus_0198f0c2-5b7e-7cc1-9d2a-6d2f5a1f3b10"
WINNER = "cus_0198f0c2-5b7e-7cc1-9d2a-6d2f5a1f3b11"
BASE = "/admin/v1/merges"


def ask(client: TestClient[Any], **changes: Any) -> Any:
    body = {"into": WINNER, "reason": "entered twice", **changes}
    return client.post(f"/admin/v1/records/{LOSER}/merge", json=body)


def test_asked_for(world: World, client: TestClient[Any]) -> None:
    """The record of the path is merged into the one that the body names; the answer leads to the merge."""
    answer = ask(client, both_at_authority=True)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == answer.json()["href"] == f"{BASE}/{answer.json()['id']}"
    (wish,) = world.merging.wishes
    assert (wish.loser, wish.winner, wish.both) == (LOSER, WINNER, True)
    assert client.get(answer.json()["href"]).json() == answer.json()
    assert client.get(f"{BASE}?state=requested").json()["items"] == [answer.json()]


@pytest.mark.parametrize(
    "changes", [{"into": "nobody"}, {"into": None}, {"reason": ""}, {"more": 1}, {"both_at_authority": "yes"}]
)
def test_what_is_no_wish(client: TestClient[Any], changes: dict[str, Any]) -> None:
    """A body that does not fit is refused before anybody is asked."""
    assert ask(client, **changes).status_code == 400


def test_what_is_not_there(client: TestClient[Any]) -> None:
    """No record, no merge of that id, and no id of that form."""
    assert client.post("/admin/v1/records/x/merge", json={"into": WINNER, "reason": "x"}).status_code == 404
    for path in (f"{BASE}/mrg_1", f"{BASE}/swi_1"):
        assert client.get(path).status_code == 404
        assert client.post(f"{path}/abort", json={"reason": "x"}).status_code == 404
        assert client.post(f"{path}/split", json={"reason": "x"}).status_code == 404
        assert client.post(f"{path}/approve", json={"evidence_hash": "a" * 64}).status_code == 404


def test_ended_and_taken_back(client: TestClient[Any]) -> None:
    """Who asked does not approve; a merge is ended with a reason, and taken back by a request of its own."""
    asked = ask(client).json()
    assert client.post(f"{asked['href']}/approve", json={"evidence_hash": "a" * 64}).status_code == 403
    back = client.post(f"{asked['href']}/split", json={"reason": "two after all"})
    assert (back.status_code, back.json()["kind"], back.json()["undoes"]) == (201, "split", asked["id"])
    ended = client.post(f"{asked['href']}/abort", json={"reason": "not sure"}).json()
    assert (ended["state"], ended["problem"]) == ("aborted", {"code": "aborted", "message": "not sure"})


def test_tombstone_leads_to_the_winner(
    world: World, client: TestClient[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it is 308, which keeps method and query; writing to it is 409 with the address to write to."""

    async def gone(*_: Any, **__: Any) -> None:
        raise merged(WINNER)

    monkeypatch.setattr(world.store, "one", gone)
    monkeypatch.setattr(world.store, "write", gone)
    read = client.get(f"/v1/customers/{LOSER}", follow_redirects=False)
    assert (read.status_code, read.headers["Location"]) == (308, f"/v1/customers/{WINNER}")
    written = client.patch(f"/v1/customers/{LOSER}", json={"phone": "1"})
    assert (written.status_code, written.headers["Location"]) == (409, f"/v1/customers/{WINNER}")
    assert written.json()["merged_into"] == WINNER
