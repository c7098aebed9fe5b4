"""When no authority moves: freeze windows, such as the close of a month. Pure.

A window is monthly, the last days of a month with the first ones of the next, or one span of days. Days are those of
UTC, and both ends belong to the window. Inside of it a move of authority needs an override with its reason; the other
stages may change, because the books stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Annotated

from msgspec import Meta, Struct

from gateway.canonical.values import Name
from gateway.routing.cohort import plain

EVERYWHERE = "*"

#: Days of a month that a monthly window may take at either end, so that a day is left between two of them.
Days = Annotated[int, Meta(ge=0, le=13)]


class Freeze(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A window. Either ``first`` and ``last``, or days around each end of a month."""

    name: Name
    regions: tuple[str, ...] = (EVERYWHERE,)
    entities: tuple[str, ...] = (EVERYWHERE,)
    last_days_of_month: Days = 0
    first_days_of_month: Days = 0
    first: date | None = None
    last: date | None = None
    note: str = ""

    def wrong(self) -> str | None:
        """What is wrong with how the window is written; None: nothing."""
        monthly = bool(self.last_days_of_month or self.first_days_of_month)
        dated = self.first is not None or self.last is not None
        if monthly == dated:
            return "needs either first and last, or last_days_of_month and first_days_of_month"
        if dated and (self.first is None or self.last is None or self.first > self.last):
            return "needs a first day and a last day that is not before it"
        return None

    def covers(self, entity: str, region: str) -> bool:
        """Whether the window is about this slice. One of a region is about its cohorts as well."""
        places = {region, plain(region), EVERYWHERE}
        return bool(places & set(self.regions)) and bool({entity, EVERYWHERE} & set(self.entities))

    def until(self, day: date) -> date | None:
        """The last day of the window that ``day`` is in; None: it is in none."""
        if self.first is not None and self.last is not None:
            return self.last if self.first <= day <= self.last else None
        following = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
        if following - day <= timedelta(days=self.last_days_of_month):
            return following + timedelta(days=self.first_days_of_month - 1)
        return day.replace(day=self.first_days_of_month) if day.day <= self.first_days_of_month else None


class Calendar(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every window of the firm."""

    freezes: tuple[Freeze, ...] = ()

    def frozen(self, entity: str, region: str, day: date) -> str | None:
        """The window that a slice is in on a day and ends last, in words; None: its authority may move."""
        ends = [
            (last, freeze.name)
            for freeze in self.freezes
            if freeze.covers(entity, region) and (last := freeze.until(day)) is not None
        ]
        if not ends:
            return None
        last, name = max(ends)
        return f"{name}, until {last.isoformat()}"


def misplaced(freezes: Iterable[Freeze], regions: Iterable[str], entities: Iterable[str]) -> str | None:
    """The first thing that is wrong with these windows, with its place; None: nothing."""
    known = {"regions": {*regions, EVERYWHERE}, "entities": {*entities, EVERYWHERE}}
    for i, freeze in enumerate(freezes):
        problem = freeze.wrong()
        if problem is not None:
            return f"freezes[{i}]: {freeze.name!r} {problem}"
        for field, words in known.items():
            for one in getattr(freeze, field):
                if one not in words:
                    return f"freezes[{i}].{field}: {one!r} is none of {', '.join(sorted(words))}"
    return None
