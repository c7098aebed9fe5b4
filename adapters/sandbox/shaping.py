"""How values are put together, and how a faulty ERP spoils them. Pure over the values that it is given."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from adapters.sandbox.faults import Fault, Plan
from adapters.sandbox.fields import Amount, Field, Number, Rows, Table, Text, Values

#: Texts that a truncating ERP shortens when no field is named: long ones; keys and codes stay whole.
LONG = 30


def merge(values: Values, given: Values) -> Values:
    """Sets what is given, in place; a complex value is merged, a list replaced."""
    for name, value in given.items():
        old = values[name]
        if isinstance(old, dict) and isinstance(value, dict):
            values[name] = {**old, **value}
        elif isinstance(old, dict) and value is None:
            values[name] = dict.fromkeys(old)  # pyright: ignore[reportUnknownArgumentType]
        else:
            values[name] = value
    return values


def fixed_point(number: Decimal, places: int) -> Decimal:
    return number.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def distort(table: Table, values: Values, given: Values, plan: Plan | None) -> None:
    """Rounds amounts and cuts texts of a write, without a word, where a fault says so."""
    for fault in plan.shaping if plan is not None else ():
        if fault.kind == "drift":
            continue
        for field in table.fields:
            if field.name not in given:
                continue
            if isinstance(field.kind, Rows):
                named = tuple(f for f in field.kind.fields if _named(fault, f"{field.canon}.{f.canon}"))
                if named:
                    values[field.name] = [_spoiled(row, named, fault) for row in values[field.name]]
            elif _meant(table, field, fault):
                values[field.name] = _spoil(field, values[field.name], fault)


def drifted(table: Table, values: Values, fault: Fault) -> Values | None:
    """The same record with one field changed, or None where no field can drift."""
    for field in table.fields:
        value = values[field.name]
        if value is None or not _driftable(table, field, fault):
            continue
        if isinstance(field.kind, Text):
            return {**values, field.name: f"{value[: field.kind.length - 2]} *"}
        return {**values, field.name: value + Decimal("0.01")}
    return None


def _driftable(table: Table, field: Field, fault: Fault) -> bool:
    if fault.fields is not None:
        return isinstance(field.kind, Text | Amount | Number) and _named(fault, field.canon)
    if isinstance(field.kind, Text):
        return field.kind.length >= LONG and field.canon != table.natural
    return isinstance(field.kind, Amount)


def _meant(table: Table, field: Field, fault: Fault) -> bool:
    if fault.kind == "rounding":
        return isinstance(field.kind, Amount | Number) and (
            fault.fields is None or _named(fault, field.canon)
        )
    if not isinstance(field.kind, Text):
        return False
    if fault.fields is not None:
        return _named(fault, field.canon)
    return field.kind.length >= LONG and field.canon not in (table.natural, "custom_fields")


def _named(fault: Fault, canon: str) -> bool:
    names = fault.fields or ()
    return canon in names or (canon.endswith(".amount") and canon.removesuffix(".amount") in names)


def _spoiled(row: Values, fields: tuple[Field, ...], fault: Fault) -> Values:
    return {**row, **{field.name: _spoil(field, row[field.name], fault) for field in fields}}


def _spoil(field: Field, value: Any, fault: Fault) -> Any:
    if value is None:
        return None
    if fault.kind == "rounding" and isinstance(field.kind, Amount | Number):
        places = 2 if isinstance(field.kind, Amount) else field.kind.places
        return fixed_point(fixed_point(value, fault.places), places)
    if fault.kind == "truncation" and isinstance(field.kind, Text):
        return value[:-1] or None
    return value
