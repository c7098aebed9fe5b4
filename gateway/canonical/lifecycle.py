"""States and the moves between them, as a table per entity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

#: Entity -> the states in which its records stand in the books, where nothing is undone but by another entry.
IN_THE_BOOKS: Mapping[str, frozenset[str]] = {
    "time_entry": frozenset({"posted", "invoiced"}),
    "expense": frozenset({"posted", "invoiced", "reimbursed"}),
    "invoice": frozenset({"posted", "partially_paid", "paid"}),
    "payment": frozenset({"received", "applied", "reversed"}),
}


class Lifecycle(msgspec.Struct, frozen=True, kw_only=True):
    """Where a record begins, and from each state the states that may come next."""

    initial: str
    moves: Mapping[str, tuple[str, ...]]

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(self.moves)

    def legal(self, from_: str) -> tuple[str, ...]:
        """The states that may come after ``from_``; none after a last one or a word that is no state."""
        return self.moves.get(from_, ())


def in_the_books(entity: str, document: Mapping[str, Any]) -> bool:
    """Whether this document is a posting, or the write that made it so."""
    return document.get("state") in IN_THE_BOOKS.get(entity, frozenset())
