"""Small pure checks that the invariants of the entities are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from gateway.canonical.money import Money
from gateway.errors import FieldError

Errors = tuple[FieldError, ...]


def wrong(pointer: str, code: str, message: str) -> FieldError:
    return FieldError(pointer=pointer, code=code, message=message)


def one_currency(currency: str, amounts: Iterable[tuple[str, Money | None]]) -> Errors:
    """Every given amount is in ``currency``."""
    return tuple(
        wrong(
            f"{pointer}/currency",
            "currency_mixed",
            f"is {amount.currency}, but this document is in {currency}",
        )
        for pointer, amount in amounts
        if amount is not None and amount.currency != currency
    )


def in_order(first: date | None, last: date | None, *, pointer: str, after: str) -> Errors:
    """The day at ``pointer`` is not before the day named ``after``."""
    if first is None or last is None or first <= last:
        return ()
    return (wrong(pointer, "before", f"{last} is before {after} {first}"),)


def unique(rows: Sequence[Any] | None, pointer: str, *key: str) -> Errors:
    """No two rows have the same key."""
    if not rows:
        return ()
    seen: set[tuple[Any, ...]] = set()
    found: list[FieldError] = []
    for index, row in enumerate(rows):
        value = tuple(getattr(row, member) for member in key)
        if None not in value and value in seen:
            named = ", ".join(str(part) for part in value)
            found.append(
                wrong(f"{pointer}/{index}/{key[0]}", "duplicate", f"{named} is already in an earlier row")
            )
        seen.add(value)
    return tuple(found)
