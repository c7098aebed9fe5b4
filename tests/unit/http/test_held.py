"""What a caller has not taken yet."""

from __future__ import annotations

import asyncio
import random

import pytest

from gateway.http.held import Held


@pytest.mark.parametrize("seed", range(8))
async def test_first_in_first_out(seed: int) -> None:
    """Whatever the turns of putting and taking, in memory or through the file, the bytes come out as they went in."""
    dice = random.Random(seed)
    held = Held(block=64, most=1000)
    sent = b"".join(bytes([dice.randrange(256)]) * dice.randrange(1, 90) for _ in range(400))
    got = bytearray()

    async def put() -> None:
        at = 0
        while at < len(sent):
            size = dice.randrange(1, 120)
            await held.put(sent[at : at + size])
            at += size
            if dice.random() < 0.2:
                await asyncio.sleep(0)
        await held.end()

    async def take() -> None:
        while block := await held.take():
            got.extend(block)
            if dice.random() < 0.3:
                await asyncio.sleep(0)

    async with asyncio.timeout(20):
        await asyncio.gather(put(), take())
    held.close()
    assert bytes(got) == sent


async def test_it_keeps_little_in_memory_and_not_without_end() -> None:
    """Beyond a block it goes to the file; beyond the most, who puts waits until something was taken."""
    held = Held(block=100, most=1000)
    for _ in range(100):
        await held.put(b"x" * 10)
        assert len(held._newest) < 100
    more = asyncio.create_task(held.put(b"y"))
    done, _ = await asyncio.wait([more], timeout=0.05)
    assert not done
    assert await held.take() == b"x" * 100
    async with asyncio.timeout(5):
        await more
    held.close()


async def test_the_end_of_nothing() -> None:
    """An answer without a line ends at once."""
    held = Held()
    waiting = asyncio.create_task(held.take())
    await held.end()
    assert await waiting == b""
    held.close()
