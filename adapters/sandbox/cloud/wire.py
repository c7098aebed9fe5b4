"""The cloud wire: JSON to plain values and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any, cast

import msgspec

from adapters.sandbox.cloud.tables import TAX_CODES
from adapters.sandbox.effects import instant
from adapters.sandbox.fields import (
    Amount,
    Code,
    Day,
    Field,
    Flag,
    Group,
    Kind,
    Number,
    Ref,
    Rows,
    Table,
    Text,
    Texts,
    Values,
    Whole,
)
from adapters.sandbox.refusals import Refused
from adapters.sandbox.shaping import fixed_point
from adapters.sandbox.store import Row

Read = Callable[[Any, str], Any]  #: JSON value, path of the property -> plain value

#: Decimals as JSON numbers, or as strings for callers that say IEEE754Compatible=true.
ENCODERS = {
    "number": msgspec.json.Encoder(decimal_format="number"),
    "string": msgspec.json.Encoder(decimal_format="string"),
}
# Fractions are read exactly: a price never passes through binary floating point.
_decoder = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_DECIMAL = re.compile(r"-?\d{1,15}(\.\d{1,12})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
#: Named by the system; taken back without a word, since a caller may send a record as it got it.
IGNORED = frozenset({"CreatedAt", "ModifiedAt"})


class Body:
    """What a write carries."""

    __slots__ = ("external_id", "marker", "values")

    def __init__(self, values: Values, marker: str | None, external_id: str | None) -> None:
        self.values = values
        self.marker = marker
        self.external_id = external_id


class Wire:
    """One entity's wire, compiled from its table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._read = {field.name: _reader(field.kind) for field in table.fields}

    def read(self, given: dict[str, Any]) -> Body:
        """Raises Refused."""
        values: Values = {}
        marker: str | None = None
        external_id: str | None = None
        for name, value in given.items():
            read = self._read.get(name)
            if read is not None:
                values[name] = read(value, name) if value is not None else self._nothing(name)
            elif name == "LastOperation":
                marker = _short(value, name, 60)
            elif name == "ExternalId":
                external_id = _short(value, name, 60)
            elif name not in IGNORED and name != self.table.key and "@odata" not in name:
                raise Refused("unknown_property", f"{name} in {self.table.item}", name)
        return Body(values, marker, external_id)

    def plain(self, name: str, value: Any) -> Any:
        return self._read[name](value, name) if value is not None else self._nothing(name)

    def _nothing(self, name: str) -> Any:
        return [] if isinstance(self.table.by_name[name].kind, Rows | Texts) else None

    def show(self, row: Row, form: str) -> bytes:
        """The object, rendered once per row and form."""
        done = row.wire.get(form)
        if done is None:
            done = row.wire[form] = ENCODERS[form].encode(self.record(row))
        return done

    def record(self, row: Row) -> dict[str, Any]:
        return {
            "@odata.etag": etag(row),
            self.table.key: row.key,
            **row.values,
            "ExternalId": row.external_id,
            "LastOperation": row.marker,
            "CreatedAt": instant(row.created),
            "ModifiedAt": instant(row.modified),
        }


def decode(body: bytes) -> dict[str, Any]:
    try:
        return _decoder.decode(body)
    except msgspec.DecodeError as broken:
        raise Refused("malformed_body", str(broken)) from None


def etag(row: Row) -> str:
    return f'W/"{row.version}"'


def _short(value: Any, path: str, length: int) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > length:
        raise Refused("invalid_value", f"{path} must be a text of at most {length} characters", path)
    return value


def _reader(kind: Kind) -> Read:
    match kind:
        case Text(length=length):
            return lambda value, path: _text(value, path)[:length] or None
        case Amount():
            return _amount
        case Number(places=places):
            return lambda value, path: fixed_point(_decimal(value, path), places)
        case Whole():
            return _whole
        case Day():
            return _day
        case Flag():
            return _flag
        case Code(words=words):
            reason = "unknown_tax_code" if words is TAX_CODES else "unknown_code"
            return lambda value, path: _code(words, reason, value, path)
        case Ref():
            return _text
        case Texts(length=length):
            return lambda value, path: [_text(item, path)[:length] for item in _list(value, path)]
        case Rows(fields=fields):
            return _rows_reader(fields)
        case Group(fields=fields):
            return _group_reader(fields)


def _rows_reader(fields: tuple[Field, ...]) -> Read:
    group = _group_reader(fields)
    blank: Values = {f.name: [] if isinstance(f.kind, Texts) else None for f in fields}

    def read(value: Any, path: str) -> list[Values]:
        return [{**blank, **group(item, f"{path}/{place}")} for place, item in enumerate(_list(value, path))]

    return read


def _group_reader(fields: tuple[Field, ...]) -> Read:
    readers = {field.name: _reader(field.kind) for field in fields}
    empty: Values = {field.name: [] if isinstance(field.kind, Texts) else None for field in fields}

    def read(value: Any, path: str) -> Values:
        if not isinstance(value, dict):
            raise Refused("invalid_value", f"{path} must be an object", path)
        values: Values = {}
        for name, inner in cast("dict[str, Any]", value).items():
            reader = readers.get(name)
            if reader is None:
                raise Refused("unknown_property", f"{path}/{name}", f"{path}/{name}")
            values[name] = reader(inner, f"{path}/{name}") if inner is not None else empty[name]
        return values

    return read


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise Refused("invalid_value", f"{path} must be a list", path)
    return cast("list[Any]", value)


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise Refused("invalid_value", f"{path} must be a text", path)
    return value


def _decimal(value: Any, path: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise Refused("invalid_value", f"{path} must be a decimal", path)
    text = f"{value:f}" if isinstance(value, Decimal) and value.is_finite() else str(value)
    if _DECIMAL.fullmatch(text) is None:
        raise Refused("invalid_value", f"{path}: {text[:40]} is not a decimal of at most 15 digits", path)
    return Decimal(text)


def _amount(value: Any, path: str) -> Decimal:
    number = _decimal(value, path)
    decimals = -cast("int", number.as_tuple().exponent)
    if decimals > 3:
        raise Refused("invalid_value", f"{path}: {number} has more than three decimals", path)
    return number if decimals >= 2 else fixed_point(number, 2)


def _whole(value: Any, path: str) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | str)
        or not -(10**9) < _integer(value, path) < 10**9
    ):
        raise Refused("invalid_value", f"{path} must be a whole number", path)
    return int(value)


def _integer(value: int | str, path: str) -> int:
    if isinstance(value, str) and not value.removeprefix("-").isdecimal():
        raise Refused("invalid_value", f"{path} must be a whole number", path)
    return int(value)


def _day(value: Any, path: str) -> str:
    if isinstance(value, str) and _DAY.fullmatch(value) is not None:
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass  # a day such as 2026-02-31: refused below like any other text
    raise Refused("invalid_value", f"{path} must be a day like 2026-12-31", path)


def _flag(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise Refused("invalid_value", f"{path} must be true or false", path)
    return value


def _code(words: Any, reason: str, value: Any, path: str) -> str:
    text = _text(value, path)
    if text not in words:
        raise Refused(reason, text, path)
    return text
