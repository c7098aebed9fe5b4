"""Two files of one entity in a column store, and what they have in common. Every method blocks.

Tables. ``raw_SIDE`` has the cells as the file has them, each row with its line; ``side_SIDE`` the leaves of each row
and whether it is sure of them; ``journal`` what the crosswalk knows of the entity; ``pair`` the lines of the rows that
are the same on both sides, with what they are counted and summed by.
"""

from __future__ import annotations

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
from gateway.reconcile.sources.columns import NUMBER, Columns, Leaf, literal, quoted, read_all, value_of
from gateway.reconcile.sources.files import LONGEST, Whole
from gateway.reconcile.sources.piece import Unsuited
from gateway.reconcile.tally import SIDES, Side, Tally, totals_of

#: Different values of one column that are read one by one.
MOST_VALUES = 100_000
#: What is kept in memory; what is needed beyond that is kept in files of the folder.
MEMORY = "800MB"
_LINE = quoted("its line")
_Sums = dict[tuple[str, str, str, str, str], list[Decimal]]


class Agreement:
    """``shared`` are the fields that both sides hold, ``companies`` the legal entities of the region."""

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
        self._companies = companies
        self._store = duckdb.connect(":memory:")
        self._store.execute(f"SET threads = 2; SET memory_limit = '{MEMORY}'; SET temp_directory = '{folder}'")
        self._pack = [one for one in PACK if one.entity == entity.name and shared.issuperset(one.needs)]
        for one in self._pack:
            if one.adds is None:
                raise Unsuited(f"{one.label} is made record by record")

    def close(self) -> None:
        self._store.close()

    def load(self, side: Side, file: Whole, delimiter: str) -> None:
        """Reads a file. Raises Unsuited where it has more or less in it than one row a line."""
        if "its line" in file.names:
            raise Unsuited("it has a column of a name that is used here")
        kinds = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in file.names)
        used = ", ".join(quoted(name) for name in self._columns[side].used)
        try:
            self._store.execute(
                f"CREATE TABLE raw_{side} AS SELECT row_number() OVER () + {file.head} AS {_LINE}, {used} "  # noqa: S608 - names of columns, quoted
                f"FROM read_csv({literal(str(file.path))}, auto_detect = false, header = false, skip = {file.head}, "
                f"columns = {{{kinds}}}, delim = {literal(delimiter)}, quote = '', escape = '', "
                f"new_line = {literal(file.ends.encode('unicode_escape').decode())}, max_line_size = {LONGEST})"
            )
        except duckdb.Error as wrong:
            raise Unsuited(f"the column store does not take {file.path.name}: {_said(wrong)}") from wrong
        if self._one(f"SELECT count(*) FROM raw_{side}")[0] != file.rows:  # noqa: S608 - no outside text
            raise Unsuited(f"{file.path.name} has lines that are no rows")

    def values(self, side: Side, number: int) -> list[str]:
        """The different values of a dictionary's column. Raises Unsuited where there are too many."""
        column = quoted(self._columns[side].dictionaries[number].column)
        found = self._all(f"SELECT DISTINCT coalesce({column}, '') FROM raw_{side} LIMIT {MOST_VALUES + 1}")  # noqa: S608 - a name, quoted
        if len(found) > MOST_VALUES:
            raise Unsuited(f"{column} has more than {MOST_VALUES:,} different values")
        return [row[0] for row in found]

    def read(self, side: Side, owners: Mapping[int, Mapping[str, str]]) -> None:
        """Makes the leaves of a side. ``owners``: what its references name, by the number of the dictionary."""
        columns = self._columns[side]
        joins = ""
        for number, one in enumerate(columns.dictionaries):
            rows = read_all(one, self.values(side, number), owners.get(number, {}))
            self._store.execute(
                f"CREATE OR REPLACE TABLE d{number} AS "
                "SELECT unnest(?) AS cell, unnest(?) AS canonical, unnest(?) AS known",
                [[row[place] for row in rows] for place in range(3)],
            )
            joins += f" LEFT JOIN d{number} ON d{number}.cell = coalesce(raw.{quoted(one.column)}, '')"
        leaves = "".join(
            f", {one.value} AS {quoted(one.name)}"
            + ("" if one.currency is None else f", {one.currency} AS {quoted(one.name + ' currency')}")
            for one in columns.leaves
        )
        sure = " AND ".join(sorted({one.sure for one in columns.leaves if one.sure != "true"})) or "true"
        key = f"coalesce(raw.{quoted(columns.key)}, '')"
        self._store.execute(
            f"CREATE TABLE side_{side} AS SELECT {_LINE} AS line, {key} AS key{leaves}, "  # noqa: S608 - names of columns, quoted
            f"({key} <> '' AND {sure}) AS sure FROM raw_{side} AS raw{joins}; DROP TABLE raw_{side}"
        )

    def pair(self, journal: Path) -> int:
        """Finds the rows that are the same. ``journal``: id, whether it may be counted here, legal entity, number, and
        the native id in each system of every record of the entity. How many there are."""
        self._store.execute(
            f"CREATE TABLE journal AS SELECT * FROM read_csv({literal(str(journal))}, auto_detect = false, "  # noqa: S608 - a path of ours
            "header = false, columns = {'id': 'VARCHAR', 'ours': 'BOOLEAN', 'company': 'VARCHAR', 'number': 'VARCHAR', "
            "'authority': 'VARCHAR', 'mirror': 'VARCHAR'})"
        )
        number = quoted(self._entity.match_key)
        for side in SIDES:
            # What is there twice, by either name, is nobody's pair.
            self._store.execute(
                f"CREATE TABLE twice_{side} AS SELECT line FROM side_{side} WHERE key IN "  # noqa: S608 - names of columns, quoted
                f"(SELECT key FROM side_{side} GROUP BY key HAVING count(*) > 1) OR (legal_entity, {number}) IN "
                f"(SELECT (legal_entity, {number}) FROM side_{side} "
                f"GROUP BY legal_entity, {number} HAVING count(*) > 1)"
            )
        same = " AND ".join(
            f"{self._of('authority', name)} IS NOT DISTINCT FROM {self._of('mirror', name)}"
            for name in self._compared()
        )
        companies = ", ".join(literal(one) for one in self._companies)
        self._store.execute(
            f"CREATE TABLE pair AS SELECT {self._kept()} FROM side_authority a JOIN side_mirror m "  # noqa: S608 - names of columns, quoted
            f"ON a.legal_entity = m.legal_entity AND a.{number} = m.{number} "
            "LEFT JOIN journal ja ON ja.authority = a.key LEFT JOIN journal jm ON jm.mirror = m.key "
            f"WHERE a.sure AND m.sure AND a.legal_entity IN ({companies}) AND {same} "
            "AND ((ja.id = jm.id AND ja.ours) OR (ja.id IS NULL AND jm.id IS NULL AND NOT EXISTS ("
            f"SELECT 1 FROM journal j WHERE j.company = a.legal_entity AND j.number = a.{number}))) "
            "AND a.line NOT IN (FROM twice_authority) AND m.line NOT IN (FROM twice_mirror)"
        )
        return int(self._one("SELECT count(*) FROM pair")[0])

    def samples(self) -> list[dict[Side, int]]:
        """The lines of one pair of each kind, by which fields hold something, and of the last pair."""
        found = self._all("SELECT min(authority), arg_min(mirror, authority) FROM pair GROUP BY pattern")
        last = self._all("SELECT authority, mirror FROM pair ORDER BY authority DESC LIMIT 1")
        return [dict(zip(SIDES, row, strict=True)) for row in (*found, *last)]

    def left(self, side: Side) -> list[int]:
        """The lines of a side that are to be read as rows: all but the pairs and what is surely of other companies."""
        companies = ", ".join(literal(one) for one in self._companies)
        return [
            row[0]
            for row in self._all(
                f"SELECT line FROM side_{side} ANTI JOIN pair ON pair.{side} = line "  # noqa: S608 - no outside text but quoted
                f"WHERE NOT (sure AND legal_entity IS NOT NULL AND legal_entity NOT IN ({companies})) ORDER BY line"
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

    def _compared(self) -> list[str]:
        """The columns that have to be the same: those of either side whose field both sides hold."""
        names: dict[str, None] = {}
        for side in SIDES:
            for leaf in self._columns[side].leaves:
                if leaf.top in self._shared:
                    names[leaf.name] = None
                    if leaf.kind == "money":
                        names[leaf.name + " currency"] = None
        return list(names)

    def _of(self, side: Side, name: str) -> str:
        """A column of a side; nothing where the side does not have it."""
        there = self._columns[side].named.get(name.removesuffix(" currency"))
        if there is None or (name.endswith(" currency") and there.currency is None):
            return "NULL"
        return f"{side[0]}.{quoted(name)}"

    def _kept(self) -> str:
        """The columns of a pair."""
        day = DAYS.get(self._entity.name, "")
        kept = ["a.line AS authority", "m.line AS mirror", "a.legal_entity AS company"]
        pattern: list[str] = []
        for side in SIDES:
            kept.append(f"{self._of(side, 'state')} AS state_{side}")
            kept.append(f"left({self._of(side, day)}::VARCHAR, 7) AS month_{side}")
            pattern += [f"({self._of(side, one.name)} IS NOT NULL)" for one in self._columns[side].leaves]
        kept.append(f"concat({', '.join(f'{one}::TINYINT' for one in pattern)}) AS pattern")
        wanted = [one.name for one in self._measures()]
        wanted += [name for one in self._pack for name in (one.adds or "", *one.by)]
        for name in dict.fromkeys(wanted):
            leaf = self._columns["authority"].named.get(name)
            if leaf is not None and name in self._shared:
                kept.append(f"{self._of('authority', name)} AS {quoted(name)}")
                if leaf.currency is not None:
                    kept.append(f"{self._of('authority', name + ' currency')} AS {quoted(name + ' currency')}")
        return ", ".join(kept)

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
        currency = "''" if leaf.currency is None else quoted(leaf.name + " currency")
        groups = "".join(f", {quoted(name)}" for name in by)
        yield from self._all(
            f"SELECT company, month_authority, month_mirror, {currency} AS currency, "  # noqa: S608 - names of columns, quoted
            f"sum({quoted(leaf.name)})::{NUMBER}::VARCHAR{groups} FROM pair WHERE {quoted(leaf.name)} IS NOT NULL "
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

    def _all(self, query: str) -> list[Any]:
        try:
            return self._store.execute(query).fetchall()
        except duckdb.Error as wrong:
            raise Unsuited(f"the column store gives up: {_said(wrong)}") from wrong

    def _one(self, query: str) -> Any:
        return self._all(query)[0]


def _said(wrong: duckdb.Error) -> str:
    """The first line of an error: those behind it show what is in the file."""
    return str(wrong).partition("\n")[0]
