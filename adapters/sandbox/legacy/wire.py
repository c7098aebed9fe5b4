"""The legacy wire: XML elements to plain values and back. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from lxml import etree

from adapters.sandbox.fields import (
    Amount,
    Code,
    Day,
    Field,
    Flag,
    Group,
    Number,
    Ref,
    Rows,
    Table,
    Text,
    Texts,
    Values,
    Whole,
)
from adapters.sandbox.legacy.tables import TAX_CODES
from adapters.sandbox.refusals import Refused
from adapters.sandbox.shaping import fixed_point
from adapters.sandbox.store import Row

Read = Callable[[str, str], Any]  #: text, path of the element -> plain value
Show = Callable[[Any], str]

# A body can neither fetch anything nor grow by its own entities.
_parser = etree.XMLParser(
    resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True, huge_tree=False
)
_DECIMAL = re.compile(r"-?\d{1,15}(,\d{1,12})?", re.ASCII)
_WHOLE = re.compile(r"-?\d{1,9}", re.ASCII)
_DAY = re.compile(r"(\d{2})\.(\d{2})\.(\d{4})", re.ASCII)
_STAMP = re.compile(r"(\d{2})\.(\d{2})\.(\d{4}) (\d{2}):(\d{2}):(\d{2})", re.ASCII)
_UNSAFE = re.compile(r"[&<>\r]")
_SAFE = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}


class Body:
    """What a write carries."""

    __slots__ = ("marker", "values")

    def __init__(self, values: Values, marker: str | None) -> None:
        self.values = values
        self.marker = marker


class Wire:
    """One entity's wire, compiled from its table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._read = {field.name: _reader(field) for field in table.fields}
        self._show = tuple((field.name, _shower(field)) for field in table.fields)

    def read(self, body: bytes) -> Body:
        """Raises Refused. Elements that are not known are passed over without a word."""
        root = _parse(body)
        if root.tag != self.table.item:
            raise Refused("malformed_body", f"<{self.table.item}> is expected, <{root.tag}> was found")
        values: Values = {}
        marker: str | None = None
        for element in root:
            name = cast("str", element.tag)
            read = self._read.get(name)
            if read is not None:
                values[name] = read(element, name)
            elif name == "Referenz":
                marker = (element.text or "")[:40] or None
        return Body(values, marker)

    def plain(self, name: str, value: Any) -> Any:
        """A wire value of a direct edit or a search: a text, or an element for what is nested."""
        return self._read[name](value, name)

    def show(self, row: Row) -> bytes:
        """The element, rendered once per row."""
        done = row.wire.get("xml")
        if done is None:
            done = row.wire["xml"] = self._element(row).encode()
        return done

    def _element(self, row: Row) -> str:
        table = self.table
        values = row.values
        parts = [f"<{table.item}><{table.key}>{row.key}</{table.key}>"]
        for name, show in self._show:
            value = values[name]
            if value is not None:
                parts.append(f"<{name}>{show(value)}</{name}>")
        if row.marker:
            parts.append(f"<Referenz>{_escaped(row.marker)}</Referenz>")
        parts.append(
            f"<Angelegt>{stamp(row.created)}</Angelegt><Aenderung>{stamp(row.modified)}</Aenderung>"
            f"<Zaehler>{row.version}</Zaehler></{table.item}>"
        )
        return "".join(parts)


def _parse(body: bytes) -> etree._Element:  # pyright: ignore[reportPrivateUsage] - lxml has no public name for it
    try:
        root = etree.fromstring(body, _parser)
    except etree.XMLSyntaxError as broken:
        raise Refused("malformed_body", str(broken)) from None
    if root.getroottree().docinfo.doctype:
        raise Refused("malformed_body", "a document type is not allowed")
    return root


def element(xml: str) -> Any:
    """A nested value written as XML text, as direct edits send it."""
    return _parse(xml.encode())


def stamp(microseconds: int) -> str:
    return _second(microseconds // 1_000_000)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%d.%m.%Y %H:%M:%S}"


def read_stamp(text: str, path: str) -> int:
    found = _STAMP.fullmatch(text)
    if found is None:
        raise Refused("bad_parameter", f"{path} must be DD.MM.YYYY HH:MM:SS, not {text}", path)
    day, month, year, hour, minute, second = map(int, found.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError as wrong:
        raise Refused("bad_parameter", f"{path}: {wrong}", path) from None
    return round(moment.timestamp()) * 1_000_000


def _reader(field: Field) -> Callable[[Any, str], Any]:
    """From an element (or its text) to the plain value; an empty one is None."""
    kind = field.kind
    if isinstance(kind, Rows):
        return _rows_reader(kind)
    if isinstance(kind, Texts):
        return lambda node, _path: [(item.text or "")[: kind.length] for item in node]
    read = _text_reader(kind)

    def scalar(node: Any, path: str) -> Any:
        text = node if isinstance(node, str) else node.text
        return read(text, path) if text else None

    return scalar


def _rows_reader(kind: Rows) -> Callable[[Any, str], Any]:
    readers = {inner.name: _reader(inner) for inner in kind.fields}
    blank: Values = {inner.name: [] if isinstance(inner.kind, Texts) else None for inner in kind.fields}

    def read(node: Any, path: str) -> list[Values]:
        rows: list[Values] = []
        for place, item in enumerate(node, 1):
            row = dict(blank)
            for part in item:
                reader = readers.get(part.tag)
                if reader is not None:
                    row[part.tag] = reader(part, f"{path}/{place}/{part.tag}")
            rows.append(row)
        return rows

    return read


def _text_reader(kind: Any) -> Read:
    match kind:
        case Text(length=length):
            return lambda text, _path: text[:length]
        case Amount():
            return _amount
        case Number(places=places):
            return lambda text, path: fixed_point(_decimal(text, path), places)
        case Whole():
            return _whole
        case Day():
            return _day
        case Flag():
            return _flag
        case Code(words=words):
            reason = "unknown_tax_code" if words is TAX_CODES else "unknown_code"
            return lambda text, path: _code(words, reason, text, path)
        case Ref():
            return lambda text, _path: text.strip()
        case _:
            raise AssertionError(kind)


def _decimal(text: str, path: str) -> Decimal:
    if _DECIMAL.fullmatch(text) is None:
        raise Refused("malformed_value", f"{text} is not a decimal like 1234,50", path)
    return Decimal(text.replace(",", "."))


def _amount(text: str, path: str) -> Decimal:
    number = _decimal(text, path)
    decimals = -cast("int", number.as_tuple().exponent)
    if decimals > 3:
        raise Refused("malformed_value", f"{text} has more than three decimals", path)
    return number if decimals >= 2 else fixed_point(number, 2)


def _whole(text: str, path: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise Refused("malformed_value", f"{text} is not a whole number", path)
    return int(text)


def _day(text: str, path: str) -> str:
    found = _DAY.fullmatch(text)
    if found is not None:
        day, month, year = found.groups()
        try:
            return date(int(year), int(month), int(day)).isoformat()
        except ValueError:
            pass  # a day such as 31.02.: refused below like any other text
    raise Refused("malformed_value", f"{text} is not a day like 31.12.2026", path)


def _flag(text: str, path: str) -> bool:
    if text not in ("J", "N"):
        raise Refused("malformed_value", f"{text} is neither J nor N", path)
    return text == "J"


def _code(words: Any, reason: str, text: str, path: str) -> str:
    if text not in words:
        raise Refused(reason, text, path)
    return text


def _shower(field: Field) -> Show:
    match field.kind:
        case Rows(item=item, fields=fields):
            inner = tuple((f.name, _shower(f)) for f in fields)
            return lambda rows: "".join(f"<{item}>{_parts(row, inner)}</{item}>" for row in rows)
        case Texts(item=item):
            return lambda texts: "".join(f"<{item}>{_escaped(text)}</{item}>" for text in texts)
        case Text():
            return _escaped
        case Amount() | Number():
            return lambda number: f"{number:f}".replace(".", ",")
        case Day():
            return lambda day: f"{day[8:10]}.{day[5:7]}.{day[0:4]}"
        case Flag():
            return lambda flag: "J" if flag else "N"
        case Group():
            raise AssertionError("the legacy wire is flat")
        case Whole() | Code() | Ref():
            return str


def _parts(row: Values, inner: tuple[tuple[str, Show], ...]) -> str:
    return "".join(f"<{name}>{show(row[name])}</{name}>" for name, show in inner if row[name] is not None)


def _escaped(text: str) -> str:
    if _UNSAFE.search(text) is None:
        return text
    return _UNSAFE.sub(lambda found: _SAFE[found[0]], text)
