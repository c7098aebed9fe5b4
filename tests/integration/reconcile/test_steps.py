"""A run step by step, on both databases: who may write, and what is never told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from sqlalchemy import Connection, func, select, update

from gateway.ledger.tables import delivery
from gateway.reconcile import store
from gateway.reconcile.reconciler import Reconciler
from gateway.reconcile.run import Phase
from gateway.reconcile.standing import MOST_TRIES
from gateway.reconcile.steps import Unbalanced
from gateway.reconcile.store import Work
from gateway.reconcile.tables import reconcile_amount, reconcile_part, reconcile_run
from gateway.runs import Lost
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import World, customer, fresh
from tests.integration.reconcile.conftest import SETTLE_S
from tests.integration.reconcile.planted import MIRROR, REGION, bill
from tests.systems.sandbox import Sandbox

LEASE = 60_000_000


class Steps:
    """A run in the hands of the test."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.database = world.gateway.database
        self.reconciler: Reconciler = world.gateway.reconciler

    async def begin(self) -> Work:
        await self.reconciler.start("invoice", REGION, actor="tests")
        work = await self.claim()
        assert work is not None
        return work

    async def claim(self) -> Work | None:
        def unit(connection: Connection) -> Work | None:
            return store.claim(connection, now=self.database.now(connection), lease=LEASE)

        return await self.database.transaction(unit)

    async def until(self, work: Work, phase: Phase) -> Work:
        """The run when it has come to ``phase``."""
        while work.phase is not phase:
            following = await self.reconciler.steps.take(work)
            assert following is not None
            work = following
        return work

    async def quiet(self) -> bool:
        """Whether nothing was written within the settle time."""

        def unit(connection: Connection) -> bool:
            last = connection.execute(select(func.max(delivery.c.updated_at))).scalar_one()
            return bool(last + int(SETTLE_S * 1_000_000) < self.database.now(connection))

        return await self.database.read(unit)

    async def expire(self) -> None:
        """Whoever holds the run is taken to be dead."""
        await self.database.transaction(
            lambda conn: conn.execute(update(reconcile_run).values(lease_until=0))
        )


@pytest.fixture
async def steps(settings: Settings, erps: Sandbox) -> AsyncIterator[Steps]:
    """Two equal invoices in both systems, and nobody who works on runs but the test."""
    async with opened(settings, erps) as world:
        owner = (await world.made("customers", customer(number=fresh())))["id"]
        for _ in range(2):
            await world.made("invoices", bill(owner, "EUR", "10.00"), key=fresh())
        await world.quiet()
    async with opened(settings, erps, worker=False) as world:
        yield Steps(world)


async def _differs(steps: Steps, *, by: str) -> str:
    """An invoice whose total parts in the mirror."""
    made = (await steps.world.get(f"/v1/invoices?region={REGION}&limit=1")).json()["items"][0]
    wrong = str(Decimal(made["total"]["amount"]) - Decimal(by))
    steps.world.sandbox.edit(MIRROR, "invoice", made["external_refs"][MIRROR], {"TotalAmount": wrong})
    return made["id"]


async def test_only_one_holds_a_run_and_the_one_before_writes_nothing(steps: Steps) -> None:
    """A run that is held is nobody else's; taken over after its lease, nothing that the old holder does counts."""
    old = await steps.begin()
    assert await steps.claim() is None
    await steps.expire()
    new = await steps.claim()
    assert new is not None
    assert (new.id, new.token) == (old.id, old.token + 1)
    with pytest.raises(Lost):
        await steps.reconciler.steps.take(old)
    told = await steps.reconciler.get(old.id)
    assert (told.phase, told.read_authority) == (Phase.AUTHORITY, 0)
    after = await steps.reconciler.steps.take(new)
    assert after is not None
    assert after.read_authority == 2
    assert await steps.database.transaction(lambda conn: store.keep_lease(conn, old, until=1)) is False
    assert await steps.claim() is None, "letting go of what one does not hold frees nothing"


async def test_a_step_that_is_done_twice_counts_once(steps: Steps) -> None:
    """A holder that dies after it has read and before it has written leaves nothing; the page is read again, and its
    records are counted once."""
    work = await steps.begin()
    await steps.until(work, Phase.MIRROR)
    again = await steps.database.transaction(
        lambda conn: store.advance(
            conn, work, now=steps.database.now(conn), phase=Phase.AUTHORITY.value, cursor=None
        )
    )
    done = await steps.until(again, Phase.MATCH)
    assert (done.read_authority, done.read_mirror) == (2, 2)


async def test_a_bridge_that_does_not_sum_to_zero_is_never_told(steps: Steps) -> None:
    """If what a record weighs gets lost, the run says so instead of a figure."""
    await _differs(steps, by="0.01")
    work = await steps.until(await steps.begin(), Phase.RECHECK)
    await steps.database.transaction(
        lambda conn: conn.execute(update(reconcile_part).values(term="unexplained", why="by hand"))
    )
    work = await steps.until(work, Phase.REPORT)
    await steps.database.transaction(lambda conn: conn.execute(reconcile_amount.delete()))
    with pytest.raises(Unbalanced, match=r"total EUR leaves 0\.01"):
        await steps.reconciler.steps.take(work)
    told = await steps.reconciler.get(work.id)
    assert (told.state, told.verdict, told.report) == ("running", None, None)


async def test_what_cannot_be_read_again_is_unexplained(steps: Steps) -> None:
    """A record that gives no answer, several times, from a system that is there: too little evidence is never
    agreement, and it does not hold the run up for ever."""
    record_id = await _differs(steps, by="0.01")
    work = await steps.until(await steps.begin(), Phase.RECHECK)
    await steps.world.until(steps.quiet, "every record is quiet for the settle time")
    steps.world.sandbox.fault(MIRROR, "garbage", on=["fetch"], entity=["invoice"])

    def due(connection: Connection) -> None:
        connection.execute(update(reconcile_part).values(due_at=0))

    for _ in range(MOST_TRIES + 1):
        await steps.database.transaction(due)
        following = await steps.reconciler.steps.take(work)
        assert following is not None
        work = following
    rows = await steps.database.read(
        lambda conn: conn.execute(
            select(reconcile_part.c.record_id, reconcile_part.c.term, reconcile_part.c.why)
        ).all()
    )
    assert [(row.record_id, row.term) for row in rows] == [(record_id, "unexplained")]
    assert rows[0].why.startswith("could not be read again")
