"""A follower of the tests: shows the feeds that it was given, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.change_feed import Feed, State

AT = 1_767_322_800_000_000


def feed(system: str = "legacy", **more: Any) -> Feed:
    values: dict[str, Any] = {
        "entity": "customer", "region": "UK", "state": State.FOLLOWING, "cursor_at": AT, "read_at": AT,
        "lag_s": 3.26, "seen": 12, "echoes": 9, "carried": 2, "conflicts": 1, "open_conflicts": 1, **more,
    }  # fmt: skip
    return Feed(system=system, **values)


class FakeFollower:
    def __init__(self) -> None:
        self.feeds: list[Feed] = []
        self.asked: list[dict[str, Any]] = []

    async def list(self, **narrowed: Any) -> Sequence[Feed]:
        self.asked.append(narrowed)
        return self.feeds
