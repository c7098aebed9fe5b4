"""What a simulated ERP remembers: rows per entity, found by key, natural key, reference, marker and change.

A row is never changed, only replaced, so that an effect, a history entry and a rendered answer may hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from adapters.sandbox.fields import Group, Rows, Table, Texts, Values

Keys = dict[str, None]


class Row:
    """One record as it stood from ``modified`` on. Times are microseconds since 1970."""

    __slots__ = ("created", "external_id", "key", "marker", "modified", "values", "version", "wire")

    def __init__(
        self,
        key: str,
        values: Values,
        *,
        marker: str | None,
        external_id: str | None,
        created: int,
        modified: int,
        version: int,
    ) -> None:
        self.key = key
        self.values = values
        self.marker = marker
        self.external_id = external_id
        self.created = created
        self.modified = modified
        self.version = version
        self.wire: dict[str, bytes] = {}  #: rendered forms, filled on first use


class Shelf:
    """All rows of one entity."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.rows: dict[str, Row] = {}
        self.changed: Keys = {}  #: keys in the order of their last change
        self.external: dict[str, str] = {}
        self.markers: dict[str, Keys] = {}
        self.index: dict[str, dict[str, Keys]] = {name: {} for name in table.indexed}
        self.history: list[tuple[int, str, Row | None]] | None = None
        self._used: dict[str, int] = {}
        self._blank = _blank(table)

    def blank(self) -> Values:
        """A record with nothing in it. Lists and groups are shared: values are replaced, never changed."""
        return dict(self._blank)

    def number(self, series: str = "") -> int:
        """The next free place, from 0, in a number range."""
        place = self._used.get(series, 0)
        self._used[series] = place + 1
        return place

    def put(self, row: Row) -> Row | None:
        """Stores a row and gives back the one that stood there before."""
        old = self.rows.get(row.key)
        if self.history is not None:
            self.history.append((row.modified, row.key, old))
        # A change that leaves the stamp as it was must not look newer than its stamp.
        if old is None or old.modified != row.modified:
            self.changed.pop(row.key, None)
            self.changed[row.key] = None
        self._reindex(row.key, old, row)
        self.rows[row.key] = row
        return old

    def restore(self, row: Row) -> None:
        """Puts a row back as it was before a group that failed."""
        self.put(row)
        self.changed = dict.fromkeys(sorted(self.rows, key=lambda key: self.rows[key].modified))

    def remove(self, key: str, at: int) -> Row:
        row = self.rows.pop(key)
        if self.history is not None:
            self.history.append((at, key, row))
        self.changed.pop(key, None)
        self._reindex(key, row, None)
        return row

    def _reindex(self, key: str, old: Row | None, new: Row | None) -> None:
        for name, index in self.index.items():
            was = old.values[name] if old is not None else None
            now = new.values[name] if new is not None else None
            _move(index, key, was, now)
        _move(
            self.markers,
            key,
            old.marker if old is not None else None,
            new.marker if new is not None else None,
        )
        was_external = old.external_id if old is not None else None
        now_external = new.external_id if new is not None else None
        if was_external != now_external:
            if was_external:
                self.external.pop(was_external, None)
            if now_external:
                self.external[now_external] = key

    def pick(self, keys: Iterable[str]) -> Iterator[Row]:
        rows = self.rows
        return (rows[key] for key in keys)

    def since(self, modified: int) -> list[Row]:
        """Rows changed at or after a moment, oldest change first; costs what it finds."""
        found: list[Row] = []
        for key in reversed(self.changed):
            row = self.rows[key]
            if row.modified < modified:
                break
            found.append(row)
        found.reverse()
        return found

    def slice(self, start: int, count: int) -> list[Row]:
        return list(islice(self.rows.values(), start, start + count))

    def as_of(self, moment: int) -> dict[str, Row]:
        """The rows as they stood at a moment, as far back as history is kept."""
        rows = dict(self.rows)
        for at, key, old in reversed(self.history or []):
            if at <= moment:
                break
            if old is None:
                rows.pop(key, None)
            else:
                rows[key] = old
        return rows


def _blank(table: Table) -> Values:
    values: Values = {}
    for field in table.fields:
        if isinstance(field.kind, Rows | Texts):
            values[field.name] = []
        elif isinstance(field.kind, Group):
            values[field.name] = {inner.name: None for inner in field.kind.fields}
        else:
            values[field.name] = None
    return values


def _move(index: dict[str, Keys], key: str, was: str | None, now: str | None) -> None:
    if was == now:
        return
    if was is not None:
        keys = index[was]
        del keys[key]
        if not keys:
            del index[was]
    if now is not None:
        index.setdefault(now, {})[key] = None
