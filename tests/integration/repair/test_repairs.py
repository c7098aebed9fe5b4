"""Repairs over two simulated ERPs, on both databases, judged by what the ERPs say was done to them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, update

from gateway.errors import EvidenceChanged, RepairRunning, RepairStale, SecondPersonNeeded
from gateway.reconcile import Term, Verdict
from gateway.repair import Repair
from gateway.repair.run import Action, Chosen, Outcome, State
from gateway.repair.tables import repair_item, repair_run
from gateway.routing.stage import Stage
from tests.integration.backfill.test_backfills import lawful
from tests.integration.ledger.world import REGION, World, customer, fresh, invoice
from tests.integration.repair.planted import (
    COLLECTION,
    ENTITY,
    MIRROR,
    actions,
    approved,
    by_hand,
    carried_out,
    deleted,
    edited,
    firm,
    native,
    outcomes,
    planned,
    posted,
    reaches,
    reconciled,
    records,
    writes,
)


async def test_what_parts_is_repaired_and_parts_no_more(world: World) -> None:
    """Missing, wrong and extra: the dry run says what would be written and writes nothing; approved, just that is
    written, each record once; a second reconciliation finds only what a person has."""
    made = await firm(world, 6)
    gone, wrong, two, *_ = made
    await deleted(world, gone["id"])
    await edited(world, wrong["id"], Name="Somebody's typing", Phone="+44 1")
    there = await edited(world, two["id"], Name="Twice wrong")
    extra = by_hand(world)
    first = await reconciled(world)
    assert first.verdict is Verdict.FAIL
    assert first.terms is not None
    assert first.terms[Term.UNEXPLAINED] == 4
    before = {system: writes(world, system) for system in ("legacy", MIRROR)}
    plan = await planned(world, first)
    assert {system: writes(world, system) for system in before} == before, "a dry run writes nothing"
    assert plan.planned == {Action.CREATE: 1, Action.UPDATE: 2, Action.PERSON: 1}
    found = await records(world, plan)
    (only_there,) = set(found) - {one["id"] for one in made}
    assert found[only_there].native_id == extra
    changes = {one.field: (one.before, one.after) for one in found[wrong["id"]].changes}
    assert changes["name"] == ("Somebody's typing", "Harbour Engineering")
    assert str(changes["phone"][0]).startswith("hmac:"), "a personal value is shown as its hash"
    assert changes["phone"][1] is None
    assert {one.field for one in found[gone["id"]].changes} >= {"name", "number", "currency"}
    done = await carried_out(world, plan)
    assert await outcomes(world, done) == {
        gone["id"]: Outcome.REPAIRED,
        wrong["id"]: Outcome.REPAIRED,
        two["id"]: Outcome.REPAIRED,
        only_there: Outcome.PERSON,
    }
    assert not done.complete
    new = writes(world, MIRROR) - before[MIRROR]
    assert writes(world, "legacy") == before["legacy"], "the authority is never written to"
    there_now = await native(world, gone["id"])
    assert Counter(new) == Counter(
        [("create", there_now), ("update", await native(world, wrong["id"])), ("update", there)]
    )
    second = await reconciled(world)
    assert second.terms is not None
    assert (second.terms[Term.UNEXPLAINED], second.terms[Term.IN_CASE]) == (0, 1)
    cases = (await world.get("/admin/v1/cases?kind=repair_by_person")).json()["items"]
    assert [one["record"] for one in cases] == [only_there]
    again = await planned(world, first)
    assert set((await actions(world, again)).values()) == {Action.NOTHING}, "nothing is left to do"
    await lawful(world)


async def test_only_the_fields_that_were_approved_are_written(world: World) -> None:
    """Narrowed to a field, the others stay as somebody has made them; narrowed to a record, so do other records."""
    one, two = await firm(world, 2)
    await edited(world, one["id"], Name="Wrong", Website="https://wrong.example")
    await edited(world, two["id"], Name="Wrong too")
    run = await reconciled(world)
    plan = await planned(world, run, chosen=Chosen(fields=("name",), records=(one["id"],)))
    done = await carried_out(world, plan)
    assert await outcomes(world, done) == {one["id"]: Outcome.REPAIRED}
    adapter = world.gateway.adapters[MIRROR]
    held = (await adapter.fetch(ENTITY, await native(world, one["id"]))).fields
    assert (held["name"], held["website"]) == (one["name"], "https://wrong.example")
    assert (await adapter.fetch(ENTITY, await native(world, two["id"]))).fields["name"] == "Wrong too"
    narrowed = await planned(world, run, chosen=Chosen())
    assert set(await actions(world, narrowed)) == {one["id"], two["id"]}


async def test_what_is_posted_goes_to_a_person(world: World) -> None:
    """A posted invoice that differs is never written over, whatever was approved: a case has it, with its money. A
    draft beside it is repaired, and so is a state that the mirror has missed."""
    owner = (await firm(world, 1))[0]["id"]
    in_the_books = await posted(world, owner)
    draft = await world.made("invoices", invoice(owner, number=fresh()), key=fresh())
    behind = await world.made("invoices", invoice(owner, number=fresh()), key=fresh())
    assert (await world.move("invoices", behind["id"], "ready", key=fresh())).status_code == 200
    await world.quiet()
    for one in (in_the_books, draft):
        await edited(world, one["id"], "invoice", TotalAmount="1000.00")
    await edited(world, behind["id"], "invoice", Status="Draft", TotalAmount="1000.00")
    before = writes(world, MIRROR)
    plan = await planned(world, await reconciled(world, "invoice"))
    assert await actions(world, plan) == {
        in_the_books["id"]: Action.PERSON,
        draft["id"]: Action.UPDATE,
        behind["id"]: Action.UPDATE,
    }
    assert plan.money == {"GBP": Decimal("160.00")}
    done = await carried_out(world, plan)
    assert await outcomes(world, done) == {
        in_the_books["id"]: Outcome.PERSON,
        draft["id"]: Outcome.REPAIRED,
        behind["id"]: Outcome.REPAIRED,
    }
    new = writes(world, MIRROR) - before
    assert await native(world, in_the_books["id"], "invoices") not in {key for _, key in new}
    (case,) = (await world.get("/admin/v1/cases?kind=repair_by_person")).json()["items"]
    assert case["record"] == in_the_books["id"]
    second = await reconciled(world, "invoice")
    assert second.terms is not None
    assert second.terms[Term.UNEXPLAINED] == 0
    await lawful(world)


async def test_whoever_asked_does_not_approve(world: World) -> None:
    """Another person, the hash of this plan, in time, once; and while one is asked for, no second one is."""
    (one,) = await firm(world, 1)
    await edited(world, one["id"], Name="Wrong")
    run = await reconciled(world)
    repairer = world.gateway.repairer
    plan, other = await planned(world, run), await planned(world, run, chosen=Chosen(fields=("name",)))
    assert plan.plan_hash is not None
    assert other.plan_hash is not None
    with pytest.raises(EvidenceChanged):
        await repairer.request(plan.id, plan_hash=other.plan_hash, actor="ann", reason="month end")
    with pytest.raises(RepairStale):
        await repairer.approve(plan.id, plan_hash=plan.plan_hash, actor="bob")
    asked = await repairer.request(plan.id, plan_hash=plan.plan_hash, actor="ann", reason="month end")
    with pytest.raises(RepairRunning):
        await repairer.request(other.id, plan_hash=other.plan_hash, actor="ann", reason="month end")
    with pytest.raises(RepairRunning):
        await repairer.plan(run.id, dry_run=False, actor="ann", reason="month end")
    with pytest.raises(SecondPersonNeeded):
        await repairer.approve(asked.id, plan_hash=plan.plan_hash, actor="ann")
    with pytest.raises(EvidenceChanged):
        await repairer.approve(asked.id, plan_hash=other.plan_hash, actor="bob")
    before = writes(world, MIRROR)
    await _touch(world, asked, digest="another")
    with pytest.raises(EvidenceChanged):
        await repairer.approve(asked.id, plan_hash=plan.plan_hash, actor="bob")
    assert writes(world, MIRROR) == before
    (item,) = (await records(world, plan)).values()
    await _touch(world, asked, digest=(await records(world, other))[one["id"]].digest)
    assert item.action is Action.UPDATE
    approved_one = await repairer.approve(asked.id, plan_hash=plan.plan_hash, actor="bob")
    assert (await repairer.approve(asked.id, plan_hash=plan.plan_hash, actor="bob")).id == approved_one.id
    await reaches(world, approved_one, State.DONE)
    acts = (await world.get("/admin/v1/audit?limit=50")).json()["items"]
    mine = [act["action"] for act in acts if act["subject"] == plan.id]
    assert sorted(mine) == [f"repair.{act}" for act in ("approve", "done", "plan", "planned", "request")]


async def _touch(world: World, repair: Repair, **values: Any) -> None:
    def unit(connection: Connection) -> None:
        connection.execute(update(repair_item).where(repair_item.c.repair_id == repair.id).values(**values))

    await world.gateway.database.transaction(unit)


async def test_a_request_that_nobody_approves_ends(world: World) -> None:
    """After its time it cannot be approved, and it ends by itself, so that another may be asked for."""
    (one,) = await firm(world, 1)
    await edited(world, one["id"], Name="Wrong")
    run = await reconciled(world)
    asked = await planned(world, run, dry_run=False)
    assert asked.plan_hash is not None
    assert asked.expires_at is not None
    assert asked.requested_at is not None
    assert asked.expires_at - asked.requested_at == 30 * 60 * 1_000_000

    def unit(connection: Connection) -> None:
        past = world.gateway.database.now(connection) - 1
        connection.execute(
            update(repair_run).where(repair_run.c.id == asked.id).values(expires_at=past, next_at=past)
        )

    await world.gateway.database.transaction(unit)
    with pytest.raises(RepairStale):
        await world.gateway.repairer.approve(asked.id, plan_hash=asked.plan_hash, actor="bob")
    await reaches(world, asked, State.EXPIRED)
    await carried_out(world, await planned(world, run, dry_run=False))


async def test_what_has_moved_since_is_not_written_over(world: World) -> None:
    """A record that a live write has brought, one that somebody has mended, and one that reads otherwise than it did
    when it was planned: none is written to, and each says why."""
    live, mended, other, still = await firm(world, 4)
    for one in (live, mended, other, still):
        await edited(world, one["id"], Name="Wrong")
    plan = await planned(world, await reconciled(world))
    answer = await world.patch(COLLECTION, live["id"], {"name": "Live"}, key=fresh())
    assert answer.status_code == 200, answer.text
    await world.quiet()
    await edited(world, mended["id"], Name=mended["name"])
    await edited(world, other["id"], Name="Wrong in another way")
    before = writes(world, MIRROR)
    done = await carried_out(world, plan)
    assert await outcomes(world, done) == {
        live["id"]: Outcome.SUPERSEDED,
        mended["id"]: Outcome.SUPERSEDED,
        other["id"]: Outcome.SUPERSEDED,
        still["id"]: Outcome.REPAIRED,
    }
    assert Counter(writes(world, MIRROR) - before) == {("update", await native(world, still["id"])): 1}
    held = await world.gateway.adapters[MIRROR].fetch(ENTITY, await native(world, live["id"]))
    assert held.fields["name"] == "Live"
    assert "approved" in str((await records(world, done))[other["id"]].why)


async def test_live_writes_that_race_have_the_last_word(world: World) -> None:
    """Callers change the very records while they are repaired: both sides end with what a caller wrote last."""
    made = await firm(world, 12)
    for one in made:
        await edited(world, one["id"], Name="Wrong")
    plan = await planned(world, await reconciled(world))
    begun = await approved(world, plan)
    for number in (1, 2):
        for one in made[::2]:
            answer = await world.patch(COLLECTION, one["id"], {"name": f"Live {number}"}, key=fresh())
            assert answer.status_code == 200, answer.text
    await reaches(world, begun, State.DONE)
    await world.quiet()
    adapter = world.gateway.adapters[MIRROR]
    for place, one in enumerate(made):
        held = await adapter.fetch(ENTITY, await native(world, one["id"]))
        assert held.fields["name"] == ("Live 2" if place % 2 == 0 else one["name"])
    found = (await records(world, begun)).values()
    wrong = [(one.outcome, one.why) for one in found if one.outcome not in (Outcome.REPAIRED, Outcome.SUPERSEDED)]
    assert wrong == []
    await lawful(world)


async def test_what_the_mirror_holds_by_then_is_linked_or_goes_to_a_person(world: World) -> None:
    """One record there that fits is linked and not made again; of two that fit, a person says which."""
    one, two = await firm(world, 2)
    for each in (one, two):
        await deleted(world, each["id"])
    plan = await planned(world, await reconciled(world))
    assert plan.planned == {Action.CREATE: 2}
    same = by_hand(world, Number=one["number"], Name=one["name"])
    for _ in range(2):
        by_hand(world, Number=two["number"], Name=two["name"])
    before = writes(world, MIRROR)
    done = await carried_out(world, plan)
    assert await outcomes(world, done) == {one["id"]: Outcome.LINKED, two["id"]: Outcome.PERSON}
    assert writes(world, MIRROR) == before
    assert await native(world, one["id"]) == same
    (case,) = (await world.get("/admin/v1/cases?kind=ambiguous_match")).json()["items"]
    assert case["record"] == two["id"]


async def test_what_the_mirror_refuses_is_told(world: World) -> None:
    """A refused write is a parked delivery with its case, as of any write, and the record of the repair says so."""
    (one,) = await firm(world, 1)
    await edited(world, one["id"], Name="Wrong")
    plan = await planned(world, await reconciled(world))
    fault = world.sandbox.fault(MIRROR, "error", status=400, on=["writes"], entity=[ENTITY])
    done = await carried_out(world, plan)
    world.sandbox.heal(MIRROR, fault)
    (item,) = (await records(world, done)).values()
    assert (item.outcome, item.delivery_state) == (Outcome.FAILED, "parked")
    assert item.why


async def test_a_mirror_that_is_away_is_waited_for(world: World) -> None:
    """Planning stops while it is away, says so, and goes on when it is back."""
    (one,) = await firm(world, 1)
    await edited(world, one["id"], Name="Wrong")
    run = await reconciled(world)
    world.sandbox.fault(MIRROR, "outage")
    repair = await world.gateway.repairer.plan(run.id, dry_run=True, actor="ann")

    async def waits() -> Repair | None:
        now = await world.gateway.repairer.get(repair.id)
        return now if now.note is not None else None

    waiting = await world.until(waits, "the repair says what it waits for")
    assert waiting.state is State.PLANNING
    world.sandbox.heal(MIRROR)
    assert (await reaches(world, repair, State.PLANNED)).planned == {Action.UPDATE: 1}


async def test_a_slice_that_has_moved_is_not_repaired(world: World) -> None:
    """A plan is of one authority and one mirror: with another authority it is refused, and reconciled anew."""
    (one,) = await firm(world, 1)
    await edited(world, one["id"], Name="Wrong")
    run = await reconciled(world)
    plan = await planned(world, run)
    await world.stage(ENTITY, Stage.SHADOW, region=REGION, override=True)
    await world.stage(ENTITY, Stage.LIVE, region=REGION, override=True)
    assert plan.plan_hash is not None
    with pytest.raises(RepairStale, match="moved"):
        await world.gateway.repairer.request(plan.id, plan_hash=plan.plan_hash, actor="ann", reason="late")


async def test_a_record_of_another_kind_keeps_its_own(world: World) -> None:
    """A record that nobody planted is in no plan."""
    await world.made(COLLECTION, customer(number=fresh("C")), key=fresh())
    await world.quiet()
    plan = await planned(world, await reconciled(world))
    assert (plan.total, plan.planned) == (0, {})
