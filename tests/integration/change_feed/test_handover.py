"""Moves of authority with the feed on: what people edit in the system that is left is in the other one before it leads.

The feeds have their turn once an hour here, and the legacy system shows a change in its lists a second late: what is
read in time is read because the fence has asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import adapters
from gateway.change_feed import State
from gateway.errors import RuleRefused
from gateway.routing.stage import Stage
from gateway.settings import Settings
from tests.integration.backfill.test_backfills import lawful
from tests.integration.change_feed.desk import cases, edit, held, paired
from tests.integration.ledger import history
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh
from tests.systems.sandbox import Sandbox

LAG_S = 1.0
SELDOM_S = 3_000.0
PROFILES = Path(adapters.__file__).parent / "profiles"
OTHER = {"legacy": "cloud", "cloud": "legacy"}


def _lagging(settings: Settings, folder: Path, lag_s: float = LAG_S, **more: Any) -> Settings:
    """Both systems declare that their lists of customers lag."""
    systems = dict(settings.systems)
    for name, system in systems.items():
        text = (PROFILES / f"{system.profile}.toml").read_text(encoding="utf-8")
        file = folder / f"lagging_{name}.toml"
        line = f"[entities.customer]\nsearch_lag_s = {lag_s}\n"
        file.write_text(text.replace("[entities.customer]\n", line), encoding="utf-8")
        systems[name] = msgspec.structs.replace(system, profile=str(file))
    return msgspec.structs.replace(settings, **{"systems": systems, "change_feed_period_s": SELDOM_S, **more})


@pytest.fixture
async def world(settings: Settings, erps: Sandbox, tmp_path: Path) -> AsyncIterator[World]:
    async with _begun(_lagging(settings, tmp_path), erps) as one:
        yield one


@asynccontextmanager
async def _begun(settings: Settings, erps: Sandbox, lag_s: float = LAG_S) -> AsyncIterator[World]:
    """Customers in shadow, and feeds that were read once."""
    async with opened(settings, erps) as one:
        for system in OTHER:
            erps.fault(system, "read_lag", s=lag_s, entity=["customer"], on=["search"])
        await one.stage("customer", Stage.SHADOW)

        async def read() -> bool:
            return all(feed.read_at for feed in await one.gateway.follower.list(entity="customer", region=REGION))

        await one.until(read, "the feeds are read once")
        yield one


async def _slice(world: World) -> Any:
    return next(
        one for one in await world.gateway.slices.all() if (one.entity, one.region) == ("customer", REGION)
    )


async def _draining(world: World) -> bool:
    return (await _slice(world)).draining


async def _lawful(world: World) -> None:
    """The laws of the journal hold, and each epoch had one authority."""
    await lawful(world)
    effects = {system: world.effects(system, limit=100_000) for system in OTHER}
    assert history.epoch_faults(await world.lines(), effects) == []


def _effects_of(world: World, system: str, record: dict[str, Any]) -> list[dict[str, Any]]:
    key = record["external_refs"][system]
    return [one for one in world.effects(system, entity="customer", limit=100_000) if one["key"] == key]


@pytest.mark.parametrize(
    ("way", "leaves"),
    [
        ((Stage.LIVE,), "legacy"),
        ((Stage.LIVE, Stage.SHADOW), "cloud"),
        ((Stage.LIVE, Stage.RAMP_DOWN, Stage.CLOUD_ONLY), "legacy"),
    ],
    ids=["to live", "and back", "out of the old one"],
)
async def test_an_edit_before_the_fence_is_there_before_the_other_system_leads(
    world: World, way: tuple[Stage, ...], leaves: str
) -> None:
    """Somebody edits a record in the system that is left in the moment before it is left. By the effect log of the
    other one, the edit is there before the first write that it takes as the authority."""
    made = [await paired(world, "customers", customer(number=fresh("C"), phone="1")) for _ in range(4)]
    *before, last = way
    for stage in before:
        await world.stage("customer", stage)
    await world.quiet()
    other = OTHER[leaves]
    for record in made[:3]:
        edit(world, leaves, "customer", record, website="https://edited.example")
    move = asyncio.create_task(world.stage("customer", last))
    await world.until(lambda: _draining(world), "the fence")
    meanwhile = await world.patch("customers", made[3]["id"], {"phone": "2"}, Prefer="respond-async")
    assert (await world.operation(meanwhile))["state"] == "held"
    assert (await move).stage is last
    for record in made[:3]:
        assert (await held(world, other, "customer", record))["website"] == "https://edited.example"
    await world.reaches(meanwhile, "settled")
    first = (await world.operation(meanwhile))["marker"]
    led_at = min(one["time"] for one in world.effects(other, marker=first))
    for record in made[:3]:
        (carried,) = [one for one in _effects_of(world, other, record)[1:] if one["action"] == "update"]
        assert carried["time"] < led_at
        assert [one["action"] for one in _effects_of(world, leaves, record)][-1] == "direct_edit"
    world.sandbox.heal()
    await world.quiet()
    await _lawful(world)


async def test_callers_who_wait_behind_the_fence_do_not_hold_it_up(world: World) -> None:
    """Work in the background stands back while many callers wait, but not the feed that they themselves wait for."""
    made = [await paired(world, "customers", customer(number=fresh("C"), phone="1")) for _ in range(24)]
    edit(world, "legacy", "customer", made[0], website="https://edited.example")
    world.gateway.follower._busy = lambda: True
    move = asyncio.create_task(world.stage("customer", Stage.LIVE))
    await world.until(lambda: _draining(world), "the fence")
    answers = await asyncio.gather(
        *(world.patch("customers", one["id"], {"phone": "2"}, Prefer="wait=20") for one in made[1:])
    )
    assert (await move).stage is Stage.LIVE
    assert {one.status_code for one in answers} == {200}
    assert {(await world.operation(one))["authority"] for one in answers} == {"cloud"}
    assert (await held(world, "cloud", "customer", made[0]))["website"] == "https://edited.example"


async def test_an_edit_of_a_record_with_a_held_write_comes_after_it(world: World) -> None:
    """The fence holds a write of the very record that was edited: the edit waits for the write, as it always does, and
    the move for neither. Both are in both systems in the end."""
    made = await paired(world, "customers", customer(number=fresh("C"), phone="1"))
    edit(world, "legacy", "customer", made, website="https://edited.example")
    move = asyncio.create_task(world.stage("customer", Stage.LIVE))
    await world.until(lambda: _draining(world), "the fence")
    write = await world.patch("customers", made["id"], {"phone": "2"}, Prefer="respond-async")
    assert (await world.operation(write))["state"] == "held"
    assert (await move).stage is Stage.LIVE
    await world.reaches(write, "settled")
    world.sandbox.heal()

    async def both() -> bool:
        sides = [await held(world, system, "customer", made) for system in OTHER]
        return all((one["phone"], one.get("website")) == ("2", "https://edited.example") for one in sides)

    await world.until(both, "both systems have both")
    await world.quiet()
    await _lawful(world)


async def test_what_a_person_has_to_decide_holds_up_no_move(world: World) -> None:
    """An edit that was made in both systems at once is a case, and the authority moves all the same."""
    made = await paired(world, "customers", customer(number=fresh("C"), payment_terms_days=10))
    edit(world, "cloud", "customer", made, name="Cloud name")
    edit(world, "legacy", "customer", made, name="Legacy name")
    assert (await world.stage("customer", Stage.LIVE)).stage is Stage.LIVE
    assert [one["kind"] for one in await cases(world)] == ["ownership_conflict"]


async def test_a_feed_that_cannot_be_read_ends_the_move(
    settings: Settings, erps: Sandbox, tmp_path: Path
) -> None:
    """The old system's list fails: at the limit the move is given up, with the reason, and what it held goes to the
    authority that was. Where the list is there again the same move goes through."""
    async with _begun(_lagging(settings, tmp_path, drain_limit_s=3.0), erps) as world:
        made = await paired(world, "customers", customer(number=fresh("C"), phone="1"))
        erps.fault("legacy", "error", status=500, entity=["customer"], on=["search"])
        move = asyncio.create_task(world.stage("customer", Stage.LIVE))
        await world.until(lambda: _draining(world), "the fence")
        write = await world.patch("customers", made["id"], {"phone": "2"}, Prefer="respond-async")
        with pytest.raises(RuleRefused, match="change feed of legacy is read up to") as refused:
            await move
        assert [one.code for one in refused.value.errors] == ["change_feed"]
        assert (await world.reaches(write, "committed", "settled"))["authority"] == "legacy"
        after = await _slice(world)
        assert (after.stage, after.draining) == (Stage.SHADOW, False)
        erps.heal()

        async def well() -> bool:
            (feed,) = await world.gateway.follower.list(system="legacy", entity="customer", region=REGION)
            return feed.state is State.FOLLOWING

        await world.until(well, "the feed is read again", 60.0)
        assert (await world.stage("customer", Stage.LIVE)).stage is Stage.LIVE


async def test_a_lag_beyond_the_limit_is_told_before_the_fence(
    settings: Settings, erps: Sandbox, tmp_path: Path
) -> None:
    """A system that shows edits later than a drain may last: nobody is made to wait for what cannot be."""
    async with _begun(_lagging(settings, tmp_path, 60.0, drain_limit_s=5.0), erps, 0.1) as world:
        epoch = (await _slice(world)).epoch
        with pytest.raises(RuleRefused, match="legacy may show an edit 60 s late, and drain_limit_s is 5"):
            await world.stage("customer", Stage.LIVE)
        assert (await _slice(world)).epoch == epoch


async def test_with_the_feed_off_no_move_waits_for_it(
    settings: Settings, erps: Sandbox, tmp_path: Path
) -> None:
    """Where edits are not followed, by the settings, a move goes as it did."""
    async with opened(_lagging(settings, tmp_path, 60.0, change_feed=False), erps) as world:
        await world.stage("customer", Stage.SHADOW)
        assert (await world.stage("customer", Stage.LIVE)).stage is Stage.LIVE
