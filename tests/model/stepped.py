"""The simulation's world with nothing that happens by itself: no delivery loops, no storms, no dice for faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from adapters.contract import Idempotency
from gateway.dispatch.command import Command
from gateway.errors import StoreUnavailable
from gateway.routing.stage import Stage
from tests.simulation.callers import Caller
from tests.simulation.erp import Product
from tests.simulation.history import History
from tests.simulation.loop import Loop, Process
from tests.simulation.replica import Replica, paced
from tests.simulation.scenario import ENTITIES, Scenario
from tests.simulation.store import Store
from tests.simulation.world import World

SYSTEMS = ("legacy", "cloud")
TIMEOUT_S = 2.0
LEASE_MARGIN_S = 5.0
#: After so long nobody holds a lease any more that was taken before.
LEASE_S = TIMEOUT_S + LEASE_MARGIN_S
#: How long a step waits for what it has begun in a replica, which may be frozen.
STEP_S = 0.2


def product(
    system: str, kind: str, *, conditional: bool, unique_numbers: bool, numbers: bool, answers_record: bool
) -> Product:
    """A system of this class that shows what it did at once, and may still apply a request for twenty seconds."""
    return Product(
        system=system,
        idempotency=Idempotency(kind),
        conditional=conditional,
        max_processing_s=20.0,
        read_lag_s=0.0,
        search_lag_s=0.0,
        timeout_s=TIMEOUT_S,
        unique_numbers=unique_numbers or kind == "C",
        numbers=numbers,
        answers_record=answers_record,
        name_length=None,
    )


def scenario(
    *,
    seed: int,
    products: Mapping[str, Product],
    stages: Mapping[str, Stage],
    storable: bool,
    alone: bool,
    closely: bool,
) -> Scenario:
    """``seed`` decides how long calls take and who goes first. ``alone``: one replica, as on a SQLite journal."""
    return Scenario(
        seed=seed,
        faults=frozenset(),
        rate=0.0,
        products=dict(products),
        stages=dict(stages),
        storable=dict.fromkeys(ENTITIES, storable),
        replicas=1 if alone else 2,
        workers=0,
        lease_margin_s=LEASE_MARGIN_S,
        embedded=alone,
        closely=closely,
    )


class SteppedWorld(World):
    """``eager``: a commit that leaves a mirror's delivery to be sent hands it to the process that made it."""

    def __init__(
        self,
        made: Scenario,
        store: Callable[[Loop, random.Random], Store] = Store,
        *,
        eager: bool = True,
    ) -> None:
        super().__init__(made, store)
        self.eager = eager
        self.clients: dict[str, Caller] = {}
        #: what callers and operators have under way
        self.jobs: list[asyncio.Task[Any]] = []
        self._pace = paced()
        self._pace.__enter__()
        self.do(self.begin())
        for system in SYSTEMS:
            self.erps[system].bars = f"not for {system}"

    # --- time and acts ---------------------------------------------------------------------------------------

    def do(self, act: Coroutine[Any, Any, Any]) -> Any:
        """Carries an act of the world itself to its end."""
        return self.loop.run_until_complete(act)

    def tick(self, seconds: float) -> None:
        """Time goes on, and with it everything that is under way."""
        self.do(asyncio.sleep(seconds))

    def ask_for(self, client: str, command: Command, attempt: int, patience_s: float | None = None) -> None:
        """A caller sends a request; what it is told is in its notebook when it is told."""
        caller = self.clients.get(client)
        if caller is None:
            caller = self.clients[client] = self.caller(client)
        process = Process(client)
        self.everybody.append(process)
        number = int(command.trace["X-Request-Id"])
        asking = caller.once(command, number, attempt, patience_s)
        self.jobs.append(self.loop.spawn(process, asking, client))

    def at_replica(self, place: int, act: Callable[[Replica], Awaitable[Any]]) -> None:
        """Something a replica does by itself; a frozen one does it when it goes on, a dead one never."""
        replica = self.replicas[place % len(self.replicas)]
        if replica is None or not replica.serving:
            return

        async def guarded() -> None:
            try:
                await act(replica)
            except StoreUnavailable:
                return  # as in a loop of a worker: the next look may succeed
            except Exception as fault:
                replica.log.exception("a step failed", error=repr(fault))

        async def wait() -> None:
            await asyncio.wait([self.loop.spawn(replica.process, guarded(), "step")], timeout=STEP_S)

        self.do(wait())

    def look_once(self, place: int, what: str) -> None:
        """One round of one of a worker's loops."""

        async def once(replica: Replica) -> None:
            match what:
                case "deliver":
                    replica.deliverer.accepts_mirrors = True
                    await replica.deliverer.run_once()
                    replica.deliverer.accepts_mirrors = self.eager
                case "resolve":
                    await replica.resolver.run_once()
                case "reap":
                    await replica.resolver.reap()
                case "replay":
                    await replica.replays.run_once()
                case "switch":
                    await replica.switchover.run_once()
                case "backfill":
                    await replica.backfiller.run_once()
                case "merges":
                    await replica.records.look_for_merges()
                case "compare":
                    await replica.comparer.run_once()
                case _:
                    raise ValueError(what)

        self.at_replica(place, once)

    # --- replicas --------------------------------------------------------------------------------------------

    def start(self, place: int) -> None:
        super().start(place)
        replica = self.replicas[place]
        assert replica is not None
        replica.eager = self.eager

    def stand_still(self, place: int) -> None:
        """A replica does nothing any more, until long after any lease that it holds has run out."""
        self.pause(place % len(self.replicas), LEASE_S * 2)

    def crash_and_restart(self, place: int) -> None:
        at = place % len(self.replicas)
        self.crash(at)
        self.tick(0.1)
        self._restart(at)
        self.tick(0.1)

    # --- the end ---------------------------------------------------------------------------------------------

    def come_to_rest(self) -> History:
        """Faults end, replicas work by themselves, and whatever is open comes to its end."""

        async def resting() -> bool:
            self.heal()
            await asyncio.sleep(0.5)
            for replica in self.replicas:
                assert replica is not None
                replica.deliverer.accepts_mirrors = True
                replica.work(1)
                replica.settle_left_behind()
                replica.look_for_merges()
                if self.scenario.closely:
                    replica.look_closely()
            if self.jobs:
                await asyncio.wait(self.jobs, timeout=120.0)
            return await self.rest() and (not self.scenario.closely or await self.look_closely())

        quiet = self.do(resting())
        return self.history(quiet=quiet, closely=quiet and self.scenario.closely)

    def end(self) -> None:
        super().end()
        self._pace.__exit__(None, None, None)
