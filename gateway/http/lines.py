"""NDJSON: lines out of the parts of a body, the caller's key out of a line, and the line that answers one. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.canonical.explain import escaped
from gateway.errors import FieldError, KeyMissing, Malformed
from gateway.http.headers import MOST_KEY
from gateway.http.reply import Reply

#: The member of a line that stands where a single create has its header.
KEY = "idempotency_key"

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a body that is not blank."""

    number: int  #: counted from 1, blank lines too, as an editor counts
    text: bytes | None  #: None: longer than the limit, and not kept


class Splitter:
    """Cuts lines out of the parts of a body as they come. Of a line that is longer than ``limit`` bytes nothing is
    kept, so that what is held never grows beyond one line."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._number = 0
        self._begun = bytearray()
        self._too_long = False

    def feed(self, part: bytes) -> Iterator[Line]:
        """The lines that ``part`` completes."""
        *ended, rest = part.split(b"\n")
        for piece in ended:
            self._add(piece)
            yield from self._end()
        self._add(rest)

    def close(self) -> Iterator[Line]:
        """The last line, where no line break ends it."""
        yield from self._end()

    def _add(self, piece: bytes) -> None:
        if self._too_long or len(self._begun) + len(piece) > self._limit:
            self._too_long = True
            self._begun.clear()
        else:
            self._begun += piece

    def _end(self) -> Iterator[Line]:
        self._number += 1
        text = bytes(self._begun).strip()
        if self._too_long:
            yield Line(number=self._number, text=None)
        elif text:
            yield Line(number=self._number, text=text)
        self._begun.clear()
        self._too_long = False


def opened(text: bytes, *, required: bool) -> tuple[str | None, bytes]:
    """The caller's key and the body of the create that it is for. Raises KeyMissing where one is needed, and Malformed
    for what is no JSON object or holds no such key; the fields are for the decoder of a create to judge."""
    try:
        members = _members.decode(text)
        if msgspec.json.encode(members) != text:
            # Written with blanks, or a member stands twice: only reading it again tells which.
            _refuse_repeated(text)
        raw = members.pop(KEY, None)
        body = msgspec.json.encode(members)
        key = None if raw is None else _key(msgspec.json.decode(raw))
    except UnicodeDecodeError:
        raise _malformed("", "encoding", "the line is not UTF-8") from None
    except RecursionError:
        raise _malformed("", "depth", "the line is nested too deep") from None
    except msgspec.ValidationError:
        raise _malformed("", "type", "the line is no JSON object") from None
    except msgspec.DecodeError as wrong:
        raise _malformed("", "json", f"the line is not JSON: {wrong}") from None
    if key is None and required:
        raise KeyMissing(
            f"give the line an {KEY} of 1 to {MOST_KEY} characters of its own, new for each new record",
            errors=[FieldError(pointer=f"/{KEY}", code="missing", message="is required here")],
        )
    return key, body


def answered(number: int, key: str | None, reply: Reply) -> bytes:
    """The line that says what became of line ``number``, from what a single create would have been answered."""
    told: dict[str, Any] = {"line": number, "status": reply.status}
    if key is not None:
        told[KEY] = key
    headers = dict(reply.headers)
    for name, member in ((b"twinrun-operation", "operation"), (b"location", "location")):
        if name in headers:
            told[member] = headers[name].decode("ascii")
    if b"retry-after" in headers:
        told["retry_after_s"] = int(headers[b"retry-after"])
    if b"idempotent-replayed" in headers:
        told["replayed"] = True
    if reply.status >= 400:
        told["problem"] = msgspec.Raw(reply.body)
    elif reply.status != 202:
        told["record"] = msgspec.Raw(reply.body)
    return msgspec.json.encode(told) + b"\n"


def _key(value: Any) -> str:
    if isinstance(value, str) and 1 <= len(value) <= MOST_KEY and value.isascii() and value.isprintable():
        return value
    message = f"is a text of 1 to {MOST_KEY} printable ASCII characters"
    raise _malformed(f"/{KEY}", "malformed", message)


def _refuse_repeated(text: bytes) -> None:
    outermost: list[tuple[str, Any]] = []

    def members(pairs: list[tuple[str, Any]]) -> None:
        # Called from the inside outwards; what repeats further in is for the decoder of the create to find.
        outermost[:] = pairs

    json.loads(text, object_pairs_hook=members)
    seen: set[str] = set()
    for name, _ in outermost:
        if name in seen:
            message = f"{name[:60]!r} stands more than once in one object"
            raise _malformed("/" + escaped(name), "repeated", message)
        seen.add(name)


def _malformed(pointer: str, code: str, message: str) -> Malformed:
    detail = f"{pointer}: {message}" if pointer else message
    return Malformed(detail, errors=[FieldError(pointer=pointer, code=code, message=message)])
