"""Guards: a slice that the cloud leads goes back when its gates fail for long enough, and only then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from gateway.ledger.tables import delivery
from gateway.readiness.tables import guard_watch
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.test_switches import Desk, desk_of
from tests.integration.ledger.world import REGION, World, customer, fresh
from tests.systems.sandbox import Sandbox

GUARD = """
[[guards]]
name           = "Parked"
regions        = ["UK"]
entities       = ["customer"]
gates          = ["deliveries"]
windows        = 3
window_minutes = 60
then           = "{then}"
hold_hours     = 24
"""


class Guarded:
    """A slice in ``live`` with a guard on its parked deliveries, whose windows end when a test says so."""

    def __init__(self, world: World, desk: Desk) -> None:
        self.world = world
        self.desk = desk

    async def window(self, *, rests: bool = True) -> dict[str, Any]:
        """One window ends, and is looked at. ``rests`` False: the hold time is over by then."""

        def unit(connection: Any) -> None:
            values: dict[str, Any] = {"next_at": 0} if rests else {"next_at": 0, "held_until": 1}
            connection.execute(update(guard_watch).values(**values))

        await self.world.gateway.guarding.run_once()  # the row is there
        await self.world.gateway.database.transaction(unit)
        await self.world.gateway.guarding.run_once()
        return await self.seen()

    async def seen(self) -> dict[str, Any]:
        (one,) = (await self.world.get("/admin/v1/guards")).json()["items"]
        return one

    async def part(self) -> str:
        """A write that the legacy refuses, so that it is parked there. Returns its delivery."""
        self.world.sandbox.fault("legacy", "error", status=400, count=1, on=["writes"])
        answer = await self.world.create("customers", customer(number=fresh()))
        told = await self.world.reaches(answer, "attention")
        return next(line["id"] for line in told["deliveries"] if line["role"] == "mirror")

    async def mend(self, delivery: str) -> None:
        assert (await self.world.client.post(f"/admin/v1/deliveries/{delivery}/replay")).status_code == 200
        await self.world.quiet()

    async def switches(self) -> list[dict[str, Any]]:
        items = (await self.world.get("/admin/v1/switches?entity=customer")).json()["items"]
        return [one for one in items if one["requested_by"] == "guard"]

    async def cases(self) -> list[dict[str, Any]]:
        return (await self.world.get("/admin/v1/cases?kind=guard&state=open")).json()["items"]

    async def stage(self) -> str:
        items = (await self.world.get("/admin/v1/rules")).json()["items"]
        return next(one["stage"] for one in items if (one["entity"], one["region"]) == ("customer", REGION))


@pytest.fixture
async def guarded(settings: Settings, rules: Path, sandbox: Sandbox) -> AsyncIterator[Guarded]:
    await asyncio.to_thread((rules / "guards.toml").write_text, GUARD.format(then="ask"))
    async with opened(settings, sandbox) as world:
        one = Guarded(world, await desk_of(world))
        await world.stage("customer", Stage.SHADOW)
        await world.stage("customer", Stage.LIVE)
        yield one


async def test_it_asks_after_windows_in_a_row(guarded: Guarded) -> None:
    """Two windows fail, one passes, and the count begins anew; after three in a row the guard tries to go back, says in
    a case why, and rests: nothing more comes of any later window until its hold time is over."""
    first = await guarded.window()
    assert (first["verdict"], first["failing"], first["watching"]) == ("pass", 0, True)
    letter = await guarded.part()
    assert [(await guarded.window())["failing"] for _ in range(2)] == [1, 2]
    assert await guarded.switches() == [] == await guarded.cases()
    await guarded.mend(letter)
    assert (await guarded.window())["failing"] == 0
    await guarded.part()
    for _ in range(3):
        seen = await guarded.window()
    # The same deliveries stand in the way of the switch back, whose gates the guard does not override.
    (case,) = await guarded.cases()
    assert "parked" in case["message"]
    assert "cannot go back by itself" in case["message"]
    assert (case["entity"], case["region"], case["offers"]) == ("customer", REGION, ["dismiss"])
    assert await guarded.switches() == []
    assert seen["held_until"] is not None
    assert (await guarded.stage()) == "live"
    for _ in range(4):
        await guarded.window()
    (still,) = await guarded.cases()
    assert still["id"] == case["id"]
    acts = (await guarded.world.get("/admin/v1/audit?action=guard.demote")).json()["items"]
    assert [(act["actor"], act["subject"]) for act in acts] == [("guard", f"customer/{REGION}")]
    closed = await guarded.desk.post(
        "operator",
        f"/admin/v1/cases/{case['id']}/resolve",
        {"as": "dismiss", "reason": "the mirror was mended"},
    )
    assert closed.status_code == 200, closed.text
    await guarded.window(rests=False)
    assert len(await guarded.cases()) == 1


LAG = GUARD.replace('"deliveries"', '"{gate}"')


async def _late(world: World) -> None:
    """A write that came to the mirror after longer than the gate allows."""
    answer = await world.create("customers", customer(number=fresh()))
    await world.reaches(answer, "settled")
    operation = answer.headers["Twinrun-Operation"]
    await world.gateway.database.transaction(
        lambda conn: conn.execute(
            update(delivery)
            .where(delivery.c.operation_id == operation, delivery.c.role == "mirror")
            .values(created_at=delivery.c.created_at - 120_000_000)
        )
    )


@pytest.mark.parametrize("then", ["ask", "switch_back"])
async def test_it_goes_back(settings: Settings, rules: Path, sandbox: Sandbox, then: str) -> None:
    """Where the gates of the switch hold, the guard opens it: one that asks waits for a person, who is not the guard;
    one that may begins it. Live again, the slice is not taken back before the hold time is over."""
    text = LAG.format(then=then, gate="lag")
    await asyncio.to_thread((rules / "guards.toml").write_text, text)
    async with opened(settings, sandbox) as world:
        one = Guarded(world, await desk_of(world))
        await world.stage("customer", Stage.SHADOW)
        await world.stage("customer", Stage.LIVE)
        await _late(world)
        assert [(await one.window())["failing"] for _ in range(3)] == [1, 2, 0]
        (opened_,) = await one.switches()
        assert (opened_["kind"], opened_["to_stage"]) == ("rollback", "shadow")
        assert "Lag of the mirror" in opened_["reason"]
        if then == "ask":
            assert (opened_["state"], await one.stage()) == ("requested", "live")
            assert (await one.desk.approve(opened_)).status_code == 200
        ended = await one.desk.reaches(opened_, "committed", "aborted")
        assert (ended["state"], await one.stage()) == ("committed", "shadow")
        assert (await one.seen())["switch"] == opened_["id"]
        assert not (await one.seen())["watching"]
        (case,) = await one.cases()
        assert opened_["id"] in case["message"]
        page = await world.client.get(f"/admin/v1/cases/{case['id']}")
        assert page.status_code == 200
        await world.stage("customer", Stage.LIVE)
        for _ in range(4):
            await one.window()
        assert (len(await one.switches()), await one.stage()) == (1, "live")
        await world.quiet()
        await world.check()


async def test_too_little_evidence_moves_nothing(settings: Settings, rules: Path, sandbox: Sandbox) -> None:
    """Inconclusive windows, however many, neither demote nor promote, and failures before them do not stand."""
    await asyncio.to_thread((rules / "guards.toml").write_text, LAG.format(then="switch_back", gate="lag"))
    async with opened(settings, sandbox) as world:
        one = Guarded(world, await desk_of(world))
        await world.stage("customer", Stage.SHADOW)
        await world.stage("customer", Stage.LIVE)
        for _ in range(5):
            seen = await one.window()
            assert (seen["verdict"], seen["failing"]) == ("inconclusive", 0)
        await _late(world)
        assert (await one.window())["failing"] == 1
        # Long ago by now: nothing was mirrored lately.
        await world.gateway.database.transaction(
            lambda conn: conn.execute(
                update(delivery).values(updated_at=delivery.c.updated_at - 3_600_000_000)
            )
        )
        seen = await one.window()
        assert (seen["verdict"], seen["failing"]) == ("inconclusive", 0)
        assert (await one.stage(), await one.switches(), await one.cases()) == ("live", [], [])


@pytest.mark.server
async def test_two_workers_act_once(
    postgres_journal: str, settings: Settings, rules: Path, sandbox: Sandbox
) -> None:
    """Of several workers that look at once one counts a window, and one acts."""
    await asyncio.to_thread((rules / "guards.toml").write_text, LAG.format(then="ask", gate="lag"))
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    async with opened(shared, sandbox) as first, opened(shared, sandbox) as second:
        one = Guarded(first, await desk_of(first))
        await first.stage("customer", Stage.SHADOW)
        await first.stage("customer", Stage.LIVE)
        await _late(first)
        await one.window()
        for _ in range(4):
            await first.gateway.database.transaction(
                lambda conn: conn.execute(update(guard_watch).values(next_at=0))
            )
            await asyncio.gather(
                *(world.gateway.guarding.run_once() for world in (first, second, first, second))
            )
        assert len(await one.switches()) == len(await one.cases()) == 1
