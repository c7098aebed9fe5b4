"""A source of the settings, open: pieces of it as the records that its system's adapter would show."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from adapters.contract import Found
from adapters.converters import CONVERTERS
from adapters.mapping import EntityMap
from adapters.record import FAULTS, Unmappable
from adapters.values import getter
from gateway.errors import SettingWrong
from gateway.reconcile.sources import files, query
from gateway.reconcile.sources.columns import Columns
from gateway.reconcile.sources.map import MapWrong, SourceMap, entity_maps, load
from gateway.reconcile.sources.piece import Piece, Row, Rows, Unreadable
from gateway.settings import Settings, SourceSettings

MICROS = 1_000_000
#: What is wrong with the second row of a key.
AGAIN = "has the key of a row before it"
_encode = msgspec.json.Encoder(order="deterministic").encode
_rows_of = msgspec.json.Decoder(float_hook=Decimal).decode


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A source as whoever begins a run may name it: whose records it has, and of which entities."""

    name: str
    system: str
    entities: tuple[str, ...]


class Source:
    """One source; ``name`` is that of the settings. Opens nothing before it is read."""

    def __init__(self, name: str, settings: SourceSettings, found: SourceMap) -> None:
        self.name = name
        self.system = settings.system
        self.kind = found.kind
        self._settings = settings
        self._found = found
        self._maps = entity_maps(found)
        self._needed = {entity: _columns(one, found.entities[entity].key) for entity, one in self._maps.items()}
        self._keys = {entity: getter(rows.key) for entity, rows in found.entities.items()}

    @property
    def digest(self) -> str:
        """Changes whenever its rows may read in another way than before."""
        return hashlib.sha256(_encode([self.name, self.system, self._found])).hexdigest()

    @property
    def declared(self) -> Declared:
        """What there is to pick it by."""
        return Declared(name=self.name, system=self.system, entities=tuple(self._maps))

    def holds(self, entity: str) -> bool:
        return entity in self._maps

    def mapped(self, entity: str) -> frozenset[str]:
        """The canonical fields that it has, by their first name."""
        return self._maps[entity].mapped

    async def look(self, entity: str) -> None:
        """Reads no record: only whether what the map names is there, has its columns and can be read. Raises Failed
        and Away."""
        await self._rows(entity, None, 0)

    async def read(self, entity: str, cursor: str | None, *, companies: Collection[str], limit: int) -> Piece:
        """The records of up to ``limit`` rows behind ``cursor``, without those of other companies than these. Raises
        Failed and Away."""
        return self._piece(entity, await self._rows(entity, cursor, limit), companies)

    async def picked(
        self, entity: str, cursor: str, lines: Sequence[int], *, companies: Collection[str], limit: int
    ) -> Piece:
        """The same of a file that was read all at once, of up to ``limit`` of ``lines`` behind ``cursor``."""
        path, declared = self._path(entity), self._found.entities[entity]
        rows = await asyncio.to_thread(
            files.picked, path, self._found, declared, self._needed[entity], cursor, lines, limit
        )
        return self._piece(entity, rows, companies)

    def columns(self, entity: str) -> Columns:
        """The columns of a CSV. Raises Unsuited."""
        return Columns(self._found, entity)

    async def whole(self, entity: str) -> files.Whole:
        """The file of a CSV. Raises Failed and Unsuited."""
        declared = self._found.entities[entity]
        return await asyncio.to_thread(
            files.whole, self._path(entity), self._found, declared, self._needed[entity]
        )

    def _piece(self, entity: str, rows: Rows, companies: Collection[str]) -> Piece:
        found: dict[str, tuple[int, Found]] = {}
        bad = list(rows.unreadable)
        for row in rows.rows:
            try:
                one = self._record(entity, row.cells)
            except Unmappable as wrong:
                bad.append(Unreadable(line=row.line, field=wrong.path or None, reason=self._reason(entity, row, wrong)))
                continue
            if (one.fields.get("legal_entity") or "") not in ("", *companies):
                continue
            if one.native_id in found:
                bad.append(Unreadable(line=row.line, field=None, reason=AGAIN))
                continue
            found[one.native_id] = row.line, one
        made_at = None if rows.made_at is None else rows.made_at - int(self._settings.window_s * MICROS)
        return Piece(
            found=tuple(found.values()), unreadable=tuple(bad), next_cursor=rows.cursor, made_at=made_at
        )

    async def _rows(self, entity: str, cursor: str | None, limit: int) -> Rows:
        declared, needed = self._found.entities[entity], self._needed[entity]
        if self.kind == "sql":
            return await query.read(
                self._settings.address, declared, needed, cursor, limit, timeout_s=self._settings.timeout_s
            )
        return await asyncio.to_thread(files.read, self._path(entity), self._found, declared, needed, cursor, limit)

    def _path(self, entity: str) -> Path:
        return Path(self._settings.address) / (self._found.entities[entity].file or "")

    def _record(self, entity: str, cells: dict[str, Any]) -> Found:
        """The record that a row is. Raises Unmappable."""
        entity_map, declared = self._maps[entity], self._found.entities[entity]
        key = self._keys[entity](cells)
        if key is None or key == "":
            raise Unmappable("", f"has no {declared.key}")
        try:
            native_id = str(CONVERTERS[declared.key_convert].read(key))
        except FAULTS as wrong:
            raise Unmappable("", f"{declared.key} {wrong}") from wrong
        for name in entity_map.lists:
            if type(cells.get(name)) is str and cells[name]:
                cells[name] = _list(name, cells[name])
        return Found(native_id=native_id, fields=entity_map.decode(cells))

    def _reason(self, entity: str, row: Row, wrong: Unmappable) -> str:
        inexact = any(isinstance(row.cells.get(name), query.Inexact) for name in self._needed[entity])
        return query.Inexact.reason if inexact else wrong.reason


def open_sources(settings: Settings) -> dict[str, Source]:
    """The sources of the settings. Raises SettingWrong; whether a source is there shows when it is read."""
    opened: dict[str, Source] = {}
    for name, declared in settings.sources.items():
        at = f"$.sources.{name}"
        if declared.system not in settings.systems:
            known = ", ".join(settings.systems)
            raise SettingWrong(f"{at}.system is {declared.system!r}; there are: {known}")
        try:
            found = load(Path(declared.map))
        except MapWrong as wrong:
            raise SettingWrong(f"{at}.map: {wrong}") from wrong
        is_database = declared.address.startswith(("sqlite:///", "postgresql://"))
        if is_database != (found.kind == "sql"):
            wanted = "sqlite:///file or postgresql://…" if found.kind == "sql" else "a folder"
            raise SettingWrong(f"{at}.address has to be {wanted}: its map is of the kind {found.kind}")
        opened[name] = Source(name, declared, found)
    return opened


def _list(name: str, text: str) -> Any:
    try:
        return _rows_of(text)
    except (msgspec.DecodeError, RecursionError) as wrong:
        raise Unmappable("", f"{name} is not JSON: {wrong}") from wrong


def _columns(entity_map: EntityMap, key: str) -> Sequence[str]:
    """The columns that have to be there: those of the key and of every field, not what lies inside a list."""
    lists: Mapping[str, None] = dict.fromkeys(entity_map.lists)
    inside = tuple(f"{name}." for name in lists)
    named = [path.partition(".")[0] for path in (key, *entity_map.reads) if not path.startswith(inside)]
    return tuple(dict.fromkeys([*named, *(name.partition(".")[0] for name in lists)]))
