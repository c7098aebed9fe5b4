"""System query options: ``$filter`` and ``$orderby`` compiled to functions over rows. Pure.

A compiled filter also tells what an index can answer at once: the values of which every hit must have one, and the
lower bound of the change stamp that every hit must meet.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from adapters.sandbox.fields import Amount, Group, Kind, Number, Rows, Table, Text, Texts, Whole
from adapters.sandbox.refusals import Refused
from adapters.sandbox.store import Row

Get = Callable[[Row], Any]
Test = Callable[[Row], bool]

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')"
    r"|(?P<stamp>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d))"
    r"|(?P<day>\d{4}-\d\d-\d\d)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_/]*)"
    r"|(?P<mark>[(),]))",
    re.ASCII,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "gt": lambda a, b: a is not None and b is not None and a > b,
    "ge": lambda a, b: a is not None and b is not None and a >= b,
    "lt": lambda a, b: a is not None and b is not None and a < b,
    "le": lambda a, b: a is not None and b is not None and a <= b,
}
_TEXTUAL: dict[str, Callable[[str, str], bool]] = {
    "contains": lambda a, b: b in a,
    "startswith": lambda a, b: a.startswith(b),
    "endswith": lambda a, b: a.endswith(b),
}
#: Brackets that a filter may hold; the parser works by recursion.
MOST_BRACKETS = 60
_CONSTANTS = {"true": True, "false": False, "null": None}
_NUMERIC = (Amount, Number, Whole)


class Filter:
    """A test, with what holds for every hit. ``among``: values of a property of which each hit has one. ``plain``: that
    is the whole test."""

    __slots__ = ("among", "plain", "since", "test")

    def __init__(
        self,
        test: Test,
        among: dict[str, frozenset[Any]] | None = None,
        since: int | None = None,
        *,
        plain: bool = False,
    ) -> None:
        self.test = test
        self.among = among or {}
        self.since = since
        self.plain = plain


def properties(table: Table) -> dict[str, tuple[Get, Kind | None]]:
    """Everything that can be filtered and sorted by; the kind is None for stamps."""
    text = Text(60)
    found: dict[str, tuple[Get, Kind | None]] = {
        table.key: (lambda row: row.key, text),
        "ExternalId": (lambda row: row.external_id, text),
        "LastOperation": (lambda row: row.marker, text),
        "CreatedAt": (lambda row: row.created, None),
        "ModifiedAt": (lambda row: row.modified, None),
    }
    for field in table.fields:
        if isinstance(field.kind, Group):
            for inner in field.kind.fields:
                found[f"{field.name}/{inner.name}"] = (_inside(field.name, inner.name), inner.kind)
        elif not isinstance(field.kind, Rows | Texts):
            found[field.name] = (_value(field.name), field.kind)
    return found


def _value(name: str) -> Get:
    return lambda row: row.values[name]


def _inside(group: str, name: str) -> Get:
    return lambda row: row.values[group][name]


class Parser:
    """``or`` binds less than ``and``, that less than ``not``."""

    def __init__(self, text: str, known: dict[str, tuple[Get, Kind | None]]) -> None:
        if text.count("(") + text.count("not ") > MOST_BRACKETS:
            raise Refused("bad_filter", f"it has more than {MOST_BRACKETS} brackets", "$filter")
        self._known = known
        self._tokens = _tokens(text)
        self._at = 0

    def parse(self) -> Filter:
        whole = self._either()
        if self._peek() is not None:
            raise Refused("bad_filter", f"nothing is expected at {self._peek()}", "$filter")
        return whole

    def _either(self) -> Filter:
        found = [self._both()]
        while self._take_word("or"):
            found.append(self._both())
        if len(found) == 1:
            return found[0]
        first, *others = (one.among for one in found)
        among = {
            name: values.union(*(other[name] for other in others))
            for name, values in first.items()
            if all(name in other for other in others)
        }
        if all(one.plain for one in found) and len(among) == 1:
            ((name, values),) = among.items()
            return self._one_of(name, values)
        tests = [one.test for one in found]
        return Filter(lambda row: any(test(row) for test in tests), among)

    def _one_of(self, name: str, values: frozenset[Any]) -> Filter:
        get, _ = self._property(name)
        # What has no value stands in no index.
        if None in values:
            return Filter(lambda row: get(row) in values)
        return Filter(lambda row: get(row) in values, {name: values}, plain=True)

    def _both(self) -> Filter:
        found = [self._single()]
        while self._take_word("and"):
            found.append(self._single())
        if len(found) == 1:
            return found[0]
        tests = [one.test for one in found]
        among = {name: values for one in found for name, values in one.among.items()}
        bounds = [one.since for one in found if one.since is not None]
        return Filter(lambda row: all(test(row) for test in tests), among, max(bounds, default=None))

    def _single(self) -> Filter:
        if self._take_word("not"):
            inner = self._single().test
            return Filter(lambda row: not inner(row))
        kind, value = self._next()
        if (kind, value) == ("mark", "("):
            inside = self._either()
            self._expect(")")
            return inside
        if kind != "word":
            raise Refused("bad_filter", f"a property is expected, not {value}", "$filter")
        if value in _TEXTUAL and self._peek() == ("mark", "("):
            return self._textual(_TEXTUAL[value])
        return self._comparison(value)

    def _textual(self, compare: Callable[[str, str], bool]) -> Filter:
        self._expect("(")
        get, _ = self._property(self._next()[1])
        self._expect(",")
        part = _unquoted(self._next())
        self._expect(")")
        return Filter(lambda row: isinstance(value := get(row), str) and compare(value, part))

    def _comparison(self, name: str) -> Filter:
        get, kind = self._property(name)
        operator = self._next()[1]
        if operator == "in":
            self._expect("(")
            allowed = [self._literal(kind, name)]
            while self._peek() == ("mark", ","):
                self._next()
                allowed.append(self._literal(kind, name))
            self._expect(")")
            return self._one_of(name, frozenset(allowed))
        compare = _COMPARE.get(operator)
        if compare is None:
            raise Refused("bad_filter", f"there is no operator {operator}", "$filter")
        right = self._literal(kind, name)
        if operator == "eq" and right is not None:
            return Filter(
                lambda row: compare(get(row), right), {name: frozenset((right,))}, plain=True
            )
        since = right if name == "ModifiedAt" and operator in ("ge", "gt") else None
        return Filter(lambda row: compare(get(row), right), since=since)

    def _property(self, name: str) -> tuple[Get, Kind | None]:
        found = self._known.get(name)
        if found is None:
            raise Refused("bad_filter", f"there is no property {name} to search by", "$filter")
        return found

    def _literal(self, kind: Kind | None, name: str) -> Any:
        form, text = self._next()
        if form == "word" and text in _CONSTANTS:
            return _CONSTANTS[text]
        if kind is None and form == "stamp":
            return _microseconds(text)
        if isinstance(kind, _NUMERIC) and form == "number":
            return Decimal(text)
        if kind is not None and not isinstance(kind, _NUMERIC):
            if form == "text":
                return text[1:-1].replace("''", "'")
            if form == "day":
                return text
        raise Refused("bad_filter", f"{text} does not fit {name}", "$filter")

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        if token is None:
            raise Refused("bad_filter", "it ends too early", "$filter")
        self._at += 1
        return token

    def _take_word(self, word: str) -> bool:
        if self._peek() == ("word", word):
            self._at += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        found = self._next()[1]
        if found != mark:
            raise Refused("bad_filter", f"{mark} is expected, not {found}", "$filter")


def order(text: str, known: dict[str, tuple[Get, Kind | None]]) -> list[tuple[Get, bool]]:
    """The sort keys of ``$orderby`` and whether each is descending."""
    keys: list[tuple[Get, bool]] = []
    for part in text.split(","):
        words = part.split()
        if not 1 <= len(words) <= 2 or words[0] not in known or words[1:] not in ([], ["asc"], ["desc"]):
            raise Refused("bad_parameter", f"$orderby cannot be read: {part.strip()}", "$orderby")
        keys.append((known[words[0]][0], words[1:] == ["desc"]))
    return keys


def sort(rows: list[Row], keys: list[tuple[Get, bool]]) -> None:
    """In place; null comes first, as OData has it."""
    for get, descending in reversed(keys):
        rows.sort(key=lambda row, get=get: _nulls_first(get(row)), reverse=descending)


def _nulls_first(value: Any) -> tuple[bool, Any]:
    return (False, 0) if value is None else (True, value)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise Refused("bad_filter", f"nothing is known to begin with {text[at : at + 20]}", "$filter")
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return tokens


def _unquoted(token: tuple[str, str]) -> str:
    form, text = token
    if form != "text":
        raise Refused("bad_filter", f"a quoted text is expected, not {text}", "$filter")
    return text[1:-1].replace("''", "'")


def _microseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise Refused("bad_filter", f"{text}: {wrong}", "$filter") from None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
