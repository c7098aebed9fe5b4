"""Evidence and meaning: what a status, a header or an exception says about whether the request was taken."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx
import pytest

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
from adapters.options import RestOptions
from adapters.outcome import MESSAGE_LIMIT, Problem, of_status, of_transport, retry_after_s, words

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, OutcomeUnknown), (400, Rejected), (401, Unauthorised), (403, Rejected), (404, NotFound),
        (405, Rejected), (408, OutcomeUnknown), (409, Conflict), (410, NotFound), (412, Conflict),
        (413, Rejected), (415, Rejected), (422, Rejected), (428, Rejected), (429, Throttled),
        (500, OutcomeUnknown), (501, OutcomeUnknown), (502, OutcomeUnknown), (503, OutcomeUnknown),
        (504, OutcomeUnknown), (520, OutcomeUnknown), (999, OutcomeUnknown),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, kind: type[AdapterError]) -> None:
    """4xx is a definite no; whatever a server says while failing leaves the outcome open."""
    error = of_status(status, Problem(), {}, RestOptions(), system="legacy", now=NOW)
    assert type(error) is kind
    assert (error.system, error.code) == ("legacy", str(status))


@pytest.mark.parametrize(
    ("headers", "kind", "wait"), [({}, Unavailable, None), ({"Retry-After": "7"}, Throttled, 7.0)]
)
def test_a_profile_may_declare_503_a_definite_no(
    headers: dict[str, str], kind: type[AdapterError], wait: float | None
) -> None:
    """Only where the product's documentation says so, and the profile with it."""
    options = RestOptions(unavailable_is_definite=True)
    error = of_status(503, Problem(), headers, options, system="legacy", now=NOW)
    assert (type(error), error.retry_after_s) == (kind, wait)


@pytest.mark.parametrize(
    ("code", "kind"),
    [("TWIN", Conflict), ("GONE", NotFound), ("LOCKED", Unavailable), ("OTHER", OutcomeUnknown)],
)
def test_a_code_that_the_profile_knows_goes_before_the_status(code: str, kind: type[AdapterError]) -> None:
    """Permanent errors come as 500 from some products, transient ones as 400 from others."""
    options = RestOptions(conflict_codes=("TWIN",), not_found_codes=("GONE",), transient_codes=("LOCKED",))
    assert type(of_status(500, Problem(code=code), {}, options, system="legacy", now=NOW)) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17), ("0", 0), (" 5 ", 5), ("86400", 3600), ("9" * 400, 3600),
        ("Mon, 23 Nov 2026 10:02:00 GMT", 120), ("Mon, 23 Nov 2026 09:00:00 GMT", 0),
        ("Tue, 24 Nov 2026 10:00:00 GMT", 3600), ("Mon, 23 Nov 2026 12:01:00 +0200", 60),
        (None, 30), ("", 30), ("soon", 30), ("-5", 30), ("1.5", 30), ("١٧", 30), ("Mon, 99 Nov 2026", 30),
    ],
)  # fmt: skip
def test_retry_after(header: str | None, seconds: float) -> None:
    """Seconds or an HTTP date, an hour at most; what is missing or unreadable counts as 30 s."""
    assert retry_after_s(header, NOW) == seconds


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("x"), Unavailable), (httpx.ConnectTimeout("x"), Unavailable),
        (httpx.PoolTimeout("x"), Unavailable), (httpx.ReadError("x"), OutcomeUnknown),
        (httpx.ReadTimeout("x"), OutcomeUnknown), (httpx.WriteError("x"), OutcomeUnknown),
        (httpx.WriteTimeout("x"), OutcomeUnknown), (httpx.RemoteProtocolError("x"), OutcomeUnknown),
        (httpx.DecodingError("x"), OutcomeUnknown), (httpx.CloseError("x"), OutcomeUnknown),
        (httpx.UnsupportedProtocol("x"), Misconfigured), (httpx.LocalProtocolError("x"), Misconfigured),
        (httpx.InvalidURL("x"), Misconfigured),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)  # fmt: skip
def test_what_a_transport_error_means(error: Exception, kind: type[AdapterError]) -> None:
    """Only errors of connecting are a definite no."""
    assert type(of_transport(error, "legacy")) is kind


def test_words_of_a_system_are_made_harmless() -> None:
    """A page of HTML becomes a line of sane length, without tags, scripts and control characters."""
    page = b"<html><script>alert(1)</script><h1>Server\r\n  Error</h1>\x00\x1b[31m" + b"x" * 5000
    said = words(page)
    assert said.startswith("Server Error [31mxxx")
    assert len(said) == MESSAGE_LIMIT
