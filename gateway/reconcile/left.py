"""The lines that are left of two sources that were read as sets, kept while the run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

import msgspec
from sqlalchemy import Connection, delete, select

from gateway.database.rows import insert_rows
from gateway.reconcile.tables import reconcile_left
from gateway.reconcile.tally import Side

_encode = msgspec.json.Encoder().encode
_numbers = msgspec.json.Decoder(list[int]).decode


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of a side's file, in order, and where reading them begins."""

    cursor: str
    lines: Sequence[int]


def put(connection: Connection, run_id: str, left: Mapping[Side, Left]) -> None:
    """Keeps what is left of the sets of a run."""
    insert_rows(
        connection,
        reconcile_left,
        [
            {
                "run_id": run_id,
                "side": side,
                "cursor": one.cursor,
                "lines": _encode([after - before for before, after in pairwise((0, *one.lines))]).decode(),
            }
            for side, one in left.items()
        ],
    )


def of(connection: Connection, run_id: str) -> dict[Side, Left]:
    """What is left of the sets of a run."""
    rows = connection.execute(select(reconcile_left).where(reconcile_left.c.run_id == run_id))
    return {row.side: Left(cursor=row.cursor, lines=tuple(accumulate(_numbers(row.lines)))) for row in rows}


def forget(connection: Connection, run_id: str) -> None:
    """The run has ended."""
    connection.execute(delete(reconcile_left).where(reconcile_left.c.run_id == run_id))
