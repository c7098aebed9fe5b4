"""The proof of the change feed: many edits in both ERPs at once, a worker killed while it carries them over."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.crash import VARIABLE
from gateway.settings import Settings
from tests.integration.backfill.test_backfills import lawful
from tests.integration.change_feed.conftest import settings_of_feed
from tests.integration.change_feed.desk import cases, edit, followed, held, written
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import customer, fresh
from tests.integration.reconcile.test_runs import environment
from tests.systems.sandbox import Sandbox

ROOT = Path(__file__).parents[3]
ENTITY, COLLECTION = "customer", "customers"
RECORDS = 250  #: each is edited once in either system: 500 edits
DISPUTED = 10  #: of these, the first are edited in the same field of money in both


@pytest.fixture
def postgres(postgres_journal: str, rules: Path, erps: Sandbox) -> Settings:
    return settings_of_feed(postgres_journal, rules, erps)


async def killed(settings: Settings, where: str, log: Path) -> None:
    """A worker of its own, killed at a crash point."""
    with log.open("w") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "worker"),
            cwd=log.parent,
            env={
                **os.environ,
                **environment(settings),
                "TWINRUN_CHANGE_FEED": "true",
                "TWINRUN_CHANGE_FEED_PERIOD_S": str(settings.change_feed_period_s),
                "PYTHONPATH": str(ROOT),
                VARIABLE: where,
            },
            stdout=said,
            stderr=said,
        )
        ended = await asyncio.wait_for(process.wait(), 60)
    assert ended == -signal.SIGKILL, f"see {log}"


@pytest.mark.server
async def test_500_edits_in_both_systems_are_carried_over_once(
    postgres: Settings, erps: Sandbox, tmp_path: Path
) -> None:
    """Each edit has one effect in the other system and none where it was made, no edit comes back, what is edited in
    both is in cases, and a kill -9 in the commit of a page changes nothing of that."""
    async with opened(postgres, erps) as world:
        places = asyncio.Semaphore(16)

        async def new() -> str:
            async with places:
                body = customer(phone="1", website="https://a.example", number=fresh("C"))
                limit = {"amount": "100.00", "currency": "GBP"}
                return (await world.made(COLLECTION, {**body, "credit_limit": limit}))["id"]

        async def told(record_id: str) -> dict[str, Any]:
            async with places:
                return (await world.get(f"/v1/{COLLECTION}/{record_id}")).json()

        ids = await asyncio.gather(*(new() for _ in range(RECORDS)))
        await world.quiet(60.0)
        made = list(await asyncio.gather(*(told(record_id) for record_id in ids)))
        await followed(world)
    async with opened(postgres, erps, worker=False) as world:
        began = dict(world.began)
        disputed, clear = made[:DISPUTED], made[DISPUTED:]
        for place, one in enumerate(disputed):
            edit(world, "legacy", ENTITY, one, credit_limit__amount=f"2{place:02d},00")
            edit(world, "cloud", ENTITY, one, credit_limit__amount=f"3{place:02d}.00")
        for place, one in enumerate(clear):
            edit(world, "legacy", ENTITY, one, phone=f"l{place}")
            edit(world, "cloud", ENTITY, one, website=f"https://{place}.example")
        await killed(postgres, "CP22:9", tmp_path / "killed.log")
    async with opened(postgres, erps) as world:
        world.began = began

        async def seen(system: str, one: dict[str, Any]) -> dict[str, Any]:
            async with places:
                return await held(world, system, ENTITY, one)

        await followed(world, passes=3)
        for system in ("legacy", "cloud"):
            done = written(world, system, ENTITY)
            assert done == {one["external_refs"][system]: 1 for one in clear}, system
        for system in ("legacy", "cloud"):
            shown = await asyncio.gather(*(seen(system, one) for one in clear))
            assert [(found["phone"], found["website"]) for found in shown] == [
                (f"l{place}", f"https://{place}.example") for place in range(len(clear))
            ]
        found_cases = await cases(world, "ownership_conflict")
        assert {case["record"] for case in found_cases} == {one["id"] for one in disputed}
        assert len(found_cases) == DISPUTED
        assert await cases(world, "edit_loop") == []
        for place, one in enumerate(disputed):
            assert (await held(world, "legacy", ENTITY, one))["credit_limit"]["amount"] == f"2{place:02d}.00"
            assert (await held(world, "cloud", ENTITY, one))["credit_limit"]["amount"] == f"3{place:02d}.00"
        await lawful(world)
