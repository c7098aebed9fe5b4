"""Words over Redis pub/sub, which keeps nothing: just what a hint needs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.clock import Clock
from gateway.telemetry import Log
from gateway.wake.port import Word

#: Seconds between two rounds of telling: a burst of writes becomes one word, and no listener is called oftener.
REST_S = 0.02
#: Seconds until a lost Redis is tried again.
RETRY_S = 1.0
#: Seconds that any answer of Redis may take.
PATIENCE_S = 2.0
#: Seconds that a process which ends gives its last words.
LAST_WORDS_S = 0.5
#: Seconds without a word after which the connection is asked whether it still lives.
CHECK_S = 5

LOST = (RedisError, OSError, TimeoutError)


class RedisWake:
    """``deployment`` is a secret of the journal: processes on one journal share a channel, and others that use the
    same Redis do not hear it. ``name`` is this process's, so that it does not hear itself."""

    def __init__(self, url: str, *, deployment: bytes, name: str, clock: Clock, log: Log) -> None:
        self._client: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
            url,
            decode_responses=True,
            socket_timeout=PATIENCE_S,
            socket_connect_timeout=PATIENCE_S,
            health_check_interval=CHECK_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._channel = "twinrun:" + hashlib.sha256(b"wake" + deployment).hexdigest()[:24]
        self._name = name
        self._clock = clock
        self._log = log
        self._heard: dict[str, list[Callable[[], None]]] = {}
        self._pending: set[Word] = set()
        self._something = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.listening = asyncio.Event()

    def listen(self, word: Word, heard: Callable[[], None]) -> None:
        self._heard.setdefault(word.value, []).append(heard)

    def tell(self, word: Word) -> None:
        self._pending.add(word)
        self._something.set()

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(self._keep_telling(), name="wake: telling"),
            asyncio.create_task(self._keep_listening(), name="wake: listening"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        try:
            async with asyncio.timeout(LAST_WORDS_S):
                await self._tell_pending()
        except LOST as lost:
            self._log.warning("last words to other processes are lost", reason=str(lost))
        await self._client.aclose()

    async def _keep_telling(self) -> None:
        while True:
            await self._something.wait()
            try:
                await self._tell_pending()
            except LOST:
                # The listening half tells the log that Redis is gone. These words are lost: others find by looking.
                self._pending.clear()
            await self._clock.sleep(REST_S)

    async def _tell_pending(self) -> None:
        self._something.clear()
        while self._pending:
            told = f"{self._name} {self._pending.pop().value}"
            await self._client.publish(self._channel, told)  # pyright: ignore[reportUnknownMemberType]

    async def _keep_listening(self) -> None:
        lost_before = False
        while True:
            try:
                async with self._client.pubsub() as channel:  # pyright: ignore[reportUnknownMemberType]
                    await channel.subscribe(self._channel)  # pyright: ignore[reportUnknownMemberType]
                    if lost_before:
                        self._log.info("Redis is back")
                        lost_before = False
                    self.listening.set()
                    # What was told while nobody listened: everyone looks once.
                    for word in self._heard:
                        self._call(word)
                    while True:
                        self._take(await channel.get_message(ignore_subscribe_messages=True, timeout=CHECK_S))
            except LOST as lost:
                self.listening.clear()
                if not lost_before:
                    self._log.warning("Redis is lost; other processes find work by looking", reason=str(lost))
                lost_before = True
            await self._clock.sleep(RETRY_S)

    def _take(self, message: Any) -> None:
        if message is None or message["type"] != "message":
            return
        name, _, word = str(message["data"]).partition(" ")
        if name != self._name:
            self._call(word)

    def _call(self, word: str) -> None:
        # A word of a newer version that nobody here knows is nobody's here.
        for heard in self._heard.get(word, ()):
            heard()
