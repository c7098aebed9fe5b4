"""What is shown of the feeds, and documents, whose lanes are strict."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

import adapters
from gateway.change_feed import retention
from gateway.cli import codes
from gateway.cli.commands import run
from gateway.settings import Settings, SystemSettings
from tests.integration.backfill.test_backfills import lawful
from tests.integration.change_feed.desk import cases, edit, followed, held, paired, written
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh, invoice
from tests.integration.reconcile.test_runs import environment
from tests.systems.sandbox import Sandbox

PROFILE = Path(adapters.__file__).parent / "profiles" / "sandbox_cloud.toml"
WITHOUT_CHANGES = PROFILE.read_text(encoding="utf-8").replace(', "changes"]', "]")


@pytest.mark.parametrize("side", ["legacy", "cloud"])
async def test_a_document_gets_what_was_edited_and_its_state(world: World, side: str) -> None:
    """An invoice that somebody has dated anew and released in the one system is so in the other: one write for the
    field, one for the state. In the mirror, where nothing is owned, it is a person's to say."""
    owner = await paired(world, "customers", customer(number=fresh("C")))
    made = await paired(world, "invoices", invoice(owner["id"], number=fresh("I")), key=fresh())
    await followed(world, entity="invoice")
    other = "cloud" if side == "legacy" else "legacy"
    before = written(world, other, "invoice")
    if side == "legacy":
        edit(world, side, "invoice", made, due_date="30.04.2026", state="P")
    else:
        edit(world, side, "invoice", made, due_date="2026-04-30", state="Ready")
    await followed(world, entity="invoice")
    if side == "cloud":
        assert written(world, other, "invoice") == before
        (case,) = await cases(world, "ownership_conflict")
        for name in ("ann", "bob"):
            key, _ = await world.gateway.keys.create(
                name, scopes=["admin:read", "admin:write"], actor="tests"
            )
            answer = await world.client.post(
                f"/admin/v1/cases/{case['id']}/resolve",
                json={"as": "carry_over", "reason": "agreed with the customer"},
                headers={"Authorization": f"Bearer {key}"},
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["state"] == ("open" if name == "ann" else "closed")
        await followed(world, entity="invoice")
    found = await held(world, other, "invoice", made)
    assert (found["due_date"], found["state"]) == ("2026-04-30", "ready")
    assert (written(world, other, "invoice") - before) == {made["external_refs"][other]: 2}
    assert await cases(world) == []
    await lawful(world)


async def test_each_feed_says_what_it_does(
    settings: Settings,
    erps: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Followed, without a second system, or not available since the profile lists no changes: never silently idle.
    Switched off, it says so."""
    file = tmp_path / "no_changes.toml"
    file.write_text(WITHOUT_CHANGES, encoding="utf-8")
    systems = {
        **settings.systems,
        "cloud": SystemSettings(profile=str(file), base_url=erps.urls["cloud"], timeout_s=2.0),
    }
    async with opened(msgspec.structs.replace(settings, systems=systems), erps) as world:

        async def states() -> dict[tuple[str, str], tuple[str, str | None]]:
            items = (await world.get("/admin/v1/feeds?entity=customer")).json()["items"]
            return {(one["system"], one["region"]): (one["state"], one["why"]) for one in items}

        await world.until(lambda: _follows(states), "the legacy system is followed")
        found = await states()
        assert found["legacy", REGION] == ("following", None)
        assert found["cloud", REGION][0] == "not_available"
        assert "does not offer changes for customer" in str(found["cloud", REGION][1])
        assert {
            state for (system, region), (state, _) in found.items() if system == "legacy" and region != REGION
        } == {"not_paired"}
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    assert await _command("feeds", "--entity", "customer", "--region", REGION, "--json") == codes.PASS
    items = json.loads(capsys.readouterr().out)["items"]
    assert {(one["system"], one["state"]) for one in items} == {("legacy", "off"), ("cloud", "off")}
    assert "change_feed" in items[0]["why"]


async def _follows(states: Callable[[], Awaitable[dict[tuple[str, str], tuple[str, str | None]]]]) -> bool:
    found = await states()
    return found["legacy", REGION][0] == "following"


async def _command(*arguments: str) -> int:
    """The command line runs a loop of its own, so it gets a thread of its own."""
    return await asyncio.to_thread(run, arguments)


async def test_edits_are_kept_while_somebody_has_to_decide_them(world: World) -> None:
    """What was edited goes after its time; what an open case is about stays until it is decided."""
    made = await paired(world, "customers", customer(number=fresh("C"), phone="1"))
    await followed(world)
    edit(world, "cloud", "customer", made, phone="2", name="Cloud name")
    await followed(world)
    database = world.gateway.database
    late = await database.read(database.now) + 1_000_000

    async def purged() -> int:
        return await database.transaction(lambda conn: retention.purge(conn, before=late, limit=10))

    assert [await purged(), await purged()] == [1, 0]
    (case,) = await cases(world)
    await world.client.post(
        f"/admin/v1/cases/{case['id']}/resolve", json={"as": "dismiss", "reason": "as it is"}
    )
    assert await purged() == 1
