"""Changes of rules at a time: made once, then, by whoever is there; refused where something stands against them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import update

from gateway.errors import RuleRefused
from gateway.routing.calendar import Calendar, Freeze
from gateway.routing.stage import Stage
from gateway.settings import Settings
from gateway.switchover import due
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.tables import scheduled_change
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.test_emergency import EMERGENCY
from tests.integration.ledger.test_switches import Desk, desk_of
from tests.integration.ledger.world import REGION, World, customer, fresh
from tests.systems.sandbox import Sandbox

BASE = "/admin/v1/scheduled-changes"
SOON_S = 1.5


def soon(seconds: float = SOON_S) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


class Timed:
    """The operator's side of a world, with changes at a time."""

    def __init__(self, world: World, desk: Desk) -> None:
        self.world = world
        self.desk = desk

    async def rule(self) -> dict[str, Any]:
        items = (await self.world.get("/admin/v1/rules")).json()["items"]
        return next(one for one in items if (one["entity"], one["region"]) == ("customer", REGION))

    async def put(self, stage: str, at: str, **more: Any) -> httpx.Response:
        rule = await self.rule()
        body = {
            "stage": stage,
            "reason": "in the night",
            "expected_version": rule["version"],
            "effective_at": at,
        }
        return await self.world.client.put(
            f"/admin/v1/rules/customer/{REGION}", json={**body, **more}, headers=self.desk.headers["operator"]
        )

    async def asked(self, stage: str, at: str, **more: Any) -> dict[str, Any]:
        answer = await self.put(stage, at, **more)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def reaches(self, told: dict[str, Any], *states: str) -> dict[str, Any]:
        now: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal now
            now = (await self.world.get(f"{BASE}/{told['id']}")).json()
            return now["state"] in states

        await self.world.until(there, f"{states}, and not {now}")
        return now

    async def due_now(self, told: dict[str, Any], *, ago_s: float = 0.0) -> None:
        """Its time has come."""

        def unit(connection: Any) -> None:
            at = self.world.gateway.database.now(connection) - int(ago_s * 1_000_000)
            connection.execute(
                update(scheduled_change).where(scheduled_change.c.id == told["id"]).values(effective_at=at)
            )

        await self.world.gateway.database.transaction(unit)

    async def missed(self, stage: str, **more: Any) -> dict[str, Any]:
        """A change that was refused, since no worker ran for too long."""
        told = await self.asked(stage, soon(3600), **more)
        await self.due_now(told, ago_s=due.LATE_S + 60)
        ended = await self.reaches(told, "done", "refused")
        assert (ended["state"], ended["problem"]["code"]) == ("refused", "missed")
        return ended

    async def cases(self, state: str = "open") -> list[dict[str, Any]]:
        found = await self.world.get(f"/admin/v1/cases?kind=schedule_refused&state={state}")
        return found.json()["items"]


@pytest.fixture
async def timed(world: World) -> Timed:
    return Timed(world, await desk_of(world))


async def test_made_at_its_time_and_not_before(world: World, timed: Timed) -> None:
    """A change that keeps the authority: accepted, listed, made at its time with what else was asked for, audited under
    who asked; a second one that follows it starts from where the first leads."""
    first = await timed.asked("shadow", soon(), compare_sample=7)
    second = await timed.asked("dual_write", soon(3600))
    assert (first["state"], first["from_stage"], second["from_stage"]) == (
        "scheduled",
        "dual_write",
        "shadow",
    )
    assert (await timed.rule())["stage"] == "dual_write"
    done = await timed.reaches(first, "done", "refused")
    assert (done["state"], done["problem"]) == ("done", None)
    assert done["ended_at"] >= first["effective_at"]
    rule = await timed.rule()
    assert (rule["stage"], rule["compare_sample"]) == ("shadow", 7)
    history = (await world.get(f"/admin/v1/rules/customer/{REGION}/history")).json()["items"]
    assert (history[0]["actor"], history[0]["reason"]) == ("operator", "in the night")
    acts = (await world.get("/admin/v1/audit")).json()["items"]
    assert [act["action"] for act in acts if act["subject"] == first["id"]] == [
        "schedule.done",
        "schedule.request",
    ]
    ended = await timed.desk.post("operator", f"{second['href']}/cancel", {"reason": "not needed"})
    assert (ended.json()["state"], ended.json()["ended_by"]) == ("cancelled", "operator")
    again = await timed.desk.post("operator", f"{second['href']}/cancel", {"reason": "not needed"})
    assert again.status_code == 200
    late = await timed.desk.post("operator", f"{first['href']}/cancel", {"reason": "too late"})
    assert (late.status_code, late.json()["type"].rsplit(":", 1)[-1]) == (409, "schedule-over")
    await timed.due_now(second)
    await asyncio.sleep(0)
    await world.gateway.switchover.run_once()
    assert (await timed.rule())["stage"] == "shadow"


async def test_a_move_of_authority_with_two_people(world: World, timed: Timed) -> None:
    """Asked for by one, approved by another before its time, and then carried through as a switch of those two, with
    writes held and none lost."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.SHADOW)
    wish = {
        "entity": "customer",
        "region": REGION,
        "stage": "live",
        "reason": "at the weekend",
        "at": soon(3600),
    }
    asked = await timed.desk.post("operator", "/admin/v1/switches", wish)
    assert (asked.status_code, asked.json()["state"]) == (202, "requested")
    told = asked.json()
    own = await timed.desk.post("operator", f"{told['href']}/approve", {"plan_hash": told["plan_hash"]})
    assert own.status_code == 403
    other = await timed.desk.post("approver", f"{told['href']}/approve", {"plan_hash": "0" * 64})
    assert other.status_code == 409
    right = await timed.desk.post("approver", f"{told['href']}/approve", {"plan_hash": told["plan_hash"]})
    assert (right.status_code, right.json()["state"]) == (200, "scheduled")
    assert (await timed.rule())["authority"] == "legacy"
    await timed.due_now(told)
    done = await timed.reaches(told, "done", "refused")
    assert (done["state"], done["approved_by"]) == ("done", "approver")
    carried = (await world.get(f"/admin/v1/switches/{done['switch']}")).json()
    assert (carried["state"], carried["requested_by"], carried["approved_by"], carried["two_person"]) == (
        "committed", "operator", "approver", True,
    )  # fmt: skip
    answer = await world.patch("customers", record["id"], {"phone": "1"})
    assert answer.headers["Twinrun-Answered-By"] == "cloud"
    await world.quiet()
    await world.check()


async def test_what_stands_against_it_then_refuses_it(world: World, timed: Timed) -> None:
    """Each way in which a change does not come true ends it as refused, with the reason; the slice stays as it is."""
    refused: dict[str, str] = {}

    async def ended(told: dict[str, Any]) -> None:
        one = await timed.reaches(told, "done", "refused")
        assert one["state"] == "refused"
        assert one["problem"]["message"]
        refused[one["problem"]["code"]] = one["id"]

    # A gate that fails by then.
    await world.stage("customer", Stage.SHADOW)
    gate = await timed.asked("live", soon(3600))
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await timed.due_now(gate)
    await ended(gate)
    # Nobody approved it.
    wish = {
        "entity": "customer",
        "region": REGION,
        "stage": "live",
        "reason": "at the weekend",
        "at": soon(3600),
    }
    waits = (await timed.desk.post("operator", "/admin/v1/switches", wish)).json()
    await timed.due_now(waits)
    await ended(waits)
    # No worker ran for too long.
    missed = await timed.asked("dual_write", soon(3600))
    await timed.due_now(missed, ago_s=due.LATE_S + 60)
    await ended(missed)
    # The slice is somewhere else.
    moved = await timed.asked("dual_write", soon(3600))
    await world.stage("customer", Stage.DUAL_WRITE)
    await timed.due_now(moved)
    await ended(moved)
    assert set(refused) == {"open_deliveries", "not_approved", "missed", "rule_moved"}
    assert (await timed.rule())["stage"] == "dual_write"
    listed = (await world.get(f"{BASE}?state=refused")).json()["items"]
    assert {one["id"] for one in listed} == set(refused.values())
    acts = (await world.get("/admin/v1/audit?action=schedule.refused")).json()["items"]
    assert {act["subject"] for act in acts} == set(refused.values())


async def test_a_refused_change_waits_for_a_person(world: World, timed: Timed) -> None:
    """One that is refused opens one case, with whose it is, by when and why, and readiness is not held up by it. It
    closes by itself when the slice has become all that it was to be, and by dismissal. Where the slice is so already
    there is none."""
    refused = await timed.missed("shadow", compare_sample=7)
    await world.gateway.switchover.due.run_once()
    (case,) = await timed.cases()
    assert (case["entity"], case["region"], case["operation"], case["code"], case["owner"], case["offers"]) == (
        "customer", REGION, refused["id"], "missed", "integration", ["dismiss"],
    )  # fmt: skip
    assert case["due_at"] > case["opened_at"]
    for word in (refused["id"], "operator", "shadow", refused["problem"]["message"]):
        assert word in case["message"]
    gates = (await world.get(f"/admin/v1/readiness/customer/{REGION}")).json()["gates"]
    assert next(gate["verdict"] for gate in gates if gate["name"] == "cases") == "pass"
    await world.stage("customer", Stage.SHADOW)
    assert [one["id"] for one in await timed.cases()] == [case["id"]], (
        "one read in seven is compared, not each"
    )
    again = await timed.asked("shadow", soon(3600), compare_sample=7)
    await timed.due_now(again)
    assert (await timed.reaches(again, "done", "refused"))["state"] == "done"
    assert await timed.cases() == []
    (closed,) = await timed.cases("closed")
    assert (closed["id"], closed["resolution"]) == (case["id"], "made_later")
    # By hand, before its time.
    moved = await timed.asked("dual_write", soon(3600))
    await world.stage("customer", Stage.DUAL_WRITE)
    await timed.due_now(moved)
    assert (await timed.reaches(moved, "done", "refused"))["problem"]["code"] == "rule_moved"
    assert await timed.cases() == []
    await timed.missed("shadow")
    (other,) = await timed.cases()
    wish = {"as": "dismiss", "reason": "not wanted any more"}
    assert (
        await timed.desk.post("operator", f"/admin/v1/cases/{other['id']}/resolve", wish)
    ).status_code == 200
    await world.stage("customer", Stage.SHADOW)
    ended = {one["id"]: (one["resolution"], one["closed_by"]) for one in await timed.cases("closed")}
    assert ended[other["id"]] == ("dismiss", "operator")


@pytest.mark.parametrize("how", ["switch", "emergency"])
async def test_what_moves_the_authority_settles_it_too(world: World, timed: Timed, how: str) -> None:
    """The case of a refused move of authority closes in the commit that makes the move later: a switch, or an
    emergency."""
    await world.stage("customer", Stage.SHADOW)
    if how == "switch":
        await timed.missed("live")
        assert len(await timed.cases()) == 1
        await world.stage("customer", Stage.LIVE)
    else:
        await world.stage("customer", Stage.LIVE)
        await timed.missed("shadow")
        assert len(await timed.cases()) == 1
        asked = await timed.desk.post("operator", "/admin/v1/switches", {**EMERGENCY, "override": True})
        assert (await timed.desk.approve(asked.json())).status_code == 200
        ended = await timed.desk.reaches(asked.json(), "committed", "aborted")
        assert ended["state"] == "committed"
    assert await timed.cases() == []
    (closed,) = await timed.cases("closed")
    assert closed["resolution"] == "made_later"


async def test_a_switch_that_fails_refuses_its_change(settings: Settings, sandbox: Sandbox) -> None:
    """A change that had begun as a switch, which then gave up, is refused as well, with its case."""
    async with opened(msgspec.structs.replace(settings, drain_limit_s=0.3), sandbox) as world:
        timed = Timed(world, await desk_of(world))
        record = await world.made("customers", customer(number=fresh()))
        await world.quiet()
        await world.stage("customer", Stage.SHADOW)
        told = await timed.asked("live", soon(3600))
        away = world.sandbox.fault("cloud", "outage")
        assert (await world.patch("customers", record["id"], {"phone": "on its way"})).status_code == 200
        await timed.due_now(told)
        ended = await timed.reaches(told, "done", "refused")
        assert (ended["state"], ended["problem"]["code"]) == ("refused", "open_deliveries")
        assert ended["switch"] is not None
        (case,) = await timed.cases()
        assert (case["operation"], case["code"]) == (told["id"], "open_deliveries")
        world.sandbox.heal("cloud", away)
        await world.quiet()
        await world.check()


async def test_what_is_known_before_is_said_at_once(world: World, timed: Timed) -> None:
    """A moment that is over, a freeze window on that day, a leap, a version that has moved, a second change at the same
    moment: each is refused with its place. An override takes a window knowingly."""
    over = await timed.put("shadow", soon(-5))
    assert (over.status_code, over.json()["errors"][0]["pointer"]) == (422, "/effective_at")
    far = await timed.put("shadow", soon(500 * 86400))
    assert (far.status_code, far.json()["errors"][0]["pointer"]) == (422, "/effective_at")
    leap = await timed.put("live", soon(3600))
    assert [error["code"] for error in leap.json()["errors"]] == ["neighbour"]
    stale = await timed.put("shadow", soon(3600), expected_version=99)
    assert stale.status_code == 409
    at = soon(3600)
    first = await timed.asked("shadow", at)
    twice = await timed.put("shadow", at)
    assert (twice.status_code, twice.json()["errors"][0]["code"]) == (422, "scheduled")
    await timed.desk.post("operator", f"{first['href']}/cancel", {"reason": "another way"})
    await world.stage("customer", Stage.SHADOW)
    today = datetime.now(UTC).date()
    window = Freeze(name="Close", first=today, last=today + timedelta(days=3))
    frozen = Calendar(freezes=(window,))
    world.gateway.switchover.schedule._calendar = frozen  # pyright: ignore[reportPrivateUsage]
    refused = await timed.put("live", soon(3600))
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "freeze")
    assert "Close" in refused.json()["detail"]
    taken = await timed.asked("live", soon(3600), override=True)
    assert "freeze" in taken["overridden"]


async def test_a_window_is_judged_at_the_time(
    world: World, timed: Timed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A freeze window that was put into the calendar after the request refuses the change at its time."""
    await world.stage("customer", Stage.SHADOW)
    told = await timed.asked("live", soon(3600))
    today = datetime.now(UTC).date()
    frozen = Calendar(freezes=(Freeze(name="Audit week", first=today, last=today + timedelta(days=1)),))
    monkeypatch.setattr(world.gateway.switchover.due._gates, "calendar", frozen)  # pyright: ignore[reportPrivateUsage]
    await timed.due_now(told)
    ended = await timed.reaches(told, "refused", "done")
    assert (ended["state"], ended["problem"]["code"]) == ("refused", "freeze")
    assert "Audit week" in ended["problem"]["message"]
    assert (await timed.rule())["stage"] == "shadow"


async def test_with_two_people_only(settings: Settings, sandbox: Sandbox) -> None:
    """Where the settings ask for two people, one alone schedules no move of authority either."""
    async with opened(msgspec.structs.replace(settings, two_person=True), sandbox) as world:
        await world.stage("customer", Stage.SHADOW)
        wish = ScheduleWish(
            entity="customer",
            region=REGION,
            stage=Stage.LIVE,
            at=datetime.now(UTC) + timedelta(hours=1),
            reason="x",
        )
        with pytest.raises(RuleRefused, match="second person"):
            await world.gateway.switchover.schedule.request(wish, actor="tests")


def _dying_at(wanted: str) -> Callable[[str], None]:
    def point(name: str) -> None:
        if name == wanted:
            raise RuntimeError(f"the process is gone at {wanted}")

    return point


@pytest.mark.parametrize("stage", ["shadow", "legacy_only"])
@pytest.mark.parametrize("point", ["CP29", "CP30"])
async def test_taken_up_by_another(
    settings: Settings, sandbox: Sandbox, point: str, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that dies over a change leaves it undone, or done: the next one makes it once its lease has run out, and
    the rule has moved by one version, once."""
    monkeypatch.setattr(due, "LEASE_S", 0.5)
    async with opened(settings, sandbox, worker=False) as first:
        timed = Timed(first, await desk_of(first))
        before = await timed.rule()
        told = await timed.asked(stage, soon(3600))
        await timed.due_now(told)
        with monkeypatch.context() as patch:
            patch.setattr(due, "crash_point", _dying_at(point))
            if point == "CP30" and stage == "legacy_only":
                # A fenced one is handed over in the commit of its switch, and done with it.
                await first.gateway.switchover.due.run_once()
            else:
                with pytest.raises(RuntimeError, match="gone"):
                    await first.gateway.switchover.due.run_once()
        assert (await first.get(f"{BASE}/{told['id']}")).json()["state"] in ("scheduled", "begun")
    async with opened(settings, sandbox) as second:
        other = Timed(second, await desk_of(second))
        done = await other.reaches(told, "done", "refused")
        assert (done["state"], done["problem"]) == ("done", None)
        after = await other.rule()
        assert (after["stage"], after["version"]) == (stage, before["version"] + 1)


@pytest.mark.server
async def test_two_workers_refuse_it_once(
    postgres_journal: str, settings: Settings, sandbox: Sandbox
) -> None:
    """Of several workers that find at once that a change may not be made, one refuses it: one case, opened once."""
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    async with (
        opened(shared, sandbox, worker=False) as one,
        opened(shared, sandbox, worker=False) as other,
    ):
        timed = Timed(one, await desk_of(one))
        told = await timed.asked("shadow", soon(3600))
        await timed.due_now(told, ago_s=due.LATE_S + 60)
        await asyncio.gather(*(world.gateway.switchover.due.run_once() for world in (one, other, one, other)))
        (case,) = await timed.cases()
        history = (await one.get(f"/admin/v1/cases/{case['id']}")).json()["history"]
        assert [event["event"] for event in history] == ["opened"]


@pytest.mark.server
async def test_two_workers_make_it_once(postgres_journal: str, settings: Settings, sandbox: Sandbox) -> None:
    """Of several workers that see its time come at once, one makes the change."""
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    async with (
        opened(shared, sandbox, worker=False) as one,
        opened(shared, sandbox, worker=False) as other,
    ):
        timed = Timed(one, await desk_of(one))
        before = await timed.rule()
        told = await timed.asked("shadow", soon(3600))
        await timed.due_now(told)
        await asyncio.gather(*(world.gateway.switchover.due.run_once() for world in (one, other, one, other)))
        assert (await timed.reaches(told, "done"))["state"] == "done"
        assert (await timed.rule())["version"] == before["version"] + 1
