"""Sources that are a query of a real PostgreSQL: keys of its types, its values, and that it is only read."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.reconcile.sources import Away, Failed, Source
from gateway.reconcile.sources.map import parse
from gateway.settings import SourceSettings

pytestmark = pytest.mark.server

MAP = """
kind = "sql"
origin = "this test"
[entities.invoice]
query = '''QUERY'''
key = "Id"
[entities.invoice.fields]
number = "number"
legal_entity = { constant = "DE01" }
issue_date = "issued"
total = { amount = "total", fixed_currency = "EUR" }
lines = { path = "lines", each = { amount = { amount = "amount", fixed_currency = "EUR" } } }
"""


async def on(address: str, *statements: str) -> None:
    engine = create_async_engine(make_url(address).set(drivername="postgresql+asyncpg"))
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


def source(address: str, query: str) -> Source:
    declared = SourceSettings(system="legacy", map="invoices.toml", address=address)
    return Source("books", declared, parse(MAP.replace("QUERY", query), file="invoices.toml"))


async def read(one: Source, *, limit: int) -> tuple[list[Any], list[Any]]:
    found: list[Any] = []
    bad: list[Any] = []
    cursor: str | None = None
    while True:
        piece = await one.read("invoice", cursor, companies=["DE01"], limit=limit)
        found += [record for _, record in piece.found]
        bad += piece.unreadable
        cursor = piece.next_cursor
        if cursor is None:
            return found, bad


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        ("integer", "n"),
        ("bigint", "n"),
        ("numeric(12,0)", "n"),
        ("text", "'R-' || n"),
        ("varchar(10)", "'r' || n"),
        ("uuid", "('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid"),
    ],
)
async def test_every_row_is_read_once_whatever_its_key(postgres_journal: str, type_: str, key: str) -> None:
    """In pieces of any size, in the order of the database; amounts, days and lists are exact; a cast in the query and a
    name with capitals are the operator's own."""
    await on(
        postgres_journal,
        f'CREATE TABLE invoices ("Id" {type_}, number text, issued date, total numeric(14,2), lines jsonb)',
        f"""INSERT INTO invoices SELECT {key}, n\\:\\:text, DATE '2026-03-01' + n, 9999999990.99 + n,
            '[{{"amount"\\: 0.10}}]' FROM generate_series(1, 7) AS n""",
    )
    one = source(postgres_journal, "SELECT *, '1'::text AS more FROM invoices WHERE number::int < 100;")
    for limit in (1, 2, 7, 100):
        found, bad = await read(one, limit=limit)
        assert bad == []
        assert sorted(record.fields["number"] for record in found) == [str(n) for n in range(1, 8)]
        assert len({record.native_id for record in found}) == 7
        last = next(record for record in found if record.fields["number"] == "7")
        assert last.fields["total"] == {"amount": "9999999997.99", "currency": "EUR"}
        assert last.fields["issue_date"] == "2026-03-08"
        assert last.fields["lines"] == [{"amount": {"amount": "0.10", "currency": "EUR"}}]


async def test_the_database_is_only_read(postgres_journal: str) -> None:
    """A query that would write is refused by the session, and so is one that is wrong; a server that is not there may
    come back."""
    await on(postgres_journal, 'CREATE TABLE invoices ("Id" text)', "CREATE SEQUENCE counted")
    with pytest.raises(Failed, match=r"its database refuses: .*read-only transaction"):
        await read(source(postgres_journal, "SELECT nextval('counted') AS \"Id\""), limit=1)
    with pytest.raises(Failed, match="gives no column number, issued, total, lines"):
        await read(source(postgres_journal, "SELECT * FROM invoices"), limit=1)
    with pytest.raises(Failed, match=r"its database refuses: .*nowhere"):
        await read(source(postgres_journal, "SELECT * FROM nowhere"), limit=1)
    gone = make_url(postgres_journal).set(database="twinrun_is_not_there").render_as_string(hide_password=False)
    with pytest.raises(Failed, match=r"its database refuses: .*does not exist"):
        await read(source(gone, "SELECT 1"), limit=1)
    with pytest.raises(Away, match="its database does not answer"):
        await read(source("postgresql://postgres@127.0.0.1:1/books", "SELECT 1"), limit=1)


async def test_a_look_asks_for_no_row(postgres_journal: str) -> None:
    """Whether a query can be asked is known at once, however long it takes to answer; one that is wrong is refused with
    the word of the database."""
    slow = "SELECT n AS \"Id\", n::text AS number, now()::date AS issued, n AS total, '[]' AS lines, pg_sleep(60)"
    began = time.monotonic()
    await source(postgres_journal, f"{slow} FROM generate_series(1, 9) AS n").look("invoice")
    assert time.monotonic() - began < 30
    for query, said in (("SELECT nothing FROM nowhere", "nowhere"), ("SELECT 1 AS \"Id\"", "number")):
        with pytest.raises(Failed, match=said):
            await source(postgres_journal, query).look("invoice")
