"""An event loop with virtual time and processes, whose whole order of events follows from one seed.

Time stands still while anything can run and then jumps to the next timer, so half an hour costs nothing. A *process*
is a part of the world that has a program counter of its own: a replica, a caller, an ERP, the database. What a
callback schedules belongs to its process. Within a process callbacks run in the order in which they were registered,
as asyncio promises; which process goes next is drawn from the seed. A process can be frozen for a while, and it can
be killed between any two of its callbacks: nothing of it runs any more, not even a ``finally``.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

#: When every history begins.
BEGAN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


#: So many steps no history has: most have 8,000, and the longest of some hundred had 26,000.
MOST_STEPS = 1_000_000


class Standstill(Exception):
    """It goes on for ever: everybody waits for what nobody will do, or somebody turns in a circle."""


class Process:
    """One program counter of the world."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False
        self.ready: deque[asyncio.Handle] = deque()
        self.tasks: list[asyncio.Task[Any]] = []
        #: callbacks until ``blow`` is called: the place of a crash or of a pause between two awaits
        self.fuse = 0
        self.blow: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return self.name


OUTSIDE = Process("world")
PROCESS: ContextVar[Process] = ContextVar("PROCESS", default=OUTSIDE)


class Loop(asyncio.AbstractEventLoop):
    """The loop of one history. ``rng`` decides which process goes next."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = 0
        self._busy: list[Process] = []
        self._running = False
        self._closed = False
        self.steps = 0
        self.unheard: list[dict[str, Any]] = []

    # --- what asyncio asks of a loop -------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._running

    def is_closed(self) -> bool:
        return self._closed

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(  # pyright: ignore[reportIncompatibleMethodOverride] - a generator is no coroutine any more
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        process = (context or copy_context()).get(PROCESS, OUTSIDE)
        process.tasks.append(task)
        if len(process.tasks) > 256:
            process.tasks = [one for one in process.tasks if not one.done()]
        return task

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._put(handle)
        return handle

    call_soon_threadsafe = call_soon  # everything here is one thread

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """asyncio tells a loop of cancelled timers; they are dropped when their time comes."""

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            self.unheard.append(context)

    # --- processes -------------------------------------------------------------------------------------------

    def context_of(self, process: Process) -> Context:
        """A context in which everything that is scheduled belongs to ``process``."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context

    def spawn(
        self, process: Process, coro: Coroutine[Any, Any, Any], name: str | None = None
    ) -> asyncio.Task[Any]:
        """Starts a task of ``process`` from outside of it."""
        context = self.context_of(process)
        return context.run(lambda: self.create_task(coro, name=name, context=context))

    def kill(self, process: Process) -> None:
        """Nothing of this process ever runs again."""
        process.dead = True
        process.ready.clear()
        process.blow = None
        if process in self._busy:
            self._busy.remove(process)

    def freeze(self, process: Process) -> None:
        process.frozen = True
        if process in self._busy:
            self._busy.remove(process)

    def thaw(self, process: Process) -> None:
        process.frozen = False
        if process.ready and not process.dead:
            self._busy.append(process)

    def _put(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(PROCESS, OUTSIDE)  # type: ignore[attr-defined]
        if process.dead or self._closed:
            return
        if not process.ready and not process.frozen:
            self._busy.append(process)
        process.ready.append(handle)

    # --- running ---------------------------------------------------------------------------------------------

    def run_until_complete(self, future: Any) -> Any:
        main = asyncio.ensure_future(future, loop=self)
        self._running = True
        events._set_running_loop(self)
        try:
            while not main.done():
                self._turn()
        finally:
            events._set_running_loop(None)
            self._running = False
        return main.result()

    def _turn(self) -> None:
        busy = self._busy
        if not busy:
            self._jump()
            return
        place = 0 if len(busy) == 1 else int(self._rng.random() * len(busy))
        process = busy[place]
        handle = process.ready.popleft()
        if not process.ready:
            busy.pop(place)
        if handle._cancelled:  # type: ignore[attr-defined]
            return
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Standstill(f"more than {MOST_STEPS} steps, at {self._now:.6f} s: the last one was {handle!r}")
        handle._run()  # type: ignore[attr-defined]
        if process.fuse and not process.dead:
            process.fuse -= 1
            if process.fuse == 0 and process.blow is not None:
                process.blow()

    def _jump(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:  # type: ignore[attr-defined]
            heapq.heappop(timers)
        if not timers:
            raise Standstill("nothing can run and no timer is set")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            handle = heapq.heappop(timers)[2]
            if not handle._cancelled:  # type: ignore[attr-defined]
                self._put(handle)

    def dispose(self, *processes: Process) -> None:
        """Takes apart what still waits, without letting it do anything."""
        self._closed = True
        self._timers.clear()
        # The next world is the same process outside of all others.
        OUTSIDE.ready.clear()
        for process in processes:
            process.dead = True
            for task in process.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]
                    with contextlib.suppress(BaseException):
                        task.get_coro().close()
            process.tasks.clear()


class SimClock:
    """``gateway.clock.Clock`` of one process: its wall clock is off by ``off_s`` seconds, its monotonic clock began
    somewhere of its own and never jumps."""

    def __init__(self, loop: Loop, *, off_s: float = 0.0, began_s: float = 0.0) -> None:
        self._loop = loop
        self.off_s = off_s
        self._began_s = began_s

    def now(self) -> datetime:
        return BEGAN + timedelta(seconds=self._loop.time() + self.off_s)

    def monotonic(self) -> float:
        return self._loop.time() + self._began_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimIds:
    """``gateway.ids.Ids`` of one process: real forms, drawn from the seed. ``number`` keeps processes apart."""

    _ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

    def __init__(self, clock: SimClock, rng: random.Random, number: int) -> None:
        self._clock = clock
        self._rng = rng
        self._number = number
        self._count = 0

    def new(self, prefix: str) -> str:
        self._count += 1
        millis = int(self._clock.now().timestamp() * 1000)
        low = (self._number << 40) | self._count
        return prefix + str(UUID(int=millis << 80 | 0x7 << 76 | 0b10 << 62 | low))

    def marker(self) -> str:
        self._count += 1
        left = (self._number << 24) | self._count
        out = ""
        for _ in range(26):
            out = self._ALPHABET[left & 31] + out
            left >>= 5
        return "T" + out

    def fraction(self) -> float:
        return self._rng.random()
