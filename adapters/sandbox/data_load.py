"""Loads the firm into a simulated ERP through its own codes, keys and losses. No effects are logged."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from adapters.sandbox.fields import Code, Field, Group, Number, Ref, Rows, Table, Text, Values
from adapters.sandbox.firm import Record
from adapters.sandbox.shaping import fixed_point
from adapters.sandbox.simulator import Simulator

#: The data load ran on this day; each row is a millisecond later than the one before.
LOADED = round(datetime(2026, 11, 1, 3, 0, tzinfo=UTC).timestamp() * 1_000_000)

Convert = Callable[[Any], Any]


def load(simulator: Simulator, firm: dict[str, list[Record]]) -> None:
    keys: dict[str, list[str]] = {}
    at = LOADED
    for entity, records in firm.items():
        shelf = simulator.shelves[entity]
        # The list is there while it is being filled: a record may refer to an earlier one of its own kind.
        known = keys[entity] = []
        fill = _filler(shelf.table, keys)
        for record in records:
            at += 1000
            known.append(simulator.load(entity, fill(record), at).key)


def _filler(table: Table, keys: dict[str, list[str]]) -> Callable[[Record], Values]:
    parts = [(field, _converter(field, keys)) for field in table.fields]

    def fill(record: Record) -> Values:
        values: Values = {}
        for field, convert in parts:
            if isinstance(field.kind, Group):
                values[field.name] = convert(record)
            else:
                value = record.get(field.canon)
                values[field.name] = convert(value) if value is not None else [] if _many(field) else None
        return values

    return fill


def _many(field: Field) -> bool:
    return isinstance(field.kind, Rows)


def _converter(field: Field, keys: dict[str, list[str]]) -> Convert:
    kind = field.kind
    match kind:
        case Text(length=length):
            return _cut(length)
        case Number(places=places):
            return lambda number: fixed_point(number, places)
        case Code(words=words):
            return {word: code for code, word in words.items()}.__getitem__
        case Ref(entity=entity):
            return _known(keys[entity])
        case Rows(fields=fields):
            inner = [(f.name, f.canon, _converter(f, keys)) for f in fields]
            return lambda rows: [
                {n: convert(row[c]) if row.get(c) is not None else None for n, c, convert in inner}
                for row in rows
            ]
        case Group(fields=fields):
            flat = [(f.name, f"{field.canon}.{f.canon}", _converter(f, keys)) for f in fields]
            return lambda record: {
                n: convert(record[c]) if record.get(c) is not None else None for n, c, convert in flat
            }
        case _:
            return _as_is


def _cut(length: int) -> Callable[[str], str]:
    return lambda text: text[:length]


def _known(keys: list[str]) -> Callable[[int], str]:
    return lambda place: keys[place]


def _as_is(value: Any) -> Any:
    return value
