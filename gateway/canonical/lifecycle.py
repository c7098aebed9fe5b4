"""States and the moves between them, as a table per entity."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


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
