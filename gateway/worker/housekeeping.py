"""The loop that deletes what is not to be kept any longer, in small transactions, so that no writer waits for it.

Any number of processes may run it: on PostgreSQL each passes by the rows that another one has in hand. What is kept,
and for how long, is said where it is stored: idempotency keys and ids of webhooks for seven days; resolved
differences, edits made in a system itself, reconciliations that a newer one has overtaken, and what an ended backfill
or repair did to each record, as long as the settings say.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from gateway.backfill import retention as backfilled
from gateway.change_feed import retention as edited
from gateway.change_feed.hints import KEPT_DAYS
from gateway.compare import retention
from gateway.database import Database
from gateway.dispatch import idempotency
from gateway.reconcile import retention as reconciled
from gateway.repair import retention as repaired
from gateway.telemetry import Metrics

EVERY_S = 60.0
#: Rows of one transaction: a few milliseconds of a writer's time.
BATCH = 500
#: Transactions of one round and table. What is left then waits for the next round.
BATCHES = 200
DAY_MICROS = 24 * 3600 * 1_000_000
HEARD = KEPT_DAYS * DAY_MICROS

#: Deletes at most so many rows that are over at a moment (microseconds UTC), and says how many.
_Purge = Callable[[Connection, int, int], int]


class Housekeeping:
    """``resolved_diffs_days``: how long a difference is kept after it was resolved, and a reconciliation, or the
    records of a backfill or a repair, after it ended."""

    def __init__(self, *, database: Database, metrics: Metrics, resolved_diffs_days: int) -> None:
        self._database = database
        self._metrics = metrics
        kept = resolved_diffs_days * DAY_MICROS
        self._purges: dict[str, _Purge] = {
            "idem": lambda conn, now, limit: idempotency.purge(conn, now=now, limit=limit),
            "diff": lambda conn, now, limit: retention.purge(conn, before=now - kept, limit=limit),
            "backfill_item": lambda conn, now, limit: backfilled.purge(conn, before=now - kept, limit=limit),
            "feed_edit": lambda conn, now, limit: edited.purge(conn, before=now - kept, limit=limit),
            "feed_hint": lambda conn, now, limit: edited.purge_hints(conn, before=now - HEARD, limit=limit),
            "repair_item": lambda conn, now, limit: repaired.purge(conn, before=now - kept, limit=limit),
            "reconcile_run": lambda conn, now, limit: reconciled.purge(conn, before=now - kept, limit=limit),
        }

    async def run_once(self) -> int:
        """Deletes what is over now. Returns how many rows."""
        total = 0
        for table, purge in self._purges.items():
            for _ in range(BATCHES):
                done = await self._database.transaction(
                    lambda conn, purge=purge: purge(conn, self._database.now(conn), BATCH)
                )
                self._metrics.purged.labels(table).inc(done)
                total += done
                if done < BATCH:
                    break
        return total
