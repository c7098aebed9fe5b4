"""What a failed exchange means for the caller: evidence from the transport and the answer -> an error class.

Two tables and the reader of Retry-After. Only what certainly was not taken is ``Unavailable``; whatever
leaves room for doubt is ``OutcomeUnknown``, also for reads (a read may simply be repeated by the caller).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from adapters.errors import (
    AdapterError,
    Conflict,
    Misconfigured,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
)
from adapters.options import CommonOptions

#: Seconds; what a system is left alone for when it does not say, and the most that we believe.
RETRY_AFTER_DEFAULT_S = 30.0
RETRY_AFTER_CAP_S = 3600.0
#: Characters of a system's own words that are kept.
MESSAGE_LIMIT = 500

#: Nothing reached the system, or nothing could have been made of what did. The first that fits counts.
TRANSPORT: tuple[tuple[type[Exception], type[AdapterError]], ...] = (
    (httpx.ConnectError, Unavailable),
    (httpx.ConnectTimeout, Unavailable),
    (httpx.PoolTimeout, Unavailable),
    (httpx.UnsupportedProtocol, Misconfigured),
    (httpx.LocalProtocolError, Misconfigured),
    (httpx.InvalidURL, Misconfigured),
    (httpx.HTTPError, OutcomeUnknown),
)

STATUS: dict[int, type[AdapterError]] = {
    401: Unauthorised,
    404: NotFound,
    408: OutcomeUnknown,
    409: Conflict,
    410: NotFound,
    412: Conflict,
    429: Throttled,
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_TAGS = re.compile(r"<(script|style)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a system says is wrong, in its own words."""

    code: str | None = None
    message: str = ""
    field: str | None = None


def of_transport(error: Exception, system: str) -> AdapterError:
    for theirs, ours in TRANSPORT:
        if isinstance(error, theirs):
            return ours(cleaned(str(error)), system=system)
    raise error


def of_status(
    status: int,
    problem: Problem,
    headers: Mapping[str, str],
    options: CommonOptions,
    *,
    system: str,
    now: datetime,
) -> AdapterError:
    """The error of an answer that is not a success."""
    kind = _by_code(problem.code, options) or STATUS.get(status)
    if kind is None:
        kind = Rejected if 400 <= status < 500 else OutcomeUnknown
        if status == 503 and options.unavailable_is_definite:
            kind = Throttled if headers.get("Retry-After") else Unavailable
    wait = retry_after_s(headers.get("Retry-After"), now) if kind is Throttled else None
    return kind(
        problem.message or f"status {status}",
        system=system,
        code=problem.code or str(status),
        field=problem.field,
        retry_after_s=wait,
    )


def _by_code(code: str | None, options: CommonOptions) -> type[AdapterError] | None:
    if code is None:
        return None
    if code in options.conflict_codes:
        return Conflict
    if code in options.not_found_codes:
        return NotFound
    return Unavailable if code in options.transient_codes else None


def retry_after_s(header: str | None, now: datetime) -> float:
    """Seconds or an HTTP date; what cannot be read counts as missing."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), RETRY_AFTER_CAP_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return RETRY_AFTER_DEFAULT_S
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), RETRY_AFTER_CAP_S)


def cleaned(message: str) -> str:
    """One line of sane length: the words of a system are not ours, and may be a page of HTML."""
    return _CONTROL.sub(" ", message).strip()[:MESSAGE_LIMIT]


def words(content: bytes) -> str:
    """What a body that is not in the expected format says to a reader."""
    text = content[:20_000].decode("utf-8", "replace")
    return cleaned(" ".join(_CONTROL.sub(" ", _TAGS.sub(" ", text)).split()))
