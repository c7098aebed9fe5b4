"""Two files of one entity in a column store, and what they have in common. Every method blocks.

Tables. ``raw_SIDE`` has the cells as the file has them, and ``SIDE_dN`` its dictionaries; ``journal`` what the
crosswalk knows of the entity; ``pair`` the lines of the rows that are the same on both sides, with what they are
counted and summed by; ``left_SIDE`` the lines of the others.
"""

# ruff: noqa: S608 - statements are made of our own words, of names that ``quoted`` has seen to, and of ``literal`` texts

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from adapters.converters import shortest
from adapters.values import spelled
from gateway.canonical import Entity
from gateway.canonical.policy import Compare
from gateway.compare.difference import Document
from gateway.compare.tolerance import EXACT
from gateway.reconcile.measures import DAYS, PACK
from gateway.reconcile.sources.columns import Columns, Leaf, cell, literal, quoted, read_all, value_of
from gateway.reconcile.sources.files import LONGEST, Whole
from gateway.reconcile.sources.piece import Unsuited
from gateway.reconcile.tally import SIDES, Side, Tally, totals_of

#: Different values of one column that are read one by one.
MOST_VALUES = 100_000
#: What is kept in memory; what is needed beyond that is kept in files of the folder.
MEMORY = "800MB"
#: Behind the name of an amount, the column of its currency.
_CURRENCY = " currency"
_Sums = dict[tuple[str, str, str, str, str], list[Decimal]]


class Agreement:
    """``shared`` are the fields that both sides hold, ``companies`` the legal entities of the region. Raises Unsuited
    where a figure of the pack cannot be made of columns."""

    def __init__(
        self,
        folder: Path,
        *,
        entity: Entity,
        columns: Mapping[Side, Columns],
        shared: frozenset[str],
        companies: Collection[str],
    ) -> None:
        self._entity = entity
        self._columns = columns
        self._shared = shared
        self._companies = ", ".join(literal(one) for one in companies)
        self._head: dict[Side, int] = {}
        self._pack = [one for one in PACK if one.entity == entity.name and shared.issuperset(one.needs)]
        for one in self._pack:
            # A side groups by what it has, also where the other one does not have it.
            alone = set(one.by).difference(shared)
            if one.adds is None or any(alone & each.named.keys() for each in columns.values()):
                raise Unsuited(f"{one.label} is made record by record")
        self._store = duckdb.connect(":memory:")
        self._store.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = {literal(str(folder))}")

    def close(self) -> None:
        self._store.close()

    def load(self, side: Side, file: Whole, delimiter: str) -> None:
        """Reads a file. Raises Unsuited where it has more or less in it than one row a line."""
        if set("*?[{").intersection(str(file.path)):
            raise Unsuited(f"the path of {file.path.name} would be taken for a pattern")
        kinds = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in file.names)
        used = ", ".join(quoted(name) for name in self._columns[side].used)
        try:
            self._store.execute(
                f"CREATE TABLE raw_{side} AS SELECT {used} FROM read_csv({literal(str(file.path))}, "
                f"auto_detect = false, header = false, skip = {file.head}, columns = {{{kinds}}}, "
                f"delim = {literal(delimiter)}, quote = '', escape = '', max_line_size = {LONGEST}, "
                f"new_line = {literal(file.ends.encode('unicode_escape').decode())})"
            )
        except duckdb.Error as wrong:
            raise Unsuited(f"the column store does not take {file.path.name}: {_said(wrong)}") from wrong
        self._head[side] = file.head
        ((rows,),) = self._all(f"SELECT count(*) FROM raw_{side}")
        if rows != file.rows:
            raise Unsuited(f"{file.path.name} has lines that are no rows")
        key = self._columns[side].key
        last = self._all(f"SELECT {cell(key)} FROM raw_{side} raw WHERE raw.rowid = {file.rows - 1}")
        if last and last[0][0] != file.last.get(key, ""):
            # All that is said of lines rests on it.
            raise Unsuited(f"{file.path.name} has its rows in another order in the column store")

    def values(self, side: Side, number: int) -> list[str]:
        """The different values of a dictionary's column. Raises Unsuited where there are too many."""
        column = self._columns[side].dictionaries[number].column
        found = self._all(f"SELECT DISTINCT {cell(column)} FROM raw_{side} raw LIMIT {MOST_VALUES + 1}")
        if len(found) > MOST_VALUES:
            raise Unsuited(f"{column} has more than {MOST_VALUES:,} different values")
        return [row[0] for row in found]

    def read(self, side: Side, owners: Mapping[int, Mapping[str, str]]) -> None:
        """Makes the dictionaries of a side. ``owners``: what its references name, by the number of the dictionary."""
        for number, one in enumerate(self._columns[side].dictionaries):
            rows = read_all(one, self.values(side, number), owners.get(number, {}))
            self._do(
                f"CREATE TABLE {side}_d{number} AS "
                "SELECT unnest(?) AS cell, unnest(?) AS canonical, unnest(?) AS known",
                [[row[place] for row in rows] for place in range(3)],
            )

    def pair(self, journal: Path) -> None:
        """Finds the rows that are the same. ``journal``: id, whether it may be counted here, legal entity, number, and
        the native id in each system of every record of the entity."""
        self._do(
            f"CREATE TABLE journal AS SELECT * FROM read_csv({literal(str(journal))}, auto_detect = false, "
            "header = false, columns = {'id': 'VARCHAR', 'ours': 'BOOLEAN', 'company': 'VARCHAR', 'number': 'VARCHAR', "
            "'authority': 'VARCHAR', 'mirror': 'VARCHAR'}); "
            "CREATE TABLE numbers AS SELECT DISTINCT company, number FROM journal WHERE number IS NOT NULL"
        )
        number = quoted(self._entity.match_key)
        alone = [f"{side[0]}.line NOT IN (FROM twice_{side})" for side in SIDES if self._put_twice(side)]
        same = " AND ".join(
            f"{self._of('authority', name)} IS NOT DISTINCT FROM {self._of('mirror', name)}"
            for name in self._compared()
        )
        kept, needed = self._kept()
        self._do(
            f"CREATE TABLE pair AS SELECT {kept} FROM ({self._rows('authority', needed, sure=True)}) a "
            f"JOIN ({self._rows('mirror', needed, sure=True)}) m "
            f"ON a.legal_entity = m.legal_entity AND a.{number} = m.{number} "
            "LEFT JOIN journal ja ON ja.authority = a.key LEFT JOIN journal jm ON jm.mirror = m.key "
            f"LEFT JOIN numbers n ON n.company = a.legal_entity AND n.number = a.{number} "
            # As a whole, or all of these columns would be hashed to find a pair, which a number and a company are.
            f"WHERE a.sure AND m.sure AND a.legal_entity IN ({self._companies}) "
            f"AND CASE WHEN {same} THEN true ELSE false END "
            "AND ((ja.id = jm.id AND ja.ours) OR (ja.id IS NULL AND jm.id IS NULL AND n.number IS NULL)) "
            f"{''.join(f' AND {one}' for one in alone)}"
        )

    def _put_twice(self, side: Side) -> bool:
        """Finds the rows of a side that have a key or a number of another one: they are nobody's pair. Whether there
        are any."""
        rows = self._rows(side, ("legal_entity", self._entity.match_key))
        found: list[str] = []
        for names in ("key", f"legal_entity, {quoted(self._entity.match_key)}"):
            table = f"twice_{side}_{len(found)}"
            self._do(
                f"CREATE TABLE {table} AS SELECT {names} FROM ({rows}) GROUP BY {names} HAVING count(*) > 1"
            )
            found.append(f"({names}) IN (SELECT ({names}) FROM {table})")
        if not self._all(f"SELECT 1 FROM twice_{side}_0 UNION ALL SELECT 1 FROM twice_{side}_1 LIMIT 1"):
            return False
        either = " OR ".join(found)
        self._do(f"CREATE TABLE twice_{side} AS SELECT line FROM ({rows}) WHERE {either}")
        return True

    def samples(self) -> list[dict[Side, int]]:
        """The lines of one pair of each kind, by which fields hold something."""
        found = self._all("SELECT min(authority), arg_min(mirror, authority) FROM pair GROUP BY pattern")
        return [dict(zip(SIDES, row, strict=True)) for row in found]

    def left(self, side: Side) -> list[int]:
        """The lines of a side that are to be read as rows: all but the pairs and what is surely of other companies."""
        self._do(
            f"CREATE TABLE left_{side} AS SELECT raw.rowid + {self._first(side)} AS line "
            f"FROM raw_{side} raw ANTI JOIN pair ON pair.{side} = raw.rowid + {self._first(side)}"
        )
        of = f"SEMI JOIN left_{side} l ON l.line = raw.rowid + {self._first(side)}"
        rows = self._rows(side, ("legal_entity",), sure=True, of=of)
        return [
            row[0]
            for row in self._all(
                f"SELECT line FROM ({rows}) WHERE NOT (sure AND legal_entity IS NOT NULL "
                f"AND legal_entity NOT IN ({self._companies})) ORDER BY line"
            )
        ]

    def tally(self, not_compared: Collection[str]) -> Tally:
        """What the pairs come to."""
        states: dict[str, Counter[str]] = {side: Counter() for side in SIDES}
        for *both, count in self._all("SELECT state_authority, state_mirror, count(*) FROM pair GROUP BY ALL"):
            for side, state in zip(SIDES, both, strict=True):
                states[side][state or ""] += count
        sums: _Sums = {}
        for leaf in self._measures():
            for line in self._sums(leaf, ()):
                self._add(sums, leaf.name, "", line)
        for measure in self._pack:
            assert measure.adds is not None
            leaf = self._columns["authority"].named[measure.adds]
            by = [name for name in measure.by if name in self._columns["authority"].named and name in self._shared]
            for line in self._sums(leaf, by):
                document: Document = {
                    name: value_of(value) for name, value in zip(by, line[5:], strict=True) if value is not None
                }
                document[leaf.name] = self._value(line[3], line[4])
                for one in measure.lines(measure.name, document):
                    self._add(sums, measure.name, one.group, line)
        equal = sum(states["authority"].values())
        return Tally(
            states={side: dict(sorted(states[side].items())) for side in SIDES},
            totals=totals_of(sums),
            equal=equal,
            explained=0,
            parted=0,
            missing=0,
            extra=0,
            not_compared=tuple(sorted(not_compared)),
        )

    # --- pieces of statements ------------------------------------------------------------------------------------

    def _first(self, side: Side) -> int:
        """The line of the first row. Rows of a table are numbered in the order in which they came, as in the file."""
        return 1 + self._head[side]

    def _rows(self, side: Side, names: Collection[str], *, sure: bool = False, of: str = "") -> str:
        """Line, key and these columns of each row, as far as the side has them; with whether the row is sure. ``of``
        narrows the rows."""
        columns = self._columns[side]
        key = cell(columns.key)
        made = {name: found for name in names if (found := self._made(side, name))}
        texts = [f"{one} AS {quoted(name)}" for name, one in made.items()]
        if sure:
            each = sorted({one.sure for one in columns.leaves if one.sure != "true"})
            texts.append("(" + " AND ".join([f"{key} <> ''", *each]) + ") AS sure")
        whole = ", ".join([f"raw.rowid + {self._first(side)} AS line", f"{key} AS key", *texts])
        joins = "".join(
            f" LEFT JOIN {side}_d{number} d{number} ON d{number}.cell = {cell(one.column)}"
            for number, one in enumerate(columns.dictionaries)
            if re.search(rf"\bd{number}\.", whole)
        )
        return f"SELECT {whole} FROM raw_{side} raw {of}{joins}"

    def _compared(self) -> list[str]:
        """The columns that have to be the same: those of either side whose field both sides hold. What is the same
        column in both, such as the currency of several amounts, is looked at once."""
        names: dict[tuple[str, str], str] = {}
        for side in SIDES:
            for leaf in self._columns[side].leaves:
                if leaf.top in self._shared:
                    for name in (leaf.name, leaf.name + _CURRENCY) if leaf.kind == "money" else (leaf.name,):
                        names.setdefault((self._made("authority", name), self._made("mirror", name)), name)
        return list(names.values())

    def _made(self, side: Side, name: str) -> str:
        """What a column of a side is made of."""
        leaf = self._columns[side].named.get(name.removesuffix(_CURRENCY))
        return "" if leaf is None else (leaf.currency or "") if name.endswith(_CURRENCY) else leaf.value

    def _of(self, side: Side, name: str) -> str:
        """A column of a side; nothing where the side does not have it."""
        return f"{side[0]}.{quoted(name)}" if self._made(side, name) else "NULL"

    def _kept(self) -> tuple[str, Collection[str]]:
        """The columns of a pair, and the names of the sides' columns that pairing needs."""
        day = DAYS.get(self._entity.name, "")
        kept = ["a.line AS authority", "m.line AS mirror", "a.legal_entity AS company"]
        there: list[str] = []
        for side in SIDES:
            kept.append(f"{self._of(side, 'state')} AS state_{side}")
            kept.append(f"left({self._of(side, day)}::VARCHAR, 7) AS month_{side}")
            alone = [one for one in self._columns[side].leaves if side == "authority" or one.top not in self._shared]
            there += [f"{self._of(side, one.name)} IS NOT NULL" for one in alone]
        if len(there) > 62:
            raise Unsuited("there are more fields than bits in a number")
        pattern = " + ".join(f"(({one})::BIGINT << {place})" for place, one in enumerate(there))
        kept.append(f"{pattern} AS pattern")
        wanted = [one.name for one in self._measures()]
        wanted += [name for one in self._pack for name in (one.adds or "", *one.by)]
        names: dict[str, None] = {}
        for name in wanted:
            if name in self._shared and (leaf := self._columns["authority"].named.get(name)) is not None:
                names[name] = None
                if leaf.currency is not None:
                    names[self._currency(leaf)] = None
        kept += [f"{self._of('authority', name)} AS {quoted(name)}" for name in names]
        needed = ["legal_entity", self._entity.match_key, "state", day, *self._compared(), *names]
        needed += [one.name for side in SIDES for one in self._columns[side].leaves]
        return ", ".join(kept), dict.fromkeys(needed)

    def _currency(self, leaf: Leaf) -> str:
        """The column of the currency of an amount; several amounts of one currency share it."""
        found = (
            one.name for one in self._columns["authority"].leaves if one.currency == leaf.currency
        )
        return next(found) + _CURRENCY

    def _measures(self) -> list[Leaf]:
        """The fields that are summed."""
        members = self._entity.policy.members("")
        return [
            leaf
            for leaf in self._columns["authority"].leaves
            if leaf.name in self._shared
            and leaf.name in members
            and members[leaf.name].compare in (Compare.MONEY, Compare.DECIMAL)
        ]

    def _sums(self, leaf: Leaf, by: Sequence[str]) -> Iterator[Any]:
        """(company, authority's month, mirror's month, currency, sum, …) of a measure, by the columns ``by``."""
        currency = "''" if leaf.currency is None else quoted(self._currency(leaf))
        groups = "".join(f", {quoted(name)}" for name in by)
        yield from self._all(
            f"SELECT company, month_authority, month_mirror, {currency} AS currency, "
            f"sum({quoted(leaf.name)})::VARCHAR{groups} FROM pair WHERE {quoted(leaf.name)} IS NOT NULL "
            f"GROUP BY company, month_authority, month_mirror, currency{groups}"
        )

    @staticmethod
    def _value(currency: str, amount: str) -> Any:
        return {"amount": spelled(shortest(amount), currency), "currency": currency} if currency else shortest(amount)

    @staticmethod
    def _add(sums: _Sums, measure: str, group: str, line: Sequence[Any]) -> None:
        company, *months, currency, amount = line[:5]
        value = Decimal(spelled(shortest(amount), currency) if currency else shortest(amount))
        for place, month in enumerate(months):
            both = sums.setdefault((measure, group, currency, company, month or ""), [Decimal(0), Decimal(0)])
            both[place] = EXACT.add(both[place], value)

    def _do(self, query: str, values: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        try:
            return self._store.execute(query, values)
        except duckdb.Error as wrong:
            raise Unsuited(f"the column store gives up: {_said(wrong)}") from wrong

    def _all(self, query: str) -> list[Any]:
        return self._do(query).fetchall()


def _said(wrong: duckdb.Error) -> str:
    """The first line of an error: those behind it show what is in the file."""
    return str(wrong).partition("\n")[0]
