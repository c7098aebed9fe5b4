"""The rows that processes share about a system's limits: moments that are given away once, and gates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from random import Random

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.dialects import postgresql

from adapters.profile import Limits
from gateway.clock import SystemClock
from gateway.database import Database
from gateway.dispatch.claim import DUE
from gateway.ledger import gates
from gateway.ledger.pace import AHEAD, DAY, MICROS, Lease, lease

NOON = 20_000 * DAY + DAY // 2


@pytest.fixture
async def database(journal: str) -> AsyncIterator[Database]:
    one = Database(journal, clock=SystemClock())
    one.start()
    yield one
    await one.close()


async def _leased(database: Database, limits: Limits, wanted: int, now: int) -> Lease:
    def unit(connection: Connection) -> Lease:
        return lease(connection, "legacy", limits, wanted=wanted, now=now)

    return await database.transaction(unit)


@pytest.mark.parametrize("seed", range(5))
async def test_moments_are_apart_whoever_takes_them(database: Database, seed: int) -> None:
    """Whenever processes ask and for however much, no two moments are closer than the rate allows, none is in the past
    and none further ahead than a second; and who gets none is told when to ask again."""
    dice = Random(seed)
    rate = dice.choice([0.5, 3.0, 20.0, 250.0])
    limits = Limits(requests_per_second=rate)
    now, taken = NOON, list[int]()
    for _ in range(60):
        now += dice.choice([0, 0, 1_000, 200_000, 3_000_000])
        got = await _leased(database, limits, dice.randint(1, 40), now)
        assert (got.wait > 0) is (not got.moments)
        assert all(0 <= moment <= AHEAD for moment in got.moments)
        taken.extend(now + moment for moment in got.moments)
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    # Moments are whole microseconds.
    assert min(gaps) >= MICROS / rate - 2
    assert len(taken) > 1


async def test_an_idle_system_s_moments_are_not_saved_up(database: Database) -> None:
    """After an hour without a request the first one goes at once and the second one a gap later."""
    limits = Limits(requests_per_second=2.0)
    await _leased(database, limits, 1, NOON)
    got = await _leased(database, limits, 10, NOON + 3600 * MICROS)
    assert got.moments == (0, 500_000, 1_000_000)


async def test_a_day_s_quota_begins_anew_at_midnight(database: Database) -> None:
    """No more than the quota between midnight and midnight UTC; who comes too late is told how long that is."""
    limits = Limits(requests_per_day=5)
    assert len((await _leased(database, limits, 3, NOON)).moments) == 3
    assert len((await _leased(database, limits, 3, NOON)).moments) == 2
    late = await _leased(database, limits, 3, NOON + 1)
    assert (late.moments, late.used_up) == ((), DAY // 2 - 1)
    assert len((await _leased(database, limits, 3, NOON + DAY // 2)).moments) == 3


async def test_a_gate_only_ever_opens_later(database: Database) -> None:
    """Of two pauses the longer one counts, whichever came first, and none is longer than an hour."""

    async def shut(seconds: float, now: int) -> dict[str, float]:
        def unit(connection: Connection) -> dict[str, float]:
            gates.shut(connection, "legacy", seconds=seconds, reason="busy", now=now)
            return gates.shut_for(connection, now=now)

        return await database.transaction(unit)

    assert await shut(10, NOON) == {"legacy": 10.0}
    assert await shut(4, NOON) == {"legacy": 10.0}
    assert await shut(4, NOON + 8 * MICROS) == {"legacy": 4.0}
    assert await shut(86_400, NOON) == {"legacy": gates.PAUSE_CAP_S}
    later = NOON + int(gates.PAUSE_CAP_S * MICROS)
    assert await database.read(lambda conn: gates.shut_for(conn, now=later)) == {}


@pytest.mark.server
async def test_a_claim_looks_at_no_more_than_it_takes(postgres_journal: str) -> None:
    """However long the queue, and on a journal that was never analysed: its head is read in the order of the index, and
    nothing is sorted."""
    one = Database(postgres_journal, clock=SystemClock())
    one.start()
    statement = DUE.params(system="legacy", now=NOON, room=48).compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    try:
        plan = await one.read(lambda conn: conn.execute(text(f"EXPLAIN {statement}")).scalars().all())
    finally:
        await one.close()
    assert any("Index Scan using ix_lane_due" in line for line in plan), plan
    assert not any("Sort" in line for line in plan), plan
