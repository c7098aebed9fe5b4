"""How we say who we are. A secret is never part of a ``repr``, a message or a log line.

``kind``: none, basic {username, password}, bearer {token}, session {username, password}. A session is opened
on first use, and once more when the system no longer knows it; many callers that meet that at once log in
once.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from adapters.errors import Misconfigured

Headers = dict[str, str]


class Auth(Protocol):
    #: Headers to send now; None when they must be obtained first.
    headers: Headers | None

    async def obtain(self) -> Headers: ...

    async def renew(self, refused: Headers) -> Headers | None:
        """Other headers than those that were refused; None when there are none to be had."""
        ...


class Fixed:
    """Headers that are known from the settings."""

    def __init__(self, headers: Headers) -> None:
        self.headers: Headers | None = headers

    async def obtain(self) -> Headers:
        return self.headers or {}

    async def renew(self, refused: Headers) -> Headers | None:
        return None

    def __repr__(self) -> str:
        return "Fixed(…)"


class Session:
    """Headers that a login gives, one login at a time."""

    def __init__(self, login: Callable[[], Awaitable[Headers]]) -> None:
        self.headers: Headers | None = None
        self._login = login
        self._lock = asyncio.Lock()

    async def obtain(self) -> Headers:
        async with self._lock:
            if self.headers is None:
                self.headers = await self._login()
            return self.headers

    async def renew(self, refused: Headers) -> Headers | None:
        async with self._lock:
            # Somebody else may have logged in while we waited: then theirs is the new session.
            if self.headers is None or self.headers is refused:
                self.headers = None
                self.headers = await self._login()
            return self.headers

    def __repr__(self) -> str:
        return "Session(…)"


def _need(settings: Mapping[str, Any], *keys: str) -> list[str]:
    found: list[str] = []
    for key in keys:
        value = settings.get(key)
        if not isinstance(value, str) or not value:
            raise Misconfigured(f"auth of kind {settings.get('kind')!r} needs {key!r} in the settings")
        found.append(value)
    return found


def basic(settings: Mapping[str, Any]) -> Fixed:
    username, password = _need(settings, "username", "password")
    token = b64encode(f"{username}:{password}".encode()).decode()
    return Fixed({"Authorization": f"Basic {token}"})


def bearer(settings: Mapping[str, Any]) -> Fixed:
    (token,) = _need(settings, "token")
    return Fixed({"Authorization": f"Bearer {token}"})


def build(settings: Mapping[str, Any], login: Callable[[], Awaitable[Headers]]) -> Auth:
    kind = settings.get("kind", "none")
    if kind == "none":
        return Fixed({})
    if kind == "basic":
        return basic(settings)
    if kind == "bearer":
        return bearer(settings)
    if kind == "session":
        _need(settings, "username", "password")
        return Session(login)
    raise Misconfigured(f"there is no auth kind {kind!r}; there are: none, basic, bearer, session")
