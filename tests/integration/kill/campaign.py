"""One campaign: two serving processes and a worker over PostgreSQL, Redis and two ERPs, killed again and again while
callers write and an operator moves the authority of a slice to and fro; then quiet, then the judge."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from gateway.app import Gateway
from gateway.database.migrate import upgrade
from tests.integration.kill import deployment, judge, operator
from tests.integration.kill.callers import Callers
from tests.integration.kill.disturbances import Disturbances
from tests.integration.kill.programs import PASSED, DatabaseUp, Death, Launcher, Postgres, Slot
from tests.simulation.check import Verdict
from tests.simulation.history import History
from tests.systems.redis import Redis
from tests.systems.sandbox import SYSTEMS, Sandbox

CALLERS = 6
#: Of a move; a fence that nobody lifts goes after three times as long. Where there is one process, all wait for that.
DRAIN_S, DRAIN_OF_ONE_S = 5.0, 2.0
MOVED_S = 90.0  #: deadline of the one move that is waited for

_WRITES = ("CP01", "CP02", "CP03", "CP04", "CP05", "CP06")
_LOOPS = ("CP09", "CP10", "CP11", "CP12", "CP13", "CP16")
#: What can happen in which process.
REACHES = {
    "serve": (*_WRITES, *_LOOPS, *operator.POINTS, "CP23", "CP25"),
    "serve-no-worker": (*_WRITES, *operator.POINTS, "CP16", "CP23"),
    "worker": (*_LOOPS, "CP25"),
}
#: Passed many times a second, and so armed more often; others wait for something to happen.
WEIGHTS = dict.fromkeys((*_WRITES, "CP09", "CP10", "CP11"), 3)
#: The ones that a request is under way behind.
_SENDS = frozenset(("CP03", "CP09"))
RANDOM_SHARE = 0.15  #: of all lives that end at no point but at any moment

assert {name for names in REACHES.values() for name in names} == set(PASSED)


class Outcome(msgspec.Struct, kw_only=True):
    """What a campaign leaves behind."""

    deaths: list[Death]
    disturbances: Counter[str]
    refused_moves: list[str]
    history: History
    verdicts: list[Verdict]
    recoveries: list[judge.Recovery]
    cases: Counter[str]  #: open ones by operation
    unexpected: list[str]  #: processes that ended by themselves, or not as told
    repeats: int
    seconds: float
    quiet_s: float

    @property
    def by_point(self) -> Counter[str]:
        return Counter(one.point for one in self.deaths)


class Campaign:
    """``kills`` deaths at least, each point of the program ``each`` times at least, and the named disturbances of what
    the program stands on, spread over them. Gives up after ``limit_s`` seconds. Without a PostgreSQL it is the smallest
    deployment: one process that does everything, on a SQLite journal."""

    def __init__(
        self,
        folder: Path,
        postgres: Postgres | None = None,
        redis: Redis | None = None,
        *,
        kills: int,
        each: int = 1,
        seed: int = 0,
        flushes: int = 1,
        redis_kills: int = 1,
        postgres_kills: int = 1,
        pauses: int = 2,
        limit_s: float = 300.0,
    ) -> None:
        self._folder = folder
        self._postgres = postgres
        self._redis = redis
        self._kills = kills
        self._each = each
        self._limit_s = limit_s
        self._rng = random.Random(seed)
        self._seed = seed
        self._kinds = ("serve",) if postgres is None else tuple(REACHES)
        self._wanted = Counter(pause=pauses)
        if redis is not None:
            self._wanted += Counter(flush=flushes, redis=redis_kills)
        if postgres is not None:
            self._wanted += Counter(postgres=postgres_kills)
        self._had: Counter[str] = Counter()
        self._deaths: list[Death] = []
        self._fired: Counter[str] = Counter()
        self._database_up = DatabaseUp()
        self._somebody_died = asyncio.Event()
        self._operator: operator.Operator | None = None
        self._calm = False  #: no more points are armed
        self._launcher = Launcher()
        self._slots: list[Slot] = []

    async def run(self) -> Outcome:
        began = time.monotonic()
        address = await self._journal()
        await asyncio.to_thread(upgrade, address)
        erps = await asyncio.to_thread(Sandbox, self._folder, latency_ms=deployment.LATENCY_MS)
        try:
            settings = deployment.settings(
                self._folder, address, erps, stages={"resource": "shadow"},
                redis=None if self._redis is None else self._redis.address,
                drain_limit_s=DRAIN_OF_ONE_S if self._postgres is None else DRAIN_S,
            )  # fmt: skip
            gateway = Gateway(settings)
            await gateway.open(exclusive=False)
            try:
                scopes = ["read", "write", "admin:read", "admin:write"]
                key, _ = await gateway.keys.create("callers", scopes=scopes, actor="tests")
                return await self._with(gateway, erps, key, deployment.environment(settings), began)
            finally:
                await gateway.close()
        finally:
            await asyncio.to_thread(erps.stop)

    async def _journal(self) -> str:
        """The address of an empty one."""
        if self._postgres is None:
            return f"sqlite:///{self._folder / 'journal.db'}"
        name = f"kill_{self._seed}_{time.time_ns()}"
        await _statement(self._postgres.address(), f"CREATE DATABASE {name}")
        return self._postgres.address(name)

    async def _with(
        self, gateway: Gateway, erps: Sandbox, key: str, environment: dict[str, str], began: float
    ) -> Outcome:
        self._slots = [
            deployment.slot(
                kind, kind, environment, folder=self._folder, launcher=self._launcher, order=self._order,
                died=self._died, database_up=self._database_up,
            )
            for kind in self._kinds
        ]  # fmt: skip
        serving = [slot for slot in self._slots if slot.port is not None]
        callers = Callers([slot.url for slot in serving], key, seed=self._seed)
        acting = self._operator = operator.Operator(callers.http, serving, rng=self._rng, had=self._had)
        try:
            await self._launcher.open()
            for slot in self._slots:
                slot.start()
            keeping = [slot.task for slot in self._slots if slot.task is not None]
            await callers.prepare()
            for system in SYSTEMS:
                # So that the resolver has something to look for also where nobody has died.
                erps.fault(system, "answer_lost", on=["writes"], probability=0.01)
            working = [asyncio.create_task(callers.work_on(number)) for number in range(CALLERS)]
            operating = asyncio.create_task(acting.run())
            disturbing = asyncio.create_task(self._disturb(began + self._limit_s))
            await self._until_killed_enough(began, (*working, operating, disturbing, *keeping))
            await disturbing
            await self._calm_down()
            acting.hurried = True
            await self._until_moved((*working, operating, *keeping))
            operating.cancel()
            callers.stop.set()
            await asyncio.gather(*working)
            await asyncio.gather(operating, return_exceptions=True)
            await asyncio.to_thread(erps.heal)
            quiet_from = time.monotonic()
            await deployment.quiet(gateway)
            quiet_s = time.monotonic() - quiet_from
            await callers.ask_again(60)
            # A signal that comes before a program can hear it ends it as it ends any other.
            await asyncio.gather(*(slot.up(callers.http) for slot in self._slots))
            unexpected = await deployment.end(self._slots)
        finally:
            for slot in self._slots:
                slot.signal(signal.SIGCONT)
            await asyncio.gather(*(slot.end() for slot in self._slots), return_exceptions=True)
            await self._launcher.close()
            await callers.close()
        history, cases, verdicts = await deployment.judged(
            gateway, erps, callers, self._slots, elapsed_s=time.monotonic() - began
        )
        return Outcome(
            deaths=self._deaths,
            disturbances=self._had,
            refused_moves=acting.refused,
            history=history,
            verdicts=verdicts,
            recoveries=await gateway.database.read(lambda conn: judge.recoveries(conn, self._deaths)),
            cases=cases,
            unexpected=unexpected,
            repeats=callers.repeats,
            seconds=time.monotonic() - began,
            quiet_s=quiet_s,
        )

    async def _disturb(self, until: float) -> None:
        disturbances = Disturbances(
            postgres=self._postgres,
            redis=self._redis,
            database_up=self._database_up,
            deaths=self._deaths,
            somebody_died=self._somebody_died,
            slots=self._slots,
            rng=self._rng,
            had=self._had,
        )
        await disturbances.run(self._wanted, deaths=self._kills, until=until)

    # --- the killing -------------------------------------------------------------------------------------------

    def _order(self, slot: Slot) -> tuple[str | None, float | None]:
        """What the next life of this place ends by: a crash point, or a moment."""
        if self._calm:
            return None, None
        if self._rng.random() < RANDOM_SHARE:
            return None, self._rng.uniform(0.5, 5.0)
        armed = Counter(other.armed[:4] for other in self._slots if other.armed)
        # There is one operator, so one process at a time is to die of his moves, and none while he can make none.
        moving = (self._operator is not None and self._operator.fence_left) or any(
            armed[name] for name in operator.POINTS
        )
        least = min(
            (name for name in REACHES[slot.name] if not (moving and name in operator.POINTS)),
            key=lambda name: ((self._fired[name] + armed[name]) / WEIGHTS.get(name, 1), self._rng.random()),
        )
        passage = self._rng.randint(1, 15) if least in WEIGHTS else 1
        late = f"+{self._rng.randint(2, 25)}" if least in _SENDS and self._rng.random() < 0.6 else ""
        return f"{least}:{passage}{late}", None

    def _died(self, death: Death) -> None:
        self._deaths.append(death)
        self._fired[death.point] += 1
        self._somebody_died.set()

    async def _until_killed_enough(self, began: float, others: Iterable[asyncio.Task[Any]]) -> None:
        """Until there are enough deaths, and every point has had its share; a task of the test that fails, fails."""
        await self._until(
            lambda: (
                len(self._deaths) >= self._kills
                and all(self._fired[name] >= self._each for name in PASSED)
            ),
            began + self._limit_s,
            others,
        )

    async def _until_moved(self, others: Iterable[asyncio.Task[Any]]) -> None:
        """Until a move of authority has come to its end under writing callers: where somebody dies every other second,
        a fence often has to be lifted before everything behind it has drained."""
        await self._until(lambda: self._had["move: moved"] > 0, time.monotonic() + MOVED_S, others)

    @staticmethod
    async def _until(seen: Callable[[], bool], until: float, others: Iterable[asyncio.Task[Any]]) -> None:
        """Until it is so; what is missing at the deadline is told by the outcome."""
        others = tuple(others)
        while not seen() and time.monotonic() < until:
            for task in others:
                if task.done():
                    task.result()
            await asyncio.sleep(0.1)

    async def _calm_down(self) -> None:
        """What is armed is killed where it is, and starts without a point."""
        self._calm = True
        while armed := [slot for slot in self._slots if slot.armed is not None]:
            for slot in armed:
                slot.signal(signal.SIGKILL)
            await asyncio.sleep(0.05)


async def _statement(address: str, statement: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
