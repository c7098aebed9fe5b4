"""The composition root: builds everything once and passes it as arguments."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar

from adapters.build import open_adapter
from adapters.contract import Adapter, Facts
from adapters.errors import AdapterError, Misconfigured
from adapters.profile import load as load_profile
from gateway import __version__
from gateway.access import Keys, instance_secret
from gateway.canonical import BY_NAME, ENTITIES
from gateway.clock import Clock, SystemClock
from gateway.compare import Comparer
from gateway.console.docs import docs_router
from gateway.console.ports import StoredDiffs
from gateway.console.router import console_router
from gateway.database import Database, GroupCommit
from gateway.database.migrate import at_head, upgrade
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.backlog import Backlog, Deliveries
from gateway.dispatch.claim import Claims
from gateway.dispatch.conclusion import Concluded, Conclusion
from gateway.dispatch.deliver import Deliverer
from gateway.dispatch.executor import Executor
from gateway.dispatch.intake import Intake
from gateway.dispatch.journey import Journey
from gateway.dispatch.operations import Operations
from gateway.dispatch.outcome import Outcomes
from gateway.dispatch.reads import Reads
from gateway.dispatch.records import Records
from gateway.dispatch.resolver import Resolver
from gateway.dispatch.sender import Sender
from gateway.dispatch.sides import ErpSides
from gateway.dispatch.translate import expected
from gateway.dispatch.waiting import Waiting
from gateway.errors import SettingWrong
from gateway.http.asgi import build
from gateway.ids import Ids, SystemIds
from gateway.ledger import slices as slice_store
from gateway.ledger.slices import Slices
from gateway.routing.ruleset import Ruleset
from gateway.routing.ruleset import load as load_rules
from gateway.settings import Settings
from gateway.switchover import Switchover
from gateway.telemetry import Log, Metrics
from gateway.wake import Alone, Wake, Word
from gateway.worker import compare as compare_loop
from gateway.worker import deliver as deliver_loops
from gateway.worker import pass_on

#: How long a stopping process waits for what it has in flight; what is left is found again by its lease.
FINISH_S = 25.0
#: Comparing stands back while this many callers wait for a write.
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
        self.adapters: dict[str, Adapter] = {}
        self.wake: Wake = Alone()
        self._stop = asyncio.Event()
        self._loops: list[asyncio.Task[Any]] = []
        self._lock: _Lock | None = None
        self.health: dict[str, str] = {}

    async def open(self, *, exclusive: bool = True) -> None:
        """Opens the database and builds the rooms. ``exclusive`` takes the lock that a SQLite journal's one serving
        process holds; the command line, which only reads or makes single changes, goes without."""
        settings = self.settings
        if self.database.sqlite and exclusive:
            self._lock = _Lock(self.database.path)
        if self.database.sqlite:
            await asyncio.to_thread(upgrade, settings.database)
        self.database.start()
        if not await self.database.read(at_head):
            raise SettingWrong("the database has not the tables of this version: run `twinrun db upgrade`")
        self.adapters = open_systems(settings)
        await self.database.transaction(
            lambda conn: slice_store.seed(
                conn, self.ruleset.rules, at=self.database.now(conn), actor="rule files"
            )
        )
        self.secret = await instance_secret(self.database)
        self.wake = self._open_wake()
        self._build()

    def _build(self) -> None:
        settings, database, adapters = self.settings, self.database, self.adapters
        self.slices = Slices(database=database, clock=self.clock, refresh_s=settings.rules_refresh_s)
        self.keys = Keys(database=database, clock=self.clock, ids=self.ids)
        self.records = Records(database=database, ids=self.ids)
        self.adoption = Adoption(records=self.records, ruleset=self.ruleset)
        lease_s = {name: timeout_s(settings, name) + settings.lease_margin_s for name in adapters}
        self.claims = Claims(database=database, lease_s=lease_s)
        outcomes = Outcomes(database=database, claims=self.claims, settle_s=settings.settle_s)
        concluding: GroupCommit[Conclusion, Concluded] = GroupCommit(database, outcomes.step)
        self.sender = Sender(
            adapters=adapters,
            records=self.records,
            clock=self.clock,
            ids=self.ids,
            quarantine_margin_s=settings.quarantine_margin_s,
        )
        waiting = Waiting()
        self.deliverer = Deliverer(
            claims=self.claims,
            sender=self.sender,
            outcomes=concluding,
            waiting=waiting,
            adapters=adapters,
            metrics=self.metrics,
            log=self.log,
            mirrors=settings.mirror_concurrency,
        )
        outcomes.slots = self.deliverer.slots
        self.resolver = Resolver(
            database=database,
            adapters=adapters,
            sender=self.sender,
            outcomes=concluding,
            waiting=waiting,
            log=self.log,
        )
        self.sides = ErpSides(
            adapters=adapters,
            records=self.records,
            adoption=self.adoption,
            slices=self.slices,
            database=database,
        )
        self.comparer = Comparer(
            database=database,
            sides=self.sides,
            expect=self._expect,
            facts=self._facts,
            clock=self.clock,
            ids=self.ids,
            key=self.secret,
            concurrency=settings.compare_concurrency,
            queue=settings.compare_queue,
            settle_s=settings.settle_s,
            recheck_s=settings.recheck_s,
            busy=lambda: len(waiting) > BUSY_CALLERS,
        )
        self.reads = Reads(
            adapters=adapters,
            records=self.records,
            adoption=self.adoption,
            slices=self.slices,
            ruleset=self.ruleset,
            comparer=self.comparer,
            clock=self.clock,
            ids=self.ids,
        )
        self.executor = Executor(
            database=database,
            intake=Intake(
                database=database,
                lease_s=lease_s,
                default_legal_entity={
                    code: region.default_legal_entity for code, region in self.ruleset.regions.items()
                },
            ),
            deliverer=self.deliverer,
            waiting=waiting,
            records=self.records,
            reads=self.reads,
            ruleset=self.ruleset,
            clock=self.clock,
            ids=self.ids,
        )
        self.operations = Operations(database=database)
        self.journey = Journey(database=database)
        self.backlog = Backlog(database=database)
        self.deliveries = Deliveries(database=database)
        self.diffs = StoredDiffs(database)
        self.switchover = Switchover(
            database=database,
            slices=self.slices,
            adapters=adapters,
            records=self.records,
            clock=self.clock,
            ids=self.ids,
            log=self.log,
            drain_limit_s=settings.drain_limit_s,
            told=self._rules_changed,
        )

    async def start(self, *, worker: bool) -> None:
        """Begins to work: rules and keys are kept fresh, and with ``worker`` the loops run."""
        await self.slices.start()
        await self.keys.start()
        self.wake.listen(Word.RULES, self.slices.look)
        if worker:
            self.wake.listen(Word.DELIVERIES, self.deliverer.work_left.set)
            await self.resolver.recover()
            self.deliverer.accepts_mirrors = True
            stop, log = self._stop, self.log
            self._loops = [
                asyncio.create_task(deliver_loops.deliver(self.deliverer, stop, log), name="deliver"),
                asyncio.create_task(deliver_loops.resolve(self.resolver, stop, log), name="resolve"),
                asyncio.create_task(compare_loop.run(self.comparer, stop), name="compare"),
                asyncio.create_task(
                    deliver_loops.watch(self.switchover.lift_stale_fences, stop, log, "fences", 5.0),
                    name="fences",
                ),
                asyncio.create_task(
                    deliver_loops.watch(self._look_after, stop, log, "systems", 10.0), name="systems"
                ),
            ]
        else:
            await self.comparer.start()
            self._loops = [
                asyncio.create_task(
                    deliver_loops.watch(self._look_after, self._stop, self.log, "systems", 10.0),
                    name="systems",
                ),
                asyncio.create_task(
                    pass_on.run(self.deliverer.work_left, self.wake, self._stop), name="pass on"
                ),
            ]
        await self.wake.start()

    async def stop(self) -> None:
        """Finishes what is in flight and closes. What does not finish is found again by its lease."""
        self._stop.set()
        await self.deliverer.finish(FINISH_S)
        await asyncio.gather(*self._loops, return_exceptions=True)
        await self.comparer.stop()
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

    def asgi(self) -> Litestar:
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
            journey=self.journey,
            deliveries=self.deliveries,
            diffs=self.diffs,
            database=self.database,
            database_ready=self._database_ready,
            systems=frozenset(self.adapters),
            systems_state=lambda: dict(self.health),
            body_limit=settings.body_limit,
            wait_default_s=settings.wait_default_s,
            wait_max_s=settings.wait_max_s,
            handlers=[
                console_router(
                    slices=self.slices,
                    backlog=self.backlog,
                    diffs=self.diffs,
                    switchover=self.switchover,
                    journey=self.journey,
                    keys=self.keys,
                    secret=self.secret,
                    clock=self.clock,
                    entities=[entity.name for entity in ENTITIES],
                ),
                docs_router(),
            ],
        )

    def _open_wake(self) -> Wake:
        settings = self.settings
        if settings.redis is None:
            return Alone()
        from gateway.wake.over_redis import RedisWake  # the package is there only where it was asked for

        return RedisWake(
            settings.redis, deployment=self.secret, name=self.ids.new("prc_"), clock=self.clock, log=self.log
        )

    def _rules_changed(self) -> None:
        self.deliverer.work_left.set()
        self.wake.tell(Word.RULES)

    async def _database_ready(self) -> bool:
        return await self.database.read(at_head)

    async def _look_after(self) -> int:
        for name, adapter in self.adapters.items():
            try:
                health = await adapter.probe()
            except AdapterError as failed:
                self.log.warning("system does not answer", system=name, reason=failed.message)
                self.health[name] = "down"
            else:
                self.health[name] = "up" if health.ok else "down"
        self.metrics.rules_age.set(self.slices.age_s())
        return len(self.adapters)

    def _expect(self, system: str, entity: str, fields: dict[str, Any]) -> Mapping[str, Any]:
        return expected(self.adapters[system], BY_NAME[entity], fields)

    def _facts(self, system: str, entity: str) -> Facts | None:
        adapter = self.adapters.get(system)
        return adapter.facts(entity) if adapter is not None and adapter.supports(entity) else None


class _Lock:
    """A SQLite journal has one serving process. A second start refuses instead of sharing its lanes."""

    def __init__(self, database: Path) -> None:
        import fcntl

        self._path = database.with_name(database.name + ".lock")
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            self._file.close()
            raise SettingWrong(
                f"another process serves {database}: stop it, or use PostgreSQL for more than one process"
            ) from held
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


def rule_folder(settings: Settings) -> Any:
    """Where the rule files are: the folder of the settings, or the packaged ones."""
    return Path(settings.rules) if settings.rules is not None else files("routing_rules")


def open_systems(settings: Settings) -> dict[str, Adapter]:
    """The adapters of the systems in the settings. Raises SettingWrong for a profile or address that is wrong."""
    opened: dict[str, Adapter] = {}
    for name, system in settings.systems.items():
        try:
            profile = load_profile(system.profile)
            limits = msgspec.structs.replace(
                profile.limits,
                timeout_s=system.timeout_s or profile.limits.timeout_s,
                concurrency=system.concurrency or profile.limits.concurrency,
            )
            opened[name] = open_adapter(
                name,
                msgspec.structs.replace(profile, limits=limits),
                system.base_url,
                system.auth,
                system.options,
            )
        except Misconfigured as wrong:
            raise SettingWrong(f"systems.{name}: {wrong.message}") from wrong
    return opened


def timeout_s(settings: Settings, name: str) -> float:
    """How long one call to a system may take, in seconds."""
    system = settings.systems[name]
    return system.timeout_s or load_profile(system.profile).limits.timeout_s
