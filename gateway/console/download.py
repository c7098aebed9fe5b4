"""What a page gives as a file: how it is attached, and a whole list line by line while it is read page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from litestar.response import Stream

from gateway import spreadsheet
from gateway.console.view import HEADERS

T = TypeVar("T")

#: Rows that are asked for at once.
AT_ONCE = 200


def attached(name: str, at: datetime, *, kind: str = "csv") -> dict[str, str]:
    """The headers of a file of this moment; ``kind`` is the end of its name."""
    return {
        **HEADERS,
        "Content-Disposition": f'attachment; filename="{name}-{at.strftime("%Y%m%d-%H%M%S")}.{kind}"',
    }


def whole(
    columns: Sequence[str],
    page: Callable[[str | None, int], Awaitable[Sequence[T]]],
    row: Callable[[T], Sequence[str]],
    id_of: Callable[[T], str],
    *,
    headers: dict[str, str],
) -> Stream:
    """A list as CSV. ``page(after, limit)`` gives what comes behind an id."""

    async def lines() -> AsyncIterator[str]:
        yield spreadsheet.line(columns)
        after: str | None = None
        while True:
            found = await page(after, AT_ONCE)
            for one in found:
                yield spreadsheet.line(row(one))
            if len(found) < AT_ONCE:
                return
            after = id_of(found[-1])

    return Stream(lines(), media_type="text/csv", headers=headers)
