"""The loop of a process without workers: work that it leaves in the journal is told to the processes that have them."""

from __future__ import annotations

import asyncio

from gateway.wake import Wake, Word


async def run(left: asyncio.Event, wake: Wake, stop: asyncio.Event) -> None:
    """Runs until ``stop`` is set; ``left`` is set whenever something may have become ready."""
    ended = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            work = asyncio.ensure_future(left.wait())
            try:
                await asyncio.wait((ended, work), return_when=asyncio.FIRST_COMPLETED)
            finally:
                work.cancel()
            if left.is_set():
                left.clear()
                wake.tell(Word.DELIVERIES)
    finally:
        ended.cancel()
