"""Bodies: read from the socket up to the limit, and for the operations side decoded as strictly as a
record is."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
from litestar.types import Receive

from gateway.canonical.explain import escaped, explain
from gateway.errors import BodyTooLarge, FieldError, Malformed

T = TypeVar("T", bound=msgspec.Struct)


class ClientGone(Exception):
    """The caller hung up before its request was complete. Nobody is left to answer."""


async def read(receive: Receive, *, declared: bytes | None, limit: int) -> bytes:
    """The whole body. Raises BodyTooLarge as soon as it is known to be, whatever Content-Length said."""
    if declared is not None and (not declared.isdigit() or int(declared) > limit):
        raise too_large(limit)
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    body = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise too_large(limit)
        return body
    parts = [body]
    size = len(body)
    while True:
        if size > limit:
            raise too_large(limit)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        parts.append(part)
        size += len(part)
        if not message.get("more_body", False):
            break
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)


def too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the limit is {limit} bytes", limit=limit)


def decode(kind: type[T], body: bytes) -> T:
    """The body as ``kind``: UTF-8, one JSON object, no member twice, none unknown. Raises Malformed."""
    value = _strict(body)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        errors = explain(kind, value)
        first = errors[0]
        raise Malformed(f"{first.pointer or 'the body'}: {first.message}", errors=errors) from None


def _strict(body: bytes) -> Any:
    try:
        value = msgspec.json.decode(body)
    except UnicodeDecodeError:
        raise _malformed("", "encoding", "the body is not UTF-8") from None
    except RecursionError:
        raise _malformed("", "depth", "the body is nested too deep") from None
    except msgspec.DecodeError as wrong:
        raise _malformed("", "json", f"the body is not JSON: {wrong}") from None
    repeated: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in pairs]
        repeated.extend(name for name in names if names.count(name) > 1)

    # Read a second time only for what the first reading cannot tell: a member that stands twice.
    json.loads(body, object_pairs_hook=members)
    if repeated:
        message = f"{repeated[0][:60]!r} stands more than once in one object"
        raise _malformed("/" + escaped(repeated[0]), "repeated", message)
    return value


def _malformed(pointer: str, code: str, message: str) -> Malformed:
    return Malformed(message, errors=[FieldError(pointer=pointer, code=code, message=message)])
