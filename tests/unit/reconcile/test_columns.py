"""Columns: what they are sure of is what the rows say."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canonical import BY_NAME
from gateway.reconcile.agreement import Agreement
from gateway.reconcile.sources import Source, Unsuited
from gateway.reconcile.sources.columns import Columns, value_of
from gateway.reconcile.sources.files import whole
from gateway.reconcile.sources.map import parse
from gateway.settings import SourceSettings

MAP = """
kind = "csv"
origin = "this test"
delimiter = ";"
[values.states]
A = "active"
P = "prospect"
[entities.customer]
file = "customers.csv"
key = "key"
[entities.customer.fields]
number = "number"
legal_entity = { constant = "DE01" }
name = "name"
state = { path = "state", values = "states" }
"billing_address.city" = "city"
"billing_address.country" = { path = "country", convert = "upper" }
credit_limit = { amount = "limit", currency = "currency", convert = "CONVERT" }
payment_terms_days = { path = "days", convert = "integer_text" }
"""
NAMES = ("key", "number", "name", "state", "city", "country", "limit", "currency", "days")
#: Whatever a cell can hold that no quote has to keep together.
plain = st.text(st.characters(exclude_characters='";\r\n\0\1', exclude_categories=["Cs"]), max_size=6)
numbers = st.one_of(
    st.sampled_from(
        ["", "0", "-0", "00", "1.50", "1,50", "1.234,5", "12.34,5", "1.234", "1,234", "+1", "1e5", ".5", "5.", "-"]
    ),
    st.decimals(allow_nan=False, allow_infinity=False, places=4).map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(lambda one: str(one).replace(".", ",")),
    st.from_regex(r"-?[0-9]{1,32}([.,][0-9]{1,12})?", fullmatch=True),
    plain,
)
cells = st.fixed_dictionaries(
    {
        "key": st.one_of(plain, st.from_regex(r"[0-9]{4}", fullmatch=True)),
        "number": plain,
        "name": plain,
        "state": st.sampled_from(["A", "P", "", "X"]),
        "city": plain,
        "country": st.sampled_from(["DE", "", "fr"]),
        "limit": numbers,
        "currency": st.sampled_from(["EUR", "JPY", "", "XXX", "eur"]),
        "days": st.sampled_from(["", "30", "-1", "x", "1.0", "007"]),
    }
)


@pytest.mark.parametrize("convert", ["decimal_dot", "decimal_comma", "decimal_any"])
@settings(max_examples=60)
@given(rows=st.lists(cells, min_size=1, max_size=8))
def test_what_a_column_is_sure_of_is_what_its_rows_say(convert: str, rows: list[dict[str, str]]) -> None:
    """Each row of which the columns are sure reads so, value by value; and a row that is right, as it is written
    ordinarily, is one of which they are sure."""
    text = MAP.replace("CONVERT", convert)
    found = parse(text, file="customers.toml")
    with TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "customers.csv"
        lines = [NAMES, *(tuple(row[one] for one in NAMES) for row in rows)]
        path.write_text("".join(";".join(one) + "\n" for one in lines), "utf-8")
        source = Source("x", SourceSettings(system="legacy", map="x", address=str(folder)), found)
        piece = asyncio.run(source.read("customer", None, companies=["DE01"], limit=100))
        columns = Columns(found, "customer")
        agreement = Agreement(
            folder, entity=BY_NAME["customer"], columns={"authority": columns, "mirror": columns},
            shared=frozenset(), companies=["DE01"],
        )  # fmt: skip
        try:
            agreement.load("authority", whole(path, found, found.entities["customer"], NAMES), ";")
            agreement.read("authority", {})
            names = [name for one in columns.leaves for name in (one.name, f"{one.name} currency")]
            sides = agreement._store.execute(
                f"FROM ({agreement._rows('authority', names, sure=True)}) ORDER BY line"
            ).fetchall()
            heads = [one[0] for one in agreement._store.description]
        finally:
            agreement.close()
    by_line = dict(piece.found)
    told = {one.line for one in piece.unreadable}
    for values in sides:
        row = dict(zip(heads, values, strict=True))
        if not row["sure"]:
            continue
        if row["line"] not in by_line:
            # The second of its key is told as such and as nothing else.
            assert row["line"] in told
            assert [one[heads.index("key")] for one in sides].count(row["key"]) > 1
            continue
        one = by_line[row["line"]]
        assert one.native_id == row["key"]
        for leaf in columns.leaves:
            assert _plain(_at(one.fields, leaf.name)) == _held(leaf.kind, row, leaf.name)
    if all(_ordinary(row) for row in rows):
        assert all(values[heads.index("sure")] for values in sides)


def _ordinary(row: dict[str, str]) -> bool:
    return (
        row["limit"] in ("", "0", "-0")
        and row["key"] != ""
        and row["state"] in ("A", "P")
        and row["currency"] in ("EUR", "JPY")
        and row["days"] in ("", "30", "007")
        and row["country"] == "DE"
    )


def _at(fields: dict[str, Any], name: str) -> Any:
    found: Any = fields
    for part in name.split("."):
        found = None if found is None else found.get(part)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return Decimal(value["amount"]), value["currency"]
    return value


def _held(kind: str, row: dict[str, Any], name: str) -> Any:
    if kind == "money":
        return None if row[name] is None else (row[name], row[f"{name} currency"])
    return str(row[name]) if kind == "number" else value_of(row[name])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (('kind = "csv"', 'kind = "json_lines"'), "no CSV"),
        (('origin', 'encoding = "cp1252"\norigin'), "no CSV in UTF-8"),
        (('name = "name"', 'name = "a.b"'), "no column of its own"),
        (('key = "key"', 'key = "key"\nkey_convert = "upper"'), "its key is converted"),
    ],
)
def test_a_map_that_columns_cannot_keep_to_is_told(change: tuple[str, str], why: str) -> None:
    """What the columns cannot say is never said by them: the file is read row by row, and why is told."""
    text = MAP.replace("CONVERT", "decimal_dot").replace(*change)
    if "json" in change[1]:
        text = text.replace('delimiter = ";"\n', "")
    with pytest.raises(Unsuited, match=why):
        Columns(parse(text, file="customers.toml"), "customer")


def test_the_rows_of_a_file_keep_their_order() -> None:
    """The number of a row in the column store is that of its line, also where several threads read the file."""
    with TemporaryDirectory() as name:
        path = Path(name) / "rows.csv"
        path.write_text("".join(f"{line}\n" for line in range(600_000)), "utf-8")
        store = duckdb.connect(":memory:")
        store.execute("SET threads = 4")
        odd = store.execute(
            "SELECT count(*) FROM (SELECT row_number() OVER () - 1 AS line, cell FROM read_csv(?, auto_detect = false, "
            "header = false, columns = {'cell': 'VARCHAR'}, quote = '', escape = '', buffer_size = 65536, "
            "max_line_size = 1000)) WHERE line <> cell::BIGINT",
            [str(path)],
        ).fetchone()
        store.close()
    assert odd == (0,)
