"""Runs over a loaded firm, on both databases: seen through, taken up again, kept short, cancelled, refused."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, func, select

from gateway.cli.commands import run as command
from gateway.errors import CannotCancel, Invalid, ReconciliationRunning
from gateway.reconcile import Report, Run, Term, Verdict
from gateway.reconcile.tables import reconcile_row
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import World
from tests.integration.pressure.conftest import settings_of
from tests.integration.reconcile.planted import MIRROR, followed, gate
from tests.systems.sandbox import SYSTEMS, Sandbox

ROOT = Path(__file__).parents[3]
ENTITY, REGION = "expense", "DACH"


@pytest.fixture
def erps(tmp_path: Path) -> Iterator[Sandbox]:
    """A firm with some hundred expenses in the region, the same in both ERPs but for their declared losses."""
    run = Sandbox(tmp_path, scale="1")
    try:
        yield run
    finally:
        run.stop()


@pytest.fixture
def settings(journal: str, rules: Path, erps: Sandbox) -> Settings:
    return settings_of(journal, rules, erps)


def environment(settings: Settings) -> dict[str, str]:
    """The settings as a process of its own is given them."""
    given = {
        "TWINRUN_DATABASE": settings.database,
        "TWINRUN_RULES": str(settings.rules),
        "TWINRUN_LEASE_MARGIN_S": str(settings.lease_margin_s),
        "TWINRUN_SETTLE_S": str(settings.settle_s),
        "TWINRUN_CONFIRM_S": str(settings.confirm_s),
    }
    for name, system in settings.systems.items():
        given[f"TWINRUN_SYSTEMS__{name.upper()}__BASE_URL"] = system.base_url
        given[f"TWINRUN_SYSTEMS__{name.upper()}__TIMEOUT_S"] = str(system.timeout_s)
    return given


async def reconciled(world: World) -> Run:
    run = await world.gateway.reconciler.start(ENTITY, REGION, actor="tests")
    return await followed(world, run)


def lasting(report: Report | None) -> Any:
    """What of a report says something of the sets: all of it."""
    assert report is not None
    return msgspec.to_builtins(report)


async def kept(world: World) -> int:
    """Documents that are still kept."""

    def unit(connection: Connection) -> int:
        return connection.execute(select(func.count()).select_from(reconcile_row)).scalar_one()

    return await world.gateway.database.read(unit)


def searches(world: World) -> dict[str, int]:
    return {system: world.requests(system, f"{ENTITY}.search") for system in SYSTEMS}


async def test_a_second_run_judges_only_what_has_changed(world: World) -> None:
    """Over unchanged sets it takes every range over and says the same; a cent in one record, and one range is judged,
    the cent is found, and no other range is."""
    assert await gate(world, ENTITY, REGION) == "inconclusive"
    first = await reconciled(world)
    assert await gate(world, ENTITY, REGION) == "pass"
    assert first.report is not None
    assert (first.verdict, first.skipped) == (Verdict.PASS, 0)
    assert first.ranges >= 3
    assert first.report.records["authority"] == first.report.records["mirror"] == first.read_authority
    again = await reconciled(world)
    assert (again.ranges, again.skipped) == (first.ranges, first.ranges)
    assert lasting(again.report) == lasting(first.report)
    page = (await world.get(f"/v1/expenses?region={REGION}&limit=1")).json()["items"][0]
    amount = Decimal(page["amount"]["amount"])
    native = page["external_refs"][MIRROR]
    world.sandbox.edit(MIRROR, ENTITY, native, {"Amount": str(amount + Decimal("0.01"))})
    third = await reconciled(world)
    assert third.report is not None
    assert (third.verdict, third.ranges, third.skipped) == (Verdict.FAIL, first.ranges, first.ranges - 1)
    (line,) = (
        one
        for one in third.report.bridge
        if (one.measure, one.currency) == ("amount", page["amount"]["currency"])
    )
    assert (line.terms[Term.UNEXPLAINED], line.residual) == (Decimal("-0.01"), 0)
    found = await world.gateway.reconciler.records(third.id, term=Term.UNEXPLAINED)
    assert [one.record_id for one in found] == [page["id"]]
    world.sandbox.edit(MIRROR, ENTITY, native, {"Amount": str(amount)})
    last = await reconciled(world)
    assert last.skipped == first.ranges - 1, "a range in which something parted is judged anew"
    assert lasting(last.report) == lasting(first.report)
    await world.until(lambda: _none(world), "what was read is deleted")


async def _none(world: World) -> bool:
    return await kept(world) == 0


@pytest.mark.parametrize("system", SYSTEMS)
async def test_killed_and_taken_up_again(
    settings: Settings, erps: Sandbox, tmp_path: Path, system: str
) -> None:
    """kill -9 while it reads one side or the other: whoever comes next goes on with the next page, reads no page twice
    but the one that was under way, and comes to the same report as a run that nobody killed."""

    def read(run: Run) -> int:
        return run.read_authority if system == "legacy" else run.read_mirror

    log = tmp_path / "killed.log"
    async with opened(settings, erps, worker=False) as world:
        before = searches(world)
        slow = erps.fault(system, "latency", ms=400, on=["search"], entity=[ENTITY])
        arguments = ["-m", "gateway.cli", "reconcile", "--entity", ENTITY, "--region", REGION]
        with log.open("w") as said:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=tmp_path,
                env={**os.environ, **environment(settings), "PYTHONPATH": str(ROOT)},
                stdout=said,
                stderr=said,
            )
        try:

            async def under_way() -> Run | None:
                assert process.returncode is None, log.read_text()
                found = await world.gateway.reconciler.list(state="running")
                return next((one for one in found if read(one)), None)

            begun = await world.until(under_way, "a page is read")
        finally:
            process.kill()
            await process.wait()
        erps.heal(system, slow)
        killed = await world.gateway.reconciler.get(begun.id)
        assert (killed.state, killed.phase) == ("running", "authority" if system == "legacy" else "mirror")
        assert read(killed) > 0
        assert await world.gateway.reconciler.run_once() == 0, "its lease is still held"

        async def seen_through() -> Run | None:
            await world.gateway.reconciler.run_once()
            now = await world.gateway.reconciler.get(begun.id)
            return now if now.state == "done" else None

        run = await world.until(seen_through, "the run is taken up again")
        assert read(run) > read(killed)
        between = searches(world)
        asked = {system: between[system] - before[system] for system in SYSTEMS}
        whole = await world.gateway.reconciler.start(ENTITY, REGION, actor="tests")

        async def whole_done() -> Run | None:
            await world.gateway.reconciler.run_once()
            now = await world.gateway.reconciler.get(whole.id)
            return now if now.state == "done" else None

        unbroken = await world.until(whole_done, "a run that nobody kills")
        assert lasting(run.report) == lasting(unbroken.report)
        pages = {system: count - between[system] for system, count in searches(world).items()}
        assert pages[system] > 2
        (other,) = {*SYSTEMS} - {system}
        assert asked[other] == pages[other]
        assert asked[system] in (pages[system], pages[system] + 1)


async def test_an_outage_is_waited_for(world: World) -> None:
    """While the mirror is away the run says so and stays; when it is back, the run ends as if nothing had been."""
    world.sandbox.fault(MIRROR, "outage")
    run = await world.gateway.reconciler.start(ENTITY, REGION, actor="tests")

    async def waits() -> Run | None:
        now = await world.gateway.reconciler.get(run.id)
        return now if now.note is not None else None

    waiting = await world.until(waits, "the run says what it waits for")
    assert (waiting.state, waiting.phase) == ("running", "mirror")
    assert waiting.note is not None
    assert waiting.note.startswith("cloud: ")
    world.sandbox.heal(MIRROR)
    run = await followed(world, run)
    assert (run.verdict, run.note) == (Verdict.PASS, None)


async def test_cancelled_while_it_reads(world: World) -> None:
    """It reads no more, what it had read is deleted, cancelling again changes nothing, and the next run begins anew.
    What has ended by itself cannot be cancelled."""
    world.sandbox.fault("legacy", "latency", ms=300, on=["search"], entity=[ENTITY])
    run = await world.gateway.reconciler.start(ENTITY, REGION, actor="tests")

    async def reading() -> bool:
        return bool((await world.gateway.reconciler.get(run.id)).read_authority)

    await world.until(reading, "a page is read")
    with pytest.raises(ReconciliationRunning) as twice:
        await world.gateway.reconciler.start(ENTITY, REGION, actor="tests")
    assert twice.value.facts["reconciliation"] == run.id
    ended = await world.gateway.reconciler.cancel(run.id, actor="ann")
    assert (ended.state, ended.ended_by, ended.report) == ("cancelled", "ann", None)
    assert await world.gateway.reconciler.cancel(run.id, actor="bob") == ended
    await world.until(lambda: _none(world), "what was read is deleted")
    world.sandbox.heal("legacy")
    done = await reconciled(world)
    assert done.verdict is Verdict.PASS
    with pytest.raises(CannotCancel):
        await world.gateway.reconciler.cancel(done.id, actor="ann")


async def test_a_slice_with_one_system_is_refused(world: World) -> None:
    """There is nothing to hold it against; the refusal names the stages in which there is."""
    await world.stage(ENTITY, Stage.LEGACY_ONLY, region=REGION, override=True)
    with pytest.raises(Invalid, match="dual_write") as refused:
        await world.gateway.reconciler.start(ENTITY, REGION, actor="tests")
    assert [error.pointer for error in refused.value.errors] == ["/region"]


async def test_a_slice_that_moves_ends_its_run(world: World) -> None:
    """What was read of one authority period says nothing of the next: the run fails, and tells no figure."""
    world.sandbox.fault("legacy", "latency", ms=300, on=["search"], entity=[ENTITY])
    run = await world.gateway.reconciler.start(ENTITY, REGION, actor="tests")

    async def reading() -> bool:
        return bool((await world.gateway.reconciler.get(run.id)).read_authority)

    await world.until(reading, "a page is read")
    await world.stage(ENTITY, Stage.LEGACY_ONLY, region=REGION, override=True)
    failed = await followed(world, run, "failed")
    assert (failed.verdict, failed.report) == (None, None)
    assert failed.note is not None
    assert "legacy_only" in failed.note


async def test_over_http_and_on_the_command_line(
    world: World,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A missing record: 202 and followed over HTTP, exit code 1 on the command line, the same bridge on both, and the
    record behind it as JSON and as CSV."""
    await reconciled(
        world
    )  # joins what the two systems hold, so that the record's number in the mirror is known
    item = (await world.get(f"/v1/expenses?region={REGION}&limit=1")).json()["items"][0]
    native = item["external_refs"][MIRROR]
    world.sandbox.edit(MIRROR, ENTITY, native, {}, action="delete")
    begun = await world.client.post(
        "/admin/v1/reconciliations", json={"entity": ENTITY, "region": REGION, "reason": "month end"}
    )
    assert begun.status_code == 202, begun.text

    async def over() -> Any:
        told = (await world.get(begun.headers["location"])).json()
        return told if told["state"] != "running" else None

    told = await world.until(over, "it has ended")
    assert (told["state"], told["verdict"], told["report"]["missing"]) == ("done", "fail", 1)
    (line,) = (
        one
        for one in told["report"]["bridge"]
        if (one["measure"], one["currency"]) == ("amount", item["amount"]["currency"])
    )
    assert (line["unexplained"], line["residual"]) == (item["amount"]["amount"], "0.00")
    wanted = {"term": "unexplained", "measure": "amount", "currency": item["amount"]["currency"]}
    records = (await world.client.get(told["records_href"], params=wanted)).json()["items"]
    assert [(one["record"], one["kind"]) for one in records] == [(item["id"], "missing")]

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    async def twinrun(*arguments: str) -> tuple[int, str]:
        code = await asyncio.to_thread(command, ["reconcile", *arguments])
        return code, capsys.readouterr().out

    code, said = await twinrun("--entity", ENTITY, "--region", REGION, "--json")
    assert code == 1
    mine = json.loads(said)
    assert mine["report"] == told["report"]
    code, said = await twinrun("--run", mine["id"], "--term", "unexplained", "--csv")
    lines = said.splitlines()
    assert code == 0
    assert lines[0].split(",")[:4] == ["record", "entity", "term", "kind"]
    assert all(one.startswith(f"{item['id']},expense,unexplained,missing") for one in lines[1:])
    assert f"amount,{item['amount']['currency']},{item['amount']['amount']},0.00," in said
    code, said = await twinrun("--list", "--json")
    assert [one["id"] for one in json.loads(said)["items"]][:2] == [mine["id"], told["id"]]
    code, said = await twinrun("--run", mine["id"])
    assert code == 1
    assert "authority = mirror + late + queued + in case + waived + unexplained" in said
    assert (await twinrun("--term", "late"))[0] == 2
    assert (await twinrun("--entity", "planet"))[0] == 2
    assert (await twinrun("--cancel", mine["id"]))[0] == 2
