"""Numbers and moments as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.console import words


@pytest.mark.parametrize(
    ("part", "whole", "said"),
    [
        (0, 0, "–"),
        (10, 10, "100 %"),
        (999_999, 1_000_000, "99.99 %"),
        (99_999_999, 100_000_000, "99.99 %"),
        (1, 3, "33.33 %"),
        (1, 1_000_000, "<0.01 %"),
        (0, 10, "0.00 %"),
    ],
)
def test_a_share_never_flatters(part: int, whole: int, said: str) -> None:
    """Only all of it is 100 %, and something is never nothing."""
    assert words.share(part, whole) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.0, "0 ms"),
        (0.4216, "422 ms"),
        (0.9996, "1.0 s"),
        (9.97, "10 s"),
        (59.7, "1 min"),
        (75.2, "1 min 15 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, said: str) -> None:
    """Short ones in milliseconds, long ones in days and hours; rounding carries over into the next unit."""
    assert words.duration(seconds) == said


@pytest.mark.parametrize(
    ("amount", "said"),
    [("1234.5", "1,234.50 EUR"), ("0.005", "0.005 EUR"), ("-7", "-7.00 EUR"), ("1E+3", "1,000.00 EUR")],
)
def test_money_keeps_the_decimals_that_matter(amount: str, said: str) -> None:
    """Half a cent stays half a cent: it may be the very difference."""
    assert words.money(amount, "EUR") == said


def test_a_moment_is_utc_whatever_it_was_written_in() -> None:
    """Pages are made in UTC; the script may show the reader's own zone from the machine's form."""
    oslo = datetime(2026, 11, 23, 10, 30, tzinfo=timezone(timedelta(hours=1)))
    for same in (oslo, oslo.astimezone(UTC), "2026-11-23T09:30:00Z"):
        text = words.moment(same)
        assert 'datetime="2026-11-23T09:30:00Z"' in text
        assert ">2026-11-23 09:30:00<" in text
