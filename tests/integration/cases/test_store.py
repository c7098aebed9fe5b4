"""Cases are opened and closed many at a time, in the commit of the ledger that they belong to."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Connection

from gateway.cases import Cases, Kind, close_for, open_cases
from gateway.cases.queries import Filter, accepted, of_operations
from gateway.cases.tables import case_
from gateway.database import Database
from tests.integration.cases.planted import Planted


async def _parked(planted: Planted, entity: str = "invoice", region: str = "UK"):
    return await planted.write(
        entity, operation_state="attention", authority="applied", mirror="parked", region=region
    )


async def test_a_case_knows_what_is_at_stake_and_by_when(planted: Planted, cases: Cases) -> None:
    """Amount, owner and deadline come from the kind and the operation's image."""
    write = await _parked(planted)
    found = (await cases.one(await planted.case(write, Kind.PARKED_DELIVERY, role="mirror"))).case
    assert (str(found.amount), found.currency, found.owner) == ("1080.00", "GBP", "finance")
    assert found.due_at - found.opened_at == 24 * 3_600_000_000
    assert (found.state, found.delivery_state, found.operation_state) == ("open", "parked", "attention")


async def test_a_case_of_master_data_is_about_no_money(planted: Planted, cases: Cases) -> None:
    """Only documents with an amount hold money up."""
    write = await _parked(planted, "customer")
    found = (await cases.one(await planted.case(write, Kind.PARKED_DELIVERY, role="mirror"))).case
    assert found.amount is None
    assert found.currency is None


async def test_many_open_it_at_once_and_it_is_one(planted: Planted, database: Database, cases: Cases) -> None:
    """However many commits open the same cases at the same time, and in whatever order, there is one of each."""
    writes = [await _parked(planted) for _ in range(4)]
    rows = [planted.opening(write, Kind.PARKED_DELIVERY, role="mirror") for write in writes]

    def unit(turn: int):
        mine = rows if turn % 2 else rows[::-1]
        return lambda conn: open_cases(conn, mine, at=database.now(conn), ids=planted.ids)

    made = await asyncio.gather(*(database.transaction(unit(turn)) for turn in range(12)))
    assert sorted(subject for one in made for subject in one) == sorted(write.mirror for write in writes)
    assert await planted.count(case_) == len(writes)
    found = await cases.page(Filter(state="open"))
    history = (await cases.one(found[0].id)).events
    assert [one.event for one in history].count("opened") == 1
    assert [one.event for one in history].count("again") == 11


async def test_what_turns_out_to_be_something_else_is_one_case(planted: Planted, cases: Cases) -> None:
    """A subject has one open case: the newest that is known of it."""
    write = await planted.write("invoice", operation_state="unresolved", authority="parked", mirror="blocked")
    before = await planted.case(write, Kind.UNKNOWN_OUTCOME)
    after = await planted.case(write, Kind.DUPLICATE_EFFECT)
    assert [one.id for one in await cases.page(Filter(state="open"))] == [after]
    assert (await cases.one(before)).case.resolution == "became_another"


async def test_the_ledger_closes_what_it_settles(planted: Planted, database: Database, cases: Cases) -> None:
    """By delivery or by operation, only those that are open, and the next one may be opened again."""
    one, two, three = [await _parked(planted) for _ in range(3)]
    ids = [await planted.case(write, Kind.PARKED_DELIVERY, role="mirror") for write in (one, two, three)]

    def unit(connection: Connection) -> int:
        at = database.now(connection)
        return close_for(
            connection, delivery_ids=[one.mirror], operation_ids=[two.operation_id], at=at, how="found"
        )

    assert await database.transaction(unit) == 2
    assert await database.transaction(unit) == 0
    assert [(await cases.one(id_)).case.state for id_ in ids] == ["closed", "closed", "open"]
    closed = (await cases.one(ids[0])).case
    assert (closed.resolution, closed.closed_by) == ("found", "the ledger")
    again = await planted.case(one, Kind.PARKED_DELIVERY, role="mirror")
    assert again != ids[0]


async def test_a_commit_that_fails_opens_nothing(planted: Planted, database: Database) -> None:
    """The case is in the commit of what it is about, or it is not there."""
    write = await _parked(planted)

    def unit(connection: Connection) -> None:
        open_cases(
            connection, [planted.opening(write, Kind.PARKED_DELIVERY, role="mirror")], at=1, ids=planted.ids
        )
        raise RuntimeError("the commit fails")

    with pytest.raises(RuntimeError):
        await database.transaction(unit)
    assert await planted.count(case_) == 0


async def test_pages_follow_the_deadline_and_hold_every_case_once(planted: Planted, cases: Cases) -> None:
    """The nearest deadline first; cases of one moment are in the order of their ids."""
    wanted: set[str] = set()
    for number in range(5):
        kind = Kind.PARKED_DELIVERY if number % 2 else Kind.REFERENCE_MISSING
        wanted.add(await planted.case(await _parked(planted), kind, role="mirror"))
    unresolved = await planted.write(
        "invoice", operation_state="unresolved", authority="parked", mirror="blocked"
    )
    first = await planted.case(unresolved, Kind.DUPLICATE_EFFECT)
    found, after = [], None
    while rows := await cases.page(Filter(), after=after, limit=2):
        found += rows
        after = (rows[-1].due_at, rows[-1].id)
    assert found[0].id == first
    assert [(one.due_at, one.id) for one in found] == sorted((one.due_at, one.id) for one in found)
    assert {one.id for one in found} == wanted | {first}
    assert len(found) == 6


async def test_a_list_is_narrowed(planted: Planted, cases: Cases) -> None:
    """By state, owner, kind, entity, region and age, and to what the caller may see."""
    uk = await planted.case(await _parked(planted), Kind.PARKED_DELIVERY, role="mirror")
    emea = await planted.case(
        await _parked(planted, "customer", "EMEA"), Kind.REFERENCE_MISSING, role="mirror", region="EMEA"
    )
    await cases.assign(uk, "Kim", by="Ada")

    async def ids(**narrowed: object) -> list[str]:
        return [one.id for one in await cases.page(Filter(**narrowed))]  # type: ignore[arg-type]

    assert await ids(owner="Kim") == [uk]
    assert await ids(owner="integration") == [emea]
    assert await ids(kind="reference_missing") == [emea]
    assert await ids(entity="invoice") == [uk]
    assert await ids(region="EMEA") == [emea]
    assert await ids(state="closed") == []
    assert await ids(opened_before=1) == []
    assert await ids(regions=frozenset({"UK"})) == [uk]
    assert await ids(entities=frozenset({"customer"})) == [emea]
    assert await ids(regions=frozenset()) == []


async def test_an_operation_names_its_case(planted: Planted, database: Database) -> None:
    """Whoever follows a write finds who has it."""
    write = await _parked(planted)
    id_ = await planted.case(write, Kind.PARKED_DELIVERY, role="mirror")
    found = await database.read(lambda conn: of_operations(conn, [write.operation_id, "op_other"]))
    assert {key: one.id for key, one in found.items()} == {write.operation_id: id_}
    assert await database.read(lambda conn: accepted(conn, [write.record_id], now=0)) == {}


async def test_open_cases_are_counted_by_kind(planted: Planted, cases: Cases, database: Database) -> None:
    """What the metric shows: open ones only, each under its kind."""
    one, two = [await _parked(planted) for _ in range(2)]
    await planted.case(one, Kind.PARKED_DELIVERY, role="mirror")
    await planted.case(two, Kind.COLLISION, role="mirror")
    assert await cases.open_by_kind() == {"parked_delivery": 1, "collision": 1}
    await database.transaction(
        lambda conn: close_for(conn, delivery_ids=[one.mirror], at=database.now(conn), how="found")
    )
    assert await cases.open_by_kind() == {"collision": 1}
