"""The loops by which the program looks after itself: figures, and what merges have changed, in every process; in those
that work, also the laws of the journal, the records of waivers that begin or end, reconciliations and repairs, the
guards of slices, and the deletion of what is over."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from gateway.backfill import Backfiller
from gateway.cases import Cases, Kind
from gateway.change_feed import FOLLOWED, Follower
from gateway.compare import jobs
from gateway.compare.waivers import Waivers
from gateway.database import Database
from gateway.dispatch.backlog import Backlog
from gateway.dispatch.records import Records
from gateway.ledger.slices import Slices
from gateway.ledger.states import DELIVERY_OPEN
from gateway.readiness import Guarding
from gateway.reconcile import Reconciler
from gateway.repair import Repairer
from gateway.telemetry import Log, Metrics
from gateway.worker import housekeeping, invariants
from gateway.worker.deliver import watch
from gateway.worker.housekeeping import Housekeeping
from gateway.worker.invariants import Invariants

FIGURES_S = 10.0
#: How soon the records of a waiver that has begun or ended are looked at again.
WAIVERS_S = 1.0
#: How soon a reconciliation that is under way is taken up again.
RECONCILIATIONS_S = 0.25
#: How soon a backfill that is under way is taken up again.
BACKFILLS_S = 0.1
#: How soon a repair that is under way is taken up again.
REPAIRS_S = 0.1
#: How soon a window of a guard that has ended is looked at.
GUARDS_S = 5.0
#: How soon a change feed that has just found something is taken up again.
FEEDS_S = 0.25
#: How soon a process sees that others have merged two records, or parted them.
MERGES_S = 1.0
#: How soon any of those is taken up where there was nothing to do.
IDLE_S = 1.0


class Upkeep:
    def __init__(
        self,
        *,
        database: Database,
        metrics: Metrics,
        log: Log,
        slices: Slices,
        cases: Cases,
        backlog: Backlog,
        waivers: Waivers,
        reconciler: Reconciler,
        repairer: Repairer,
        backfiller: Backfiller,
        guarding: Guarding,
        follower: Follower,
        records: Records,
        systems: Iterable[str],
        resolved_diffs_days: int,
    ) -> None:
        self._database = database
        self._metrics = metrics
        self._log = log
        self._slices = slices
        self._cases = cases
        self._backlog = backlog
        self._waivers = waivers
        self._reconciler = reconciler
        self._repairer = repairer
        self._backfiller = backfiller
        self._guarding = guarding
        self._follower = follower
        self._records = records
        self._systems = tuple(systems)
        self.invariants = Invariants(database=database, metrics=metrics, log=log)
        self.housekeeping = Housekeeping(
            database=database, metrics=metrics, resolved_diffs_days=resolved_diffs_days
        )

    def start(self, stop: asyncio.Event, *, worker: bool) -> list[asyncio.Task[Any]]:
        """The loops of this process; they end when ``stop`` is set."""
        woken = {"change feeds": self._follower.asked}
        loops: list[tuple[Callable[[], Awaitable[int]], str, float, float | None]] = [
            (self.figures, "figures", FIGURES_S, None),
            (self._records.look_for_merges, "merges", MERGES_S, None),
        ]
        if worker:
            loops += [
                (self._waivers.run_once, "waivers", WAIVERS_S, None),
                (self._reconciler.run_once, "reconciliations", RECONCILIATIONS_S, IDLE_S),
                (self._backfiller.run_once, "backfills", BACKFILLS_S, IDLE_S),
                (self._repairer.run_once, "repairs", REPAIRS_S, IDLE_S),
                (self._guarding.run_once, "guards", GUARDS_S, None),
                (self._follower.run_once, "change feeds", FEEDS_S, IDLE_S),
                (self.invariants.run_once, "invariants", invariants.EVERY_S, None),
                (self.housekeeping.run_once, "housekeeping", housekeeping.EVERY_S, None),
            ]
        return [
            asyncio.create_task(
                watch(once, stop, self._log, what, every_s, idle_s, wake=woken.get(what)), name=what
            )
            for once, what, every_s, idle_s in loops
        ]

    async def figures(self) -> int:
        """Brings those figures up to date that are counted and not observed."""
        metrics = self._metrics
        metrics.rules_age.set(self._slices.age_s())
        waiting = await self._cases.open_by_kind()
        for kind in Kind:
            metrics.cases_open.labels(kind.value).set(waiting.get(kind, 0))
        backlog = await self._backlog.of_systems()
        for system in {*self._systems, *backlog}:
            one = backlog.get(system, {"open": {}, "oldest_age_s": 0.0})
            for state in DELIVERY_OPEN:
                # A state in which nothing is any more falls to 0 instead of standing where it was.
                metrics.deliveries_open.labels(system, state.value).set(one["open"].get(state.value, 0))
            metrics.delivery_oldest_s.labels(system).set(one["oldest_age_s"])
        await self._feeds()
        metrics.comparisons_waiting.set(await self._database.read(jobs.waiting))
        return 1

    async def _feeds(self) -> None:
        """How far behind the change feeds are, and what they have found."""
        lags: dict[tuple[str, str], float] = {}
        counted: Counter[tuple[str, str]] = Counter()
        for one in await self._follower.list():
            if one.lag_s is not None and one.state in FOLLOWED:
                key = (one.system, one.entity)
                lags[key] = max(one.lag_s, lags.get(key, 0.0))
            for outcome in ("carried", "reverted", "conflicts"):
                counted[one.system, outcome] += getattr(one, outcome)
        for (system, entity), lag_s in lags.items():
            self._metrics.feed_lag_s.labels(system, entity).set(lag_s)
        for (system, outcome), number in counted.items():
            self._metrics.feed_edits.labels(system, outcome).set(number)
