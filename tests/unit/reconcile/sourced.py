"""Sources in a folder of the test's own: maps, and sets of records written as an ERP would export them."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from adapters.contract import Found
from adapters.mapping import EntityMap
from adapters.values import setter
from gateway.reconcile.sources import Piece, Source, Unreadable
from gateway.reconcile.sources.map import SourceMap, as_profile, parse
from gateway.settings import SourceSettings

ENTITY = "expense"
#: The head of a map by kind, and where its expenses lie.
HEADS = {
    "csv": 'kind = "csv"\norigin = "this test"\n[entities.expense]\nfile = "spesen.csv"\n',
    "json_lines": 'kind = "json_lines"\norigin = "this test"\n[entities.expense]\nfile = "spesen.jsonl"\n',
    "sql": 'kind = "sql"\norigin = "this test"\n[entities.expense]\nquery = "SELECT * FROM spesen;"\n',
    "csv as in Germany": (
        'kind = "csv"\norigin = "this test"\nencoding = "cp1252"\ndelimiter = ";"\ndecimals = "decimal_comma"\n'
        'dates = "date_dmy_dots"\n[entities.expense]\nfile = "spesen.csv"\n'
    ),
}
FIELDS = """
key = "SpesenNr"
[entities.expense.fields]
receipt_ref  = "Beleg"
legal_entity = "Buchungskreis"
state        = { path = "Status", values = { E = "draft", B = "posted" } }
resource_id  = { path = "Person", ref = "resource" }
project_id   = { path = "Projekt", ref = "project" }
date         = "Datum"
category     = "Kategorie"
amount       = { amount = "Betrag", currency = "Waehrung" }
tax_amount   = { amount = "Steuerbetrag", currency = "/Waehrung" }
billable     = { path = "Abrechenbar", convert = "j_n" }
note         = "Notiz"
"""


def opened(kind: str, folder: Path, fields: str = FIELDS, *, window_s: float = 0.0) -> Source:
    """The source of a kind in a folder."""
    found = parse(HEADS[kind] + fields, file="expenses.toml")
    address = f"sqlite:///{folder / 'erp.db'}" if found.kind == "sql" else str(folder)
    declared = SourceSettings(system="legacy", map="expenses.toml", address=address, window_s=window_s)
    return Source("extract", declared, found)


def written(kind: str, folder: Path, records: Iterable[tuple[str, Mapping[str, Any]]], fields: str = FIELDS) -> None:
    """Puts records, (native id, canonical fields), where the source of that kind reads them."""
    found = parse(HEADS[kind] + fields, file="expenses.toml")
    rows = natives(found, records)
    if found.kind == "sql":
        into_sqlite(folder / "erp.db", rows, list(_columns(found)))
    else:
        name = found.entities[ENTITY].file
        assert name is not None
        (folder / name).write_bytes(exported(found, rows))


def natives(found: SourceMap, records: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The records as rows of the source, by the same mapping as a profile's."""
    entity_map = EntityMap(as_profile(found), ENTITY)
    rows: list[dict[str, Any]] = []
    for native_id, fields in records:
        row = entity_map.encode(fields, creating=True)
        setter(found.entities[ENTITY].key)(row, native_id)
        rows.append(row)
    return rows


def exported(found: SourceMap, rows: list[dict[str, Any]]) -> bytes:
    """A whole file."""
    if found.kind == "json_lines":
        encode = msgspec.json.Encoder(decimal_format="number").encode
        return b"".join(encode(row) + b"\n" for row in rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(_columns(found)), delimiter=found.delimiter, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode(found.encoding)


def into_sqlite(path: Path, rows: list[dict[str, Any]], columns: list[str]) -> None:
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute(f"CREATE TABLE spesen ({', '.join(columns)})")
        for row in rows:
            values = [str(one) if isinstance(one, Decimal) else one for one in map(row.get, columns)]
            connection.execute(f"INSERT INTO spesen VALUES ({', '.join('?' * len(columns))})", values)
    connection.close()


def _columns(found: SourceMap) -> dict[str, None]:
    return dict.fromkeys((found.entities[ENTITY].key, *EntityMap(as_profile(found), ENTITY).reads))


async def pieces(source: Source, *, limit: int = 200, companies: Iterable[str] = ()) -> list[Piece]:
    """The source from its beginning to its end."""
    wanted = frozenset(companies) or frozenset({"DE01"})
    found: list[Piece] = []
    cursor: str | None = None
    while not found or cursor is not None:
        found.append(await source.read(ENTITY, cursor, companies=wanted, limit=limit))
        cursor = found[-1].next_cursor
    return found


async def everything(source: Source, *, limit: int = 200) -> tuple[list[Found], list[Unreadable]]:
    """The records of a source, and its rows that cannot be read."""
    read = await pieces(source, limit=limit)
    return (
        [one for piece in read for _, one in piece.found],
        [one for piece in read for one in piece.unreadable],
    )


def said(found: Found) -> dict[str, Any]:
    """What a record says; nothing is said by None."""
    return {name: value for name, value in found.fields.items() if value is not None}
