"""Freeze windows: which days they hold, which slices, and what is refused in their file."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RuleFileWrong
from gateway.routing.calendar import Calendar, Freeze
from gateway.routing.ruleset import read
from tests.unit.routing.test_ruleset import rule_files

MONTH_END = Freeze(name="Close", last_days_of_month=2, first_days_of_month=5)


@pytest.mark.parametrize(
    ("day", "until"),
    [
        ("2026-11-28", None),
        ("2026-11-29", "2026-12-05"),
        ("2026-11-30", "2026-12-05"),
        ("2026-12-01", "2026-12-05"),
        ("2026-12-05", "2026-12-05"),
        ("2026-12-06", None),
        ("2026-12-31", "2027-01-05"),
        ("2028-02-27", None),
        ("2028-02-28", "2028-03-05"),
    ],
)
def test_a_monthly_window(day: str, until: str | None) -> None:
    """It holds the last days of a month, of whatever length, and the first ones of the next, and says its last day."""
    found = MONTH_END.until(date.fromisoformat(day))
    assert (found.isoformat() if found else None) == until


@given(
    day=st.dates(min_value=date(1990, 1, 1), max_value=date(2100, 1, 1)),
    before=st.integers(0, 13),
    after=st.integers(0, 13),
)
def test_a_window_goes_on_to_its_last_day(day: date, before: int, after: int) -> None:
    """From a day within a window up to the day that it names every day is within it, and the next one is not."""
    window = Freeze(name="Close", last_days_of_month=before, first_days_of_month=after)
    last = window.until(day)
    if last is None:
        return
    assert last >= day
    assert all(window.until(day + timedelta(days=n)) == last for n in range((last - day).days + 1))
    assert window.until(last + timedelta(days=1)) is None


def test_windows_are_of_slices_and_the_longest_is_told() -> None:
    """A window binds the slices that it names; of several that are open the one that ends last is told."""
    calendar = Calendar(
        freezes=(
            MONTH_END,
            Freeze(
                name="Audit", regions=("UK",), entities=("invoice",), first=date(2026, 11, 1), last=date(2026, 12, 20)
            ),
        )
    )
    assert calendar.frozen("invoice", "UK", date(2026, 12, 1)) == "Audit, until 2026-12-20"
    assert calendar.frozen("invoice", "NO", date(2026, 12, 1)) == "Close, until 2026-12-05"
    assert calendar.frozen("payment", "UK", date(2026, 12, 10)) is None
    assert Calendar().frozen("payment", "UK", date(2026, 12, 31)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[freezes]]\nname = "X"', "needs either first and last"),
        ('[[freezes]]\nname = "X"\nfirst = 2026-12-02\nlast = 2026-12-01', "a last day that is not before it"),
        ('[[freezes]]\nname = "X"\nfirst = 2026-12-02', "a last day that is not before it"),
        ('[[freezes]]\nname = "X"\nlast_days_of_month = 14', "last_days_of_month"),
        ('[[freezes]]\nname = "X"\nlast_days_of_month = 2\nregions = ["XX"]', "freezes[0].regions: 'XX' is none of"),
        ('[[freezes]]\nname = "X"\nlast_days_of_month = 2\nentities = ["bill"]', "freezes[0].entities: 'bill'"),
        ('[[freezes]]\nname = "X"\ndays = 2', "days"),
    ],
)
def test_what_stops_the_start(text: str, said: str) -> None:
    """A window that says nothing, or names what nobody knows, stops the start with the file and the place."""
    with pytest.raises(RuleFileWrong) as wrong:
        read({**rule_files(), "calendar.toml": text})
    assert str(wrong.value).startswith("calendar.toml: ")
    assert said in str(wrong.value)
