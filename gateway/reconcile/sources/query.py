"""Reads rows out of a database by a query of the operator's, page by page in the order of its key.

Each page is a statement of its own behind the last key, so nothing is held open between two steps of a run and a killed
one goes on where it was. Several rows of one key are counted through, that none is passed over at the end of a page.
The database is only read: the session is read-only, whatever the query says.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from gateway.database import says_not_now
from gateway.reconcile.sources.map import EntityRows
from gateway.reconcile.sources.piece import Away, Failed, Row, Rows, Unreadable

#: Digits that a double holds whatever they are, and below which a number with three decimals has no more of them.
EXACT_DIGITS = 15
EXACT_BELOW = 1e12
_KEYS: Mapping[str, Callable[[str], Any]] = {"int": int, "str": str, "Decimal": Decimal}


class At(msgspec.Struct, frozen=True, kw_only=True):
    """Where reading has come to: the last key with its type, its rows and all rows that were read."""

    key: str
    type: str
    seen: int
    rows: int


_as_cursor = msgspec.json.Encoder().encode
_at = msgspec.json.Decoder(At).decode


async def read(
    address: str,
    entity: EntityRows,
    needed: Sequence[str],
    cursor: str | None,
    limit: int,
    *,
    timeout_s: float,
) -> Rows:
    """Up to ``limit`` rows behind ``cursor``; 0: only whether they can be asked for. ``needed`` are the columns that
    the map names. Raises Failed and Away."""
    at = None if cursor is None else _at(cursor)
    url = make_url(address)
    try:
        if url.get_backend_name() == "sqlite":
            names, rows, keyless = await asyncio.to_thread(_on_sqlite, url, entity, at, limit)
        else:
            names, rows, keyless = await _on_server(url, entity, at, limit, timeout_s)
    except Exception as wrong:
        # Drivers raise what they like, also their own errors while they connect; none of it is this program's.
        raise _told(wrong) from wrong
    lacking = [name for name in needed if name not in names]
    if lacking:
        raise Failed(f"its query gives no column {', '.join(lacking)}, which its map names")
    return _page(names, rows, keyless, entity.key, at, limit)


_Answer = tuple[list[str], list[tuple[Any, ...]], int]


def _on_sqlite(url: URL, entity: EntityRows, at: At | None, limit: int) -> _Answer:
    path = Path(url.database or "").resolve()

    def connect() -> sqlite3.Connection:
        # A path alone would make a database that is not there.
        return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)
    with engine.connect() as connection:
        return _asked(connection, entity, at, limit)


async def _on_server(url: URL, entity: EntityRows, at: At | None, limit: int, timeout_s: float) -> _Answer:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        connect_args={
            "timeout": 10,
            "command_timeout": timeout_s + 5,
            "server_settings": {
                "statement_timeout": str(int(timeout_s * 1000)),
                "default_transaction_read_only": "on",
                "application_name": "twinrun",
            },
        },
    )
    async with engine.connect() as connection:
        return await connection.run_sync(_asked, entity, at, limit)


def _asked(connection: Connection, entity: EntityRows, at: At | None, limit: int) -> _Answer:
    """Names of the columns, a page of rows, and, of the first page, how many rows have no key."""
    # Whatever is written in the query is the operator's; a colon in it is no parameter of ours.
    query = (entity.query or "").strip().rstrip(";").replace(":", "\\:")
    key = connection.dialect.identifier_preparer.quote(entity.key).replace(":", "\\:")
    whole = f"FROM (\n{query}\n) AS source WHERE {key}"
    page = f"SELECT * {whole} IS NOT NULL ORDER BY {key} LIMIT {limit}"
    if at is None:
        # Where no row is asked for nothing is counted either: that takes as long as the whole query.
        keyless = connection.execute(text(f"SELECT count(*) {whole} IS NULL")).scalar_one() if limit else 0
        found = connection.execute(text(page))
    else:
        keyless = 0
        behind = f"SELECT * {whole} >= :key ORDER BY {key} LIMIT {limit} OFFSET {at.seen}"
        found = connection.execute(text(behind), {"key": _KEYS[at.type](at.key)})
    return list(found.keys()), [tuple(row) for row in found], int(keyless)


def _page(
    names: list[str], found: list[tuple[Any, ...]], keyless: int, key: str, at: At | None, limit: int
) -> Rows:
    rows: list[Row] = []
    bad: list[Unreadable] = []
    number = 0 if at is None else at.rows
    last, seen = (None, 0) if at is None else (_KEYS[at.type](at.key), at.seen)
    if keyless:
        bad.append(Unreadable(line=0, field=None, reason=f"rows without a {key}: {keyless}", rows=keyless))
    for cells in found:
        number += 1
        native = {name: _native(value) for name, value in zip(names, cells, strict=True)}
        key_here = native[key]
        seen = seen + 1 if key_here == last else 1
        last = key_here
        rows.append(Row(number, native))
    if not found or len(found) < limit:
        return Rows(rows, bad, None, None)
    kind = type(last).__name__
    if kind not in _KEYS:
        raise Failed(f"its key {key} is of the type {kind}: make it text in the query")
    following = At(key=str(last), type=kind, seen=seen, rows=number)
    return Rows(rows, bad, _as_cursor(following).decode(), None)


def _native(value: Any) -> Any:
    """A value of the driver as a product would write it in JSON."""
    match value:
        case float():
            spelled = repr(value)
            digits = spelled.partition("e")[0].lstrip("-").replace(".", "").strip("0")
            holds_all = len(digits) <= EXACT_DIGITS and abs(value) < EXACT_BELOW
            return Decimal(spelled) if holds_all else Inexact()
        case datetime() | date():
            return value.isoformat()
        case _:
            # A server takes an id of this type as text as well.
            return str(value) if type(value).__name__ == "UUID" else value


class Inexact:
    """A floating point number that may not be the one that was written. No converter takes it."""

    reason = "is a floating point number with more digits than it holds: make it text in the query"


def _told(wrong: Exception) -> Exception:
    """What went wrong, as a reason to wait or to end."""
    origin = (wrong.orig if isinstance(wrong, DBAPIError) else None) or wrong
    said = " ".join(str(origin).split())[:200] or type(origin).__name__
    lost = isinstance(origin, OSError | TimeoutError) or says_not_now(origin) or "locked" in said
    if lost or (isinstance(wrong, DBAPIError) and wrong.connection_invalidated):
        return Away(f"its database does not answer: {said}")
    return Failed(f"its database refuses: {said}")
