"""How numbers, moments and names are written on pages: one function each, used by every template as a
filter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from typing import Any

from markupsafe import Markup

from gateway.database import from_micros

MINUTE, HOUR, DAY = 60, 3600, 86400


def count(number: int) -> str:
    """1234567 -> 1,234,567"""
    return f"{number:,}"


def share(part: int, whole: int) -> str:
    """A percentage that never flatters: cut, not rounded, so that only all of it is 100 %."""
    if whole <= 0:
        return "–"
    if part == whole:
        return "100 %"
    cut = (Decimal(part) * 100 / Decimal(whole)).quantize(Decimal("0.01"), ROUND_DOWN)
    return f"{cut} %" if cut or not part else "<0.01 %"


def duration(seconds: float | None) -> str:
    """0.42 -> 420 ms, 75 -> 1 min 15 s; the two largest units at most."""
    if seconds is None:
        return "–"
    if round(seconds, 3) < 1:
        return f"{round(seconds * 1000)} ms"
    if round(seconds, 1) < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    for unit, name, lower, lower_name in (
        (DAY, "d", HOUR, "h"),
        (HOUR, "h", MINUTE, "min"),
        (MINUTE, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // lower
            return f"{whole // unit} {name}" + (f" {rest} {lower_name}" if rest else "")
    return f"{whole} s"


def money(amount: Decimal | str | None, currency: str) -> str:
    """1234.5 EUR -> 1,234.50 EUR; more decimals stay, as they may be the very difference."""
    if amount is None:
        return "–"
    value = Decimal(amount)
    exponent = value.as_tuple().exponent
    places = max(2, -exponent) if isinstance(exponent, int) else 2
    return f"{value:,.{places}f} {currency}"


def label(name: str) -> str:
    """time_entry -> Time entry"""
    words = name.replace("_", " ")
    return words[:1].upper() + words[1:]


def plain(name: str) -> str:
    """legacy_only -> legacy only"""
    return name.replace("_", " ")


def moment(value: str | datetime | None) -> Markup:
    """A time element in UTC; the page's script may show it in the reader's own zone."""
    if value is None:
        return Markup("–")
    at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        at.strftime("%Y-%m-%d %H:%M:%S.%f UTC"),
        at.strftime("%Y-%m-%d %H:%M:%S"),
    )


def micros(value: int) -> datetime:
    """Microseconds since 1970 as a moment."""
    return from_micros(value)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "count": count,
    "duration": duration,
    "label": label,
    "micros": micros,
    "moment": moment,
    "plain": plain,
}
GLOBALS: Mapping[str, Any] = {"share": share, "money": money}
