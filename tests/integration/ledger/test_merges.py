"""Two records that are one, merged by two persons under live traffic, and the way back."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import msgspec
import pytest
from sqlalchemy import select

from gateway.backfill.tables import backfill_item
from gateway.errors import StoreUnavailable
from gateway.merging import merging
from gateway.reconcile.tables import reconcile_part
from gateway.settings import Settings
from tests.integration.ledger.conftest import opened
from tests.integration.ledger.test_switches import Desk, desk_of
from tests.integration.ledger.world import REGION, World, customer, fresh, project
from tests.systems.sandbox import Sandbox

BASE = "/admin/v1/merges"


@pytest.fixture
async def desk(world: World) -> Desk:
    return await desk_of(world)


async def ask(desk: Desk, loser: str, winner: str, who: str = "operator", **more: Any) -> httpx.Response:
    body = {"into": winner, "reason": "entered twice", "both_at_authority": True, **more}
    return await desk.post(who, f"/admin/v1/records/{loser}/merge", body)


async def merged(desk: Desk, loser: str, winner: str, **more: Any) -> dict[str, Any]:
    """A merge that has to work, done."""
    asked = await ask(desk, loser, winner, **more)
    assert asked.status_code == 201, asked.text
    done = await desk.approve(asked.json())
    assert done.status_code == 200, done.text
    return done.json()


async def parted(desk: Desk, done: dict[str, Any]) -> dict[str, Any]:
    asked = await desk.post("operator", f"{done['href']}/split", {"reason": "two after all"})
    assert asked.status_code == 201, asked.text
    back = await desk.approve(asked.json())
    assert back.status_code == 200, back.text
    return back.json()


def kind(answer: httpx.Response) -> str:
    return answer.json()["type"].rsplit(":", 1)[-1]


def conditions(answer: httpx.Response) -> list[str]:
    assert (answer.status_code, kind(answer)) == (422, "merge-refused"), answer.text
    return answer.json()["conditions"]


async def two(world: World, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    loser = await world.made("customers", customer(number=fresh(), **more))
    winner = await world.made("customers", customer(number=fresh(), **more))
    await world.quiet()
    return (await world.get(f"/v1/customers/{loser['id']}")).json(), (
        await world.get(f"/v1/customers/{winner['id']}")
    ).json()


async def test_one_of_two(world: World, desk: Desk) -> None:
    """After it the loser is read as the winner and written nowhere; lists do not show it, references to it and to its
    native ids mean the winner; its number is free; both journeys and the audit trail tell who did it."""
    loser, winner = await two(world)
    before = await world.made("projects", project(loser["id"], number=fresh()))
    await world.quiet()
    asked = (await ask(desk, loser["id"], winner["id"])).json()
    evidence = asked["evidence"]
    assert (asked["state"], evidence["links"]["moved"], evidence["number"]["becomes"]) == (
        "requested", {}, "released",
    )  # fmt: skip
    assert evidence["links"]["stay"] == loser["external_refs"]
    assert evidence["dependants"] == {"project": 1}
    assert (await world.get(f"/v1/customers/{loser['id']}")).status_code == 200
    assert (await desk.approve(asked)).json()["state"] == "done"

    gone = await world.get(f"/v1/customers/{loser['id']}")
    assert (gone.status_code, gone.headers["Location"]) == (308, f"/v1/customers/{winner['id']}")
    for refused in (
        await world.patch("customers", loser["id"], {"phone": "1"}),
        await world.move("customers", loser["id"], "blocked", key=fresh()),
    ):
        assert (refused.status_code, kind(refused)) == (409, "record-merged")
        assert refused.headers["Location"] == f"/v1/customers/{winner['id']}"
        assert winner["id"] in refused.json()["detail"]
    ids = [one["id"] for one in await world.every(f"/v1/customers?region={REGION}&limit=100")]
    assert [id_ for id_ in ids if id_ in (loser["id"], winner["id"])] == [winner["id"]]
    by_ref = await world.get(f"/v1/customers/by-ref/legacy/{loser['external_refs']['legacy']}")
    assert (by_ref.status_code, by_ref.json()["id"]) == (200, winner["id"])
    named = await world.made("projects", project(loser["id"], number=fresh()))
    assert named["customer_id"] == winner["id"]
    assert (await world.get(f"/v1/projects/{before['id']}")).json()["customer_id"] == winner["id"]
    of_winner = (await world.get(f"/v1/projects?region={REGION}&customer_id={loser['id']}")).json()["items"]
    assert {one["id"] for one in of_winner} == {before["id"], named["id"]}
    assert (await world.patch("projects", before["id"], {"name": "Another"})).status_code == 200
    reused = await world.create("customers", customer(name="New", number=loser["number"]))
    assert reused.status_code in (201, 422)  # ours is free; the ERP may keep numbers of its own apart
    answer = await world.patch("customers", winner["id"], {"phone": "77"})
    assert answer.status_code == 200
    await world.quiet()
    for system in ("legacy", "cloud"):
        last = world.effects(system, entity="customer")[-1]
        assert (last["action"], last["key"]) == ("update", winner["external_refs"][system])
    for id_ in (loser["id"], winner["id"]):
        journey = (await world.get(f"/admin/v1/records/{id_}/journey")).json()
        assert [one["id"] for one in journey["merges"]] == [asked["id"]]
        assert "merged" in [event["event"] for event in journey["events"]]
    acts = (await world.get("/admin/v1/audit")).json()["items"]
    told = [(act["action"], act["actor"]) for act in acts if act["subject"] == asked["id"]]
    assert told == [("merge.approve", "approver"), ("merge.request", "operator")]
    await world.check()


async def test_who_may_do_what(world: World, desk: Desk) -> None:
    """Who asks does not approve, whatever their role; the hash that is approved is the one that there is; it is aborted
    or approved once, and each of the two records waits for one decision at most."""
    loser, winner = await two(world)
    assert (await ask(desk, loser["id"], winner["id"], "viewer")).status_code == 403
    assert (await ask(desk, loser["id"], winner["id"], "approver")).status_code == 403
    own = (await ask(desk, loser["id"], winner["id"], "admin")).json()
    refused = await desk.approve(own, "admin")
    assert (refused.status_code, kind(refused)) == (403, "second-person-needed")
    assert conditions(await ask(desk, winner["id"], loser["id"])) == ["waiting"]
    stale = await desk.approve({**own, "evidence_hash": "0" * 64})
    assert (stale.status_code, kind(stale)) == (409, "evidence-changed")
    assert (await world.patch("customers", winner["id"], {"phone": "5"})).status_code == 200
    await world.quiet()
    moved = await desk.approve(own)
    assert (moved.status_code, kind(moved)) == (409, "evidence-changed")
    now = (await world.get(own["href"])).json()
    assert moved.json()["evidence_hash"] == now["evidence_hash"] != own["evidence_hash"]
    ended = await desk.post("operator", f"{own['href']}/abort", {"reason": "not sure"})
    assert (ended.json()["state"], ended.json()["problem"]["code"]) == ("aborted", "aborted")
    over = await desk.approve(now)
    assert (over.status_code, kind(over)) == (409, "merge-over")
    assert (await world.get(f"/v1/customers/{loser['id']}")).status_code == 200
    done = await merged(desk, loser["id"], winner["id"])
    listed = (await world.get(f"{BASE}?state=done")).json()["items"]
    assert [one["id"] for one in listed] == [done["id"]]
    assert (await desk.approve(done)).status_code == 200  # twice is no error for the same person
    assert conditions(await ask(desk, loser["id"], winner["id"])) == ["tombstone"]
    missing = await ask(desk, f"{winner['id'][:-6]}ffffff", winner["id"])
    assert missing.status_code == 404
    await world.check()


async def test_conditions(world: World, desk: Desk) -> None:
    """Each condition that does not hold is refused by its name."""
    loser, winner = await two(world)
    other = await world.made("projects", project(winner["id"], number=fresh()))
    away = await world.made("customers", {**customer(number=fresh()), "region": "DACH", "currency": "EUR"})
    await world.quiet()
    assert conditions(await ask(desk, loser["id"], loser["id"])) == ["same"]
    assert conditions(await ask(desk, loser["id"], other["id"])) == ["entity"]
    assert conditions(await ask(desk, loser["id"], away["id"])) == ["region"]
    assert conditions(await ask(desk, loser["id"], winner["id"], both_at_authority=False)) == ["both_at_authority"]
    outage = world.sandbox.fault("cloud", "outage")
    assert (await world.patch("customers", winner["id"], {"phone": "1"})).status_code == 200
    assert conditions(await ask(desk, loser["id"], winner["id"])) == ["open_delivery"]
    world.sandbox.heal("cloud", outage)
    await world.quiet()
    outage = world.sandbox.fault("legacy", "outage")
    assert (
        await world.patch("customers", loser["id"], {"phone": "1"}, Prefer="respond-async")
    ).status_code == 202
    assert conditions(await ask(desk, loser["id"], winner["id"])) == ["open_write"]
    world.sandbox.heal("legacy", outage)
    await world.quiet()
    await world.check()


async def test_two_halves_become_one(world: World, desk: Desk) -> None:
    """A customer that was adopted as two records, one from each system, has one native record in each after it. It is
    what the authority holds; the mirror is told that, and later writes reach it."""
    first, second = await halves(world)
    asked = (await ask(desk, first["id"], second["id"], both_at_authority=False)).json()
    assert asked["evidence"]["links"]["moved"].keys() == {"legacy"}
    assert asked["evidence"]["told"] == "cloud"
    assert (await desk.approve(asked)).json()["state"] == "done"
    await world.quiet()
    now = (await world.get(f"/v1/customers/{second['id']}")).json()
    assert now["external_refs"].keys() == {"legacy", "cloud"}
    assert now["name"] == first["name"]
    answer = await world.patch("customers", second["id"], {"phone": "4711"})
    assert answer.status_code == 200
    await world.quiet()
    held = await native(world, "cloud", now["external_refs"]["cloud"])
    assert held.fields["name"] == first["name"]
    assert held.fields["phone"] == "4711"
    await world.check_journal()


async def halves(world: World) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same customer, which somebody has made in each system under another number, as it was first seen."""
    company = (await world.made("customers", customer(number=fresh())))["legal_entity"]
    numbers = fresh("L"), fresh("C")
    old = {"Nummer": numbers[0], "Buchungskreis": company, "Status": "A", "Name1": "Quay Ltd", "Waehrung": "GBP"}
    new = {"Number": numbers[1], "LegalEntity": company, "Status": "Active", "Name": "Quay", "CurrencyCode": "GBP"}
    natives = {
        "legacy": world.sandbox.edit("legacy", "customer", "", old, action="insert")["key"],
        "cloud": world.sandbox.edit("cloud", "customer", "", new, action="insert")["key"],
    }
    first = (await world.get(f"/v1/customers/by-ref/legacy/{natives['legacy']}")).json()
    missing = await world.get(f"/v1/customers/by-ref/cloud/{natives['cloud']}")
    assert missing.status_code == 404  # adopted, and not yet in the system that answers
    return first, {"id": await known(world, "cloud", natives["cloud"])}


async def known(world: World, system: str, native_id: str) -> str:
    key = (system, "customer", native_id)
    return (await world.gateway.records.canonical_ids([key]))[key]


async def native(world: World, system: str, native_id: str) -> Any:
    return await world.gateway.adapters[system].fetch("customer", native_id)


async def test_and_back(world: World, desk: Desk) -> None:
    """The way back restores both, with their links and numbers; a write since stands against it, and so does another
    record that has the number now."""
    loser, winner = await two(world)
    done = await merged(desk, loser["id"], winner["id"])
    back = await parted(desk, done)
    assert (back["kind"], back["state"], back["undoes"]) == ("split", "done", done["id"])
    assert (await world.get(done["href"])).json()["undone_by"] == back["id"]
    for one in (loser, winner):
        now = (await world.get(f"/v1/customers/{one['id']}")).json()
        assert now == one | {"updated_at": now["updated_at"]}
    taken = await world.create("customers", customer(number=loser["number"]))
    assert (taken.status_code, kind(taken)) == (409, "natural-key-taken")
    assert (await world.patch("customers", loser["id"], {"phone": "3"})).status_code == 200
    over = await desk.post("operator", f"{done['href']}/split", {"reason": "again"})
    assert (over.status_code, kind(over)) == (409, "merge-over")
    await world.quiet()
    again = await merged(desk, loser["id"], winner["id"])
    assert (await world.patch("customers", winner["id"], {"phone": "9"})).status_code == 200
    await world.quiet()
    stands = await desk.post("operator", f"{again['href']}/split", {"reason": "again"})
    assert conditions(stands) == ["written"]
    await world.check()


async def test_chains_have_one_end(world: World, desk: Desk) -> None:
    """Of three that are one, each tombstone leads to the last in one step; what was merged last is parted first."""
    one, two_ = await two(world)
    three = await world.made("customers", customer(number=fresh()))
    await world.quiet()
    first = await merged(desk, one["id"], two_["id"])
    second = await merged(desk, two_["id"], three["id"])
    for id_ in (one["id"], two_["id"]):
        gone = await world.get(f"/v1/customers/{id_}")
        assert gone.headers["Location"] == f"/v1/customers/{three['id']}"
    assert conditions(await ask(desk, three["id"], one["id"])) == ["tombstone"]
    by_ref = await world.get(f"/v1/customers/by-ref/legacy/{one['external_refs']['legacy']}")
    assert by_ref.json()["id"] == three["id"]
    early = await desk.post("operator", f"{first['href']}/split", {"reason": "too early"})
    assert "tombstone" in conditions(early)
    await parted(desk, second)
    gone = await world.get(f"/v1/customers/{one['id']}")
    assert gone.headers["Location"] == f"/v1/customers/{two_['id']}"
    assert (await world.get(f"/v1/customers/{two_['id']}")).status_code == 200
    await parted(desk, first)
    assert (await world.get(f"/v1/customers/{one['id']}")).status_code == 200
    await world.check()


async def test_traffic_goes_on(world: World, desk: Desk) -> None:
    """Writes of a third record that refers to the loser go on while two others are merged; each has its effect once in
    each system, and the last state is everywhere."""
    loser, winner = await two(world)
    third = await world.made("projects", project(loser["id"], number=fresh()))
    await world.quiet()
    going = True

    async def writing() -> int:
        count = 0
        while going:
            answer = await world.patch("projects", third["id"], {"name": f"Survey {count}", "customer_id": loser["id"]})
            assert answer.status_code == 200, answer.text
            count += 1
        return count

    writes = asyncio.create_task(writing())
    await asyncio.sleep(0.2)
    await merged(desk, loser["id"], winner["id"])
    await asyncio.sleep(0.3)
    going = False
    assert await writes > 2
    last = await world.patch("projects", third["id"], {"customer_id": loser["id"]})
    assert last.json()["customer_id"] == winner["id"]
    await world.quiet()
    await world.check()


async def test_two_approve_at_once(world: World, desk: Desk) -> None:
    """Of two who approve at the same moment one has done it, and the other is told that it is done."""
    key, _ = await world.gateway.keys.create("second", role="approver", actor="tests")
    desk.headers["second"] = {"Authorization": f"Bearer {key}"}
    loser, winner = await two(world)
    asked = (await ask(desk, loser["id"], winner["id"])).json()
    both = await asyncio.gather(desk.approve(asked), desk.approve(asked, "second"))
    assert sorted(one.status_code for one in both) == [200, 409]
    assert [kind(one) for one in both if one.status_code == 409] == ["merge-over"]
    journey = (await world.get(f"/admin/v1/records/{loser['id']}/journey")).json()
    assert [one["event"] for one in journey["events"]].count("merged") == 1
    await world.check()


@pytest.mark.parametrize("target", ["loser", "winner"])
async def test_a_write_at_the_same_moment(world: World, desk: Desk, target: str) -> None:
    """A write and a merge that meet at one record follow each other: the merge is refused or what the write has made
    is kept, and a write to the loser after it is refused. None is lost."""
    for turn in range(4):
        loser, winner = await two(world)
        written = loser if target == "loser" else winner
        asked = (await ask(desk, loser["id"], winner["id"])).json()

        async def write(record_id: str = written["id"], phone: str = f"0{turn}") -> httpx.Response:
            return await world.patch("customers", record_id, {"phone": phone})

        async def approve(told: dict[str, Any] = asked) -> httpx.Response:
            return await desk.approve(told)

        answers = await asyncio.gather(*((write(), approve()) if turn % 2 else (approve(), write())))
        write_answer, merge_answer = answers if turn % 2 else answers[::-1]
        merge_done = merge_answer.status_code == 200
        if target == "loser" and merge_done:
            assert (write_answer.status_code, kind(write_answer)) == (409, "record-merged")
        else:
            assert write_answer.status_code == 200, write_answer.text
            assert merge_done or kind(merge_answer) in ("merge-refused", "evidence-changed")
            now = (await world.get(f"/v1/customers/{written['id']}")).json()
            assert now["phone"] == f"0{turn}"
        await world.quiet()
    await world.check()


async def test_nothing_of_it_is_kept_by_half(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one commit: what breaks off within it has changed nothing, and it can be approved again."""
    loser, winner = await two(world)
    asked = (await ask(desk, loser["id"], winner["id"])).json()

    def die(name: str) -> None:
        if name == "CP33":
            raise StoreUnavailable("gone in the middle of it")

    with monkeypatch.context() as patch:
        patch.setattr(merging, "crash_point", die)
        assert (await desk.approve(asked)).status_code == 503
    assert (await world.get(asked["href"])).json()["state"] == "requested"
    assert (await world.get(f"/v1/customers/{loser['id']}")).json() == loser
    journey = (await world.get(f"/admin/v1/records/{loser['id']}/journey")).json()
    assert "merged" not in [one["event"] for one in journey["events"]]
    assert (await desk.approve(asked)).status_code == 200
    await world.check()


async def test_repeated_key_is_told_what_it_was(world: World, desk: Desk) -> None:
    """A create with a reference to the loser, repeated after the merge under its key, is told the first answer; a write
    that the merge has refused may come again under its key when the two are parted."""
    loser, winner = await two(world)
    body, key = project(loser["id"], number=fresh()), fresh()
    first = await world.create("projects", body, key=key)
    await world.quiet()
    done = await merged(desk, loser["id"], winner["id"])
    again = await world.create("projects", body, key=key)
    assert (again.status_code, again.json()) == (201, first.json())
    late = fresh()
    refused = await world.patch("customers", loser["id"], {"phone": "8"}, key=late)
    assert refused.status_code == 409
    await parted(desk, done)
    assert (await world.patch("customers", loser["id"], {"phone": "8"}, key=late)).status_code == 200
    await world.quiet()
    await world.check()


async def test_neither_missing_nor_doubled(world: World, desk: Desk) -> None:
    """A comparison of the two whole sets, and a backfill, take the one record once, and never miss the other."""
    loser, winner = await two(world)
    await merged(desk, loser["id"], winner["id"])
    slice_ = {"entity": "customer", "region": REGION}
    ours = {loser["id"], winner["id"]}
    for path in ("/admin/v1/reconciliations", "/admin/v1/backfills"):
        begun = await desk.post("operator", path, slice_)
        assert begun.status_code in (201, 202), begun.text

        async def ended(href: str = begun.json()["href"]) -> Any:
            now = (await world.get(href)).json()
            return now if now["ended_at"] else None

        done = await world.until(ended, path)
        assert done["state"] == "done", done
    # Other records of these systems may be there in one of them only.
    parts, items = await world.gateway.database.read(
        lambda conn: (
            set(conn.execute(select(reconcile_part.c.record_id)).scalars()),
            {row.record_id: row.outcome for row in conn.execute(select(backfill_item))},
        )
    )
    assert not parts & ours
    assert {id_: outcome for id_, outcome in items.items() if id_ in ours} == {winner["id"]: "present"}
    found = {one["record_id"] for one in await world.every("/admin/v1/diffs?limit=200")}
    assert not found & ours
    await world.check_journal()


@pytest.mark.server
async def test_another_process_sees_it(
    postgres_journal: str, settings: Settings, sandbox: Sandbox
) -> None:
    """What another process has merged, this one forgets the old links of within seconds."""
    shared = msgspec.structs.replace(settings, database=postgres_journal)
    async with opened(shared, sandbox) as one, opened(shared, sandbox, worker=False) as other:
        desk = await desk_of(one)
        loser, winner = await two(one)
        made = await one.made("projects", project(loser["id"], number=fresh()))
        await one.quiet()
        assert (await other.get(f"/v1/projects/{made['id']}")).json()["customer_id"] == loser["id"]
        await merged(desk, loser["id"], winner["id"])
        assert (await other.get(f"/v1/customers/{loser['id']}")).status_code == 308
        assert (await other.patch("customers", loser["id"], {"phone": "1"})).status_code == 409

        async def seen() -> bool:
            return (await other.get(f"/v1/projects/{made['id']}")).json()["customer_id"] == winner["id"]

        await other.until(seen, "the other process has seen it", within_s=10)
        await one.check()
