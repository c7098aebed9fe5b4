"""Webhooks of the systems: each says that something has changed, and nothing of what it says is believed.

All that comes of one is that the feeds of its system are read now and not at their next turn; what has changed is read
from the system itself. So a forged one, a wrong one and one that is sent again cost a look, or not even that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from sqlalchemy import Connection

from adapters.contract import Adapter
from gateway.access.webhooks import is_signed, secrets_of
from gateway.canonical import BY_NAME
from gateway.change_feed import asking
from gateway.change_feed.looking import MICROS
from gateway.database import Database
from gateway.errors import NotFoundHere, SettingWrong, SignatureWrong
from gateway.settings import SystemSettings

#: Seconds by which a webhook's timestamp may be away from our clock.
SKEW_S = 300
#: Days for which its id is known: one that comes again within them has no effect.
KEPT_DAYS = 7
LONGEST_ID = 255
LONGEST_TIMESTAMP = 12


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook as it came. ``timestamp`` is in seconds since 1970."""

    id: str
    timestamp: str
    signature: str
    body: bytes


class WebhookTaken(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a webhook: how many feeds are read now. `repeated`: it was heard before, and nothing came of it."""

    feeds: int
    repeated: bool = False


class Hints:
    """``on``: whether edits are followed at all; ``told`` hears that feeds are to be read."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        secrets: Mapping[str, tuple[bytes, ...]],
        on: bool,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._secrets = secrets
        self._on = on
        self._told = told

    def expects(self, system: str) -> None:
        """Raises NotFoundHere where no webhooks are taken from this system: unknown, or without a secret."""
        if system not in self._secrets:
            raise NotFoundHere("no webhooks are taken from a system of this name")

    async def hear(self, system: str, sent: Signed) -> WebhookTaken:
        """Takes a webhook. Raises NotFoundHere, and SignatureWrong where it is not the system's, or not of now."""
        self.expects(system)
        if not is_signed(self._secrets[system], sent.id, sent.timestamp, sent.body, sent.signature):
            raise SignatureWrong("webhook-signature fits none of the secrets of this system")
        if not 1 <= len(sent.id) <= LONGEST_ID:
            raise SignatureWrong(f"webhook-id has {len(sent.id)} characters; allowed are 1 to {LONGEST_ID}")
        digits = sent.timestamp.isascii() and sent.timestamp.isdigit() and len(sent.timestamp) <= LONGEST_TIMESTAMP
        at_s = int(sent.timestamp) if digits else None
        lags = self._lags(system, sent.body)

        def unit(connection: Connection) -> WebhookTaken:
            now = self._database.now(connection)
            if at_s is None or abs(now - at_s * MICROS) > SKEW_S * MICROS:
                raise SignatureWrong(f"webhook-timestamp is not within {SKEW_S} s of our clock")
            if not asking.heard(connection, system, sent.id, now=now):
                return WebhookTaken(feeds=0, repeated=True)
            return WebhookTaken(feeds=asking.sooner(connection, system, lags, now=now) if self._on else 0)

        heard = await self._database.transaction(unit)
        if heard.feeds:
            self._told()
        return heard

    def _lags(self, system: str, body: bytes) -> dict[str, int]:
        """Of each entity whose feeds are to be read, the microseconds within which the system may not show it yet."""
        adapter = self._adapters[system]
        named = entity_of(body)
        entities = BY_NAME if named is None else (named,)
        return {one: int(adapter.facts(one).lag_s * MICROS) for one in entities if adapter.supports(one)}


def entity_of(body: bytes) -> str | None:
    """The entity that a webhook is about, by the first word of its ``type`` (``customer.updated``); None: it does not
    say, and may be about any."""
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    kind = cast("dict[str, Any]", said).get("type") if isinstance(said, dict) else None
    word = kind.partition(".")[0] if isinstance(kind, str) else ""
    return word if word in BY_NAME else None


def secrets_from(systems: Mapping[str, SystemSettings]) -> dict[str, tuple[bytes, ...]]:
    """The secrets of the systems that have some. Raises SettingWrong, which never repeats them."""
    found: dict[str, tuple[bytes, ...]] = {}
    for name, system in systems.items():
        if system.webhook_secret is None:
            continue
        try:
            found[name] = secrets_of(system.webhook_secret)
        except ValueError as wrong:
            raise SettingWrong(f"systems.{name}.webhook_secret: {wrong}") from None
    return found
