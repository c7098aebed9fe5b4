"""The loops around delivery: claim and send what is due, look for what is of unknown outcome. They take no input and
are safe to run twice: what is due stands in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.dispatch.deliver import Deliverer
from gateway.dispatch.resolver import Resolver
from gateway.errors import StoreUnavailable
from gateway.telemetry import Log

#: How often a loop looks by itself. A word from this process wakes it at once; what other processes leave is found
#: within this time.
LOOK_S = 0.25
#: How often a loop looks for leases that ran out; a lease lasts for many of these.
REAP_S = 1.0


async def deliver(deliverer: Deliverer, stop: asyncio.Event, log: Log) -> None:
    """Claims and starts deliveries until ``stop`` is set."""

    async def once() -> int:
        deliverer.work_left.clear()
        return await deliverer.run_once()

    await _loop(once, stop, log, "deliveries", wake=deliverer.work_left)


async def resolve(resolver: Resolver, stop: asyncio.Event, log: Log) -> None:
    """Finds leases that ran out, and looks for writes of unknown outcome, until ``stop`` is set."""
    await asyncio.gather(
        _loop(resolver.reap, stop, log, "expired leases", rest_s=REAP_S),
        _loop(resolver.run_once, stop, log, "unknown outcomes"),
    )


async def watch(
    once: Callable[[], Awaitable[int]],
    stop: asyncio.Event,
    log: Log,
    what: str,
    every_s: float,
    idle_s: float | None = None,
    wake: asyncio.Event | None = None,
) -> None:
    """Runs ``once`` every ``every_s`` seconds until ``stop`` is set, and at once when ``wake`` is. With ``idle_s`` it
    rests twice as long after each round that found nothing to do, and at most so long: many loops that are hardly ever
    needed cost little then (measured: a twentieth of a core in an idle process, and as much of its throughput)."""
    longest = every_s if idle_s is None else idle_s
    rest_s = every_s

    async def quietly() -> int:
        nonlocal rest_s
        rest_s = every_s if await once() else min(longest, 2 * rest_s)
        return 0

    await _loop(quietly, stop, log, what, wake=wake, rest_s=lambda: rest_s)


async def _loop(
    once: Callable[[], Awaitable[int]],
    stop: asyncio.Event,
    log: Log,
    what: str,
    *,
    wake: asyncio.Event | None = None,
    rest_s: float | Callable[[], float] = LOOK_S,
) -> None:
    while not stop.is_set():
        try:
            done = await once()
        except StoreUnavailable as lost:
            log.warning("waiting for the database", loop=what, reason=str(lost))
            done = 0
        except Exception:
            # The loop goes on: what it could not do is still due.
            log.exception("loop round failed", loop=what)
            done = 0
        if done == 0:
            await _rest(stop, wake, rest_s() if callable(rest_s) else rest_s)


async def _rest(stop: asyncio.Event, wake: asyncio.Event | None, seconds: float) -> None:
    waits = [asyncio.ensure_future(stop.wait())]
    if wake is not None:
        waits.append(asyncio.ensure_future(wake.wait()))
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()
