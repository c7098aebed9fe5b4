"""The request headers of the contract, each read by one pure function that refuses what it cannot mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from gateway.errors import FieldError, KeyMissing, Malformed, MediaTypeUnsupported

#: The quoted string of the Idempotency-Key draft (an sf-string of RFC 8941), or the plain token most clients
#: send.
_QUOTED_KEY = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_PLAIN_KEY = re.compile(r"[\x21\x23-\x7e][\x21-\x7e]*")
MOST_KEY = 255

_VERSION = re.compile(r'"(0|[1-9][0-9]{0,17})"')
_ENTITY_TAG = re.compile(r'\s*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")\s*')

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_TRACESTATE = re.compile(r"[\x20-\x7e\t]{1,512}")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")

_PREFERENCE = re.compile(
    r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"([^"]*)"|([^\s;,"]*)))?\s*(?:;[^,]*)?'
)

ANY_VERSION: Final = "*"


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """How long a write may be waited for, and what to say about the wish in the answer."""

    wait_s: float
    applied: str | None = None  #: the value of Preference-Applied


def idempotency_key(value: str | None, *, required: bool) -> str | None:
    """The key that the caller means. Raises KeyMissing where one is needed, Malformed for what is no key."""
    if value is None:
        if required:
            raise KeyMissing(
                "send Idempotency-Key with 1 to 255 characters of your own, new for each new request",
                errors=[FieldError(pointer="Idempotency-Key", code="missing", message="is required here")],
            )
        return None
    text = value.strip(" \t")
    if text.startswith('"'):
        quoted = _QUOTED_KEY.fullmatch(text)
        key = re.sub(r'\\(["\\])', r"\1", quoted[1]) if quoted else ""
    else:
        key = text if _PLAIN_KEY.fullmatch(text) else ""
    if not 1 <= len(key) <= MOST_KEY:
        raise header_wrong(
            "Idempotency-Key", "is a token or a quoted string of 1 to 255 printable ASCII characters"
        )
    return key


def if_match(value: str | None) -> int | str | None:
    """The version that the change is based on, ANY_VERSION, or None when the header is absent."""
    if value is None:
        return None
    text = value.strip(" \t")
    if text == ANY_VERSION:
        return ANY_VERSION
    found = _VERSION.fullmatch(text)
    if found is None:
        # A weak tag can never match (RFC 9110, 13.1.1), and of several we could not say which was meant.
        raise header_wrong(
            "If-Match", 'is one version in quotes, such as "3", as the ETag of the record gave it, or *'
        )
    return int(found[1])


def none_match(value: str | None) -> frozenset[str]:
    """The entity tags that the caller has already, or ANY_VERSION among them. What is none is passed over:
    the worst that can come of it is an answer that the caller already had."""
    if value is None:
        return frozenset()
    if value.strip(" \t") == ANY_VERSION:
        return frozenset({ANY_VERSION})
    tags: list[str] = []
    for part in value.split(","):
        found = _ENTITY_TAG.fullmatch(part)
        if found is not None:
            tags.append(found[1])
    return frozenset(tags)


def preference(value: str | None, *, default_s: float, most_s: float) -> Preference:
    """``wait=N`` and ``respond-async``. What RFC 7240 does not know, or cannot read, it ignores, and so do
    we."""
    if value is None:
        return Preference(wait_s=default_s)
    seen: dict[str, str] = {}
    for part in value.split(","):
        found = _PREFERENCE.fullmatch(part)
        if found is not None:
            seen.setdefault(found[1].lower(), found[2] if found[2] is not None else found[3] or "")
    wait = seen.get("wait")
    if wait is not None and wait.isascii() and wait.isdigit():
        seconds = min(float(wait), most_s)
        return Preference(wait_s=seconds, applied=f"wait={seconds:g}")
    if "respond-async" in seen:
        return Preference(wait_s=0.0, applied="respond-async")
    return Preference(wait_s=default_s)


def trace(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The trace context that came in well-formed. What did not is dropped: a trace begins anew (W3C, 3.2)."""
    found: dict[str, str] = {}
    parent = headers.get(b"traceparent")
    if parent is not None:
        text = parent.decode("latin-1").strip()
        if _TRACEPARENT.fullmatch(text) and (not text.startswith("00") or len(text) == 55):
            found["traceparent"] = text
            state = headers.get(b"tracestate", b"").decode("latin-1")
            if _TRACESTATE.fullmatch(state):
                found["tracestate"] = state
    return found


def request_id(value: bytes | None) -> str | None:
    """The caller's own id of the request, or None for what cannot be one."""
    if value is None:
        return None
    text = value.decode("latin-1").strip(" \t")
    return text if _REQUEST_ID.fullmatch(text) else None


def media_type(value: str | None, allowed: tuple[str, ...]) -> None:
    """Raises MediaTypeUnsupported unless the body says that it is one of ``allowed``, in UTF-8."""
    named, _, parameters = (value or "").partition(";")
    kind = named.strip().lower()
    if kind not in allowed:
        found = f"not {kind[:80]!r}" if kind else "and none was sent"
        raise MediaTypeUnsupported(
            f"Content-Type is {' or '.join(allowed)}, {found}",
            errors=[
                FieldError(
                    pointer="Content-Type", code="unsupported", message=f"allowed: {', '.join(allowed)}"
                )
            ],
        )
    for parameter in parameters.split(";"):
        name, _, setting = parameter.partition("=")
        if name.strip().lower() == "charset" and setting.strip().strip('"').lower() not in ("utf-8", "utf8"):
            raise MediaTypeUnsupported("JSON is UTF-8 (RFC 8259, 8.1); leave charset out or say utf-8")


def header_wrong(name: str, message: str) -> Malformed:
    return Malformed(
        f"{name} {message}", errors=[FieldError(pointer=name, code="malformed", message=message)]
    )
