"""Where a command puts what it found. Tables for people, one JSON document for programs.

Standard output carries the result and nothing else. Colour goes away with ``NO_COLOR`` and where the output is no
terminal; rich honours both by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

#: The flag that every command carries.
Json = Annotated[bool, Parameter(name="--json", negative="", help="One JSON document instead of tables.")]

#: Verdicts, states and stages -> how they are shown to people.
COLOURS: Mapping[str, str] = {
    "pass": "green", "ok": "green", "match": "green", "done": "green", "explained": "green", "late": "yellow",
    "fail": "bold red", "mismatch": "bold red", "todo": "yellow", "inconclusive": "yellow", "unverifiable": "yellow",
    "missing": "red", "exempt": "dim",
}  # fmt: skip


def out() -> Console:
    """The screen of results. A pipe gets lines as long as they are."""
    terminal = sys.stdout.isatty()
    return Console(file=sys.stdout, highlight=False, width=None if terminal else 200, soft_wrap=not terminal)


def err() -> Console:
    """The screen of progress and remarks."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def at_minute(micros: int) -> str:
    """A moment, in microseconds UTC, as people are told it in tables and remarks."""
    from gateway.database import from_micros  # here, so that help is there at once

    return from_micros(micros).strftime("%Y-%m-%d %H:%M UTC")


def say(line: str) -> None:
    """One remark on standard error."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def put_json(body: Any) -> None:
    """One document on standard output: decimals as strings, as everywhere in this program."""
    encoded = msgspec.json.Encoder(enc_hook=str, decimal_format="string").encode(body)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
    sys.stdout.flush()


def put_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
) -> None:
    """A table on standard output; ``right`` names the columns of numbers."""
    out().print(table(columns, rows, title=title, right=right))


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    title: str | None = None,
    right: Sequence[str] = (),
) -> Table:
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def cell(value: Any) -> Text:
    """A value as text: never as markup, because an ERP's text may hold brackets."""
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    text = str(value)
    return Text(text, style=COLOURS.get(text, ""))
