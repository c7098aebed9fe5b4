"""How many requests are under way at once, and who goes first."""

from __future__ import annotations

import asyncio

import pytest

from adapters.door import Urgency
from adapters.errors import Unavailable
from gateway.ledger.places import SHARES, Places


async def _queue(places: Places, *wanted: Urgency) -> tuple[list[Urgency], list[asyncio.Task[None]]]:
    """Tasks that wait for places, and the list in which each enters itself when it gets one."""
    got: list[Urgency] = []

    async def one(urgency: Urgency) -> None:
        await places.take(urgency)
        got.append(urgency)

    tasks = [asyncio.create_task(one(urgency)) for urgency in wanted]
    await _turns()
    return got, tasks


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_no_kind_has_a_larger_share_than_a_more_urgent_one() -> None:
    """The head of the queue stands for all behind it only because of this."""
    assert list(SHARES) == sorted(Urgency)
    assert list(SHARES.values()) == sorted(SHARES.values(), reverse=True)


async def test_the_most_urgent_goes_first() -> None:
    """Live before mirror before replay before backfill before compare, whoever came first."""
    places = Places(1)
    await places.take(Urgency.LIVE)
    waiting = [Urgency.COMPARE, Urgency.BACKFILL, Urgency.REPLAY, Urgency.MIRROR, Urgency.LIVE]
    got, tasks = await _queue(places, *waiting)
    for _ in waiting:
        places.give()
        await _turns()
    assert got == sorted(waiting)
    await asyncio.gather(*tasks)


async def test_a_place_is_left_for_callers() -> None:
    """However much is compared, backfilled and mirrored, a caller's request enters at once."""
    places = Places(10)
    got, tasks = await _queue(
        places, *[Urgency.COMPARE] * 10, *[Urgency.BACKFILL] * 10, *[Urgency.MIRROR] * 20
    )
    assert len(got) == 9
    await asyncio.wait_for(places.take(Urgency.LIVE), 1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_everyone_enters_a_system_that_bears_one_call() -> None:
    """A share is never less than one place."""
    places = Places(1)
    for urgency in Urgency:
        await asyncio.wait_for(places.take(urgency), 1)
        places.give()
    assert places.taken == 0


async def test_who_gives_up_leaves_no_place_behind() -> None:
    """Cancelled while waiting, or in the very moment that the place came: it is free for the next one."""
    places = Places(1)
    await places.take(Urgency.LIVE)
    _, (early, late) = await _queue(places, Urgency.LIVE, Urgency.LIVE)
    early.cancel()
    await _turns()
    places.give()
    late.cancel()  # it has been let in and has not run yet
    await asyncio.gather(early, late, return_exceptions=True)
    assert places.taken == 0
    await asyncio.wait_for(places.take(Urgency.COMPARE), 1)


async def test_a_shut_door_turns_everybody_away_at_once() -> None:
    """Who waits is told why, and takes nothing."""
    places = Places(1)
    await places.take(Urgency.LIVE)
    _, tasks = await _queue(places, Urgency.LIVE, Urgency.MIRROR)
    places.refuse(Unavailable("gone"))
    for task in tasks:
        with pytest.raises(Unavailable):
            await task
    assert (places.taken, places.waiting) == (1, 0)


async def test_more_places_let_more_in() -> None:
    """A limit that grows counts for those who wait already; one that shrinks takes nobody's place away."""
    places = Places(1)
    got, tasks = await _queue(places, *[Urgency.LIVE] * 4)
    assert len(got) == 1
    places.resize(3)
    await asyncio.gather(*tasks[:3])
    places.resize(1)
    assert places.taken == 3
    for _ in range(3):
        places.give()
    await tasks[3]
    assert places.taken == 1
