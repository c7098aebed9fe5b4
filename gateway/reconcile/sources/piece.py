"""What is read of a source at once, and what it says when it cannot be read."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from adapters.contract import Found


class Failed(Exception):
    """The source is not what its map says, or it is not there. The message says which and why; reading it again as it
    is would not help."""


class Away(Exception):
    """The database does not answer now. It may later."""


class Unsuited(Exception):
    """The source cannot be taken as columns and is read row by row. The message says why."""


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """A row that cannot be read. ``line`` is that of the file, or the number of the row in the order of a query; 0 is
    no row in particular. ``field`` is the canonical field, where one is at fault."""

    line: int
    field: str | None
    reason: str
    rows: int = 1  #: how many rows it is about


class Row(NamedTuple):
    """A row as it lies there, by column, with its line."""

    line: int
    cells: dict[str, Any]


class Rows(NamedTuple):
    """Rows behind a cursor. ``cursor`` None: there are no more."""

    rows: list[Row]
    unreadable: list[Unreadable]
    cursor: str | None
    made_at: int | None  #: microseconds UTC, when the export was made; None: it is as of now


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Records of a source, each with its line."""

    found: tuple[tuple[int, Found], ...]
    unreadable: tuple[Unreadable, ...]
    next_cursor: str | None
    made_at: int | None  #: microseconds UTC before which nothing written is missing; None: it is as of now
