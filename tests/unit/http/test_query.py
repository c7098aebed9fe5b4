"""Query parameters."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.errors import Malformed
from gateway.http import query


def test_parameters_are_decoded() -> None:
    """Percent-encoding and plus signs are undone once."""
    assert query.parse(b"a=x%20y&b=%C3%A9+1&&c=%2B", {"a", "b", "c"}) == {"a": "x y", "b": "é 1", "c": "+"}


@pytest.mark.parametrize(
    ("raw", "name", "code"),
    [
        (b"x=1", "x", "unknown"),
        (b"a=1&a=2", "a", "repeated"),
        (b"a=%ff", "a", "encoding"),
        (b"a=%00", "a", "characters"),
        (b"a=", "a", "empty"),
        (b"a", "a", "empty"),
        (b"=1", "", "unknown"),
    ],
)
def test_wrong_parameters_are_named(raw: bytes, name: str, code: str) -> None:
    """A parameter that is unknown, sent twice or unreadable is refused by its name."""
    with pytest.raises(Malformed) as raised:
        query.parse(raw, {"a"})
    assert [(error.pointer, error.code) for error in raised.value.errors] == [(name, code)]


@pytest.mark.parametrize(("sent", "limit"), [(None, 50), ("1", 1), ("200", 200), ("007", 7)])
def test_limit(sent: str | None, limit: int) -> None:
    """A page has 50 items unless the caller says 1 to 200."""
    assert query.limit({} if sent is None else {"limit": sent}) == limit


@pytest.mark.parametrize("sent", ["0", "201", "-1", "1.0", "ten", "1e1", "٣", "9" * 30])
def test_limit_outside(sent: str) -> None:
    """Any other limit is refused, not clipped."""
    with pytest.raises(Malformed) as raised:
        query.limit({"limit": sent})
    assert raised.value.errors[0].pointer == "limit"


@pytest.mark.parametrize(
    "sent", ["2026-01-31T08:00:00Z", "2026-01-31T09:00:00+01:00", "2026-01-31T09:00:00 01:00"]
)
def test_moment(sent: str) -> None:
    """A moment has a zone; a plus sign that became a blank on the way is one again."""
    assert query.moment({"since": sent}, "since") == datetime(2026, 1, 31, 8, tzinfo=UTC)


def test_moments_beyond_all_records() -> None:
    """A moment before or after anything that could have been stamped is the nearest that could."""
    assert query.moment({"since": "0001-01-01T00:00:00+14:00"}, "since") == query.FIRST
    assert query.moment({"since": "9999-12-31T23:59:59-14:00"}, "since") == query.LAST


@pytest.mark.parametrize("sent", ["2026-01-31", "2026-01-31T08:00:00", "yesterday", "1769846400"])
def test_no_moment(sent: str) -> None:
    """A day, a moment without a zone, a number: none of them says when."""
    with pytest.raises(Malformed):
        query.moment({"since": sent}, "since")
