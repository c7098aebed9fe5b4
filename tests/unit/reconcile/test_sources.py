"""Sources: what is written is read back, and what cannot be read is told."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import SettingWrong
from gateway.reconcile.sources import Failed, Source, open_sources
from gateway.reconcile.sources.map import MapWrong, parse
from gateway.settings import Settings, SourceSettings
from tests.unit.reconcile.sourced import FIELDS, HEADS, everything, opened, pieces, said, written

KINDS = tuple(HEADS)
#: What stands in every code page of the west, with everything that a file gives a meaning.
texts = st.text(st.sampled_from('abcÄß€ 0;,"\'\\\n\r\t[]{}'), min_size=1, max_size=12)
amounts = st.decimals(
    min_value=Decimal("-9999999999.99"), max_value=Decimal("9999999999.99"), places=2, allow_nan=False
).map(lambda amount: {"amount": format(amount, "f").replace("-0.00", "0.00"), "currency": "EUR"})
expenses = st.fixed_dictionaries(
    {
        "legal_entity": st.just("DE01"),
        "state": st.sampled_from(["draft", "posted"]),
        "date": st.dates().map(lambda day: day.isoformat()),
        "amount": amounts,
        "billable": st.booleans(),
    },
    optional={"note": texts, "category": texts, "tax_amount": amounts, "project_id": st.just("P-1")},
)
sets = st.dictionaries(st.from_regex(r"[A-Z0-9]{1,6}", fullmatch=True), expenses, max_size=12)


@pytest.mark.parametrize("kind", KINDS)
@given(records=sets, limit=st.integers(1, 5))
def test_what_is_written_is_read_back(kind: str, records: dict[str, dict[str, Any]], limit: int) -> None:
    """A set of records reads back as itself, whatever stands in its texts, to the cent, and in pieces of any size."""
    with TemporaryDirectory() as folder:
        written(kind, Path(folder), records.items())
        found, unreadable = asyncio.run(everything(opened(kind, Path(folder)), limit=limit))
    assert unreadable == []
    assert len(found) == len(records)
    assert {one.native_id: said(one) for one in found} == records


HEADER = (
    "SpesenNr,Beleg,Buchungskreis,Status,Person,Projekt,Datum,Kategorie,Betrag,Waehrung,Steuerbetrag,Abrechenbar,Notiz"
)


def line(key: str = "1", **cells: str) -> str:
    """A row of a CSV that is right but for ``cells``."""
    right = dict.fromkeys(HEADER.split(","), "") | {
        "SpesenNr": key, "Buchungskreis": "DE01", "Status": "B", "Datum": "2026-03-02", "Betrag": "10.10",
        "Waehrung": "EUR", "Abrechenbar": "J",
    }  # fmt: skip
    return ",".join((right | cells).values())


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        pytest.param("1,2", None, "has 2 cells for 13 columns", id="cells are missing"),
        pytest.param(line("2") + ",", None, "has 14 cells for 13 columns", id="a cell too many"),
        pytest.param(line("2", Notiz='"open'), None, "is no row: unexpected end of data", id="an open quote"),
        pytest.param(line("2", Notiz='"a"b'), None, "is no row: ',' expected after '\"'", id="a quote in between"),
        pytest.param(line("2", Notiz="\udcff"), None, "has bytes that are not utf-8", id="other bytes"),
        pytest.param(line("2", Betrag="10;1"), "amount", "is not a decimal with a dot", id="no amount"),
        pytest.param(line("2", Betrag="1e3"), "amount", "is not a decimal with a dot", id="an exponent"),
        pytest.param(line("2", Betrag="NaN"), "amount", "is not a decimal with a dot", id="not a number"),
        pytest.param(line("2", Waehrung=""), "amount", "is an amount without its currency", id="no currency"),
        pytest.param(line("2", Datum="02.03.2026"), "date", "is not a date like 2026-11-20", id="another date"),
        pytest.param(line("2", Status="?"), "state", "is a code that the profile does not know", id="another state"),
        pytest.param(line("2", Abrechenbar="x"), "billable", "is neither 'J' nor 'N'", id="no flag"),
        pytest.param(line(""), None, "has no SpesenNr", id="no key"),
        pytest.param(line("1"), None, "has the key of a row before it", id="a key twice"),
        pytest.param("x" * 1_048_577, None, "is no row: its line is too long", id="a long line"),
    ],
)
async def test_a_bad_row_of_a_csv_is_told(tmp_path: Path, bad: str, field: str | None, reason: str) -> None:
    """With its line, field and reason; the rows before and behind it are read."""
    text = "\n".join([HEADER, line("1"), bad, line("3"), "", line("4")])
    (tmp_path / "spesen.csv").write_bytes(text.encode(errors="surrogateescape"))
    found, unreadable = await everything(opened("csv", tmp_path))
    assert [one.native_id for one in found] == ["1", "3", "4"]
    assert [(one.line, one.field, one.reason) for one in unreadable] == [(3, field, reason)]


@pytest.mark.parametrize("limit", [1, 2, 200])
async def test_a_quote_that_nobody_closes_swallows_nothing(tmp_path: Path, limit: int) -> None:
    """Not even where another stray quote closes it lines later: what is between is read, wherever a piece ends."""
    stray = line("2", Notiz='"open')
    text = "\n".join([HEADER, line("1"), stray, line("3"), line("4"), line("5", Notiz='shut"x'), line("6"), ""])
    (tmp_path / "spesen.csv").write_text(text, "utf-8")
    found, unreadable = await everything(opened("csv", tmp_path), limit=limit)
    assert [one.native_id for one in found] == ["1", "3", "4", "5", "6"]
    assert [one.line for one in unreadable] == [3]


@pytest.mark.parametrize(
    ("bad", "field", "reason"),
    [
        pytest.param("{", None, "is not JSON: Input data was truncated", id="cut off"),
        pytest.param("[1]", None, "is no JSON object", id="a list"),
        pytest.param('{"SpesenNr": ""}', None, "has no SpesenNr", id="no key"),
        pytest.param(
            '{"SpesenNr": 2, "Betrag": true, "Waehrung": "EUR"}', "amount", "is not a number", id="no amount"
        ),
        pytest.param('{"SpesenNr": 2, "Notiz": {}}', "note", "is not text", id="no text"),
    ],
)
async def test_a_bad_json_line_is_told(tmp_path: Path, bad: str, field: str | None, reason: str) -> None:
    """With its line, field and reason; the lines before and behind it are read."""
    good = '{"SpesenNr": %d, "Abrechenbar": "J", "Status": "B", "Betrag": 9999999999.99, "Waehrung": "EUR"}'
    (tmp_path / "spesen.jsonl").write_text("\n".join([good % 1, bad, "", good % 3]), "utf-8")
    found, unreadable = await everything(opened("json_lines", tmp_path))
    assert [one.native_id for one in found] == ["1", "3"]
    assert {one.fields["amount"]["amount"] for one in found} == {"9999999999.99"}
    assert [(one.line, one.field, one.reason) for one in unreadable] == [(2, field, reason)]


async def test_lines_of_a_document_are_read_from_a_cell(tmp_path: Path) -> None:
    """A list in one column is JSON text, its numbers exact, with the record's own currency."""
    fields = """
key = "BelegNr"
[entities.invoice.fields]
legal_entity = { constant = "DE01" }
number = "BelegNr"
currency = "Waehrung"
[entities.invoice.fields.lines]
path = "Positionen"
each = { number = { path = "Nr", convert = "integer" }, amount = { amount = "Betrag", currency = "/Waehrung", convert = "decimal_any" } }
"""  # noqa: E501
    head = 'kind = "csv"\norigin = "this test"\n[entities.invoice]\nfile = "rechnungen.csv"'
    cell = '"[{""Nr"": 1, ""Betrag"": 9999999999.99}]"'
    text = f"BelegNr,Waehrung,Positionen\nR1,EUR,{cell}\nR2,EUR,\nR3,EUR,[\n"
    (tmp_path / "rechnungen.csv").write_text(text, "utf-8")
    declared = SourceSettings(system="legacy", map="", address=str(tmp_path))
    source = Source("books", declared, parse(head + fields, file="books.toml"))
    piece = await source.read("invoice", None, companies=["DE01"], limit=10)
    assert [one.fields["lines"] for _, one in piece.found] == [
        [{"number": 1, "amount": {"amount": "9999999999.99", "currency": "EUR"}}],
        [],
    ]
    assert [(one.line, one.reason.partition(":")[0]) for one in piece.unreadable] == [(4, "Positionen is not JSON")]


async def test_a_query_passes_no_row_over(tmp_path: Path) -> None:
    """Rows of one key at the end of a piece, rows without one, and amounts that a double cannot hold are told; an
    amount that it can hold is exact."""
    written("sql", tmp_path, [])
    rows = [("A", 0.1), ("B", 9999999999.99), ("B", 1.0), ("B", 2.0), (None, 1.0), ("C", 1234567890123456.7), ("D", 3)]
    with sqlite3.connect(tmp_path / "erp.db") as connection:
        for key, amount in rows:
            connection.execute(
                "INSERT INTO spesen (SpesenNr, Betrag, Waehrung, Status, Abrechenbar) VALUES (?, ?, 'EUR', 'B', 'J')",
                (key, amount),
            )
    connection.close()
    read = await pieces(opened("sql", tmp_path), limit=2)
    found = [one for piece in read for _, one in piece.found]
    first = {one.native_id: one.fields["amount"]["amount"] for one in reversed(found)}
    assert first["A"] == "0.10"
    assert first["B"] in ("9999999999.99", "1.00", "2.00")
    assert first["D"] == "3.00"
    told = {(one.line, one.reason) for piece in read for one in piece.unreadable}
    inexact = "is a floating point number with more digits than it holds: make it text in the query"
    assert {(0, "rows without a SpesenNr: 1"), (5, inexact)} <= told
    assert sum(len(piece.found) + len(piece.unreadable) for piece in read) == len(rows)


async def test_a_query_may_hold_what_it_likes(tmp_path: Path) -> None:
    """Colons, a casting operator's look-alike, per cents and a closing semicolon are the operator's own."""
    written("sql", tmp_path, [("1", {"legal_entity": "DE01", "state": "draft", "note": "a:b%s", "billable": True})])
    query = "SELECT * FROM spesen WHERE Notiz = 'a:b%s' AND Notiz <> ':key' AND '::x' <> '\\' -- all;"
    found = parse(HEADS["sql"].replace('"SELECT * FROM spesen;"', f"'''{query}'''") + FIELDS, file="m.toml")
    declared = SourceSettings(system="legacy", map="", address=f"sqlite:///{tmp_path / 'erp.db'}")
    piece = await Source("x", declared, found).read("expense", None, companies=["DE01"], limit=1)
    assert [one.fields["note"] for _, one in piece.found] == ["a:b%s"]


async def test_records_of_other_companies_are_not_read(tmp_path: Path) -> None:
    """They belong to other slices; a row that names no company is taken."""
    rows = [HEADER, line("1"), line("2", Buchungskreis="US01"), line("3", Buchungskreis="")]
    (tmp_path / "spesen.csv").write_text("\n".join(rows), "utf-8")
    found, unreadable = await everything(opened("csv", tmp_path))
    assert ([one.native_id for one in found], unreadable) == (["1", "3"], [])


async def test_an_export_without_a_line_of_names(tmp_path: Path) -> None:
    """The map names its columns, and a mark before the first row is no part of it."""
    fields = FIELDS.replace("key =", f"columns = {HEADER.split(',')}\nkey =", 1).replace("'", '"')
    (tmp_path / "spesen.csv").write_text("\ufeff" + line("1") + "\r\n" + line("2") + "\r\n", "utf-8")
    found, unreadable = await everything(opened("csv", tmp_path, fields), limit=1)
    assert ([one.native_id for one in found], unreadable) == (["1", "2"], [])


async def test_a_source_that_is_not_what_it_was_fails(tmp_path: Path) -> None:
    """A file that is missing, lacks a column, names one twice or has changed since reading began, and a database that
    is missing or refuses the query: each says so, and nothing is made that was not there."""
    source = opened("csv", tmp_path)
    path = tmp_path / "spesen.csv"
    with pytest.raises(Failed, match=r"spesen\.csv cannot be read: No such file"):
        await everything(source)
    path.write_text(HEADER.replace("Betrag,", "", 1), "utf-8")
    with pytest.raises(Failed, match=r"has no column Betrag, which its map names"):
        await everything(source)
    path.write_text(HEADER + ",Notiz", "utf-8")
    with pytest.raises(Failed, match=r"two columns named Notiz"):
        await everything(source)
    path.write_text("\n".join([HEADER, line("1"), line("2")]), "utf-8")
    first = await source.read("expense", None, companies=["DE01"], limit=1)
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)
    with pytest.raises(Failed, match=r"has changed since reading it began"):
        await source.read("expense", first.next_cursor, companies=["DE01"], limit=1)
    with pytest.raises(Failed, match=r"unable to open database file"):
        await everything(opened("sql", tmp_path))
    assert not (tmp_path / "erp.db").exists()
    sqlite3.connect(tmp_path / "erp.db").execute("CREATE TABLE spesen (SpesenNr)").connection.close()
    with pytest.raises(Failed, match=r"gives no column Beleg"):
        await everything(opened("sql", tmp_path))
    sqlite3.connect(tmp_path / "erp.db").execute("DROP TABLE spesen").connection.close()
    with pytest.raises(Failed, match=r"its database refuses: no such table: spesen"):
        await everything(opened("sql", tmp_path))


async def test_a_query_cannot_write(tmp_path: Path) -> None:
    """A map may be wrong; what it is about is only read."""
    written("sql", tmp_path, [("1", {"legal_entity": "DE01", "state": "draft", "billable": True})])
    text = HEADS["sql"].replace("SELECT * FROM spesen;", "SELECT 1) AS a; DELETE FROM spesen; SELECT * FROM (spesen")
    found = parse(text + FIELDS, file="m.toml")
    declared = SourceSettings(system="legacy", map="", address=f"sqlite:///{tmp_path / 'erp.db'}")
    with pytest.raises(Failed):
        await Source("x", declared, found).read("expense", None, companies=["DE01"], limit=1)
    connection = sqlite3.connect(tmp_path / "erp.db")
    assert connection.execute("SELECT count(*) FROM spesen").fetchone() == (1,)
    connection.close()


async def test_an_export_is_as_old_as_when_it_was_begun(tmp_path: Path) -> None:
    """Its moment is that of its end less the time that it may have taken."""
    path = tmp_path / "spesen.csv"
    path.write_text(HEADER, "utf-8")
    os.utime(path, (1_000_000, 1_000_000))
    (piece,) = await pieces(opened("csv", tmp_path, window_s=600.0))
    assert (piece.found, piece.made_at) == ((), (1_000_000 - 600) * 1_000_000)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        pytest.param('kind = "csv"', 'kind = "xls"', "Invalid enum value 'xls'", id="kind"),
        pytest.param("key =", "kee =", "unknown field `kee`", id="unknown key"),
        pytest.param("note ", "notes ", "no field 'notes' of expense is compared", id="field"),
        pytest.param('convert = "j_n"', 'convert = "jn"', "no converter 'jn'", id="converter"),
        pytest.param('"spesen.csv"', '"s"\nquery = "SELECT 1"', "needs `file`, and no `query`", id="both"),
        pytest.param('origin = "this test"', 'origin = ""\nencoding = "utf-16"', "no encoding in which", id="encoding"),
        pytest.param('origin = "this test"', 'origin = ""\ndelimiter = ""', "is not one character", id="delimiter"),
        pytest.param('origin = "this test"', 'origin = ""\ndates = "iso"', "no converter 'iso'", id="dates"),
        pytest.param("entities.expense", "entities.spese", "no entity 'spese'", id="entity"),
        pytest.param('date         = "Datum"\n', "", "there is no date, by which each expense is placed", id="pairing"),
        pytest.param(', currency = "Waehrung"', "", "money needs exactly one of", id="currency"),
    ],
)
def test_a_wrong_map_is_refused_with_its_place(old: str, new: str, told: str) -> None:
    """Before anything is read, with the file and what is wrong."""
    text = (HEADS["csv"] + FIELDS).replace(old, new)
    with pytest.raises(MapWrong, match=r"^books\.toml: ") as wrong:
        parse(text, file="books.toml")
    assert told in str(wrong.value)


def test_a_wrong_setting_stops_the_start(tmp_path: Path) -> None:
    """A system that there is not, a map that is not there, and an address of another kind than the map's."""
    path = tmp_path / "expenses.toml"
    path.write_text(HEADS["csv"] + FIELDS, "utf-8")

    def given_as(**changed: Any) -> Settings:
        right: dict[str, Any] = {"system": "legacy", "map": str(path), "address": str(tmp_path)}
        return Settings(sources={"extract": SourceSettings(**right | changed)})

    assert list(open_sources(given_as())) == ["extract"]
    for changed, told in (
        ({"system": "old"}, r"\$\.sources\.extract\.system is 'old'; there are: legacy, cloud"),
        ({"map": str(tmp_path / "none.toml")}, r"\$\.sources\.extract\.map: .*none\.toml cannot be read"),
        ({"address": "postgresql://erp/books"}, r"\$\.sources\.extract\.address has to be a folder"),
    ):
        with pytest.raises(SettingWrong, match=told):
            open_sources(given_as(**changed))
