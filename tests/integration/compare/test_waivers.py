"""Waivers over real databases: from a mismatch to explained and back, and what is kept of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from gateway.audit import acts
from gateway.clock import SystemClock
from gateway.compare import Comparer, jobs, tables
from gateway.compare.waiver import WAIVED, Pair, Wish
from gateway.compare.waivers import BATCH, GRACE, Waivers
from gateway.database import Database, to_micros
from gateway.errors import Invalid, NotFoundHere
from gateway.ids import SystemIds
from tests.integration.compare.conftest import FakeSides
from tests.integration.compare.test_comparer import (
    counts,
    customer,
    finish,
    found,
    observed,
    read,
    schedule,
    summary,
    written,
)

Make = Callable[..., Comparer]
DAY = 24 * 3600 * 1_000_000


@pytest.fixture
def waivers(database: Database) -> Waivers:
    return Waivers(database=database, ids=SystemIds())


def limit(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "EUR"}


def a_wish(**changes: Any) -> Wish:
    now = to_micros(SystemClock().now())
    return Wish(
        **{
            "entity": "customer",
            "region": "UK",
            "field": "credit_limit",
            "kind": "amount",
            "reason": "the old ERP keeps whole amounts",
            "owner": "finance",
            "expires_at": now + DAY,
        }
        | changes
    )


async def settle(waivers: Waivers, comparer: Comparer, database: Database) -> None:
    """Has every record looked at that a waiver has to do with now."""
    while await waivers.run_once():
        pass
    await finish(comparer, database)


async def expire(database: Database, waiver_id: str) -> None:
    """Moves the end of a waiver, and the look after it, into the past."""
    now = await database.read(database.now)
    await database.transaction(
        lambda conn: conn.execute(
            update(tables.waiver)
            .where(tables.waiver.c.id == waiver_id)
            .values(expires_at=now - GRACE - 1, due_at=now - 1)
        )
    )


async def revoked(database: Database, waivers: Waivers, waiver_id: str) -> None:
    """Revokes it, and does not wait for the moment after which nobody believes in it any more."""
    assert (await waivers.revoke(waiver_id, actor="tests")).state == "revoked"
    await database.transaction(lambda conn: conn.execute(update(tables.waiver).values(due_at=0)))


@pytest.mark.parametrize("end", ["expired", "revoked"])
async def test_from_a_mismatch_to_explained_and_back(
    make: Make, database: Database, sides: FakeSides, waivers: Waivers, end: str
) -> None:
    """A waiver turns the open mismatch that it covers into explained, with its id and its money; when it is over the
    same difference is a mismatch again. Nothing about the record or the systems has changed in between."""
    comparer = make()
    sides.put("cus_1", customer(credit_limit=limit("120.40")), customer(credit_limit=limit("100.00")))
    await schedule(database, written())
    await finish(comparer, database)
    assert (await summary(database)).open_mismatches == 1

    made = await waivers.create(a_wish(), actor="ann")
    await settle(waivers, comparer, database)
    assert (await summary(database)).open_mismatches == 0
    (now,) = await found(database, resolved=False)
    assert (now.verdict, now.differences[0].explained) == ("explained", WAIVED + made.waiver.id)
    standing = await waivers.one(made.waiver.id)
    assert (standing.state, standing.findings, dict(standing.money)) == (
        "active",
        1,
        {"EUR": Decimal("20.40")},
    )

    await (expire if end == "expired" else lambda db, id_: revoked(db, waivers, id_))(
        database, made.waiver.id
    )
    await settle(waivers, comparer, database)
    assert (await summary(database)).open_mismatches == 1
    (again,) = await found(database, resolved=False)
    assert (again.verdict, again.differences[0].explained) == ("mismatch", None)
    over = await waivers.one(made.waiver.id)
    assert (over.state, over.findings) == (end, 0)
    assert await waivers.run_once() == 0, "and nothing is left to be looked at"


async def test_a_read_is_explained_too(
    make: Make, database: Database, sides: FakeSides, waivers: Waivers
) -> None:
    """A compared read that parts only where a waiver covers it is explained at once, whatever the cap of samples says:
    its record is found again when the waiver is over."""
    comparer = make(sample_cap=0)
    made = await waivers.create(a_wish(field="name", kind="value"), actor="ann")
    sides.put("cus_1", None, customer(name="Akme"))
    await read(comparer, observed(), observed())
    assert counts(await summary(database)) == {"explained": 2}
    (one,) = await found(database, resolved=False)
    assert one.differences[0].explained == WAIVED + made.waiver.id


async def test_what_it_does_not_cover_stays_a_mismatch(
    make: Make, database: Database, sides: FakeSides, waivers: Waivers
) -> None:
    """A record that parts in another field as well, or with other values than the waived pair, stays a mismatch."""
    comparer = make()
    pair = Pair(authority=limit("120.40"), other=limit("100.00"))
    await waivers.create(a_wish(pair=pair), actor="ann")
    sides.put("cus_1", customer(credit_limit=limit("120.40")), customer(credit_limit=limit("100.00")))
    sides.put("cus_2", customer(credit_limit=limit("120.40")), customer(credit_limit=limit("100.01")))
    sides.put(
        "cus_3",
        customer(credit_limit=limit("120.40"), name="Acme"),
        customer(credit_limit=limit("100.00"), name="Akme"),
    )
    await schedule(database, *(written(f"cus_{number}") for number in (1, 2, 3)))
    await finish(comparer, database)
    verdicts = {one.record_id: one.verdict.value for one in await found(database, resolved=False)}
    assert verdicts == {"cus_1": "explained", "cus_2": "mismatch", "cus_3": "mismatch"}


async def test_more_records_than_one_commit_takes(
    make: Make, database: Database, sides: FakeSides, waivers: Waivers
) -> None:
    """However many records a waiver covers, each is looked at again, a bounded number of them in one commit, also where
    the cap of samples has left their values out."""
    comparer = make(sample_cap=5, concurrency=50)
    many = [f"cus_{number}" for number in range(BATCH + 20)]
    for one in many:
        sides.put(one, customer(name="Acme"), customer(name="Akme"))
    await schedule(database, *(written(one) for one in many))
    await finish(comparer, database)
    assert (await summary(database)).open_mismatches == len(many)
    made = await waivers.create(a_wish(field="name", kind="value"), actor="ann")
    assert await waivers.run_once() == BATCH
    await settle(waivers, comparer, database)
    assert (await summary(database)).open_mismatches == 0
    assert (await waivers.one(made.waiver.id)).findings == len(many)
    await revoked(database, waivers, made.waiver.id)
    await settle(waivers, comparer, database)
    assert (await summary(database)).open_mismatches == len(many)


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"field": "nmae"}, "/field"),
        ({"kind": "strange"}, "/class"),
        ({"reason": "  "}, "/reason"),
        ({"owner": ""}, "/owner"),
        ({"expires_at": 0}, "/expires_at"),
        ({"expires_at": to_micros(SystemClock().now() + timedelta(days=500))}, "/expires_at"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
async def test_a_wrong_wish_names_its_place(
    database: Database, waivers: Waivers, changes: dict[str, Any], pointer: str
) -> None:
    """It is refused with the place and the remedy, and leaves neither a waiver nor an act behind."""
    with pytest.raises(Invalid) as refused:
        await waivers.create(a_wish(**changes), actor="ann")
    assert [error.pointer for error in refused.value.errors] == [pointer]
    assert await waivers.page() == []
    assert await database.read(acts) == ()


async def test_acts_are_in_the_audit_and_a_twin_is_refused(database: Database, waivers: Waivers) -> None:
    """Who has waived and who has ended it stands in the audit, with the reason. The same difference is not waived
    twice; once the first is over it may be."""
    made = await waivers.create(a_wish(), actor="ann")
    with pytest.raises(Invalid, match=made.waiver.id):
        await waivers.create(a_wish(reason="again"), actor="ann")
    await waivers.revoke(made.waiver.id, actor="bob")
    await waivers.revoke(made.waiver.id, actor="cy")
    second = await waivers.create(a_wish(), actor="ann")
    told = await database.read(acts)
    assert [(act.actor, act.action) for act in told] == [
        ("ann", "waiver.create"),
        ("bob", "waiver.revoke"),
        ("ann", "waiver.create"),
    ]
    assert told[1].detail["reason"] == a_wish().reason
    assert [one.waiver.id for one in await waivers.page()] == [second.waiver.id, made.waiver.id]
    assert [one.waiver.id for one in await waivers.page(state="active")] == [second.waiver.id]
    assert [one.waiver.id for one in await waivers.page(state="revoked")] == [made.waiver.id]


async def test_nobody_reaches_beyond_his_key(waivers: Waivers) -> None:
    """A waiver outside the regions and entities of a key is not there for it."""
    made = await waivers.create(a_wish(), actor="ann")
    elsewhere, other = frozenset({"EMEA"}), frozenset({"invoice"})
    assert await waivers.page(regions=elsewhere) == []
    assert await waivers.page(entities=other) == []
    for reach in ({"regions": elsewhere}, {"entities": other}):
        with pytest.raises(NotFoundHere):
            await waivers.one(made.waiver.id, **reach)
        with pytest.raises(NotFoundHere):
            await waivers.revoke(made.waiver.id, actor="bob", **reach)
    assert (await waivers.one(made.waiver.id)).state == "active"


async def test_several_loops_share_the_work(
    make: Make, database: Database, sides: FakeSides, waivers: Waivers
) -> None:
    """Processes that look at the same moment put each record on the queue once."""
    comparer = make()
    sides.put("cus_1", customer(name="Acme"), customer(name="Akme"))
    await schedule(database, written())
    await finish(comparer, database)
    await waivers.create(a_wish(field="name", kind="value"), actor="ann")
    done = await asyncio.gather(*(waivers.run_once() for _ in range(4)))
    assert sorted(done) == [0, 0, 0, 1]
    waiting = await database.read(
        lambda conn: conn.execute(select(tables.compare_job.c.record_id)).scalars().all()
    )
    assert list(waiting) == ["cus_1"]
    assert await database.read(jobs.waiting) == 1
