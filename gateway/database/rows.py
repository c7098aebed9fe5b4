"""Many rows in one statement: the journal's inserts, updates and looks by key, whatever the number of rows.

A row is a dict from column name to value; a column that a row does not name becomes NULL. On PostgreSQL all rows travel
as one JSON parameter and are taken apart by the server; on SQLite the driver runs the statement for each row in C.
(Measured on PostgreSQL, 8 rows of the delivery table: 860 us through one bound parameter a value, 150 us so.) The
statements are texts, made once for each table and set of columns. What is read is as the database has it: a truth of
SQLite is 0 or 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Boolean, Connection, Double, Integer, LargeBinary, Table

Row = Mapping[str, Any]

_JSON_TYPES = (
    (Boolean, "boolean"),
    (BigInteger, "bigint"),
    (Integer, "integer"),
    (Double, "double precision"),
)
#: Below a thousand rows no plan is a bad one.
_GROWN = """
    SELECT relname::text FROM pg_stat_user_tables
    WHERE schemaname = current_schema() AND relname = ANY ($1::text[])
        AND n_mod_since_analyze >= 1000 AND n_mod_since_analyze * 2 >= n_live_tup
    ORDER BY relname"""
_encode = msgspec.json.Encoder().encode


def insert_rows(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts rows. A key that is there already fails the whole statement."""
    _insert(connection, table, rows, "")


def insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Inserts those whose key is not there yet."""
    _insert(connection, table, rows, " ON CONFLICT DO NOTHING")


def insert_new(connection: Connection, table: Table, rows: Sequence[Row], key: str) -> set[Any]:
    """Inserts those whose key is not there yet, and returns ``key`` of each that was inserted."""
    if not rows:
        return set()
    columns = _columns(rows)
    tail = f" ON CONFLICT DO NOTHING RETURNING {key}"
    if connection.dialect.name == "postgresql":
        done = connection.exec_driver_sql(_insert_text(table, columns, tail, server=True), (_json(rows),))
        return set(done.scalars())
    statement = _insert_text(table, columns, tail, server=False)
    new: set[Any] = set()
    for row in rows:
        new.update(connection.exec_driver_sql(statement, tuple(row.get(name) for name in columns)).scalars())
    return new


def put_rows(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *keys: str,
    renew: Sequence[str] = (),
    count_up: Sequence[str] = (),
) -> None:
    """Inserts rows; of one whose ``keys`` are there already only the columns in ``renew`` are written, and those in
    ``count_up`` rise by one."""
    renewed = ", ".join(
        [
            *(f'"{name}" = excluded."{name}"' for name in renew),
            *(f'"{name}" = "{table.name}"."{name}" + 1' for name in count_up),
        ]
    )
    _insert(connection, table, rows, f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {renewed}")


def rows_by_id(
    connection: Connection, table: Table, ids: Collection[str], *, lock: bool = False
) -> dict[str, Any]:
    """The rows of ``table`` with these ids; with ``lock`` they are locked, in the order of their ids."""
    if not ids:
        return {}
    order = ("id",) if lock else ()
    return {row.id: row for row in rows_among(connection, table, {"id": sorted(ids)}, order=order, lock=lock)}


def rows_among(
    connection: Connection,
    table: Table,
    wanted: Mapping[str, list[str]],
    *,
    columns: tuple[str, ...] = (),
    order: tuple[str, ...] = (),
    lock: bool = False,
) -> Sequence[Any]:
    """``columns``, or all, of the rows in which each column that ``wanted`` names, a text, has one of its values; with
    ``lock`` they are locked in that ``order``. (Measured on SQLite, 4 records: 140 us through a statement in
    SQLAlchemy's language that was made once, 40 us so; on PostgreSQL there is no difference to be seen.)"""
    names = tuple(wanted)
    server = connection.dialect.name == "postgresql"
    values = tuple(wanted.values()) if server else tuple(_encode(some).decode() for some in wanted.values())
    statement = _among_text(table, names, columns, order, lock=lock, server=server)
    return connection.exec_driver_sql(statement, values).all()


def rows_by_keys(
    connection: Connection, table: Table, keys: Sequence[Row], columns: tuple[str, ...]
) -> Sequence[Any]:
    """``columns`` of the rows that have one of ``keys`` in full; all keys name the same columns, texts. Each is looked
    up by itself: with a list of values a column, the server takes an index by its first columns alone while it has not
    counted the table, and reads more of it with each row (measured: 1.6 ms for 15 keys of 30,000 rows, then 0.2)."""
    if not keys:
        return ()
    names = tuple(keys[0])
    server = connection.dialect.name == "postgresql"
    return connection.exec_driver_sql(_keys_text(table, names, columns, server=server), (_json(keys),)).all()


def update_rows(connection: Connection, table: Table, rows: Sequence[Row], *keys: str) -> None:
    """Updates rows by their ``keys``. What a row does not name stays as it is."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row), []).append(row)
    for names, members in groups.items():
        columns = tuple(name for name in names if name not in keys)
        if not columns:
            continue
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(_update_text(table, columns, keys, server=True), (_json(members),))
        else:
            connection.exec_driver_sql(
                _update_text(table, columns, keys, server=False),
                [tuple(row[name] for name in (*columns, *keys)) for row in members],
            )


def analyze(connection: Connection, table: Table) -> None:
    """Has the server count a table to which many rows have come at once. Until it does that by itself, which may take a
    minute, it takes the table for a small one and sorts all of it where an index has the order. (Measured: 400 rows in
    the order of their key, behind the first of 28,000: 30 ms, then 0.4.) SQLite goes by its indexes anyway."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f'ANALYZE "{table.name}"')


def analyze_grown(connection: Connection, tables: Collection[str]) -> None:
    """Has the server count those of ``tables`` of which at least half is new since it counted last. It does so by
    itself, but only once a minute and one after the other, which is late where a journal is young and under load. The
    tables are locked against other counting until the transaction ends."""
    if connection.dialect.name == "postgresql":
        for name in connection.exec_driver_sql(_GROWN, (sorted(tables),)).scalars().all():
            connection.exec_driver_sql(f'ANALYZE "{name}"')


def _insert(connection: Connection, table: Table, rows: Sequence[Row], tail: str) -> None:
    if not rows:
        return
    columns = _columns(rows)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_insert_text(table, columns, tail, server=True), (_json(rows),))
    else:
        connection.exec_driver_sql(
            _insert_text(table, columns, tail, server=False),
            [tuple(row.get(name) for name in columns) for row in rows],
        )


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    first = tuple(rows[0])
    if all(row.keys() == rows[0].keys() for row in rows):
        return first
    return tuple(dict.fromkeys(name for row in rows for name in row))


def _json(rows: Sequence[Row]) -> str:
    return _encode(rows).decode()


@cache
def _insert_text(table: Table, columns: tuple[str, ...], tail: str, *, server: bool) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    if server:
        return (
            f'INSERT INTO "{table.name}" ({names}) SELECT {names} '  # noqa: S608 - names of our own tables and columns
            f"FROM json_to_recordset($1::json) AS x({_record(table, columns)}){tail}"
        )
    places = ", ".join("?" for _ in columns)
    return f'INSERT INTO "{table.name}" ({names}) VALUES ({places}){tail}'  # noqa: S608 - as above


@cache
def _among_text(
    table: Table, names: tuple[str, ...], columns: tuple[str, ...], order: tuple[str, ...], *, lock: bool, server: bool
) -> str:
    read = ", ".join(f'"{name}"' for name in columns or table.columns.keys())
    given = "= ANY (${}::text[])" if server else "IN (SELECT value FROM json_each(?{}))"
    where = " AND ".join(f'"{name}" {given.format(place)}' for place, name in enumerate(names, 1))
    sort = " ORDER BY " + ", ".join(f'"{name}"' for name in order) if order else ""
    hold = " FOR UPDATE" if lock and server else ""
    return f'SELECT {read} FROM "{table.name}" WHERE {where}{sort}{hold}'  # noqa: S608 - names of our own tables and columns


@cache
def _keys_text(table: Table, keys: tuple[str, ...], columns: tuple[str, ...], *, server: bool) -> str:
    wanted = ", ".join(f't."{name}"' for name in columns)
    if server:
        given = f"json_to_recordset($1::json) AS x({_record(table, keys)})"
        where = " AND ".join(f't."{name}" = x."{name}"' for name in keys)
    else:
        given = "json_each(?) AS x"
        where = " AND ".join(f"t.\"{name}\" = json_extract(x.value, '$.{name}')" for name in keys)
    return f'SELECT {wanted} FROM {given} CROSS JOIN "{table.name}" AS t WHERE {where}'  # noqa: S608 - names of our own tables and columns


@cache
def _update_text(table: Table, columns: tuple[str, ...], keys: tuple[str, ...], *, server: bool) -> str:
    if server:
        values = ", ".join(f'"{name}" = x."{name}"' for name in columns)
        where = " AND ".join(f't."{name}" = x."{name}"' for name in keys)
        return (
            f'UPDATE "{table.name}" AS t SET {values} '  # noqa: S608 - names of our own tables and columns
            f"FROM json_to_recordset($1::json) AS x({_record(table, (*columns, *keys))}) WHERE {where}"
        )
    values = ", ".join(f'"{name}" = ?' for name in columns)
    where = " AND ".join(f'"{name}" = ?' for name in keys)
    return f'UPDATE "{table.name}" SET {values} WHERE {where}'  # noqa: S608 - as above


def _record(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}" {_json_type(table, name)}' for name in columns)


def _json_type(table: Table, name: str) -> str:
    kind = table.c[name].type
    if isinstance(kind, LargeBinary):
        raise TypeError(f"{table.name}.{name} holds bytes, which JSON does not carry")
    return next((told for known, told in _JSON_TYPES if isinstance(kind, known)), "text")
