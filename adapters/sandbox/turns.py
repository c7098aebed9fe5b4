"""A request and what is to become of it, independent of how bytes travel. Data only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

Headers = tuple[tuple[str, str], ...]


class Request:
    __slots__ = ("body", "headers", "method", "path", "query")

    def __init__(self, method: str, path: str, query: str, headers: dict[str, str], body: bytes) -> None:
        self.method = method
        self.path = path  #: percent-decoded
        self.query = query  #: as sent
        self.headers = headers  #: names in lower case
        self.body = body


class Reply:
    __slots__ = ("body", "headers", "media_type", "status")

    def __init__(self, status: int, body: bytes = b"", media_type: str = "", headers: Headers = ()) -> None:
        self.status = status
        self.body = body
        self.media_type = media_type
        self.headers = headers


Act = Callable[[], Reply]


class Turn:
    """What the rim must do: wait, act, and end. ``later`` is done some time after the end."""

    __slots__ = ("act", "end", "hang_s", "later", "later_s", "wait_s")

    def __init__(
        self,
        act: Act | None,
        *,
        wait_s: float = 0.0,
        end: Literal["answer", "close", "reset", "hang"] = "answer",
        hang_s: float = 0.0,
        later: Act | None = None,
        later_s: float = 0.0,
    ) -> None:
        self.act = act
        self.wait_s = wait_s
        self.end: Literal["answer", "close", "reset", "hang"] = end
        self.hang_s = hang_s
        self.later = later
        self.later_s = later_s
