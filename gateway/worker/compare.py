"""The loop that sees due comparisons through. It takes no input: what is due stands in the database."""

from __future__ import annotations

import asyncio
import logging

from gateway.compare import Comparer
from gateway.errors import StoreUnavailable

#: How long the loop rests when nothing is due; a look is a matter of seconds, so a second late is no harm.
IDLE_S = 0.5

log = logging.getLogger("twinrun.compare")


async def run(comparer: Comparer, stop: asyncio.Event, *, idle_s: float = IDLE_S) -> None:
    """Runs until ``stop`` is set, and then ends after the looks that are under way. Any number of these loops
    may run at once, in any number of processes."""
    await comparer.start()
    try:
        while not stop.is_set():
            try:
                done = await comparer.run_once()
            except StoreUnavailable:
                log.warning("comparisons wait until the database can be reached")
                done = 0
            except Exception:
                log.exception("a round of comparisons broke off")
                done = 0
            if not done:
                await _rest(stop, idle_s)
    finally:
        await comparer.stop()


async def _rest(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return
