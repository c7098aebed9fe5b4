"""One request, as a handler sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence

from litestar.datastructures.headers import Accept
from litestar.types import HTTPScope, Receive

from gateway.access import Caller
from gateway.errors import (
    FieldError,
    Forbidden,
    Malformed,
    MediaTypeUnsupported,
    NotAcceptable,
    RecordNotFound,
)
from gateway.http import bodies, headers, query

JSON = ("application/json",)
PATCH = ("application/json", "application/merge-patch+json")

#: Who nobody is: what a handler of a route without a scope gets.
NOBODY = Caller(name="", key_id="", scopes=frozenset(), regions=frozenset(), entities=frozenset())


class Exchange:
    """What came in. The parts that cost something are read when a handler asks for them."""

    __slots__ = ("_receive", "body_limit", "caller", "headers", "path", "request_id", "scope", "trace")

    def __init__(
        self, scope: HTTPScope, receive: Receive, path: dict[str, str], *, request_id: str, body_limit: int
    ) -> None:
        self.scope = scope
        self._receive = receive
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.path = path
        self.body_limit = body_limit
        self.caller = NOBODY
        self.request_id = request_id
        self.trace = headers.trace(self.headers)
        self.trace["X-Request-Id"] = request_id

    def header(self, name: str) -> str | None:
        """The value of a header that may be sent once. Raises Malformed when it was sent twice."""
        key = name.lower().encode("ascii")
        value = self.headers.get(key)
        if value is None:
            return None
        lines = self.scope["headers"]
        if len(self.headers) != len(list(lines)) and sum(1 for sent, _ in lines if sent == key) > 1:
            message = "is sent more than once"
            error = FieldError(pointer=name, code="repeated", message=message)
            raise Malformed(f"{name} {message}", errors=[error])
        return value.decode("latin-1")

    def listed(self, name: str) -> str | None:
        """The value of a header that is a list, with all its lines joined (RFC 9110, 5.3)."""
        key = name.lower().encode("ascii")
        if key not in self.headers:
            return None
        return ", ".join(value.decode("latin-1") for sent, value in self.scope["headers"] if sent == key)

    def accepts(self, offered: Sequence[str]) -> str:
        """Which of these kinds of media the caller would rather have; the first where it does not say. Raises
        NotAcceptable."""
        accept = self.listed("accept")
        best = Accept(accept).best_match(list(offered)) if accept else offered[0]
        if best is None:
            raise NotAcceptable(f"this is given as {', '.join(offered)}")
        return best

    def query(self, known: Collection[str] = ()) -> dict[str, str]:
        """The query parameters. Raises Malformed for one that is not among ``known``."""
        raw = self.scope["query_string"]
        return query.parse(raw, known) if raw else {}

    @property
    def has_body(self) -> bool:
        """Whether there is a body, for the calls that can do without one."""
        return self.headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in self.headers

    async def body(self, media: tuple[str, ...] = JSON, *, limit: int | None = None) -> bytes:
        """The body, which must say that it is one of ``media`` and stay within the limit, or ``limit`` bytes."""
        self._is(media)
        most = self.body_limit if limit is None else min(limit, self.body_limit)
        return await bodies.read(self._receive, declared=self.headers.get(b"content-length"), limit=most)

    async def parts(self, media: tuple[str, ...]) -> AsyncIterator[bytes]:
        """The parts of a body as they come, however large the whole is. Raises ClientGone where it breaks off."""
        self._is(media)
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise bodies.ClientGone
            more = message.get("more_body", False)
            if part := message.get("body", b""):
                yield part

    def _is(self, media: tuple[str, ...]) -> None:
        headers.media_type(self.header("Content-Type"), media)
        coding = self.headers.get(b"content-encoding", b"identity").lower()
        if coding != b"identity":
            # Nothing is unpacked before its size is known.
            raise MediaTypeUnsupported("send the body as it is, without Content-Encoding")

    def may_see(self, entity: str) -> None:
        """Raises Forbidden when the key is not for this entity at all."""
        if not self.caller.sees_entity(entity):
            raise Forbidden(f"this API key is not for {entity} records")

    def must_find(self, entity: str) -> None:
        """Raises RecordNotFound when the key is not for this entity: what it may not see does not exist
        for it."""
        if not self.caller.sees_entity(entity):
            raise RecordNotFound

    def may_use_region(self, region: str) -> None:
        """Raises Forbidden when the key is not for this region."""
        if not self.caller.sees_region(region):
            raise Forbidden(f"this API key is not for the region {region!r}")
