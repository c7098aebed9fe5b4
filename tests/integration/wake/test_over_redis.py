"""Words between processes, over a real Redis that comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from gateway.app import Gateway
from gateway.clock import SystemClock
from gateway.routing.stage import Stage
from gateway.settings import Settings
from gateway.telemetry import Log
from gateway.wake import Word
from gateway.wake.over_redis import RedisWake
from gateway.worker import pass_on
from tests.systems.redis import Redis

pytestmark = pytest.mark.server

SOON_S = 10.0  #: deadline of what takes milliseconds on a quiet machine


class Ear:
    """Counts how often a word was heard."""

    def __init__(self) -> None:
        self.times = 0
        self._again = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._again.set()

    async def hears(self) -> None:
        async with asyncio.timeout(SOON_S):
            await self._again.wait()
        self._again.clear()

    def forget(self) -> None:
        self._again.clear()


@asynccontextmanager
async def process(
    redis: Redis, name: str, *, deployment: bytes = b"one journal"
) -> AsyncIterator[tuple[RedisWake, Ear]]:
    """A process that listens for rules, once Redis has it on the channel."""
    wake = RedisWake(redis.address, deployment=deployment, name=name, clock=SystemClock(), log=Log())
    ear = Ear()
    wake.listen(Word.RULES, ear)
    await wake.start()
    try:
        async with asyncio.timeout(SOON_S):
            await wake.listening.wait()
        await ear.hears()
        yield wake, ear
    finally:
        await wake.stop()


async def test_the_others_hear_a_word_and_the_teller_does_not(own_redis: Redis) -> None:
    """Every other process of the deployment is called; the one that told it already knows."""
    async with process(own_redis, "a") as (a, at_a), process(own_redis, "b") as (_, at_b):
        before = at_a.times
        a.tell(Word.RULES)
        await at_b.hears()
        assert at_a.times == before


async def test_another_deployment_hears_nothing(own_redis: Redis) -> None:
    """Two journals may share one Redis: each has a channel of its own."""
    async with (
        process(own_redis, "a") as (a, _),
        process(own_redis, "b") as (_, at_b),
        process(own_redis, "c", deployment=b"another journal") as (_, at_c),
    ):
        before = at_c.times
        a.tell(Word.RULES)
        await at_b.hears()
        assert at_c.times == before


async def test_telling_never_waits_and_never_fails(own_redis: Redis) -> None:
    """With Redis gone a word is simply lost: ``tell`` returns at once, and ``stop`` soon."""
    async with process(own_redis, "a") as (a, _):
        own_redis.stop()
        for _ in range(1_000):
            a.tell(Word.RULES)
        async with asyncio.timeout(SOON_S):
            while a.listening.is_set():  # noqa: ASYNC110 - waits for a state, until a deadline
                await asyncio.sleep(0.01)


async def test_after_redis_was_away_everyone_looks_once(own_redis: Redis) -> None:
    """What was told meanwhile is lost, so coming back counts as a word of every kind, and words arrive again."""
    async with process(own_redis, "a") as (a, at_a), process(own_redis, "b") as (b, at_b):
        own_redis.stop()
        async with asyncio.timeout(SOON_S):
            while a.listening.is_set() or b.listening.is_set():  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.01)
        at_a.forget()
        at_b.forget()
        own_redis.start()
        await at_a.hears()
        await at_b.hears()
        b.tell(Word.RULES)
        await at_a.hears()


async def test_a_burst_becomes_few_words(own_redis: Redis) -> None:
    """However many writes leave work behind, the others are called a few times only."""
    async with process(own_redis, "a") as (a, _), process(own_redis, "b") as (_, at_b):
        before = at_b.times
        for _ in range(200):
            a.tell(Word.RULES)
        await at_b.hears()
        assert at_b.times - before <= 2


async def test_work_of_a_process_without_workers_is_told(own_redis: Redis) -> None:
    """What such a process leaves in the journal wakes the workers of another."""
    left, stop, ear = asyncio.Event(), asyncio.Event(), Ear()
    async with process(own_redis, "api") as (api, _), process(own_redis, "worker") as (worker, _):
        worker.listen(Word.DELIVERIES, ear)
        passing = asyncio.create_task(pass_on.run(left, api, stop))
        left.set()
        await ear.hears()
        stop.set()
        await passing


@asynccontextmanager
async def replica(settings: Settings) -> AsyncIterator[Gateway]:
    gateway = Gateway(settings)
    try:
        await gateway.open()
        await gateway.start(worker=False)
        yield gateway
    finally:
        await gateway.stop()


async def _takes(change: Callable[[], bool]) -> float:
    """Seconds until ``change`` is seen."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(SOON_S):
        while not change():  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.005)
    return loop.time() - began


async def test_a_changed_rule_is_seen_by_replicas_at_once_and_without_redis_too(
    own_redis: Redis, postgres_journal: str
) -> None:
    """Reads of a replica follow a changed rule as soon as it is told; with Redis gone, within ``rules_refresh_s``."""
    settings = Settings(database=postgres_journal, redis=own_redis.address, rules_refresh_s=2.0)
    async with replica(settings) as one, replica(settings) as other:
        for gateway in (one, other):
            assert isinstance(gateway.wake, RedisWake)
            async with asyncio.timeout(SOON_S):
                await gateway.wake.listening.wait()

        async def move(stage: Stage) -> float:
            now = other.slices.cached("customer", "UK")
            await one.switchover.set_stage(
                "customer", "UK", stage=stage, reason="test", expected_version=now.version, actor="test"
            )
            return await _takes(lambda: other.slices.cached("customer", "UK").stage is stage)

        # Each by itself may fall just before a turn of the loop; not all of them.
        told = [await move(stage) for stage in (Stage.DUAL_WRITE, Stage.SHADOW, Stage.DUAL_WRITE)]
        assert min(told) < 0.3
        assert sum(told) < 2.0
        own_redis.stop()
        assert await move(Stage.SHADOW) < 2.0 + 1.0
