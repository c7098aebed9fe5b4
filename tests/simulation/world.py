"""One history from its first event to its end: replicas, systems, callers, and what befalls them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any

import msgspec

from adapters.profile import Limits
from gateway.errors import EvidenceChanged, GatewayError
from gateway.routing.stage import Stage
from gateway.routing.transition import EMERGENCIES
from gateway.switchover.switches import Wish
from gateway.wake import Word
from tests.simulation.callers import Caller, Lost, Shared
from tests.simulation.erp import EDITED, Call, Effect, Erp
from tests.simulation.history import History, evidence, journal, open_operations
from tests.simulation.loop import Loop, Process, SimClock, SimIds, Standstill
from tests.simulation.replica import HeardLog, Replica, paced, ruleset_of, seed_rules, settings_of
from tests.simulation.scenario import ENTITIES, REGION, Scenario
from tests.simulation.store import Store
from tests.simulation.wire import SimAdapter, Weather

#: No caller waits longer than this; a request that is not answered by then is one whose outcome nobody knows.
PATIENCE_S = 12.0
#: Faults end at the latest after this many seconds, and what is still open then has this long to end.
STORM_S, QUIET_S = 150.0, 1800.0
#: Backfills and comparisons that go on by themselves. Those that wait for a delivery wait, by then, for a person.
NOT_SEEN_THROUGH = """
    SELECT id FROM backfill_run WHERE state = 'running' OR (state = 'verifying' AND NOT EXISTS (
        SELECT 1 FROM backfill_item JOIN delivery ON delivery.record_id = backfill_item.record_id
        WHERE backfill_item.run_id = backfill_run.id
        AND delivery.state IN ('ready', 'blocked', 'sending', 'unknown', 'parked')))
    UNION ALL
    SELECT record_id FROM compare_job WHERE NOT EXISTS (
        SELECT 1 FROM delivery WHERE delivery.record_id = compare_job.record_id
        AND delivery.state IN ('ready', 'blocked', 'sending', 'unknown', 'parked'))"""
#: What befalls a history beside the faults of single calls, at most.
ACTS = 9


class Trace:
    """Everything that happened, as lines; the hash of two runs of one seed is the same."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.lines: list[tuple[float, str, str]] = []

    def say(self, who: str, what: str) -> None:
        self.lines.append((self._loop.time(), who, what))

    def digest(self) -> str:
        whole = hashlib.sha256()
        for t, who, what in self.lines:
            whole.update(f"{t:.9f}|{who}|{what}\n".encode())
        return whole.hexdigest()


class _Wake:
    """The word that replicas pass each other; it may be late, and it may be lost."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._name = name
        self.heard: dict[Word, Callable[[], None]] = {}

    def listen(self, word: Word, heard: Callable[[], None]) -> None:
        self.heard[word] = heard

    def tell(self, word: Word) -> None:
        world = self._world
        for place, other in enumerate(world.replicas):
            if other is None or other.process.name == self._name:
                continue
            if world.scenario.has("wake lost") and world.rng.random() < 0.5:
                continue
            heard = other.wake.heard.get(word)  # type: ignore[attr-defined]
            if heard is not None:
                world.loop.call_later(0.001 + world.rng.random() * 0.01, heard, context=other.context)
            del place

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class World:
    def __init__(self, scenario: Scenario, store: Callable[[Loop, random.Random], Store] = Store) -> None:
        self.scenario = scenario
        self.rng = random.Random(f"world {scenario.seed}")
        self.loop = Loop(random.Random(f"order {scenario.seed}"))
        self.trace = Trace(self.loop)
        self.store = store(self.loop, random.Random(f"store {scenario.seed}"))
        self.effects: list[Effect] = []
        self.calls: list[Call] = []
        self.own_faults: list[str] = []
        self.counted: Counter[str] = Counter()
        self.looks: dict[str, float] = {}  #: the last look at each slice: the run -> when it was asked for
        self.erps = {
            name: Erp(product, self.loop, self.effects, scenario.seed)
            for name, product in scenario.products.items()
        }
        self.weather = {name: Weather(scenario.faults, scenario.rate) for name in self.erps}
        for name, script in scenario.script.items():
            self.weather[name].script.extend(script)
        for weather in self.weather.values():
            weather.pause = self._pause_named
        for erp in self.erps.values():
            erp.refuses = scenario.has("refusals")
        self.rules = ruleset_of(scenario)
        self.settings = settings_of(scenario)
        self.replicas: list[Replica | None] = [None] * scenario.replicas
        self.off_s = [
            self.rng.uniform(-3600, 3600) if scenario.has("clock off") and not scenario.embedded else 0.0
            for _ in self.replicas
        ]
        self.lives = 0
        self.everybody: list[Process] = [self.store.process, *(erp.process for erp in self.erps.values())]
        self.shared = Shared(said=[], records={})
        self.calm = False
        self.over = False

    # --- replicas --------------------------------------------------------------------------------------------

    def start(self, place: int) -> None:
        self.lives += 1
        name = f"r{place}.{self.lives}"
        rng = random.Random(f"{name} {self.scenario.seed}")
        clock = SimClock(self.loop, off_s=self.off_s[place], began_s=rng.random() * 1e6)
        ids = SimIds(clock, rng, self.lives)
        self.replicas[place] = replica = Replica(
            name=name,
            scenario=self.scenario,
            settings=self.settings,
            rules=self.rules,
            clock=clock,
            ids=ids,
            store=self.store,
            adapters=lambda door: {
                system: SimAdapter(
                    erp,
                    self.weather[system],
                    rng,
                    name,
                    self.calls,
                    door(system, Limits(concurrency=12, timeout_s=erp.product.timeout_s)),
                )
                for system, erp in self.erps.items()
            },
            wake=_Wake(self, name),
            log=HeardLog(lambda what: self.trace.say(name, what), lambda what: self._own_fault(name, what)),
        )
        self.everybody.append(replica.process)
        self.trace.say(name, "starts")
        self.loop.spawn(replica.process, replica.serve(), "serve")

    def _own_fault(self, name: str, what: str) -> None:
        if self.over:
            return  # it is only being taken apart
        self.trace.say(name, what)
        self.own_faults.append(f"{self.loop.time():.3f} {name} {what}")

    def crash(self, place: int) -> None:
        replica = self.replicas[place]
        if replica is None or replica.process.dead:
            return
        self.counted["crash"] += 1
        self.trace.say(replica.process.name, "CRASHES")
        self.loop.kill(replica.process)
        self.replicas[place] = None
        for future in replica.callers:
            self.loop.call_later(0.01, _lose, future, context=self.loop.context_of(Process("network")))

    def _pause_named(self, name: str, seconds: float) -> None:
        for place, replica in enumerate(self.replicas):
            if replica is not None and replica.process.name == name:
                self.pause(place, seconds)

    def pause(self, place: int, seconds: float) -> None:
        replica = self.replicas[place]
        if replica is None or replica.process.frozen:
            return
        self.counted["pause"] += 1
        self.trace.say(replica.process.name, f"is PAUSED for {seconds:.1f} s")
        self.loop.freeze(replica.process)

        def go_on() -> None:
            if replica.process.frozen and not replica.process.dead:
                self.trace.say(replica.process.name, "goes on")
                self.loop.thaw(replica.process)

        self.loop.call_later(seconds, go_on)

    # --- a caller's way to a replica ---------------------------------------------------------------------------

    async def ask(self, handle: Callable[[Any], Awaitable[Any]], patience_s: float | None) -> Any:
        """One request over the network to some replica."""
        loop, rng = self.loop, self.rng
        replica = self.replicas[int(rng.random() * len(self.replicas))]
        if replica is None or not replica.serving:
            await asyncio.sleep(0.01)
            raise Lost("connection refused")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        mine = copy_context()
        tasks: list[asyncio.Task[None]] = []

        async def serve() -> None:
            result: Any = None
            raised: Exception | None = None
            try:
                result = await handle(replica)
            except GatewayError as refused:
                raised = refused
            except Exception as fault:
                replica.log.exception("a request failed", error=repr(fault))
                raised = Lost("500")
            loop.call_later(0.001 + rng.random() * 0.005, _settle, answer, result, raised, context=mine)

        def arrive() -> None:
            tasks.append(asyncio.create_task(serve(), name="request"))

        loop.call_later(0.001 + rng.random() * 0.005, arrive, context=replica.context)
        replica.callers[answer] = None
        try:
            async with asyncio.timeout(PATIENCE_S if patience_s is None else patience_s):
                return await answer
        except TimeoutError:
            if patience_s is not None:
                # The caller hangs up; what serves it may notice.
                self.counted["client gone"] += 1
                loop.call_soon(lambda: [one.cancel() for one in tasks], context=replica.context)
            raise Lost("no answer") from None
        finally:
            replica.callers.pop(answer, None)

    # --- what befalls them -------------------------------------------------------------------------------------

    async def _storm(self) -> None:
        """Crashes, pauses, clocks and outages at random moments, until it is calm."""
        scenario, rng, loop = self.scenario, self.rng, self.loop
        lease = max(p.timeout_s for p in scenario.products.values()) + scenario.lease_margin_s
        acts: list[Callable[[], None]] = []

        def fuse(act: Callable[[int], None]) -> Callable[[], None]:
            def light() -> None:
                place = int(rng.random() * len(self.replicas))
                replica = self.replicas[place]
                if replica is None or replica.process.blow is not None:
                    return
                process = replica.process

                def blow() -> None:
                    process.blow = None
                    if not self.calm:
                        act(place)

                process.blow, process.fuse = blow, 1 + int(rng.random() * 120)

            return light

        def crash(place: int) -> None:
            self.crash(place)
            loop.call_later(0.2 + rng.random() ** 2 * 25.0, self._restart, place)

        def jump() -> None:
            place = int(rng.random() * len(self.replicas))
            self.off_s[place] = rng.uniform(-3600, 3600)
            replica = self.replicas[place]
            if replica is not None:
                self.counted["clock jump"] += 1
                replica.sim_clock.off_s = self.off_s[place]

        def outage() -> None:
            self.counted["outage"] += 1
            system = rng.choice(sorted(self.weather))
            self.weather[system].down_until = loop.time() + rng.random() * 12.0

        def away() -> None:
            self.store.faults.away_until = loop.time() + rng.random() * 6.0

        if scenario.has("crash"):
            acts += [fuse(crash)] * 2
        if scenario.has("pause"):
            acts.append(
                fuse(
                    lambda place: self.pause(place, rng.choice((0.5, lease * 0.7, lease * 1.3, lease * 2.5)))
                )
            )
        if scenario.has("clock jump") and not scenario.embedded:
            acts.append(jump)
        if scenario.has("outage"):
            acts.append(outage)
        if scenario.has("store away"):
            acts.append(away)
        if scenario.has("direct edit"):
            acts.append(self._edit)
        if scenario.has("commit lost"):
            self.store.faults.commit_lost = self.store.faults.commit_failed = 0.02
        if scenario.has("store slow"):
            self.store.faults.slow = 0.03
        mean_s = max(0.5, scenario.pace_s * scenario.operations / 6)
        for _ in range(ACTS if acts else 0):
            await asyncio.sleep(rng.expovariate(1.0 / mean_s))
            if self.calm:
                return
            rng.choice(acts)()

    def _restart(self, place: int) -> None:
        if self.replicas[place] is None:
            self.start(place)

    def _edit(self) -> None:
        rng = self.rng
        system = rng.choice(sorted(self.erps))
        entity = rng.choice(sorted(EDITED))
        natives = sorted(self.erps[system].holds(entity))
        if natives:
            self.counted["direct edit"] += 1
            self.erps[system].edit(
                entity, rng.choice(natives), f"edit{self.counted['direct edit']}@example.com"
            )

    async def _move(self, number: int) -> None:
        """Somebody changes the stage of a slice at some moment."""
        rng, scenario = self.rng, self.scenario
        await asyncio.sleep(rng.random() * scenario.pace_s * scenario.operations)
        entity = rng.choice(ENTITIES)

        def choose(there: Stage) -> tuple[Stage, bool]:
            step = 1 if there.position == 0 else -1 if there.position == 5 else rng.choice((1, 1, -1))
            if there in (Stage.SHADOW, Stage.LIVE) and rng.random() < 0.7:
                step = 1 if there is Stage.SHADOW else -1
            return tuple(Stage)[there.position + step], rng.random() < 0.8

        await self.move(entity, choose, name=f"move {number}", patience_s=60.0)

    async def _leave(self, number: int) -> None:
        """Two persons leave the authority of a slice that the cloud leads; mostly it is down by then."""
        rng, scenario = self.rng, self.scenario
        await asyncio.sleep(rng.random() * scenario.pace_s * scenario.operations)
        if rng.random() < 0.8:
            self.counted["outage"] += 1
            self.weather["cloud"].down_until = self.loop.time() + 2.0 + rng.random() * 15.0
            await asyncio.sleep(rng.random() * 5.0)
        await self.leave(
            rng.choice(ENTITIES),
            name=f"emergency {number}",
            override=lambda: rng.random() < 0.7,
            thinks_s=lambda: rng.random() * 2.0,
        )

    async def leave(
        self, entity: str, *, name: str, override: Callable[[], bool], thinks_s: Callable[[], float]
    ) -> None:
        """One person asks some replica to leave the authority of a slice, and another one approves what is told of it
        then, until it is what is true. ``thinks_s``: for how long before each approval."""

        async def ask(replica: Replica) -> Any:
            there = next(one for one in await replica.slices.all() if one.entity == entity)
            wish = Wish(
                entity=entity,
                region=REGION,
                stage=EMERGENCIES.get(there.stage, Stage.SHADOW),
                reason="simulated",
                expected_version=there.version,
                override=override(),
            )
            return await replica.switchover.switches.emergency(wish, actor="operator")

        try:
            asked = await self.ask(ask, 20.0)
            hashed = asked.evidence_hash
            for _ in range(8):
                await asyncio.sleep(thinks_s())
                try:
                    approved = await self.ask(
                        lambda replica, hashed=hashed: replica.switchover.switches.approve(
                            asked.id, evidence_hash=hashed, actor="second"
                        ),
                        20.0,
                    )
                except EvidenceChanged as moved:
                    hashed = moved.facts["evidence_hash"]
                else:
                    self.counted["emergencies"] += 1
                    self.trace.say("operator", f"leaves the authority of {entity}: {approved.id}")
                    return
        except (Lost, GatewayError) as refused:
            self.trace.say("operator", f"{name} of {entity}: {type(refused).__name__} {refused}")

    async def move(
        self,
        entity: str,
        choose: Callable[[Stage], tuple[Stage, bool]],
        *,
        name: str,
        patience_s: float,
    ) -> None:
        """An operator asks some replica for another stage of a slice, and hangs up after ``patience_s``. ``choose``
        tells, by the stage that there is, the one that is wanted and whether closed gates are overridden."""

        async def change(replica: Replica) -> Any:
            there = next(one for one in await replica.slices.all() if one.entity == entity)
            wanted, override = choose(there.stage)
            self.trace.say("operator", f"moves {entity} from {there.stage} to {wanted}")
            return await replica.switchover.set_stage(
                entity,
                REGION,
                stage=wanted,
                reason="simulated",
                expected_version=there.version,
                actor="operator",
                override=override,
            )

        try:
            moved = await self.ask(change, patience_s)
        except (Lost, GatewayError) as refused:
            self.trace.say("operator", f"{name} of {entity}: {type(refused).__name__} {refused}")
        else:
            self.counted["moves"] += 1
            self.trace.say("operator", f"{entity} is {moved.stage}, epoch {moved.epoch}")

    async def _backfill_some(self) -> None:
        """At some moment somebody has what a mirror lacks brought to it."""
        await asyncio.sleep(self.rng.random() * self.scenario.pace_s * self.scenario.operations)
        await self._backfill(self.rng.choice(ENTITIES))

    async def _backfill(self, entity: str) -> str | None:
        try:
            run = await self.ask(
                lambda replica: replica.backfiller.start(entity, REGION, actor="operator"), 20.0
            )
        except (Lost, GatewayError) as refused:
            self.trace.say("operator", f"backfill of {entity}: {type(refused).__name__} {refused}")
        else:
            self.counted["backfills"] += 1
            self.trace.say("operator", f"backfills {entity}: {run.id}")
            return run.id
        return None

    async def look_closely(self) -> bool:
        """A last backfill of every slice, with which every record that two systems hold is compared as well; False
        when half an hour was not enough."""
        # What was made last is to be listed by then.
        await asyncio.sleep(max(product.search_lag_s for product in self.scenario.products.values()))
        for entity in ENTITIES:
            at = self.loop.time()
            if (run := await self._backfill(entity)) is not None:
                self.looks[run] = at
        return await self.rest()

    # --- the whole ---------------------------------------------------------------------------------------------

    async def _main(self) -> bool:
        scenario, loop = self.scenario, self.loop
        await self.begin()
        storm = asyncio.create_task(self._storm())
        jobs: list[asyncio.Task[Any]] = []
        for number in range(scenario.clients):
            name = f"c{number}"
            process = Process(name)
            self.everybody.append(process)
            jobs.append(loop.spawn(process, self.caller(name).run(), name))
        jobs += [asyncio.create_task(self._move(number)) for number in range(scenario.moves)]
        jobs += [asyncio.create_task(self._leave(number)) for number in range(scenario.emergencies)]
        if scenario.closely:
            jobs.append(asyncio.create_task(self._backfill_some()))
        await asyncio.wait(jobs, timeout=STORM_S)
        self.heal()
        await asyncio.wait(jobs, timeout=120.0)
        for job in jobs:
            if job.done() and job.exception() is not None:
                raise job.exception()  # type: ignore[misc]
        await asyncio.wait([storm])
        return await self.rest() and (not scenario.closely or await self.look_closely())

    async def begin(self) -> None:
        """The rules are in the journal and the replicas serve."""
        seed_rules(self.store, self.rules)
        for place in range(len(self.replicas)):
            self.start(place)
        await asyncio.sleep(0.1)

    def caller(self, name: str) -> Caller:
        """One upstream system, whose notebook is the world's."""
        return Caller(
            name=name,
            scenario=self.scenario,
            rng=random.Random(f"{name} {self.scenario.seed}"),
            shared=self.shared,
            ask=self.ask,
            now=self.loop.time,
            effects=lambda: len(self.effects),
            say=self.trace.say,
        )

    async def rest(self) -> bool:
        """Waits until nothing is open any more; False when half an hour was not enough."""
        loop = self.loop
        until = loop.time() + QUIET_S
        while True:
            await asyncio.sleep(2.0)
            landed = max(one.last_landing for one in self.weather.values())
            if loop.time() > landed and not self._open():
                return True
            if loop.time() > until:
                return False

    def _open(self) -> bool:
        return self._writes_open() or (self.scenario.closely and bool(self.store.rows(NOT_SEEN_THROUGH)))

    def _writes_open(self) -> bool:
        store = self.store
        if store.may_be_due("uncertain", store.clock) or store.may_be_due("left behind", store.clock):
            return True
        if not store.may_be_due("anything", store.clock):
            return False
        now = History(products=self.scenario.products)
        journal(store.rows, now)
        return bool(open_operations(now))

    def heal(self) -> None:
        self.calm = True
        self.trace.say("world", "all faults end")
        for weather in self.weather.values():
            weather.end()
        self.store.faults.end()
        for place, replica in enumerate(self.replicas):
            if replica is None:
                self.start(place)
            elif replica.process.frozen:
                self.loop.thaw(replica.process)

    def history(self, *, quiet: bool = True, closely: bool = False) -> History:
        """What there is of it by now. ``closely``: with what backfills and comparisons say."""
        history = History(
            products=self.scenario.products,
            said=self.shared.said,
            effects=self.effects,
            calls=self.calls,
            own_faults=[*self.own_faults],
            elapsed_s=self.loop.time(),
            quiet=quiet,
        )
        journal(self.store.rows, history)
        if closely:
            history.closely = True
            evidence(self.store.rows, history)
            for run in history.backfills:
                run.begun = self.looks.get(run.id)
        for system, erp in self.erps.items():
            history.holds[system] = {entity: erp.holds(entity) for entity in ENTITIES}
        for one in self.loop.unheard:
            told = str(one.get("message"))
            if one.get("exception") is not None:
                history.own_faults.append(f"{told}: {one['exception']!r}")
        return history

    def run(self) -> History:
        """The history. What happened is in ``trace``."""
        with paced():
            try:
                return self._told(self._quiet())
            finally:
                self.end()

    def _quiet(self) -> bool:
        """Lets the history happen, and tells whether nothing was open at its end."""
        try:
            return self.loop.run_until_complete(self._main())
        except Standstill as stands:
            self.loop.unheard.append({"message": "a history without an end", "exception": stands})
            return False

    def _told(self, quiet: bool) -> History:
        history = self.history(quiet=quiet, closely=quiet and self.scenario.closely)
        self.counted["stranded"] += len(history.stranded)
        for weather in self.weather.values():
            self.counted.update(weather.counted)
        self.counted.update(self.store.faults.counted)
        for erp in self.erps.values():
            self.counted.update(erp.counted)
        for effect in self.effects:
            self.trace.say(
                effect.system, f"effect {effect.place} at {effect.t:.6f} {effect.kind} {effect.native_id}"
            )
        return history

    def end(self) -> None:
        """Takes it apart."""
        self.over = True
        with contextlib.suppress(RuntimeError):
            self.loop.dispose(*self.everybody)


def _settle(future: asyncio.Future[Any], result: Any, raised: Exception | None) -> None:
    if future.done():
        return
    if raised is None:
        future.set_result(result)
    else:
        future.set_exception(raised)


def _lose(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(Lost("connection reset"))


def told(history: History) -> str:
    """The history as text, for a person."""
    return msgspec.json.format(msgspec.json.encode(history.said), indent=1).decode()
