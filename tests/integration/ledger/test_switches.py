"""Switches with two people, and what becomes of one whose process dies at any of its steps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import update

from gateway.access import caller
from gateway.errors import Malformed, RuleRefused
from gateway.routing.stage import Stage
from gateway.settings import Settings
from gateway.switchover import moves, switches
from gateway.switchover.tables import switch
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.world import REGION, World, customer, fresh
from tests.systems.sandbox import Sandbox

BASE = "/admin/v1/switches"
WISH = {"entity": "customer", "region": REGION, "stage": "live", "reason": "a week without a mismatch"}


class Desk:
    """An operator who asks and an approver who agrees, each with a key of their own."""

    def __init__(self, world: World, headers: dict[str, dict[str, str]]) -> None:
        self.world = world
        self.headers = headers

    async def ask(self, who: str = "operator", **changes: Any) -> httpx.Response:
        return await self.post(who, BASE, {**WISH, **changes})

    async def approve(self, told: dict[str, Any], who: str = "approver") -> httpx.Response:
        return await self.post(who, f"{told['href']}/approve", {"evidence_hash": told["evidence_hash"]})

    async def post(self, who: str, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self.world.client.post(path, json=body, headers=self.headers[who])

    async def reaches(self, told: dict[str, Any], *states: str) -> dict[str, Any]:
        now: dict[str, Any] = {}

        async def there() -> bool:
            nonlocal now
            now = (await self.world.get(told["href"])).json()
            return now["state"] in states

        await self.world.until(there, f"{states}, and not {now}")
        return now


async def desk_of(world: World) -> Desk:
    headers: dict[str, dict[str, str]] = {}
    for role in caller.ROLES:
        key, _ = await world.gateway.keys.create(role, role=role, actor="tests")
        headers[role] = {"Authorization": f"Bearer {key}"}
    return Desk(world, headers)


@pytest.fixture
async def desk(world: World) -> Desk:
    await world.stage("customer", Stage.SHADOW)
    return await desk_of(world)


async def test_asked_approved_and_back(world: World, desk: Desk) -> None:
    """What one person has asked for and another approved is carried through, there and back; who asked, who approved
    and what was signed stand in the history and in the audit trail; writes go where the rule says."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    asked = await desk.ask()
    assert (asked.status_code, asked.json()["kind"]) == (201, "switch")
    assert (await _rule(world))["authority"] == "legacy"
    approved = await desk.approve(asked.json())
    assert approved.status_code == 200, approved.text
    ended = await desk.reaches(asked.json(), "committed", "aborted")
    assert (ended["state"], ended["requested_by"], ended["approved_by"]) == (
        "committed", "operator", "approver",
    )  # fmt: skip
    answer = await world.patch("customers", record["id"], {"phone": "1"})
    assert answer.headers["Twinrun-Answered-By"] == "cloud"
    back = (await desk.ask(stage="shadow", reason="back")).json()
    assert back["kind"] == "rollback"
    await desk.approve(back)
    await desk.reaches(back, "committed")
    answer = await world.patch("customers", record["id"], {"phone": "2"})
    assert answer.headers["Twinrun-Answered-By"] == "legacy"
    acts = (await world.get("/admin/v1/audit")).json()["items"]
    told = [(act["action"], act["actor"]) for act in acts if act["subject"] == asked.json()["id"]]
    assert told == [("switch.approve", "approver"), ("switch.request", "operator")]
    (rule,) = [act for act in acts if act["detail"].get("switch") == asked.json()["id"]]
    assert rule["detail"]["evidence"] == asked.json()["evidence_hash"]
    await world.quiet()
    await world.check()


async def test_who_may_do_what(world: World, desk: Desk) -> None:
    """An operator asks and does not approve, an approver approves and does not ask, a viewer looks, an admin does both
    and never to what they asked for themselves; the slice has one open switch at most."""
    assert (await desk.ask("viewer")).status_code == 403
    assert (await desk.ask("approver")).status_code == 403
    own = (await desk.ask("admin")).json()
    assert (await desk.approve(own, "viewer")).status_code == 403
    assert (await desk.approve(own, "operator")).status_code == 403
    refused = await desk.approve(own, "admin")
    assert (refused.status_code, refused.json()["type"].rsplit(":", 1)[-1]) == (403, "second-person-needed")
    twice = await desk.ask("operator")
    assert (twice.status_code, twice.json()["errors"][0]["code"]) == (422, "switch")
    with pytest.raises(RuleRefused, match="has asked for a switch"):
        await world.stage("customer", Stage.LIVE)
    ended = await desk.post("operator", f"{own['href']}/abort", {"reason": "not this month"})
    assert (ended.json()["state"], ended.json()["ended_by"]) == ("aborted", "operator")
    assert (await desk.approve(own)).status_code == 409
    with pytest.raises(Malformed):
        await world.gateway.keys.create("both", role="viewer", scopes=["read"], actor="tests")


async def test_an_approval_is_of_its_evidence(world: World, desk: Desk) -> None:
    """When the evidence moves after the request, the approval is refused and says what moved; the switch carries the
    new one, and its hash can be approved."""
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    asked = (await desk.ask()).json()
    waiver = {
        "entity": "customer", "region": REGION, "field": "phone", "class": "value", "reason": "known",
        "owner": "data steward", "expires_at": "2027-01-01T00:00:00Z",
    }  # fmt: skip
    assert (await desk.post("operator", "/admin/v1/waivers", waiver)).status_code == 201
    refused = await desk.approve(asked)
    assert refused.status_code == 409, refused.text
    assert "waivers" in refused.json()["detail"]
    assert (await _rule(world))["authority"] == "legacy"
    now = (await world.get(asked["href"])).json()
    assert now["state"] == "requested"
    assert now["evidence_hash"] == refused.json()["evidence_hash"] != asked["evidence_hash"]
    assert (await desk.approve(now)).status_code == 200
    await desk.reaches(now, "committed")


async def test_too_late(world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that nobody approves in time ends by itself."""
    monkeypatch.setattr(switches, "VALID_S", 0)
    asked = (await desk.ask()).json()
    ended = await desk.reaches(asked, "aborted")
    assert ended["problem"]["code"] == "expired"
    assert (await desk.approve(asked)).status_code == 409


async def test_a_gate_that_fails(world: World, desk: Desk) -> None:
    """A request against a gate is refused, and the gate named; with an override it stands in the evidence that the
    other person signs. A move that needs no switch is not one."""
    world.sandbox.fault("cloud", "error", status=400, count=1, on=["writes"])
    await world.made("customers", customer(number=fresh()))
    await world.quiet()
    refused = await desk.ask()
    assert refused.status_code == 422
    assert {error["code"] for error in refused.json()["errors"]} == {"open_deliveries", "crosswalk"}
    blank = await desk.ask(override=True, reason="  ")
    assert (blank.status_code, blank.json()["errors"][0]["pointer"]) == (422, "/reason")
    asked = await desk.ask(override=True)
    assert asked.status_code == 201
    assert sorted(asked.json()["overridden"]) == ["crosswalk", "open_deliveries"]
    failed = [gate["gate"] for gate in asked.json()["evidence"]["gates"] if not gate["passed"]]
    assert sorted(failed) == ["crosswalk", "open_deliveries"]
    assert asked.json()["evidence"]["deliveries"] == {"parked": 1}
    none = await desk.ask(stage="dual_write")
    assert (none.status_code, none.json()["errors"][0]["code"]) == (422, "no_switch")


async def test_aborted_while_it_drains(world: World, desk: Desk) -> None:
    """Somebody aborts while open deliveries end: the authority stays, and what was held goes to it."""
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    outage = world.sandbox.fault("cloud", "outage")
    await world.patch("customers", record["id"], {"phone": "1"})
    asked = (await desk.ask()).json()
    await desk.approve(asked)
    await desk.reaches(asked, "draining")
    held = await world.patch("customers", record["id"], {"phone": "2"}, Prefer="respond-async")
    assert (await world.operation(held))["state"] == "held"
    ended = await desk.post("operator", f"{asked['href']}/abort", {"reason": "the cloud is away"})
    assert ended.json()["state"] == "aborted"
    assert (await world.reaches(held, "committed", "settled"))["authority"] == "legacy"
    world.sandbox.heal("cloud", outage)
    await world.quiet()
    assert (await desk.reaches(asked, "aborted"))["problem"]["code"] == "aborted"
    await world.check()


def _dying_at(wanted: str) -> Callable[[str], None]:
    """As if the process were gone at this place: nothing after it happens."""

    def point(name: str) -> None:
        if name == wanted:
            raise RuntimeError(f"the process is gone at {wanted}")

    return point


@pytest.mark.parametrize(
    ("point", "leads"),
    [("CP31", "legacy"), ("CP17", "cloud"), ("CP18", "cloud"), ("CP19", "cloud"), ("CP20", "cloud")],
)
async def test_taken_up_by_another(
    settings: Settings, sandbox: Sandbox, point: str, leads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch whose process dies at any step is carried on by whoever comes next: committed once, one authority, and
    what was held is written there. Where there is no fence yet a write is not held: the authority that is takes it."""
    monkeypatch.setattr(moves, "ABANDONED_S", 0.3)
    journal = msgspec.structs.replace(settings)
    async with opened(journal, sandbox) as first:
        await first.stage("customer", Stage.SHADOW)
        desk = await desk_of(first)
        record = await first.made("customers", customer(number=fresh()))
        await first.quiet()
        asked = (await desk.ask()).json()
        with monkeypatch.context() as patch:
            # Nobody else is there to take it up before the process has ended.
            patch.setattr(moves, "ABANDONED_S", 1e6)
            patch.setattr(moves, "crash_point", _dying_at(point))
            assert (await desk.approve(asked)).status_code == 200
            await first.until(lambda: _carried(first), "the switch has died", within_s=10)
        held = await first.patch("customers", record["id"], {"phone": "2"}, Prefer="respond-async")
    async with opened(journal, sandbox) as second:
        second.began = first.began
        desk = await desk_of(second)
        ended = await desk.reaches(asked, "committed", "aborted")
        assert ended["state"] == "committed"
        assert (await second.reaches(held, "settled"))["authority"] == leads
        rule = await _rule(second)
        assert (rule["stage"], rule["authority"], rule["draining"]) == ("live", "cloud", False)
        await second.quiet()
        await second.check()


async def _carried(world: World) -> bool:
    """Nobody of this process is at a switch any more."""
    return not world.gateway.switchover.moves.carrying


@pytest.mark.server
async def test_two_at_one_switch(postgres_journal: str, settings: Settings, sandbox: Sandbox) -> None:
    """Two processes that carry the same switch at once move the slice once."""
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    async with opened(shared, sandbox) as one, opened(shared, sandbox) as other:
        await one.stage("customer", Stage.SHADOW)
        desk = await desk_of(one)
        await one.made("customers", customer(number=fresh()))
        await one.quiet()
        before = await _rule(one)
        asked = (await desk.ask()).json()
        outage = one.sandbox.fault("cloud", "outage")
        await one.made("customers", customer(number=fresh()))
        assert (await desk.approve(asked)).status_code == 200
        await desk.reaches(asked, "draining")
        both = [world.gateway.switchover.moves.begin(asked["id"]) for world in (one, other)]
        one.sandbox.heal("cloud", outage)
        ended = await asyncio.gather(*both)
        assert [str(each.state) for each in ended] == ["committed", "committed"]
        after = await _rule(one)
        assert (after["version"], after["epoch"]) == (before["version"] + 1, before["epoch"] + 1)
        await one.quiet()
        await one.check()


async def test_with_two_people_only(settings: Settings, sandbox: Sandbox) -> None:
    """Where the settings ask for two people, a change of the rule alone moves no authority."""
    async with opened(msgspec.structs.replace(settings, two_person=True), sandbox) as world:
        await world.stage("customer", Stage.SHADOW)
        with pytest.raises(RuleRefused, match="second person") as refused:
            await world.stage("customer", Stage.LIVE, override=True)
        assert [error.code for error in refused.value.errors] == ["approval"]
        desk = await desk_of(world)
        asked = (await desk.ask()).json()
        await desk.approve(asked)
        await desk.reaches(asked, "committed")


async def test_an_abandoned_fence_has_a_switch(world: World, desk: Desk) -> None:
    """A switch whose fence is not there any more does not commit: it is aborted, and the slice stays."""
    asked = (await desk.ask()).json()
    await world.gateway.database.transaction(
        lambda conn: conn.execute(
            update(switch)
            .where(switch.c.id == asked["id"])
            .values(state="draining", epoch=99, drain_until=2**50, looked_at=0)
        )
    )
    ended = await desk.reaches(asked, "aborted", "committed")
    assert (ended["state"], ended["problem"]["code"]) == ("aborted", "rule_moved")
    assert (await _rule(world))["stage"] == "shadow"


async def _rule(world: World) -> dict[str, Any]:
    items = (await world.get("/admin/v1/rules")).json()["items"]
    return next(one for one in items if (one["entity"], one["region"]) == ("customer", REGION))
