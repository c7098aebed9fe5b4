"""Query parameters, read strictly: one that no route declares is refused by name, as is one that is sent
twice."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime
from urllib.parse import unquote_to_bytes

import msgspec

from gateway.errors import FieldError, Malformed, UnknownRegion

MOST_LIMIT = 200
LIMIT = 50
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(9998, 12, 31, tzinfo=UTC)

MOST_TOKEN = 200

_TOKEN = re.compile(rf"[ -~]{{1,{MOST_TOKEN}}}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INTEGER = re.compile(r"[0-9]{1,9}")


def parse(raw: bytes, known: Collection[str]) -> dict[str, str]:
    """The parameters of a query string. Raises Malformed naming what is unknown, repeated or not UTF-8."""
    found: dict[str, str] = {}
    if not raw:
        return found
    errors: list[FieldError] = []
    for pair in raw.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        try:
            named, text = _text(name), _text(value)
        except UnicodeDecodeError:
            errors.append(_wrong(name.decode("latin-1")[:60], "encoding", "is not UTF-8"))
            continue
        if named not in known:
            allowed = f"; known here: {', '.join(sorted(known))}" if known else "; this call takes none"
            errors.append(_wrong(named[:60], "unknown", f"is no query parameter of this call{allowed}"))
        elif named in found:
            errors.append(_wrong(named, "repeated", "is sent more than once"))
        elif _CONTROL.search(text):
            errors.append(_wrong(named, "characters", "has control characters"))
        elif not text:
            errors.append(_wrong(named, "empty", "is empty; leave it out instead"))
        else:
            found[named] = text
    refuse(errors)
    return found


def limit(query: dict[str, str]) -> int:
    """How many items a page has."""
    text = query.get("limit")
    if text is None:
        return LIMIT
    if not _INTEGER.fullmatch(text) or not 1 <= int(text) <= MOST_LIMIT:
        raise wrong("limit", "range", f"is a whole number from 1 to {MOST_LIMIT}")
    return int(text)


def moment(query: dict[str, str], name: str) -> datetime | None:
    """A moment in RFC 3339 with its zone."""
    text = query.get(name)
    if text is None:
        return None
    # A plus sign that was not percent-encoded arrives as a blank, and no moment has a blank there.
    text = re.sub(r" (?=\d\d:\d\d$)", "+", text)
    try:
        found = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        found = None
    if found is None or found.tzinfo is None:
        raise wrong(name, "moment", "is a moment of RFC 3339 with its zone, such as 2026-01-31T08:00:00Z")
    # Nothing that we or an ERP could have stamped lies outside; some of them stumble over such years.
    return FIRST if found < FIRST else LAST if found > LAST else found.astimezone(UTC)


def choice(query: dict[str, str], name: str, allowed: Collection[str]) -> str | None:
    """One of ``allowed``."""
    text = query.get(name)
    if text is not None and text not in allowed:
        raise wrong(name, "unknown", f"is one of {', '.join(sorted(allowed))}")
    return text


def region(query: dict[str, str], known: Collection[str]) -> str | None:
    """A region that a rule knows. Raises UnknownRegion."""
    text = query.get("region")
    if text is not None and text not in known:
        raise UnknownRegion(
            f"{text[:40]!r} is not one of {', '.join(sorted(known))}",
            errors=[FieldError(pointer="region", code="unknown_region", message="no rule knows it")],
        )
    return text


def token(query: dict[str, str], name: str) -> str | None:
    """A name of ours: printable ASCII of at most ``MOST_TOKEN`` characters."""
    text = query.get(name)
    if text is not None and not _TOKEN.fullmatch(text):
        raise wrong(name, "token", f"is 1 to {MOST_TOKEN} printable ASCII characters")
    return text


def wrong(name: str, code: str, message: str) -> Malformed:
    """A query parameter that cannot mean anything."""
    error = _wrong(name, code, message)
    return Malformed(f"{name} {message}", errors=[error])


def refuse(errors: list[FieldError]) -> None:
    """Raises Malformed when there is anything to tell."""
    if errors:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Malformed(f"{first.pointer} {first.message}{more}", errors=errors)


def _text(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")


def _wrong(name: str, code: str, message: str) -> FieldError:
    return FieldError(pointer=name, code=code, message=message)
