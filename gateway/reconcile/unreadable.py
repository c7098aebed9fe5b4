"""Keeps and shows the rows of sources that could not be read. Of each side of a run the first ones are kept; all are
counted in the run."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from gateway.database.rows import insert_rows
from gateway.reconcile.run import UnreadableRow
from gateway.reconcile.sources import Unreadable
from gateway.reconcile.tables import reconcile_unreadable
from gateway.reconcile.tally import Side

#: Rows of one side that are kept.
KEPT = 100


def put(connection: Connection, run_id: str, side: Side, rows: Sequence[Unreadable], *, before: int) -> None:
    """Keeps rows behind the ``before`` that were told before."""
    insert_rows(
        connection,
        reconcile_unreadable,
        [
            {
                "run_id": run_id,
                "side": side,
                "number": number,
                "line": row.line,
                "field": row.field,
                "reason": row.reason,
                "rows": row.rows,
            }
            for number, row in enumerate(rows, before + 1)
            if number <= KEPT
        ],
    )


def of(connection: Connection, run_id: str) -> tuple[UnreadableRow, ...]:
    """What is kept of a run, side by side in the order of reading."""
    kept = reconcile_unreadable.c
    found = connection.execute(
        select(reconcile_unreadable).where(kept.run_id == run_id).order_by(kept.side, kept.number)
    )
    return tuple(
        UnreadableRow(
            side=row.side, row=Unreadable(line=row.line, field=row.field, reason=row.reason, rows=row.rows)
        )
        for row in found
    )
