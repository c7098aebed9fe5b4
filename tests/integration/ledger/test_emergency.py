"""The authority fails with writes under way, and its slice is switched back: nothing lost, nothing doubled."""

from __future__ import annotations

import time
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import Connection, select

from gateway.ledger import breaker
from gateway.ledger.tables import late_outcome
from gateway.routing.stage import Stage
from gateway.settings import Settings
from gateway.switchover import escape, moves, switches
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.test_switches import Desk, desk_of
from tests.integration.ledger.world import REGION, World, customer, fresh, payment
from tests.systems.sandbox import Sandbox

EMERGENCY = {
    "entity": "customer", "region": REGION, "stage": "shadow", "emergency": True, "reason": "the cloud is down",
}  # fmt: skip
ASYNC = {"Prefer": "respond-async"}
#: Writes that another one of the same record follows.
FOLLOWED = ("sent, and its effect is there", "sent, and without effect")
#: Records whose writes open the breaker, by name.
SPARE = tuple(f"spare {number}" for number in range(breaker.CONSECUTIVE))


class Broken:
    """A slice that the cloud leads, and the cloud gone with a write in each state."""

    def __init__(self, world: World, desk: Desk) -> None:
        self.world = world
        self.desk = desk
        self.answers: dict[str, httpx.Response] = {}
        self.records: dict[str, str] = {}

    async def until_down(self, kind: str, *, legacy_takes: bool = True) -> None:
        """``kind``: how the cloud fails in the end. ``legacy_takes``: the legacy takes writes by then."""
        world = self.world
        await world.stage("customer", Stage.SHADOW)
        for name in ("undelivered", "landed", "lost", "unsent", "free", *SPARE):
            self.records[name] = (await world.made("customers", customer(number=fresh())))["id"]
        await world.quiet()
        await world.stage("customer", Stage.LIVE)
        away = world.sandbox.fault("legacy", "outage")
        confirmed = await self._patch("undelivered", "confirmed")
        assert (confirmed.status_code, confirmed.headers["Twinrun-Answered-By"]) == (200, "cloud")
        world.sandbox.fault("cloud", "answer_lost", on=["writes"], count=1, how="hang")
        await self._patch("landed", "sent, and its effect is there", **ASYNC)
        await world.until(lambda: self._struck("answer_lost"), "the effect")
        world.sandbox.fault("cloud", "hang", on=["writes"], count=1)
        await self._patch("lost", "sent, and without effect", **ASYNC)
        await world.until(lambda: self._struck("hang"), "the request")
        world.sandbox.fault("cloud", kind)
        # Each in a lane of its own: in one lane they would wait for each other, longer from time to time.
        for name in SPARE:
            await self._patch(name, f"{name} of those that open the breaker", **ASYNC)
        await world.until(self._down, "the breaker opens")
        # What is still under way may end as sent or as not sent, and the list that is signed would be another then.
        await world.until(self._at_rest, "nothing is under way to the cloud")
        await self._patch("unsent", "never sent", **ASYNC)
        self.answers["new"] = await world.create("customers", customer(number=fresh()), **ASYNC)
        await self._patch("landed", "behind the one that landed", **ASYNC)
        await self._patch("lost", "behind the one that is lost", **ASYNC)
        if not legacy_takes:
            world.sandbox.fault("legacy", "error", status=503, on=["writes"])
        world.sandbox.heal("legacy", away)
        await world.until(self._well, "the legacy answers")

    async def ask(self, **changes: Any) -> dict[str, Any]:
        asked = await self.desk.post("operator", "/admin/v1/switches", {**EMERGENCY, **changes})
        assert asked.status_code == 201, asked.text
        return asked.json()

    async def back(self) -> None:
        """The cloud answers again; what was left behind is settled, and all of it is in both systems once, but for what
        its mirror has not got because a newer write of the same record was there first."""
        world = self.world
        world.sandbox.heal()
        for name in self.answers:
            await world.reaches(self.answers[name], "settled", within_s=60)
        await world.quiet(60)
        for name, answer in self.answers.items():
            lines = (await world.operation(answer))["deliveries"]
            overtaken = {line["system"] for line in lines if line["state"] == "superseded"}
            assert not overtaken or name in FOLLOWED, (name, lines)
            assert await world.times(answer) == {one: int(one not in overtaken) for one in ("legacy", "cloud")}, name
        assert (await world.get("/admin/v1/cases?state=open")).json()["items"] == []
        await world.check()

    async def _patch(self, record: str, what: str, **headers: str) -> httpx.Response:
        answer = await self.world.patch("customers", self.records[record], {"phone": what}, **headers)
        self.answers[what] = answer
        return answer

    async def _struck(self, kind: str) -> bool:
        return any(one["hits"] for one in self.world.sandbox.faults("cloud") if one["kind"] == kind)

    async def _down(self) -> bool:
        return self.world.gateway.pressure.shut("cloud") is not None

    async def _at_rest(self) -> bool:
        return not any((line.system, line.state) == ("cloud", "sending") for line in await self.world.lines())

    async def _well(self) -> bool:
        return self.world.gateway.pressure.shut("legacy") is None


@pytest.fixture
async def broken(world: World) -> Broken:
    return Broken(world, await desk_of(world))


@pytest.mark.parametrize("kind", ["outage", "hang"])
async def test_there_and_back_again(world: World, broken: Broken, kind: str) -> None:
    """The cloud refuses or hangs with a write in each state. The list names those whose outcome is open, and only
    those. After the approval the legacy leads within seconds: it has what the cloud had confirmed, and takes what was
    never sent and what is new. Back again, the cloud is asked about each stranded one, and each is in both systems
    once."""
    await broken.until_down(kind)
    asked = await broken.ask()
    assert (asked["kind"], asked["state"]) == ("emergency", "requested")
    assert [gate["gate"] for gate in asked["evidence"]["gates"] if not gate["passed"]] == []
    listed = {one["operation"] for one in asked["evidence"]["stranded"]["listed"]}
    sent = {
        broken.answers[what].headers["Twinrun-Operation"]
        for what in ("sent, and its effect is there", "sent, and without effect")
    }
    assert sent <= listed
    assert asked["evidence"]["stranded"]["count"] == len(listed) == asked["counts"]["stranded"]
    unsent = broken.answers["never sent"].headers["Twinrun-Operation"]
    assert unsent not in listed
    began = time.monotonic()
    assert (await broken.desk.approve(asked)).status_code == 200
    ended = await broken.desk.reaches(asked, "committed", "aborted")
    assert (ended["state"], ended["problem"]) == ("committed", None)
    assert time.monotonic() - began < 15
    assert (ended["counts"]["stranded"], ended["counts"]["undelivered"]) == (len(listed), 0)
    await _taken_by_legacy(world, await world.create("customers", customer(number=fresh())))
    await _taken_by_legacy(
        world, await world.patch("customers", broken.records["undelivered"], {"phone": "in the emergency"})
    )
    assert (await world.times(broken.answers["confirmed"]))["legacy"] == 1
    moved = await world.reaches(broken.answers["never sent"], "committed")
    assert moved["authority"] == "legacy"
    assert (await world.reaches(broken.answers["new"], "committed"))["authority"] == "legacy"
    for id_ in listed:
        told = await world.operation(id_)
        assert (told["state"], told["case"]["kind"]) == ("stranded", "stranded")
    # What waits behind a stranded write goes on when that one is settled, and not before.
    behind = await world.operation(broken.answers["behind the one that landed"])
    assert behind["state"] == "accepted"
    acts = (await world.get("/admin/v1/audit")).json()["items"]
    told = [(act["action"], act["actor"]) for act in acts if act["subject"] == asked["id"]]
    assert told == [
        ("switch.emergency", "operator"),
        ("switch.approve", "approver"),
        ("switch.request", "operator"),
    ]
    await broken.back()
    landed = await world.operation(broken.answers["sent, and its effect is there"])
    lost = await world.operation(broken.answers["sent, and without effect"])
    assert (landed["authority"], lost["authority"]) == ("cloud", "legacy")


async def _taken_by_legacy(world: World, answer: httpx.Response) -> None:
    """The write is done there within seconds, also where its caller had his answer before."""
    assert answer.status_code in (200, 201, 202), answer.text
    assert (await world.reaches(answer, "committed", "settled", within_s=10))["authority"] == "legacy"


def _dying_at(wanted: str, after: int = 1) -> Any:
    passed = 0

    def point(name: str) -> None:
        nonlocal passed
        passed += name == wanted
        if name == wanted and passed >= after:
            raise RuntimeError(f"the process is gone at {wanted}")

    return point


@pytest.mark.parametrize(
    ("point", "after"),
    [("CP17", 1), ("CP26", 1), ("CP26", 2), ("CP27", 1), ("CP28", 1), ("CP28", 2), ("CP20", 1)],
)
async def test_taken_up_by_another(
    settings: Settings, sandbox: Sandbox, point: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An emergency whose process dies at any step, or between any two parts of one, is carried on by whoever comes
    next, to the same end."""
    monkeypatch.setattr(moves, "ABANDONED_S", 0.3)
    monkeypatch.setattr(escape, "PART", 1)
    async with opened(settings, sandbox) as first:
        one = Broken(first, await desk_of(first))
        await one.until_down("outage")
        asked = await one.ask()
        with monkeypatch.context() as patch:
            patch.setattr(moves, "ABANDONED_S", 1e6)
            for module in (moves, escape):
                patch.setattr(module, "crash_point", _dying_at(point, after))
            assert (await one.desk.approve(asked)).status_code == 200
            await first.until(lambda: _nobody_at_it(first), "the emergency has died", within_s=20)
        await first.patch("customers", one.records["free"], {"phone": "meanwhile"}, **ASYNC)
    async with opened(settings, sandbox) as second:
        second.began = first.began
        other = Broken(second, await desk_of(second))
        other.answers, other.records = one.answers, one.records
        ended = await other.desk.reaches(asked, "committed", "aborted")
        assert ended["state"] == "committed"
        await _taken_by_legacy(second, await second.create("customers", customer(number=fresh())))
        await other.back()


async def _nobody_at_it(world: World) -> bool:
    return not world.gateway.switchover.moves.carrying


async def test_what_stands_in_the_books_waits_for_a_person(world: World) -> None:
    """A payment that was sent and of which the answer is lost is looked for when the cloud is back, and then left to a
    person, who may not decide about it alone."""
    desk = await desk_of(world)
    owner = await world.made("customers", customer(number=fresh()))
    await world.stage("payment", Stage.SHADOW)
    await world.quiet()
    await world.stage("payment", Stage.LIVE, override=True)
    world.sandbox.fault("cloud", "answer_lost", on=["writes"], count=1, how="hang")
    landed = await world.create("payments", payment(owner["id"]), key=fresh(), **ASYNC)
    await world.until(lambda: _effect(world, landed), "the effect")
    world.sandbox.fault("cloud", "hang", on=["writes"], count=1)
    lost = await world.create("payments", payment(owner["id"]), key=fresh(), **ASYNC)
    await world.until(lambda: _hung(world), "the request")
    world.sandbox.fault("cloud", "outage")
    asked = (await desk.post("operator", "/admin/v1/switches", {**EMERGENCY, "entity": "payment"})).json()
    listed = asked["evidence"]["stranded"]
    assert (listed["count"], listed["amount"]) == (2, {"GBP": "200.00"})
    assert all(one["posted"] for one in listed["listed"])
    await desk.approve(asked)
    await desk.reaches(asked, "committed")
    world.sandbox.heal()
    cases = {
        one["operation"]: one for one in (await world.get("/admin/v1/cases?kind=stranded")).json()["items"]
    }
    for answer, said in ((landed, "has it as"), (lost, "does not have it")):
        case = cases[answer.headers["Twinrun-Operation"]]
        await world.until(lambda case=case, said=said: _says(world, case["id"], said), said)
        assert (await world.operation(answer))["state"] == "stranded"
    decided = cases[landed.headers["Twinrun-Operation"]]["id"]
    resolved = await desk.post(
        "operator",
        f"/admin/v1/cases/{decided}/resolve",
        {"as": "applied", "reason": "it is in the cloud's books"},
    )
    assert resolved.status_code == 200, resolved.text
    await world.reaches(landed, "settled")
    again = cases[lost.headers["Twinrun-Operation"]]["id"]
    wish = {"as": "not_applied_resend", "reason": "looked through the cloud's payments: it is not there"}
    for person in ("operator", "admin"):
        assert (await world.operation(lost))["state"] == "stranded"
        resolved = await desk.post(person, f"/admin/v1/cases/{again}/resolve", wish)
        assert resolved.status_code == 200, resolved.text
    assert (await world.reaches(lost, "settled"))["authority"] == "legacy"
    await world.quiet()
    assert await world.times(landed) == await world.times(lost) == {"legacy": 1, "cloud": 1}
    await world.check()


async def _effect(world: World, answer: httpx.Response) -> bool:
    return (await world.times(answer))["cloud"] == 1


async def _hung(world: World) -> bool:
    return any(one["hits"] for one in world.sandbox.faults("cloud") if one["kind"] == "hang")


async def _says(world: World, case_id: str, said: str) -> bool:
    told = (await world.get(f"/admin/v1/cases/{case_id}")).json()
    return any(said in (event["detail"] or "") for event in told["history"])


async def test_an_answer_that_comes_too_late(world: World) -> None:
    """A write is under way while its authority is left, and the answer comes afterwards: it is kept as evidence and
    decides nothing. The write is found in the system then, as any other that was stranded."""
    desk = await desk_of(world)
    await world.stage("customer", Stage.SHADOW)
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.LIVE)
    slow = world.sandbox.fault("cloud", "latency", on=["writes"], ms=1300)
    late = await world.patch("customers", record["id"], {"phone": "late"}, **ASYNC)
    asked = (await desk.post("operator", "/admin/v1/switches", {**EMERGENCY, "override": True})).json()
    assert asked["overridden"] == ["authority_down"]
    assert [one["operation"] for one in asked["evidence"]["stranded"]["listed"]] == [
        late.headers["Twinrun-Operation"]
    ]
    assert (await desk.approve(asked)).status_code == 200
    ended = await desk.reaches(asked, "committed", "aborted")
    assert (ended["state"], ended["counts"]["stranded"]) == ("committed", 1)
    await world.until(lambda: _evidence(world), "the late answer")
    world.sandbox.heal("cloud", slow)
    settled = await world.reaches(late, "settled")
    assert (settled["authority"], settled["epoch"] < ended["epoch"]) == ("cloud", True)
    (line,) = (line for line in settled["deliveries"] if line["role"] == "authority")
    assert line["source"] == "probe"
    await _taken_by_legacy(world, await world.patch("customers", record["id"], {"phone": "after it"}))
    await world.quiet()
    assert await world.times(late) == {"legacy": 1, "cloud": 1}
    await world.check()


async def _evidence(world: World) -> bool:
    def unit(connection: Connection) -> list[str]:
        return list(connection.execute(select(late_outcome.c.outcome)).scalars())

    return await world.gateway.database.read(unit) == ["applied"]


async def test_who_may_and_when(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An emergency is refused while the authority answers, where none leads anywhere, and without a reason; its list
    is approved once, by another person with the right to, within its time, and as it is now."""
    desk = await desk_of(world)
    await world.stage("customer", Stage.SHADOW)
    refused = await desk.post("operator", "/admin/v1/switches", EMERGENCY)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "no_way_back")
    record = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    await world.stage("customer", Stage.LIVE)
    refused = await desk.post("operator", "/admin/v1/switches", EMERGENCY)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "authority_down")
    assert "ordinary switch" in refused.json()["detail"]
    outage = world.sandbox.fault("cloud", "outage")
    wrong = await desk.post("operator", "/admin/v1/switches", {**EMERGENCY, "stage": "dual_write"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/stage")
    blank = await desk.post("operator", "/admin/v1/switches", {**EMERGENCY, "reason": " "})
    assert blank.status_code == 422
    away = world.sandbox.fault("legacy", "outage")
    refused = await desk.post("operator", "/admin/v1/switches", EMERGENCY)
    assert [error["code"] for error in refused.json()["errors"]] == ["successor"]
    assert "probe (" in refused.json()["detail"]  # and what it met
    world.sandbox.heal("legacy", away)
    one = Broken(world, desk)
    asked = await one.ask()
    assert (await desk.approve(asked, "operator")).status_code == 403
    assert (await desk.approve({**asked, "evidence_hash": "0" * 64})).status_code == 409
    # The cloud is back before anybody has approved: the evidence is not what it was.
    world.sandbox.heal("cloud", outage)
    moved = await desk.approve(asked)
    assert (moved.status_code, "gates" in moved.json()["detail"]) == (409, True)
    assert (
        await desk.post("operator", f"{asked['href']}/abort", {"reason": "it is back"})
    ).status_code == 200
    assert (await desk.approve(asked)).status_code == 409
    world.sandbox.fault("cloud", "outage")
    monkeypatch.setattr(switches, "VALID_S", 0)
    late = await one.ask()
    assert (await desk.reaches(late, "aborted"))["problem"]["code"] == "expired"
    world.sandbox.heal()
    answer = await world.patch("customers", record["id"], {"phone": "1"})
    assert answer.headers["Twinrun-Answered-By"] == "cloud"
    await world.quiet()
    await world.check()


async def test_given_up_half_way(settings: Settings, sandbox: Sandbox) -> None:
    """The system that is to take over fails as well: the emergency is given up. The cloud leads on, what was taken back
    goes to it, and what was cut off is looked for there."""
    async with opened(msgspec.structs.replace(settings, drain_limit_s=4.0), sandbox) as world:
        one = Broken(world, await desk_of(world))
        await one.until_down("outage", legacy_takes=False)
        asked = await one.ask()
        assert (await one.desk.approve(asked)).status_code == 200
        await world.until(lambda: _delivering(world, asked), "it delivers")
        world.sandbox.fault("legacy", "outage")
        ended = await one.desk.reaches(asked, "aborted", "committed")
        assert (ended["state"], ended["problem"]["code"]) == ("aborted", "successor")
        await one.back()
        rule = next(
            rule
            for rule in (await world.get("/admin/v1/rules")).json()["items"]
            if (rule["entity"], rule["region"]) == ("customer", REGION)
        )
        assert (rule["stage"], rule["authority"], rule["draining"]) == ("live", "cloud", False)


async def _delivering(world: World, asked: dict[str, Any]) -> bool:
    told = (await world.get(asked["href"])).json()
    assert told["state"] in ("approved", "fencing", "draining"), told
    return told["counts"]["at"] == "delivering"
