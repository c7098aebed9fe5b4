"""The records of a repair as lines of a table, one for each field that is written, for whoever writes CSV. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.repair.run import Item, Repair

COLUMNS = (
    "record", "kind", "action", "outcome", "system", "native_id", "field", "from", "to", "money", "delivery",
    "delivery_state", "case", "why",
)  # fmt: skip


def rows(repair: Repair, one: Item) -> Iterator[tuple[str, ...]]:
    """A line for each field of a record; one of which no field is written has a line without any."""
    first = one.record_id, one.kind, one.action.value, one.outcome.value, repair.target, one.native_id or ""
    money = " ".join(f"{amount} {currency}" for currency, amount in sorted(one.money.items()))
    delivery = one.deliveries[-1] if one.deliveries else ""
    last = money, delivery, one.delivery_state or "", one.case_id or "", one.why or ""
    if not one.changes:
        yield (*first, "", "", "", *last)
    for change in one.changes:
        yield (*first, change.field, text(change.before), text(change.after), *last)


def text(value: Any) -> str:
    """A value as a reader sees it: a text as it is, anything else as JSON, nothing as nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    return msgspec.json.encode(value).decode()
