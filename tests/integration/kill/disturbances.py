"""What happens besides deaths to the things that the program stands on: Redis emptied and killed, PostgreSQL killed,
and a process held still for longer than its leases."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence

from tests.integration.kill.programs import DatabaseUp, Death, Postgres, Slot
from tests.systems.redis import Redis

LEASE_S = 2.5  #: the systems' timeout and the margin of the campaign's settings
#: Longer than a lease, and shorter than a lease and its quarantine: the residual that is documented for class D.
HELD_STILL_S = LEASE_S + 1.0
WITHOUT_REDIS_DEATHS = 2  #: how many processes die, and start, while Redis is away
WITHOUT_REDIS_S = 15.0  #: and for how long that is waited for


class Disturbances:
    """Spread over the deaths of a campaign. ``had`` counts those that took place."""

    def __init__(
        self,
        *,
        postgres: Postgres | None,
        redis: Redis | None,
        database_up: DatabaseUp,
        deaths: Sequence[Death],
        somebody_died: asyncio.Event,
        slots: Sequence[Slot],
        rng: random.Random,
        had: Counter[str],
    ) -> None:
        self._postgres = postgres
        self._redis = redis
        self._database_up = database_up
        self._deaths = deaths
        self._somebody_died = somebody_died
        self._slots = slots
        self._rng = rng
        self._had = had

    async def run(self, wanted: Counter[str], *, deaths: int, until: float) -> None:
        """All that are wanted, in a random order, while there come to be so many deaths."""
        kinds = {
            "flush": self._flush,
            "redis": self._redis_kill,
            "postgres": self._postgres_kill,
            "pause": self._pause,
        }
        todo = list(wanted.elements())
        self._rng.shuffle(todo)
        for number, kind in enumerate(todo, start=1):
            await self._deaths_come_to(deaths * number // (len(todo) + 1), until)
            await kinds[kind]()
            self._had[kind] += 1

    async def _flush(self) -> None:
        assert self._redis is not None
        host, port = self._redis.address.removeprefix("redis://").removesuffix("/0").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"FLUSHALL\r\n")
        assert (await reader.readline()) == b"+OK\r\n"
        writer.close()
        await writer.wait_closed()

    async def _redis_kill(self) -> None:
        assert self._redis is not None
        self._redis.stop()
        await self._deaths_come_to(
            len(self._deaths) + WITHOUT_REDIS_DEATHS, time.monotonic() + WITHOUT_REDIS_S
        )
        await asyncio.to_thread(self._redis.start)

    async def _postgres_kill(self) -> None:
        assert self._postgres is not None
        self._database_up.lose()
        try:
            self._postgres.kill()
            await self._postgres.start()
        finally:
            self._database_up.set()

    async def _pause(self) -> None:
        """A process is held still for longer than its leases, while the others take over what it had. One that is
        killed meanwhile was not held still for long enough, and another one is."""
        while True:
            slot = self._rng.choice(self._slots)
            process = slot.process
            if process is not None and process.running:
                process.signal(signal.SIGSTOP)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), HELD_STILL_S)
                if process.running:
                    process.signal(signal.SIGCONT)
                    return
            await asyncio.sleep(0.05)

    async def _deaths_come_to(self, number: int, until: float) -> None:
        while len(self._deaths) < number and (left := until - time.monotonic()) > 0:
            self._somebody_died.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._somebody_died.wait(), left)
