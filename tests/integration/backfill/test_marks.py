"""The low mark of a chunk: what a live write has touched since is left to it, also where the chunk was killed and where
the source shows it late."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import msgspec

import adapters
from gateway.crash import VARIABLE
from gateway.routing.stage import Stage
from gateway.settings import Settings, SystemSettings
from tests.integration.backfill.test_backfills import COLLECTION, ENTITY, ROOT, creates, ended, firm, lawful
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, fresh
from tests.integration.reconcile.test_runs import environment
from tests.systems.sandbox import Sandbox

PROFILE = Path(adapters.__file__).parent / "profiles" / "sandbox_legacy.toml"
LAG_S = 3.0


async def test_what_was_written_between_a_kill_and_the_next_chunk(
    settings: Settings, erps: Sandbox, tmp_path: Path
) -> None:
    """A worker reads a chunk and is killed before its commit; then records of that chunk are written to, and some of
    these writes reach the mirror before the chunk is taken again and some do not. The page is read again with a mark of
    its own: nothing of the one before is brought, and each record is in the mirror once, as it was last written."""
    async with opened(settings, erps) as world:
        made = await firm(world, Stage.LEGACY_ONLY, 30)
        await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
    async with opened(settings, erps, worker=False) as world:
        run = await world.gateway.backfiller.start(ENTITY, REGION, actor="tests")
        log = tmp_path / "killed.log"
        with log.open("w") as said:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "gateway.cli", "backfill", "start"),
                *("--entity", ENTITY, "--region", REGION),
                cwd=tmp_path,
                env={**os.environ, **environment(settings), "PYTHONPATH": str(ROOT), VARIABLE: "CP21:1"},
                stdout=said,
                stderr=said,
            )
        assert await process.wait() == -signal.SIGKILL, log.read_text()
        assert (await world.gateway.backfiller.get(run.id)).read == 0
        # Without workers these are in the authority, and on their way to the mirror.
        for one in made[:10]:
            answer = await world.patch(COLLECTION, one["id"], {"name": f"Late {one['number']}"}, key=fresh())
            assert answer.status_code == 200, answer.text
    erps.fault("cloud", "latency", ms=150, on=["create"])
    async with opened(settings, erps) as world:
        world.began = dict.fromkeys(world.began, 0)
        for one in made[10:20]:
            answer = await world.patch(COLLECTION, one["id"], {"name": f"Live {one['number']}"}, key=fresh())
            assert answer.status_code == 200, answer.text
        done = await ended(world, run)
        await world.quiet()
        assert done.complete, done
        assert (done.read, set(creates(world, "cloud").values()), len(creates(world, "cloud"))) == (30, {1}, 30)
        for one in made:
            told = (await world.get(f"/v1/{COLLECTION}/{one['id']}")).json()
            held = await world.gateway.adapters["cloud"].fetch(ENTITY, told["external_refs"]["cloud"])
            assert held.fields["name"] == told["name"]
        await lawful(world)


async def test_a_source_that_shows_a_write_late(settings: Settings, erps: Sandbox, tmp_path: Path) -> None:
    """A record was written to while the mirror was not there yet, and the source's list still shows it as it was: that
    is not brought over it. It is left out, said to be, and brought by the next run."""
    file = tmp_path / "lagging.toml"
    text = PROFILE.read_text(encoding="utf-8")
    line = f"[entities.customer]\nsearch_lag_s = {LAG_S}\n"
    file.write_text(text.replace("[entities.customer]\n", line), encoding="utf-8")
    legacy = SystemSettings(profile=str(file), base_url=erps.urls["legacy"], timeout_s=2.0)
    lagging = msgspec.structs.replace(settings, systems={**settings.systems, "legacy": legacy})
    async with opened(lagging, erps) as world:
        made = await firm(world, Stage.LEGACY_ONLY, 4)
        await asyncio.sleep(LAG_S)
        erps.fault("legacy", "read_lag", s=LAG_S, entity=["customer"], on=["search"])
        answer = await world.patch(COLLECTION, made[0]["id"], {"name": "As it is now"}, key=fresh())
        assert answer.status_code == 200, answer.text
        await world.stage(ENTITY, Stage.DUAL_WRITE, region=REGION, override=True)
        done = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
        assert (done.created, done.superseded, done.unlinked, done.differs) == (3, 1, 1, 0)
        await asyncio.sleep(LAG_S)
        again = await ended(world, await world.gateway.backfiller.start(ENTITY, REGION, actor="tests"))
        assert (again.created, again.present, again.complete) == (1, 3, True)
        told = (await world.get(f"/v1/{COLLECTION}/{made[0]['id']}")).json()
        held = await world.gateway.adapters["cloud"].fetch(ENTITY, told["external_refs"]["cloud"])
        assert (told["name"], held.fields["name"]) == ("As it is now", "As it is now")
