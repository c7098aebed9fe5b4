"""What the map of a CSV file makes of a column, for all rows at once, as SQL of an embedded column store. Pure.

A field is a *leaf*: a text, a number, or an amount with its currency. A plain text is taken as it is, and a decimal by
an expression that takes no more than its converter does. Anything else is read value by value with the mapping's own
reader, once for each different value of the column: that is a *dictionary*. What this cannot say of a field, such as a
list, it says of no row of the file: then there are no columns, and rows are read one by one.

A row is *sure* where every leaf reads as the mapping reads it. One that is not may still be right, so it is read as a
row, and nothing is told of it here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from adapters.profile import FieldForm
from adapters.record import FAULTS
from adapters.values import leaf, parts_of, scalar_read
from gateway.canonical import BY_NAME
from gateway.canonical.money import QUANTUM
from gateway.canonical.policy import Compare
from gateway.reconcile.sources.map import SourceMap, as_profile
from gateway.reconcile.sources.piece import Unsuited

#: Exact for fourteen digits before the point and four behind it; a larger or finer number is left to its row. (With 38
#: digits all that follows takes half as long again.)
NUMBER = "DECIMAL(18, 4)"
_DOT = r"-?[0-9]{1,14}(\.[0-9]{1,4})?"
_COMMA = r"-?([0-9]{1,14}|[0-9]{1,3}(\.[0-9]{3}){1,3})(,[0-9]{1,4})?"
#: Marks a canonical value that is no text, such as a truth; a file that has it is read row by row.
OTHER = "\x01"
_encode = msgspec.json.Encoder(order="sorted").encode


class Dictionary(NamedTuple):
    """A column whose values are read one by one: by ``read``, or as the native ids of records of ``owner``."""

    column: str
    read: Callable[[str], str | None] | None
    owner: str | None = None


class Leaf(NamedTuple):
    """One canonical value of a record. ``value``, ``currency`` and ``sure`` are SQL over a row and its dictionaries.
    The currency is that of the value where there is one."""

    name: str  #: the canonical path
    kind: Literal["text", "number", "money"]
    value: str
    currency: str | None
    sure: str

    @property
    def top(self) -> str:
        """The canonical field that it is in."""
        return self.name.partition(".")[0]


class Columns:
    """The leaves of one entity of one map. Raises Unsuited."""

    def __init__(self, found: SourceMap, entity: str) -> None:
        rows = found.entities[entity]
        if found.kind != "csv" or found.encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "ascii"):
            raise Unsuited("it is no CSV in UTF-8")
        if BY_NAME[entity].told_apart_by:
            raise Unsuited(f"a {entity} is told apart by more than its number")
        if rows.key_convert != "text":
            raise Unsuited("its key is converted")
        self.key = rows.key
        self.delimiter = found.delimiter
        self._profile = as_profile(found)
        self._entity = BY_NAME[entity]
        self.dictionaries: list[Dictionary] = []
        self.references: dict[str, int] = {}  #: field -> its dictionary
        self._cells: list[str] = []
        forms = self._profile.entities[entity].forms()
        self.leaves = tuple(self._leaf(name, form) for name, form in forms if form.readable)
        self.named = {one.name: one for one in self.leaves}
        self.used = tuple(dict.fromkeys([self.key, *self._cells, *(one.column for one in self.dictionaries)]))

    def _leaf(self, name: str, form: FieldForm) -> Leaf:
        rule = self._entity.policy.rule(name)
        compare = None if rule is None else rule.compare
        if form.each is not None or form.first is not None:
            raise Unsuited(f"{name} is a list")
        if (compare is Compare.MONEY) != (form.amount is not None) or rule is None:
            raise Unsuited(f"{name} is an amount in a way that is not known here")
        if form.amount is not None:
            return self._money(name, form)
        if compare is Compare.DECIMAL:
            value, sure = self._number(form, form.path, form.constant)
            return Leaf(name, "number", value, None, sure)
        if form.constant is not None:
            return Leaf(name, "text", literal(_canonical(form.constant)), None, "true")
        column = self._column(name, form.path)
        if _is_plain(form):
            return Leaf(name, "text", f"nullif({cell(column)}, '')", None, "true")
        table = self._dictionary(column, self._reader(form, column), form.ref)
        if form.ref is not None:
            if "." in name or not _is_plain(msgspec.structs.replace(form, ref=None)):
                raise Unsuited(f"{name} is a reference in a way that is not known here")
            self.references[name] = int(table[1:])
        return Leaf(name, "text", f"{table}.canonical", None, f"{table}.known")

    def _money(self, name: str, form: FieldForm) -> Leaf:
        if form.default is not None or form.values is not None or form.prefix or form.max_length is not None:
            raise Unsuited(f"{name} is an amount in a way that is not known here")
        amount = cell(self._column(name, form.amount))
        value, sure = self._number(form, form.amount, None)
        if form.fixed_currency:
            if form.fixed_currency not in QUANTUM:
                raise Unsuited(f"{name} is in a currency that is not known")
            currency, known = literal(form.fixed_currency), "true"
        else:
            table = self._dictionary(self._column(name, (form.currency or "").removeprefix("/")), _currency)
            currency, known = f"{table}.canonical", f"({table}.known AND {table}.canonical IS NOT NULL)"
        return Leaf(name, "money", value, currency, f"({sure} AND ({amount} = '' OR {known}))")

    def _number(self, form: FieldForm, path: str | None, constant: Any) -> tuple[str, str]:
        """The value of a number, and whether it is sure."""
        if constant is not None:
            raise Unsuited("a number is the same for all records")
        column = self._column("a number", path)
        raw, plain = cell(column), form.default is None and form.values is None and not form.prefix
        if plain and form.convert == "decimal_dot":
            return f"TRY_CAST(nullif({raw}, '') AS {NUMBER})", _matches(raw, _DOT)
        if plain and form.convert == "decimal_comma":
            dotted = f"replace(replace({raw}, '.', ''), ',', '.')"
            return f"TRY_CAST(nullif({dotted}, '') AS {NUMBER})", _matches(raw, _COMMA)
        read = _amount(leaf(form, self._profile).read) if form.amount is not None else self._reader(form, column)
        table = self._dictionary(column, read)
        return f"TRY_CAST({table}.canonical AS {NUMBER})", f"({table}.known AND {_matches(f'{table}.canonical', _DOT)})"

    def _reader(self, form: FieldForm, column: str) -> Callable[[str], str | None]:
        read = scalar_read(form, self._profile)

        def canonical(raw: str) -> str | None:
            native: dict[str, Any] = {column: raw}
            return _canonical(read(native, native))

        return canonical

    def _column(self, name: str, path: str | None) -> str:
        if not path or len(parts_of(path)) != 1:
            raise Unsuited(f"{name} lies in no column of its own")
        self._cells.append(path)
        return path

    def _dictionary(
        self, column: str, read: Callable[[str], str | None] | None, owner: str | None = None
    ) -> str:
        """The name of the dictionary."""
        wanted = Dictionary(column, None if owner is not None else read, owner)
        if wanted not in self.dictionaries:
            self.dictionaries.append(wanted)
        return f"d{self.dictionaries.index(wanted)}"


def cell(column: str) -> str:
    """A cell as text; nothing is ''."""
    return f"coalesce(raw.{quoted(column)}, '')"


def quoted(name: str) -> str:
    """A name in SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str | None) -> str:
    """A text in SQL."""
    return "NULL" if text is None else "'" + text.replace("'", "''") + "'"


def read_all(
    dictionary: Dictionary, values: list[str], owners: Mapping[str, str]
) -> list[tuple[str, str | None, bool]]:
    """(value, canonical value, whether it is known) of each value of a column. ``owners`` are the canonical ids of the
    records that a reference names, by their native ones."""
    found: list[tuple[str, str | None, bool]] = []
    for value in values:
        if dictionary.read is None:
            found.append((value, owners.get(value), value == "" or value in owners))
            continue
        try:
            found.append((value, dictionary.read(value), True))
        except FAULTS:
            # The row says of itself what is wrong with it.
            found.append((value, None, False))
    return found


def value_of(canonical: str | None) -> Any:
    """The canonical value behind its text."""
    if canonical is None or not canonical.startswith(OTHER):
        return canonical
    return msgspec.json.decode(canonical.removeprefix(OTHER))


def _canonical(value: Any) -> str | None:
    if value is None or type(value) is str:
        return value
    return OTHER + _encode(value).decode()


def _currency(raw: str) -> str | None:
    if raw and raw not in QUANTUM:
        raise ValueError("is no currency")
    return raw or None


def _amount(read: Callable[[Any], Any]) -> Callable[[str], str | None]:
    return lambda raw: None if raw == "" else _canonical(read(raw))


def _matches(raw: str, pattern: str) -> str:
    return f"coalesce({raw} = '' OR regexp_full_match({raw}, '{pattern}'), true)"


def _is_plain(form: FieldForm) -> bool:
    """Whether a text is what its cell is."""
    beside = form.values, form.ref, form.default, form.empty, form.max_length
    return form.convert == "text" and not form.prefix and all(one is None for one in beside)
