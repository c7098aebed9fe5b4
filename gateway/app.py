"""The composition root: builds everything once and passes it as arguments."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.types import ASGIApp

from adapters.contract import Adapter
from gateway import __version__
from gateway.access import Keys, instance_secret
from gateway.backfill.opening import open_backfiller
from gateway.canonical import ENTITIES
from gateway.cases import Cases
from gateway.change_feed.deciding import Decides
from gateway.change_feed.handover import Handover
from gateway.change_feed.hints import Hints, secrets_from
from gateway.change_feed.opening import open_follower
from gateway.clock import Clock, SystemClock
from gateway.cohorts import Assigning
from gateway.compare import Comparer
from gateway.compare.stored import StoredDiffs
from gateway.compare.waivers import Waivers
from gateway.console.docs import docs_router
from gateway.console.router import console_router
from gateway.database import Database, GroupCommit
from gateway.database.lock import Lock
from gateway.database.migrate import at_head, upgrade
from gateway.dispatch import natural_keys
from gateway.dispatch.admission import Admission, limits_of
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.backlog import Backlog, Deliveries
from gateway.dispatch.claim import Claims
from gateway.dispatch.conclusion import Concluded, Conclusion
from gateway.dispatch.deliver import Deliverer
from gateway.dispatch.executor import Executor
from gateway.dispatch.flow import Flow
from gateway.dispatch.intake import Intake
from gateway.dispatch.journey import Journey
from gateway.dispatch.operations import Operations
from gateway.dispatch.outcome import Outcomes
from gateway.dispatch.queues import Queues
from gateway.dispatch.reads import Reads
from gateway.dispatch.records import Records
from gateway.dispatch.replay import Replays
from gateway.dispatch.resolver import Resolver
from gateway.dispatch.sender import Sender
from gateway.dispatch.sides import ErpSides
from gateway.dispatch.waiting import Waiting
from gateway.errors import SettingWrong
from gateway.http.asgi import build
from gateway.ids import Ids, SystemIds
from gateway.ledger import slices as slice_store
from gateway.ledger.pressure import Pressure
from gateway.ledger.slices import Slices
from gateway.merging import Merging
from gateway.proof import Proofs
from gateway.readiness import Guarding, Readiness
from gateway.reconcile.opening import open_reconciler
from gateway.repair.opening import open_repairer
from gateway.routing.ruleset import Ruleset
from gateway.routing.ruleset import load as load_rules
from gateway.settings import Settings, rule_folder
from gateway.switchover import open_switchover
from gateway.systems import open_systems, timeout_s
from gateway.telemetry import Log, Metrics
from gateway.wake import Alone, Wake, Word
from gateway.wake.opening import open_wake
from gateway.worker import compare as compare_loop
from gateway.worker import deliver as deliver_loops
from gateway.worker import pass_on
from gateway.worker.upkeep import Upkeep

#: How long a stopping process waits for what it has in flight; what is left is found again by its lease.
FINISH_S = 25.0
#: How long callers of a stopping process wait for their answer at most; less than the server lets them.
ANSWER_S = 8.0
#: Comparing stands back while this many callers wait for a write, and while a system fails or asks for a pause.
BUSY_CALLERS = 16


class Gateway:
    """One process of the program. ``open()`` builds it, ``start()`` lets it work, ``stop()`` ends it."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.ids = ids or SystemIds()
        self.log = Log()
        self.metrics = Metrics()
        self.database = Database(settings.database, clock=self.clock)
        self.ruleset: Ruleset = load_rules(rule_folder(settings))
        self.proofs = Proofs({name: system.profile for name, system in settings.systems.items()})
        self.adapters: dict[str, Adapter] = {}
        self.wake: Wake = Alone()
        self._stop = asyncio.Event()
        #: when this process was told to stop, on the monotonic clock
        self.stopping_since: float | None = None
        self._loops: list[asyncio.Task[Any]] = []
        self._lock: Lock | None = None

    async def open(self, *, exclusive: bool = True) -> None:
        """Opens the database and builds the rooms. ``exclusive`` takes the lock that a SQLite journal's one serving
        process holds; the command line, which only reads or makes single changes, goes without."""
        settings = self.settings
        if self.database.sqlite and exclusive:
            self._lock = Lock(self.database.path)
        if self.database.sqlite:
            await asyncio.to_thread(upgrade, settings.database)
        self.database.start()
        if not await self.database.read(at_head):
            raise SettingWrong("the database has not the tables of this version: run `twinrun db upgrade`")
        self.pressure = Pressure(
            database=self.database, clock=self.clock, log=self.log, name=self.ids.new("prc_"),
            breaker_pause_s=settings.breaker_pause_s, callers_queued=settings.callers_queued,
        )  # fmt: skip
        self.adapters = open_systems(settings, self.pressure.door)
        await self.database.transaction(
            lambda conn: slice_store.seed(
                conn, self.ruleset.rules, at=self.database.now(conn), actor="rule files",
                following=self.ruleset.following,
            )
        )
        self.secret = await instance_secret(self.database)
        self.wake = open_wake(
            settings.redis, deployment=self.secret, name=self.ids.new("prc_"), clock=self.clock, log=self.log
        )
        self._build()

    def _build(self) -> None:
        settings, database, adapters = self.settings, self.database, self.adapters
        self.slices = Slices(database=database, clock=self.clock, refresh_s=settings.rules_refresh_s)
        self.keys = Keys(database=database, clock=self.clock, ids=self.ids, places=self.slices.places)
        self.records = Records(
            database=database, ids=self.ids, spare_edits=settings.change_feed, places=self.slices.places
        )
        self.adoption = Adoption(records=self.records, ruleset=self.ruleset)
        lease_s = {name: timeout_s(settings, name) + settings.lease_margin_s for name in adapters}
        self.claims = Claims(database=database, lease_s=lease_s)
        outcomes = Outcomes(database=database, claims=self.claims, ids=self.ids, settle_s=settings.settle_s)
        concluding: GroupCommit[Conclusion, Concluded] = GroupCommit(database, outcomes.step)
        self.sender = Sender(
            adapters=adapters, records=self.records, clock=self.clock, ids=self.ids, pressure=self.pressure,
            quarantine_margin_s=settings.quarantine_margin_s,
        )  # fmt: skip
        waiting = self.waiting = Waiting()
        self.deliverer = Deliverer(
            claims=self.claims, sender=self.sender, outcomes=concluding, waiting=waiting, adapters=adapters,
            pressure=self.pressure, metrics=self.metrics, log=self.log, mirrors=settings.mirror_concurrency,
        )  # fmt: skip
        outcomes.slots = self.deliverer.slots
        self.pressure.work_left = self._work_left
        self.pressure.told = lambda: self.wake.tell(Word.GATES)
        self.queues = Queues(database=database, clock=self.clock, log=self.log)
        self.admission = Admission(
            database=database, pressure=self.pressure, queues=self.queues, limits=limits_of(settings)
        )
        self.resolver = Resolver(
            database=database, adapters=adapters, sender=self.sender, outcomes=concluding, waiting=waiting,
            log=self.log, lease_s=lease_s, go_on=self.deliverer.go_on,
        )  # fmt: skip
        self.sides = ErpSides(
            adapters=adapters, records=self.records, adoption=self.adoption, slices=self.slices, database=database
        )
        self.comparer = Comparer(
            database=database, sides=self.sides, expect=self.sides.expect, facts=self.sides.facts, clock=self.clock,
            ids=self.ids, key=self.secret, concurrency=settings.compare_concurrency, queue=settings.compare_queue,
            settle_s=settings.settle_s, recheck_s=settings.recheck_s, confirm_s=settings.confirm_s,
            busy=lambda: self._busy() or not self.pressure.well,
        )  # fmt: skip
        self.reconciler = open_reconciler(
            database=database, adapters=adapters, settings=settings, adoption=self.adoption, ruleset=self.ruleset,
            sides=self.sides, slices=self.slices, pressure=self.pressure, ids=self.ids, log=self.log, key=self.secret,
            lease_s=max(lease_s.values()), busy=self._busy,
        )  # fmt: skip
        self.backfiller = open_backfiller(
            database=database, adapters=adapters, settings=settings, adoption=self.adoption, records=self.records,
            ruleset=self.ruleset, slices=self.slices, ids=self.ids, log=self.log, lease_s=max(lease_s.values()),
            busy=self._busy, told=self._work_left,
        )  # fmt: skip
        self.repairer = open_repairer(
            database=database, adapters=adapters, settings=settings, records=self.records, sides=self.sides,
            pressure=self.pressure, ids=self.ids, log=self.log, key=self.secret, lease_s=max(lease_s.values()),
            busy=self._busy, told=self._work_left,
        )  # fmt: skip
        self.follower = open_follower(
            database=database, adapters=adapters, settings=settings, adoption=self.adoption, records=self.records,
            ruleset=self.ruleset, slices=self.slices, ids=self.ids, log=self.log, lease_s=max(lease_s.values()),
            busy=self._busy, told=self._work_left,
        )  # fmt: skip
        self.hints = Hints(
            database=database, adapters=adapters, secrets=secrets_from(settings.systems), on=settings.change_feed,
            told=self._feeds_asked,
        )  # fmt: skip
        self.reads = Reads(
            adapters=adapters, records=self.records, adoption=self.adoption, slices=self.slices, ruleset=self.ruleset,
            comparer=self.comparer, clock=self.clock, ids=self.ids,
        )  # fmt: skip
        first_entity = {code: region.default_legal_entity for code, region in self.ruleset.regions.items()}
        intake = Intake(
            database=database, lease_s=lease_s, default_legal_entity=first_entity, cohorts=self.ruleset.cohorts
        )
        self.executor = Executor(
            database=database, intake=intake, deliverer=self.deliverer, waiting=waiting, records=self.records,
            reads=self.reads, slices=self.slices, admission=self.admission, ruleset=self.ruleset, clock=self.clock,
            ids=self.ids,
        )  # fmt: skip
        self.operations = Operations(database=database, pressure=self.pressure)
        self.journey = Journey(database=database)
        self.backlog = Backlog(database=database)
        self.deliveries = Deliveries(database=database)
        self.replays = Replays(
            database=database, ids=self.ids, per_s=settings.replay_per_s, told=self.deliverer.work_left.set
        )
        self.flow = Flow(database=database, systems=adapters)
        self.diffs = StoredDiffs(database)
        self.waivers = Waivers(database=database, ids=self.ids)
        seen = self.records.look_for_merges
        self.merging = Merging(database=database, ids=self.ids, forget=seen, told=self._work_left)
        edited = Decides(ids=self.ids, settle_us=int(settings.settle_s * 1_000_000))
        self.cases = Cases(
            database=database, release=natural_keys.release, edited=edited, told=self.deliverer.work_left.set
        )
        self.assigning = Assigning(database=database, cohorts=self.ruleset.cohorts)
        calendar = self.ruleset.calendar
        self.readiness = Readiness(database=database, backlog=self.backlog, feeds=self.follower, calendar=calendar)
        self.switchover = open_switchover(
            database=database, slices=self.slices, adapters=adapters, records=self.records, proofs=self.proofs,
            sender=self.sender, calendar=calendar, settings=settings, ids=self.ids, log=self.log,
            edits=Handover(database=database, follower=self.follower, adapters=adapters, told=self._feeds_asked),
            told=self._rules_changed,
        )  # fmt: skip
        self.guarding = Guarding(
            database=database, guards=self.ruleset.guards, readiness=self.readiness,
            switches=self.switchover.switches, moves=self.switchover.moves, ids=self.ids, log=self.log,
            two_person=settings.two_person,
        )  # fmt: skip
        self.upkeep = Upkeep(
            database=database, metrics=self.metrics, log=self.log, slices=self.slices, cases=self.cases,
            backlog=self.backlog, waivers=self.waivers, reconciler=self.reconciler, repairer=self.repairer,
            backfiller=self.backfiller, guarding=self.guarding, follower=self.follower, records=self.records,
            systems=adapters, resolved_diffs_days=settings.resolved_diffs_days,
        )  # fmt: skip

    async def start(self, *, worker: bool) -> None:
        """Begins to work: rules and keys are kept fresh, and with ``worker`` the loops run."""
        await self.slices.start()
        await self.keys.start()
        self.wake.listen(Word.RULES, self.slices.look)
        self.wake.listen(Word.GATES, self.pressure.look)
        await self.pressure.start(self.adapters)
        await self.queues.start()
        if worker:
            self.wake.listen(Word.DELIVERIES, self.deliverer.work_left.set)
            self.wake.listen(Word.FEEDS, self.follower.asked.set)
            await self.resolver.recover()
            self.deliverer.accepts_mirrors = True
            stop, log = self._stop, self.log
            self._loops = [
                asyncio.create_task(deliver_loops.deliver(self.deliverer, stop, log), name="deliver"),
                asyncio.create_task(deliver_loops.resolve(self.resolver, stop, log), name="resolve"),
                asyncio.create_task(
                    deliver_loops.watch(self.replays.run_once, stop, log, "replays", 0.25, 1.0), name="replays"
                ),
                asyncio.create_task(compare_loop.run(self.comparer, stop), name="compare"),
                asyncio.create_task(
                    deliver_loops.watch(self.switchover.run_once, stop, log, "switches", 1.0),
                    name="switches",
                ),
            ]
        else:
            await self.comparer.start()
            passing = pass_on.run(self.deliverer.work_left, self.wake, self._stop)
            self._loops = [asyncio.create_task(passing, name="pass on")]
        self._loops.extend(self.upkeep.start(self._stop, worker=worker))
        await self.wake.start()

    def begin_to_stop(self) -> None:
        """Not ready any more, and nothing new is begun: what was claimed and not sent is free for the others at once,
        and callers who wait are answered soon. To be followed by ``stop``."""
        if self.stopping_since is None:
            self.stopping_since = self.clock.monotonic()
            self.deliverer.free_unsent()
            self.waiting.end_within(ANSWER_S)

    async def stop(self) -> None:
        """Finishes what is in flight and closes. What does not finish is found again by its lease."""
        self.begin_to_stop()
        self._stop.set()
        gone = self.clock.monotonic() - (self.stopping_since or 0.0)
        await self.deliverer.finish(max(0.0, FINISH_S - gone))
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.switchover.moves.stop()
        await self.comparer.stop()
        await self.queues.stop()
        await self.pressure.stop()
        await self.keys.stop()
        await self.slices.stop()
        # What this process did not get done is for the others now.
        self.wake.tell(Word.DELIVERIES)
        await self.close()

    async def close(self) -> None:
        """Closes what ``open`` has opened."""
        await self.wake.stop()
        for adapter in self.adapters.values():
            await adapter.close()
        await self.database.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def asgi(self) -> ASGIApp:
        """The HTTP face of this process."""
        settings = self.settings
        return build(
            version=__version__,
            keys=self.keys,
            secret=self.secret,
            ids=self.ids,
            metrics=self.metrics,
            executor=self.executor,
            reads=self.reads,
            operations=self.operations,
            slices=self.slices,
            switchover=self.switchover,
            switches=self.switchover.switches,
            schedule=self.switchover.schedule,
            guards=self.guarding,
            simulation=self.switchover.simulation,
            readiness=self.readiness,
            journey=self.journey,
            deliveries=self.deliveries,
            replays=self.replays,
            reconciler=self.reconciler,
            repairer=self.repairer,
            backfiller=self.backfiller,
            follower=self.follower,
            hints=self.hints,
            diffs=self.diffs,
            waivers=self.waivers,
            cases=self.cases,
            merging=self.merging,
            database=self.database,
            database_ready=lambda: self.database.read(at_head),
            stopping=lambda: self.stopping_since is not None,
            systems=frozenset(self.adapters),
            systems_state=lambda: dict(self.pressure.health),
            body_limit=settings.body_limit,
            wait_default_s=settings.wait_default_s,
            wait_max_s=settings.wait_max_s,
            handlers=[
                console_router(
                    slices=self.slices,
                    backlog=self.backlog,
                    diffs=self.diffs,
                    waivers=self.waivers,
                    switchover=self.switchover,
                    switches=self.switchover.switches,
                    schedule=self.switchover.schedule,
                    simulation=self.switchover.simulation,
                    calendar=self.ruleset.calendar,
                    readiness=self.readiness,
                    guards=self.guarding,
                    journey=self.journey,
                    cases=self.cases,
                    flow=self.flow,
                    replays=self.replays,
                    reconciler=self.reconciler,
                    repairer=self.repairer,
                    backfiller=self.backfiller,
                    follower=self.follower,
                    health=lambda: dict(self.pressure.health),
                    keys=self.keys,
                    secret=self.secret,
                    clock=self.clock,
                    entities=[entity.name for entity in ENTITIES],
                ),
                docs_router(),
            ],
        )

    def _busy(self) -> bool:
        return self.admission.callers > BUSY_CALLERS

    def _work_left(self) -> None:
        self.deliverer.work_left.set()
        self.wake.tell(Word.DELIVERIES)

    def _feeds_asked(self) -> None:
        self.follower.asked.set()
        self.wake.tell(Word.FEEDS)

    def _rules_changed(self) -> None:
        self.deliverer.work_left.set()
        self.wake.tell(Word.RULES)
