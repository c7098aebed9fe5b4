"""Pages of the operations side: a limit, a signed cursor, and the shape that every list has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gateway.access import Cursors
from gateway.access.signing import foreign
from gateway.http.reply import Reply, ok
from gateway.http.route import Schema


class Listing:
    """Opens and issues the cursors of one list. ``context`` is everything that narrows it."""

    def __init__(self, cursors: Cursors, name: str) -> None:
        self._cursors = cursors
        self._name = name

    def after(self, query: Mapping[str, str]) -> str | None:
        """Where the page before ended, or None for the first page."""
        cursor = query.get("cursor")
        return None if cursor is None else self._cursors.open(self._context(query), cursor)

    def after_number(self, query: Mapping[str, str]) -> int | None:
        """The same for a list that is ordered by a number."""
        after = self.after(query)
        if after is None:
            return None
        if not after.isdigit():
            raise foreign()
        return int(after)

    def page(self, query: Mapping[str, str], items: Sequence[Any], *, last: str | None) -> Reply:
        """``last`` is where the next page goes on, or None when this was the last one."""
        following = None if last is None else self._cursors.sign(self._context(query), last)
        return ok({"items": items, "next_cursor": following})

    def _context(self, query: Mapping[str, str]) -> str:
        narrowed = sorted((name, value) for name, value in query.items() if name not in ("cursor", "limit"))
        return msgspec.json.encode([self._name, narrowed]).decode()


def page_of(item: Schema) -> Schema:
    """The schema of a page."""
    return {
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {
            "items": {"type": "array", "items": item},
            "next_cursor": {"type": ["string", "null"]},
        },
    }
