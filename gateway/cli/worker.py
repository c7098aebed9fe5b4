"""``twinrun worker``: the loops alone, beside any number of ``twinrun serve --no-worker`` on PostgreSQL."""

from __future__ import annotations

import asyncio
import signal

import uvloop

from gateway.app import Gateway
from gateway.cli import codes
from gateway.cli.screen import Json, put_json, say
from gateway.settings import Settings, load
from gateway.telemetry import configure


def worker(*, json: Json = False) -> int:
    """The loops alone: deliveries, unknown outcomes, comparisons. Ends cleanly on SIGTERM and Ctrl-C.

    A SQLite journal has one working process, so there `twinrun serve` runs the loops itself.
    """
    settings = load()
    configure(settings.log_level)
    return uvloop.run(run(settings, json=json))


async def run(settings: Settings, *, json: bool) -> int:
    """Works until a signal ends it; returns the exit code."""
    ended = asyncio.Event()
    came: list[signal.Signals] = []

    def stop(number: signal.Signals) -> None:
        came.append(number)
        ended.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    gateway = Gateway(settings)
    try:
        await gateway.open()
    except BaseException:
        await gateway.close()
        raise
    try:
        await gateway.start(worker=True)
        if json:
            put_json({"working": True, "systems": sorted(gateway.adapters)})
        else:
            say(f"twinrun works for {', '.join(sorted(gateway.adapters))}")
        await ended.wait()
    finally:
        await gateway.stop()
    return codes.INTERRUPTED if signal.SIGINT in came else codes.PASS
