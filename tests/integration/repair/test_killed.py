"""Repairs whose worker is killed, and the same repairs as a person at the command line and over HTTP sees them."""

from __future__ import annotations

import asyncio
import csv
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from gateway.crash import VARIABLE
from gateway.reconcile import Term
from gateway.repair.run import Outcome, State
from gateway.settings import Settings
from tests.integration.backfill.test_backfills import lawful
from tests.integration.ledger.conftest import opened
from tests.integration.reconcile.test_runs import environment
from tests.integration.repair.planted import (
    MIRROR,
    approved,
    by_hand,
    deleted,
    edited,
    firm,
    native,
    outcomes,
    planned,
    reaches,
    reconciled,
    writes,
)
from tests.systems.sandbox import Sandbox

ROOT = Path(__file__).parents[3]
RECORDS = 60


class Line:
    """``twinrun repair`` as a process of its own."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._folder = folder
        self._environment = {**os.environ, **environment(settings), "PYTHONPATH": str(ROOT), "COLUMNS": "250"}

    async def run(self, *arguments: str, crash: str = "") -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "repair", *arguments),
            cwd=self._folder,
            env=self._environment | ({VARIABLE: crash} if crash else {}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


async def test_killed_twice_in_a_chunk(settings: Settings, erps: Sandbox, tmp_path: Path) -> None:
    """kill -9 before a chunk's commit, twice, and once more while its deliveries are on their way: whoever comes next
    goes on, and the mirror has had every record once."""
    async with opened(settings, erps) as world:
        made = await firm(world, RECORDS)
        gone = made[:10]
        for one in gone:
            await deleted(world, one["id"])
        for one in made[10:]:
            await edited(world, one["id"], Name="Wrong")
        plan = await planned(world, await reconciled(world))
        assert (plan.total, plan.writes) == (RECORDS, RECORDS)
        assert plan.plan_hash is not None
        asked = await world.gateway.repairer.request(
            plan.id, plan_hash=plan.plan_hash, actor="ann", reason="month end"
        )
        before = writes(world, MIRROR)
        began = dict(world.began)
    line = Line(settings, tmp_path)
    async with opened(settings, erps, worker=False) as world:
        repairer = world.gateway.repairer
        for passage in (1, 2):
            code, _, said = await line.run("approve", plan.id, "--plan", plan.plan_hash, crash=f"CP32:{passage}")
            assert code == -signal.SIGKILL, said
            after = await repairer.get(plan.id)
            assert after.state is State.RUNNING
            assert after.taken == 50 * (passage - 1), "a chunk that was not committed leaves nothing behind"
        assert asked.requested_by == "ann"
    async with opened(settings, erps) as world:
        world.began = began
        done = await reaches(world, plan, State.DONE)
        assert set((await outcomes(world, done)).values()) == {Outcome.REPAIRED}
        new = Counter(writes(world, MIRROR) - before)
        assert set(new.values()) == {1}, "nothing was written twice"
        assert len(new) == RECORDS
        again = await reconciled(world)
        assert again.terms is not None
        assert again.terms[Term.UNEXPLAINED] == 0
        await lawful(world)


async def test_killed_while_its_deliveries_are_sent(settings: Settings, erps: Sandbox, tmp_path: Path) -> None:
    """A worker that dies right after the mirror has answered, with that not on disk: the answer is looked up, and the
    mirror has had every record once."""
    async with opened(settings, erps) as world:
        made = await firm(world, 12)
        for one in made:
            await edited(world, one["id"], Name="Wrong")
        plan = await planned(world, await reconciled(world))
        before = writes(world, MIRROR)
        began = dict(world.began)
    async with opened(settings, erps, worker=False) as world:
        await approved(world, plan)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "worker"),
        cwd=tmp_path,
        env={**os.environ, **environment(settings), "PYTHONPATH": str(ROOT), VARIABLE: "CP10:4"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    said = await process.stderr.read()
    assert await process.wait() == -signal.SIGKILL, said
    async with opened(settings, erps) as world:
        world.began = began
        done = await reaches(world, plan, State.DONE)
        assert set((await outcomes(world, done)).values()) == {Outcome.REPAIRED}
        new = Counter(writes(world, MIRROR) - before)
        assert (len(new), set(new.values())) == (12, {1})
        await lawful(world)


async def test_by_two_people_on_the_command_line(settings: Settings, erps: Sandbox, tmp_path: Path) -> None:
    """Planned, asked for, approved with another's key, and told: tables for people, JSON and CSV for programs."""
    async with opened(settings, erps) as world:
        wrong, gone = await firm(world, 2)
        await edited(world, wrong["id"], Name="=wrong()")
        await deleted(world, gone["id"])
        by_hand(world)
        run = await reconciled(world)
        keys = {}
        for name, scopes in (("ann", ["admin:write", "admin:read"]), ("bob", ["admin:approve", "admin:read"])):
            keys[name] = tmp_path / f"{name}.key"
            keys[name].write_text((await world.gateway.keys.create(name, scopes=scopes, actor="tests"))[0])
    line = Line(settings, tmp_path)
    ann, bob = (("--key-file", str(keys[name])) for name in ("ann", "bob"))
    code, out, err = await line.run("plan", run.id, *ann, "--json")
    assert code == 0, err
    told = msgspec.json.decode(out)
    assert (told["state"], told["planned"]) == ("planned", {"create": 1, "update": 1, "person": 1})
    assert {one["record"] for one in told["items"]} > {wrong["id"], gone["id"]}
    plan, hashed = told["id"], told["plan_hash"]
    code, out, err = await line.run("records", plan, "--action", "update")
    assert "Harbour Engineering" in out
    code, _, err = await line.run("request", plan, "--plan", "0" * 64, "--reason", "go", *ann)
    assert (code, "plan" in err) == (2, True)
    code, _, err = await line.run("request", plan, "--plan", hashed, "--reason", "before month end", *ann)
    assert code == 0, err
    assert "approve" in err
    code, _, err = await line.run("approve", plan, "--plan", hashed, *ann)
    assert code == 2
    assert "another person" in err
    async with opened(settings, erps) as world:
        code, _, err = await line.run("approve", plan, "--plan", hashed, "--no-wait", *bob)
        assert code == 0, err
        await reaches(world, await world.gateway.repairer.get(plan), State.DONE)
        assert await native(world, gone["id"])
    code, out, _ = await line.run("status", plan, "--json")
    assert code == 1, "a person has one of its records"
    told = msgspec.json.decode(out)
    assert (told["requested_by"], told["approved_by"]) == ("ann", "bob")
    assert told["outcomes"] == {"repaired": 2, "person": 1}
    code, out, _ = await line.run("records", plan, "--csv")
    lines = list(csv.DictReader(out.splitlines()))
    (name,) = (one for one in lines if (one["record"], one["field"]) == (wrong["id"], "name"))
    assert (name["from"], name["to"], name["outcome"]) == ("'=wrong()", "Harbour Engineering", "repaired")
    code, out, _ = await line.run("status", "--reconciliation", run.id)
    assert plan in out
    code, _, err = await line.run("cancel", plan, *ann)
    assert (code, "done" in err) == (2, True)


@pytest.mark.parametrize("state", [State.RUNNING, State.PLANNED])
async def test_cancelled(settings: Settings, erps: Sandbox, state: State) -> None:
    """It writes no more, cancelling again changes nothing, and another repair of the slice may be asked for."""
    async with opened(settings, erps) as world:
        (one,) = await firm(world, 1)
        await edited(world, one["id"], Name="Wrong")
        run = await reconciled(world)
        plan = await planned(world, run)
    async with opened(settings, erps, worker=False) as world:
        repairer = world.gateway.repairer
        if state is State.RUNNING:
            await approved(world, plan)
        over = await repairer.cancel(plan.id, actor="ann", reason="later")
        assert (over.state, over.ended_by) == (State.CANCELLED, "ann")
        assert (await repairer.cancel(plan.id, actor="bob")).ended_by == "ann"
        assert await repairer.run_once() == 0
        assert await outcomes(world, plan) == {one["id"]: Outcome.PLANNED}
        again = await repairer.plan(run.id, dry_run=False, actor="ann", reason="now")
        assert (await reaches(world, again, State.REQUESTED, by_hand=True)).total == 1
