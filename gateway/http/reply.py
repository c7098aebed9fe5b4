"""What leaves: a status, ready bytes and headers. Kept plain, because every request makes one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

JSON = b"application/json"
#: Hands parts to one that sends each of them; when it returns, that was the whole body.
Stream = Callable[[Callable[[bytes], Awaitable[None]]], Awaitable[None]]
_encode = msgspec.json.Encoder(decimal_format="string").encode


class Reply:
    """One answer. ``header()`` is the only way in for a value, so that no value can end a header line. With ``stream``
    the body is made while it is sent."""

    __slots__ = ("body", "headers", "media", "status", "stream")

    def __init__(
        self, status: int, body: bytes = b"", *, media: bytes = JSON, stream: Stream | None = None
    ) -> None:
        self.status = status
        self.body = body
        self.media = media
        self.stream = stream
        self.headers: list[tuple[bytes, bytes]] = []

    def header(self, name: str, value: str) -> Reply:
        """Adds a header. What cannot stand in one (line breaks, other alphabets) is percent-encoded away."""
        if not (value.isascii() and value.isprintable()):
            value = "".join(c if c.isascii() and c.isprintable() else "?" for c in value)
        self.headers.append((name.encode("ascii"), value.encode("ascii")))
        return self


def ok(value: Any, *, status: int = 200) -> Reply:
    """An answer with ``value`` as JSON."""
    return Reply(status, _encode(value))
