"""One replica: the gateway as its composition root builds it, on the simulated store, clock, ids and adapters."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import gateway.app
import gateway.backfill.steps
import gateway.dispatch.queues
import gateway.ledger.pressure
import gateway.switchover.moves
from adapters.contract import Adapter
from adapters.door import Door
from adapters.profile import Limits, load
from gateway.app import Gateway
from gateway.canonical import BY_NAME
from gateway.errors import StoreUnavailable
from gateway.ids import Ids
from gateway.ledger import slices as slice_store
from gateway.ledger.pressure import Pressure
from gateway.proof import PairProof, Proofs, prove_pair
from gateway.routing.ruleset import LegalEntity, Region, Rule, Ruleset
from gateway.settings import Settings, SystemSettings
from gateway.wake import Word
from tests.simulation.loop import Process, SimClock
from tests.simulation.scenario import ENTITIES, LEGAL_ENTITY, REGION, Scenario
from tests.simulation.store import SimDatabase, Store

#: How often a loop of a worker looks by itself, in seconds, on average.
LOOK_S = 0.8

# The files are read once for all histories; each history has rules of its own.
_load_rules = functools.cache(gateway.app.load_rules)
#: What loops that only look around wait for in a history: its time is virtual, and each look costs real time.
_PACE: tuple[tuple[Any, str, Any], ...] = (
    (gateway.ledger.pressure, "LOOK_S", 4.0),
    (gateway.ledger.pressure, "ALIVE_EVERY_S", 8.0),
    (gateway.ledger.pressure, "ALIVE_S", 24.0),
    (gateway.ledger.pressure, "HEALTH_EVERY_S", 30.0),
    (gateway.dispatch.queues, "COUNT_S", 10.0),
    (gateway.switchover.moves, "LOOK_S", 0.5),  # a drain looks less often too: its loop is the same
    (gateway.app, "load_rules", _load_rules),
    # A history has a handful of records, and is to have several chunks all the same.
    (gateway.backfill.steps, "CHUNK", 2),
    (gateway.backfill.steps, "PAGE", 3),
)


@contextlib.contextmanager
def paced() -> Iterator[None]:
    """While a history runs, and no longer: other tests of the same process have the program as it ships."""
    # A comparison that broke is in the journal. What one says that is taken apart with its dead replica is nothing.
    said = logging.getLogger("twinrun.compare")
    kept = [(owner, name, getattr(owner, name)) for owner, name, _ in (*_PACE, (said, "disabled", True))]
    said.disabled = True
    for owner, name, value in _PACE:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in kept:
            setattr(owner, name, value)


def ruleset_of(scenario: Scenario) -> Ruleset:
    company = LegalEntity(code=LEGAL_ENTITY, name="Simulated Ltd", country="GB", currency="GBP")
    region = Region(
        code=REGION, name="Simulated", default_legal_entity=LEGAL_ENTITY, legal_entities=(company,)
    )
    return Ruleset(
        regions={REGION: region},
        rules={
            (entity, REGION): Rule(
                entity=entity,
                region=REGION,
                stage=scenario.stages[entity],
                compare_sample=0,
                storable=scenario.storable[entity],
            )
            for entity in ENTITIES
        },
    )


def settings_of(scenario: Scenario) -> Settings:
    return Settings(
        database="sqlite://" + "/simulated",
        systems={
            name: SystemSettings(
                profile=f"sandbox_{name}", base_url="http://127.0.0.1:1", timeout_s=product.timeout_s
            )
            for name, product in scenario.products.items()
        },
        lease_margin_s=scenario.lease_margin_s,
        quarantine_margin_s=scenario.quarantine_margin_s,
        drain_limit_s=scenario.drain_limit_s,
        rules_refresh_s=2.0,
        breaker_pause_s=8.0,
        wait_default_s=5.0,
    )


def seed_rules(store: Store, rules: Ruleset) -> None:
    store.run(lambda conn: slice_store.seed(conn, rules.rules, at=0, actor="rule files"))


class HeardLog:
    """The program's log. What it logs as an exception is a fault of its own, and no history may have one."""

    def __init__(self, said: Callable[[str], None], failed: Callable[[str], None]) -> None:
        self._said = said
        self._failed = failed

    def debug(self, event: str, **facts: Any) -> None: ...

    def info(self, event: str, **facts: Any) -> None:
        self._said(f"{event} {facts}")

    def warning(self, event: str, **facts: Any) -> None:
        self._said(f"{event} {facts}")

    def exception(self, event: str, **facts: Any) -> None:
        import traceback

        self._failed(f"{event} {facts}\n{traceback.format_exc()}")


class Proved(Proofs):
    """What the two products make of a record is the same in every history: proved once, and without giving way, so that
    the first history of a process takes the same steps as the next."""

    async def of(self, entity: str, first: str, second: str) -> PairProof | None:
        key = entity, first, second
        if key not in _PROVED:
            _PROVED[key] = prove_pair(BY_NAME[entity], load(f"sandbox_{first}"), load(f"sandbox_{second}"))
        return _PROVED[key]


_PROVED: dict[tuple[str, str, str], PairProof] = {}


class Replica(Gateway):
    """One life of one replica, from its start to its crash."""

    def __init__(
        self,
        *,
        name: str,
        scenario: Scenario,
        settings: Settings,
        rules: Ruleset,
        clock: SimClock,
        ids: Ids,
        store: Store,
        adapters: Callable[[Callable[[str, Limits], Door]], dict[str, Adapter]],
        wake: Any,
        log: HeardLog,
    ) -> None:
        super().__init__(settings, clock=clock, ids=ids)
        self.proofs = Proved({})
        self.process = Process(name)
        self.context = store.loop.context_of(self.process)
        self.sim_clock = clock
        self.log = log  # type: ignore[assignment]
        self.ruleset = rules
        self.database = SimDatabase(store, clock, embedded=scenario.embedded)  # type: ignore[assignment]
        self.pressure = Pressure(
            database=self.database,  # type: ignore[arg-type]
            clock=clock,
            log=log,  # type: ignore[arg-type]
            name=ids.new("prc_"),
            breaker_pause_s=settings.breaker_pause_s,
            callers_queued=settings.callers_queued,
        )
        self.adapters = adapters(self.pressure.door)
        self.secret = b"simulated"
        self.wake = wake
        self.serving = False
        #: takes over the mirrors' deliveries that its own commits leave to be sent
        self.eager = True
        self._store = store
        self._scenario = scenario
        #: the clock that leases are judged by
        self._leases = clock if scenario.embedded else store.clock
        #: answers that callers wait for: they hear of it when the replica dies
        self.callers: dict[asyncio.Future[Any], None] = {}
        self._build()

    async def serve(self) -> None:
        """What ``Gateway.start`` does for a process with workers, with loops that look less often."""
        while True:
            try:
                await self.slices.start()
                await self.pressure.start(self.adapters)
                await self.queues.start()
                await self.resolver.recover()
                break
            except StoreUnavailable:
                await asyncio.sleep(0.5)
        self.wake.listen(Word.DELIVERIES, self.deliverer.work_left.set)
        self.wake.listen(Word.RULES, self.slices.look)
        self.wake.listen(Word.GATES, self.pressure.look)
        self.deliverer.accepts_mirrors = self.eager
        self.serving = True
        self.work(self._scenario.workers)
        self._begin(self._round(self._fences, 5.0, None, "fences"))
        if self._scenario.closely:
            self.look_closely()
        if self._scenario.emergencies:
            self.settle_left_behind()

    def work(self, workers: int) -> None:
        """Begins so many loops that deliver, and as many that look for unknown outcomes."""
        left = self.deliverer.work_left
        for _ in range(workers):
            self._begin(self._round(self.deliverer.run_once, LOOK_S, left, "deliveries"))
            self._begin(self._round(self.resolve, LOOK_S, None, "unknown outcomes"))

    def settle_left_behind(self) -> None:
        """Begins the loop that looks for what emergencies have left behind."""
        self._begin(self._round(self.switchover.left_behind.run_once, 2.0, None, "left behind"))

    def look_for_merges(self) -> None:
        """Begins the loop by which a process sees that others have merged records."""
        self._begin(self._round(self.records.look_for_merges, 1.0, None, "merges"))

    def look_closely(self) -> None:
        """Begins the loops that bring records into mirrors, and that compare."""
        self._begin(self._round(self.backfiller.run_once, 1.0, None, "backfills"))
        self._begin(self._round(self.comparer.run_once, 1.0, None, "comparisons"))

    def _begin(self, loop: Coroutine[Any, Any, None]) -> None:
        self._loops.append(asyncio.create_task(loop))

    async def resolve(self) -> int:
        await self.resolver.reap()
        return await self.resolver.run_once()

    async def _fences(self) -> int:
        await self.switchover.moves.run_once()
        return 0

    async def _round(
        self, once: Callable[[], Awaitable[int]], rest_s: float, wake: asyncio.Event | None, what: str
    ) -> None:
        rng = self._store.rng
        while True:
            done = 0
            if wake is not None:
                wake.clear()
            if self._store.may_be_due(what, self._leases):
                try:
                    done = await once()
                except StoreUnavailable:
                    done = 0
                except Exception:
                    self.log.exception("loop round failed", loop=what)
            if done:
                continue
            rest = rest_s * (0.5 + rng.random())
            if wake is None:
                await asyncio.sleep(rest)
            else:
                try:
                    async with asyncio.timeout(rest):
                        await wake.wait()
                except TimeoutError:
                    continue  # the usual case: nobody told it, and it is time
