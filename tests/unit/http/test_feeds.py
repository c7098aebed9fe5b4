"""Change feeds at the rim: what is told, how it is narrowed, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from litestar.testing import TestClient

from gateway.change_feed import State
from tests.unit.http.fake_follower import feed
from tests.unit.http.fakes import World

Client = TestClient[Any]
PATH = "/admin/v1/feeds"


def test_a_feed_says_how_far_it_is_and_why_it_is_not(client: Client, world: World) -> None:
    """Moments in RFC 3339, the lag in seconds; a feed that cannot be is told with its reason, not left out."""
    why = "the profile of example does not offer changes for customer"
    world.follower.feeds = [
        feed(),
        feed("cloud", state=State.NOT_AVAILABLE, why=why, cursor_at=None, read_at=None, lag_s=None),
    ]
    first, second = client.get(PATH).json()["items"]
    assert first == {
        "system": "legacy", "entity": "customer", "region": "UK", "state": "following", "why": None,
        "cursor_at": "2026-01-02T03:00:00.000000Z", "read_at": "2026-01-02T03:00:00.000000Z", "lag_s": 3.3,
        "seen": 12, "echoes": 9, "carried": 2, "reverted": 0, "conflicts": 1, "open_conflicts": 1, "unlinked": 0,
        "waiting": 0,
    }  # fmt: skip
    assert (second["state"], second["why"], second["lag_s"], second["cursor_at"]) == (
        "not_available",
        why,
        None,
        None,
    )
    assert [one["system"] for one in client.get(f"{PATH}?state=not_available").json()["items"]] == ["cloud"]


def test_it_is_asked_within_what_the_key_sees(client: Client, world: World) -> None:
    """Filters and the key's regions go along."""
    client.get(f"{PATH}?system=cloud&entity=invoice&region=UK", headers={"Authorization": "Bearer uk"})
    assert world.follower.asked == [
        {
            "system": "cloud",
            "entity": "invoice",
            "region": "UK",
            "regions": frozenset({"UK"}),
            "entities": None,
        }
    ]


@pytest.mark.parametrize(
    "asked", ["system=oracle", "entity=ledger", "region=MARS", "state=idle", "limit=3"], ids=str
)
def test_what_cannot_be_asked_is_refused(client: Client, world: World, asked: str) -> None:
    """400, and nobody is asked."""
    assert client.get(f"{PATH}?{asked}").status_code == 400
    assert world.follower.asked == []
