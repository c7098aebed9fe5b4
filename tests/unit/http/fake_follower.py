"""A follower of the tests: shows the feeds that it was given, and keeps what it was asked. And one that hears webhooks
of the legacy system, whose signature it takes for right when it says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.change_feed import Feed, State
from gateway.change_feed.hints import Signed, WebhookTaken
from gateway.errors import NotFoundHere, SignatureWrong

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


class FakeHints:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Signed]] = []

    def expects(self, system: str) -> None:
        if system != "legacy":
            raise NotFoundHere("no webhooks are taken from a system of this name")

    async def hear(self, system: str, sent: Signed) -> WebhookTaken:
        self.expects(system)
        if sent.signature != "v1,right":
            raise SignatureWrong("webhook-signature fits none of the secrets of this system")
        self.heard.append((system, sent))
        return WebhookTaken(feeds=3)
