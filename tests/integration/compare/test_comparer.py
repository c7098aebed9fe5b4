"""The comparer over real databases: what it concludes, what it counts, and what it never says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import update

from adapters.errors import NotFound, OutcomeUnknown, Rejected, Throttled, Unavailable
from gateway.clock import SystemClock
from gateway.compare import (
    CompareJob,
    Comparer,
    Diff,
    DifferenceClass,
    Fence,
    ReadObservation,
    Verdict,
    Why,
    jobs,
    queries,
)
from gateway.compare.observation import SliceSummary
from gateway.compare.tables import compare_job
from gateway.database import Database, to_micros
from gateway.errors import StoreUnavailable
from gateway.worker import compare as loop
from tests.integration.compare.conftest import FakeSides, no_answer

Make = Callable[..., Comparer]


def customer(**changes: Any) -> dict[str, Any]:
    return {"name": "Acme", "email": "jane.doe@example.com", "currency": "EUR", "state": "active"} | changes


def observed(record_id: str = "cus_1", **changes: Any) -> ReadObservation:
    return ReadObservation(
        record_id=record_id,
        entity="customer",
        region="UK",
        authority="legacy",
        other="cloud",
        stage="shadow",
        document=customer(**changes),
    )


def written(record_id: str = "cus_1", **changes: Any) -> CompareJob:
    return CompareJob(
        **{
            "record_id": record_id,
            "entity": "customer",
            "region": "UK",
            "authority": "legacy",
            "other": "cloud",
            "stage": "shadow",
            "operation_id": "op_1",
            "seq": 1,
            "due_at": 0,
        }
        | changes
    )


async def schedule(database: Database, *wanted: CompareJob) -> None:
    await database.transaction(lambda conn: jobs.schedule(conn, wanted))


async def finish(comparer: Comparer, database: Database) -> None:
    """Runs what is due until nothing waits any more."""
    async with asyncio.timeout(10):
        while await database.read(jobs.waiting):
            await comparer.run_once()


async def read(comparer: Comparer, *observations: ReadObservation) -> None:
    await comparer.start()
    for observation in observations:
        comparer.observe(observation)
    try:
        await comparer.drained()
    finally:
        await comparer.stop()


async def found(database: Database, **wanted: Any) -> list[Diff]:
    return await database.read(lambda conn: queries.diffs(conn, **wanted))


async def summary(database: Database) -> SliceSummary:
    (one,) = await database.read(queries.summary)
    return one


def counts(one: SliceSummary) -> dict[str, int]:
    """What is not zero."""
    return {word: count for word, count in {**one.verdicts, **one.uncompared}.items() if count}


async def test_equal_reads_are_counted_and_nothing_else(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """A match is a count: no row, no job."""
    sides.put("cus_1", None, customer())
    await read(make(), *[observed()] * 25)
    assert counts(await summary(database)) == {"match": 25}
    assert await found(database) == []
    assert await database.read(jobs.waiting) == 0
    assert (await summary(database)).consistency == 1.0


async def test_a_lasting_difference_is_a_mismatch(make: Make, database: Database, sides: FakeSides) -> None:
    """What stands at the second look is told with field, class, values and origin, once."""
    comparer = make()
    sides.put(
        "cus_1",
        customer(credit_limit={"amount": "100.00", "currency": "EUR"}),
        customer(credit_limit={"amount": "60.50", "currency": "EUR"}),
    )
    await read(comparer, observed(credit_limit={"amount": "100.00", "currency": "EUR"}))
    assert await found(database) == []  # only suspected so far
    await finish(comparer, database)
    (one,) = await found(database)
    assert (one.verdict, one.origin, one.stage, one.rechecks) == (Verdict.MISMATCH, "read", "shadow", 1)
    (difference,) = one.differences
    assert (difference.path, difference.kind) == ("credit_limit", DifferenceClass.AMOUNT)
    assert difference.other == {"amount": "60.50", "currency": "EUR"}
    assert one.money == {"EUR": Decimal("39.50")}
    (field,) = (await summary(database)).fields
    assert (field.field, field.kind, field.verdict, field.count, field.share) == (
        "credit_limit",
        "amount",
        "mismatch",
        1,
        1.0,
    )
    assert (field.money, field.example) == ({"EUR": Decimal("39.50")}, one.id)


async def test_a_difference_that_goes_away_is_late(make: Make, database: Database, sides: FakeSides) -> None:
    """Equal at the second look is late, with the field that lagged, and never a mismatch."""
    comparer = make()
    sides.put("cus_1", customer(), customer(name="Old"))
    await read(comparer, observed())
    sides.put("cus_1", customer(), customer())
    await finish(comparer, database)
    (one,) = await found(database)
    assert (one.verdict, one.resolved_by) == (Verdict.LATE, "late")
    assert [difference.path for difference in one.differences] == ["name"]
    assert counts(await summary(database)) == {"late": 1}


async def test_a_side_that_does_not_show_our_write_is_given_time(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """However often the two part: while a side shows an older write than our last one it is only suspected, and late
    when it has caught up."""
    comparer = make(confirm_s=60.0)
    now = to_micros(SystemClock().now())
    sides.written["cloud", "cus_1"] = "twr-2", now
    sides.markers["cloud", "cus_1"] = "twr-1"
    sides.put("cus_1", customer(), customer(name="Old"))
    await schedule(database, written("cus_1"))
    for _ in range(5):
        await comparer.run_once()
        await database.transaction(lambda conn: conn.execute(update(compare_job).values(due_at=0)))
    assert await found(database) == []
    assert await database.read(jobs.waiting) == 1
    sides.markers["cloud", "cus_1"] = "twr-2"
    sides.put("cus_1", customer(), customer())
    await finish(comparer, database)
    assert counts(await summary(database)) == {"late": 1}


@pytest.mark.parametrize(
    ("shown", "age_s"),
    [("twr-2", 0), (None, 61), ("twr-1", 61)],
    ids=["shows it", "shows none for long", "shows an older one for long"],
)
async def test_a_side_that_shows_our_write_or_never_will_is_wrong(
    make: Make, database: Database, sides: FakeSides, shown: str | None, age_s: int
) -> None:
    """What parts although our last write is seen, or has had the time to be, is a mismatch at the second look."""
    comparer = make(confirm_s=60.0)
    sides.written["cloud", "cus_1"] = "twr-2", to_micros(SystemClock().now()) - age_s * 1_000_000
    if shown is not None:
        sides.markers["cloud", "cus_1"] = shown
    sides.put("cus_1", customer(), customer(name="Old"))
    await schedule(database, written("cus_1"))
    await finish(comparer, database)
    (one,) = await found(database)
    assert (one.verdict, one.rechecks) == (Verdict.MISMATCH, 1)


async def test_a_write_is_compared_the_same_way(make: Make, database: Database, sides: FakeSides) -> None:
    """Each of four written records comes to its own verdict; the mismatch names its operation."""
    comparer = make()
    long = "A very long name of a consulting company"
    sides.put("cus_1", customer(), customer())
    sides.put("cus_2", customer(), customer(state="blocked"))
    sides.put("cus_3", customer(name=long[:35]), customer(name=long))
    sides.put("cus_4", customer(), iter_of(customer(name="Old"), customer()))
    await schedule(database, *(written(f"cus_{n}") for n in (1, 2, 3, 4)))
    await finish(comparer, database)
    assert counts(await summary(database)) == {"match": 1, "mismatch": 1, "explained": 1, "late": 1}
    (wrong,) = await found(database, verdict="mismatch")
    assert (wrong.record_id, wrong.operation_id, wrong.origin) == ("cus_2", "op_1", "write")
    (loss,) = await found(database, verdict="explained")
    assert loss.differences[0].explained == "declared loss"
    assert (await summary(database)).consistency == 0.75
    assert (await summary(database)).open_mismatches == 1


def iter_of(*answers: Any) -> Callable[[], Any]:
    """One answer after the other, and the last one for ever."""
    left: Iterator[Any] = iter(answers)
    last = answers[-1]
    return lambda: next(left, last)


async def test_nothing_is_said_while_a_delivery_is_open(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """An open delivery, a record that is not quiet and one that moves during the look are all left for
    later."""
    comparer = make(settle_s=0.05)
    now = to_micros(SystemClock().now())
    sides.put("cus_1", customer(), customer(name="Old"))
    sides.put("cus_2", customer(), customer(name="Old"))
    sides.put("cus_3", customer(), customer(name="Old"))
    sides.fences["cus_1"] = Fence(open_deliveries=1, versions=(1,), quiet_since=None)
    sides.fences["cus_2"] = Fence(open_deliveries=0, versions=(1,), quiet_since=now + 3_600_000_000)
    moves = 0

    def move(system: str, record_id: str) -> None:
        nonlocal moves
        moves += 1
        sides.fences["cus_3"] = Fence(open_deliveries=0, versions=(moves,), quiet_since=None)

    sides.on_read = move
    await schedule(database, *(written(f"cus_{n}") for n in (1, 2, 3)))
    async with asyncio.timeout(10):
        while moves < 8:
            await comparer.run_once()
    assert await database.read(queries.summary) == []
    assert await database.read(jobs.waiting) == 3
    assert {record for _, record in sides.reads} == {"cus_3"}
    # Once it stands still, the truth is told.
    sides.on_read = lambda system, record_id: None
    sides.fences.clear()
    sides.put("cus_1", customer(), customer())
    await database.transaction(lambda conn: conn.exec_driver_sql("UPDATE compare_job SET due_at = 0"))
    await finish(comparer, database)
    assert counts(await summary(database)) == {"match": 1, "mismatch": 2}


async def test_sides_that_never_rest_are_unverifiable(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """Another difference at every look ends, after three changes, as unverifiable; it is not green."""
    comparer = make()
    names = iter(f"Name {n}" for n in range(100))
    sides.put("cus_1", customer(), lambda: customer(name=next(names)))
    await schedule(database, written())
    await finish(comparer, database)
    (one,) = await found(database)
    assert (one.verdict, one.why, one.rechecks) == (Verdict.UNVERIFIABLE, Why.UNSTABLE, 4)
    assert (await summary(database)).consistency == 0.0


async def test_noise_of_the_authority(make: Make, database: Database, sides: FakeSides) -> None:
    """A value that the authority itself shows from time to time is excused; another one in the same field is
    not."""
    comparer = make()
    flips = [0]

    def wobbling() -> dict[str, Any]:
        flips[0] += 1
        return customer(phone="1" if flips[0] % 2 else "2")

    sides.put("cus_1", wobbling, customer(phone="2"))
    sides.put("cus_2", wobbling, customer(phone="3"))
    await schedule(database, written("cus_1"))
    await finish(comparer, database)
    await schedule(database, written("cus_2"))
    await finish(comparer, database)
    assert counts(await summary(database)) == {"explained": 1, "mismatch": 1}


@pytest.mark.parametrize("error", [Unavailable, Throttled, OutcomeUnknown])
@pytest.mark.parametrize("silent", ["legacy", "cloud"])
async def test_a_silent_side_is_never_green(
    make: Make, database: Database, sides: FakeSides, silent: str, error: type[Any]
) -> None:
    """A side that does not answer is asked again, and ends as unverifiable; one that comes back is judged."""
    comparer = make()
    held = {"legacy": customer(), "cloud": customer()}
    sides.put("cus_1", **{**held, silent: no_answer(error)})
    sides.put("cus_2", **{**held, silent: iter_of(no_answer(error), customer())})
    await schedule(database, written("cus_1"), written("cus_2"))
    if silent == "cloud":
        await read(comparer, observed("cus_1"))
    await finish(comparer, database)
    expected = {"match": 1, "unverifiable": 1} | ({"merged": 1} if silent == "cloud" else {})
    assert counts(await summary(database)) == expected
    (one,) = await found(database)
    assert (one.record_id, one.verdict, one.why) == ("cus_1", Verdict.UNVERIFIABLE, Why.NO_ANSWER)


@pytest.mark.parametrize(
    ("legacy", "cloud", "verdict", "kind"),
    [
        pytest.param(
            customer(), NotFound(), Verdict.MISMATCH, DifferenceClass.MISSING, id="other side has none"
        ),
        pytest.param(
            NotFound(), customer(), Verdict.MISMATCH, DifferenceClass.EXTRA, id="authority has none"
        ),
        pytest.param(
            customer(),
            Rejected(code="X1"),
            Verdict.MISMATCH,
            DifferenceClass.ERROR_AGAINST_SUCCESS,
            id="refused",
        ),
        pytest.param(NotFound(), NotFound(), Verdict.UNVERIFIABLE, None, id="neither has it"),
        pytest.param(
            NotFound(),
            Rejected(code="X1"),
            Verdict.MISMATCH,
            DifferenceClass.DIFFERENT_ERRORS,
            id="authority has none, refused",
        ),
        pytest.param(
            Rejected(code="X1"),
            NotFound(),
            Verdict.MISMATCH,
            DifferenceClass.DIFFERENT_ERRORS,
            id="refused, other side has none",
        ),
        pytest.param(Rejected(code="X1"), Rejected(code="X1"), Verdict.UNVERIFIABLE, None, id="both refuse"),
    ],
)
async def test_a_record_that_a_side_does_not_have(
    make: Make,
    database: Database,
    sides: FakeSides,
    legacy: Any,
    cloud: Any,
    verdict: Verdict,
    kind: DifferenceClass | None,
) -> None:
    """A record on one side only is a mismatch of the whole record, after a second look; on none, nobody can
    say."""
    comparer = make()
    sides.put("cus_1", legacy, cloud)
    await schedule(database, written())
    await finish(comparer, database)
    (one,) = await found(database)
    assert one.verdict is verdict
    assert [(each.path, each.kind) for each in one.differences] == ([("", kind)] if kind else [])


async def test_a_broken_comparison_hurts_nobody(make: Make, database: Database, sides: FakeSides) -> None:
    """A read whose comparison breaks is unverifiable; the others go on, and the caller hears nothing."""
    comparer = make()
    sides.put("cus_1", None, lambda: [][0])
    sides.put("cus_2", None, customer())
    await read(comparer, observed("cus_1"), observed("cus_2"))
    sides.put("cus_1", lambda: [][0], customer())
    await schedule(database, written("cus_1"))
    await finish(comparer, database)
    assert counts(await summary(database)) == {"match": 1, "unverifiable": 2}
    assert {each.why for each in await found(database)} == {Why.COMPARISON_FAILED}


async def test_what_there_is_no_room_for_is_shed_and_counted(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """A full queue and a busy process cost the caller nothing; each read that was left out is counted."""
    busy = False
    comparer = make(queue=10, busy=lambda: busy)
    sides.put("cus_1", customer(), customer())
    for _ in range(15):
        comparer.observe(observed())
    busy = True
    comparer.observe(observed())
    await schedule(database, written())
    assert await comparer.run_once() == 0  # a write waits, it is never shed
    busy = False
    await comparer.start()
    await comparer.drained()
    await comparer.stop()
    await finish(comparer, database)
    assert counts(await summary(database)) == {"match": 11, "shed": 6}


async def test_a_busy_signal_that_breaks_does_not_reach_the_caller(make: Make, database: Database) -> None:
    """observe never raises, whatever is handed in."""
    comparer = make(busy=lambda: 1 / 0)
    comparer.observe(observed())
    await comparer.flush()
    assert counts(await summary(database)) == {"shed": 1}


async def test_never_more_at_once_than_allowed(make: Make, database: Database, sides: FakeSides) -> None:
    """Reads and jobs together keep to the concurrency."""
    comparer = make(concurrency=3)
    for n in range(30):
        sides.put(f"cus_{n}", customer(), customer())
    await schedule(database, *(written(f"cus_{n}") for n in range(30)))
    await comparer.start()
    for n in range(30):
        comparer.observe(observed(f"cus_{n}"))
    await finish(comparer, database)
    await comparer.drained()
    await comparer.stop()
    assert 1 < sides.most_at_once <= 3
    assert counts(await summary(database)) == {"match": 60}


async def test_every_observation_ends_in_exactly_one_count(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """Whatever happens to reads and writes, verdicts, merged, shed and dropped add up to what came in."""
    comparer = make(queue=60)
    for n in range(20):
        cloud = [
            customer(),
            customer(name="X"),
            NotFound(),
            Unavailable(),
            iter_of(customer(name="X"), customer()),
        ][n % 5]
        sides.put(f"cus_{n}", customer(), cloud)
    sides.fences["cus_7"] = Fence(open_deliveries=0, versions=(), quiet_since=None, paired=False)
    for n in range(100):
        comparer.observe(observed(f"cus_{n % 20}"))
    await comparer.start()
    await schedule(database, *(written(f"cus_{n}") for n in range(20)))
    await comparer.drained()
    await schedule(database, *(written(f"cus_{n}") for n in range(0, 20, 2)))
    await finish(comparer, database)
    await comparer.stop()
    one = await summary(database)
    assert sum(one.verdicts.values()) + sum(one.uncompared.values()) == 100 + 20 + 10
    assert one.uncompared["shed"] == 40
    assert one.uncompared["dropped"] == 1


async def test_a_newer_write_takes_the_look_over(make: Make, database: Database, sides: FakeSides) -> None:
    """A look that a newer write overtook changes nothing: the new one starts afresh and answers for both."""
    comparer = make()
    overtaken = False

    async def overtake(system: str, record_id: str) -> None:
        nonlocal overtaken
        if system == "cloud" and not overtaken:
            overtaken = True
            await schedule(database, written(seq=2, operation_id="op_2"))

    sides.on_read = overtake
    sides.put("cus_1", customer(), iter_of(customer(), customer(state="blocked")))
    await schedule(database, written())
    assert await comparer.run_once() == 1
    assert await database.read(queries.summary) == []  # it saw a match, and the match was void
    await finish(comparer, database)
    assert counts(await summary(database)) == {"mismatch": 1, "merged": 1}
    (one,) = await found(database)
    assert one.operation_id == "op_2"


async def test_a_finding_is_one_row_until_it_is_repaired(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """The same mismatch again raises its count and not its money; a match ends it; a new one is a new row."""
    comparer = make()
    limits = ({"amount": "10.00", "currency": "EUR"}, {"amount": "7.00", "currency": "EUR"})
    sides.put("cus_1", customer(credit_limit=limits[0]), customer(credit_limit=limits[1]))
    for seq in (1, 2, 3):
        await schedule(database, written(seq=seq))
        await finish(comparer, database)
    (one,) = await found(database)
    assert (one.times, one.resolved_at) == (3, None)
    assert (await summary(database)).fields[0].money == {"EUR": Decimal("3.00")}
    assert (await summary(database)).verdicts["mismatch"] == 3
    sides.put("cus_1", customer(), customer())
    await read(comparer, observed())
    (one,) = await found(database, resolved=True)
    assert one.resolved_by == "match"
    assert (await summary(database)).open_mismatches == 0
    sides.put("cus_1", customer(credit_limit=limits[0]), customer(credit_limit=limits[1]))
    await schedule(database, written(seq=4))
    await finish(comparer, database)
    assert len(await found(database)) == 2
    assert (await summary(database)).fields[0].money == {"EUR": Decimal("6.00")}


async def test_another_finding_ends_the_one_before(make: Make, database: Database, sides: FakeSides) -> None:
    """A record that parts in another way is one open row, not two; a look that could not be taken ends
    nothing."""
    comparer = make()
    for cloud in (customer(name="X"), customer(name="Y"), Unavailable()):
        sides.put("cus_1", customer(), cloud)
        await schedule(database, written())
        await finish(comparer, database)
    silent, second, first = await found(database)
    assert (first.resolved_by, second.resolved_by, silent.resolved_by) == ("mismatch", None, None)
    sides.put("cus_1", customer(), customer())
    await schedule(database, written())
    await finish(comparer, database)
    assert {each.resolved_by for each in await found(database)} == {"mismatch", "match"}


async def test_counts_wait_for_a_database_that_is_gone(
    make: Make, database: Database, sides: FakeSides, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written is added to what comes next; nothing is lost and nothing is counted twice."""
    comparer = make(flush_s=60.0, sample_cap=0)
    sides.put("cus_1", None, customer(website="https://acme.example"))

    async def gone(unit: Any) -> Any:
        raise StoreUnavailable("switched off by the test")

    with monkeypatch.context() as patch:
        patch.setattr(database, "transaction", gone)
        with pytest.raises(StoreUnavailable):
            await read(comparer, *[observed()] * 3)
    await read(comparer, *[observed()] * 4)
    assert counts(await summary(database)) == {"match": 7}
    (field,) = (await summary(database)).fields
    assert (field.field, field.count) == ("website", 7)


async def test_samples_are_capped_and_counters_are_not(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """Beyond the cap a mismatch keeps its row without values, an explained one is only counted; counts are
    exact."""
    comparer = make(sample_cap=2)
    long = "A very long name of a consulting company"
    for n in range(6):
        sides.put(f"cus_{n}", customer(), customer(state="blocked"))
        sides.put(f"cus_1{n}", None, customer(name=long))
    for n in range(6):  # one commit each: the cap holds over commits, not only within one
        await schedule(database, written(f"cus_{n}"))
        await finish(comparer, database)
    await read(comparer, *(observed(f"cus_1{n}", name=long[:35]) for n in range(6)))
    wrong = await found(database, verdict="mismatch")
    assert sorted(len(each.differences) for each in wrong) == [0, 0, 0, 0, 1, 1]
    assert {each.difference_count for each in wrong} == {1}
    assert len(await found(database, verdict="explained")) == 2
    assert counts(await summary(database)) == {"mismatch": 6, "explained": 6}
    assert {(each.field, each.count) for each in (await summary(database)).fields} == {
        ("state", 6),
        ("name", 6),
    }


async def test_an_explained_read_ends_a_mismatch_even_beyond_the_cap(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """That there are samples enough does not keep a repaired record open."""
    comparer = make(sample_cap=0)
    long = "A very long name of a consulting company"
    sides.put("cus_1", customer(name=long[:35]), customer(name="Other"))
    await schedule(database, written())
    await finish(comparer, database)
    assert (await summary(database)).open_mismatches == 1
    sides.put("cus_1", None, customer(name=long))
    await read(comparer, observed(name=long[:35]))
    assert (await summary(database)).open_mismatches == 0
    assert counts(await summary(database)) == {"mismatch": 1, "explained": 1}


async def test_personal_values_never_reach_the_disk(make: Make, database: Database, sides: FakeSides) -> None:
    """Neither a waiting job nor a stored diff holds an address that differs; equal values have equal
    hashes."""
    comparer = make()
    sides.put("cus_1", customer(), customer(email="john.roe@example.org"))
    await read(comparer, observed())
    texts: list[str] = []

    def everything(conn: Any) -> None:
        for table in ("compare_job", "diff"):
            texts.extend(str(tuple(row)) for row in conn.exec_driver_sql(f"SELECT * FROM {table}"))

    await database.read(everything)
    await finish(comparer, database)
    await database.read(everything)
    assert len(texts) == 2
    assert not [text for text in texts if "jane" in text or "roe" in text]
    (one,) = await found(database)
    (difference,) = one.differences
    assert difference.authority.startswith("hmac:")
    assert difference.authority != difference.other


async def test_fields_that_nobody_compares_are_reported(
    make: Make, database: Database, sides: FakeSides
) -> None:
    """A field that one side does not map, or no rule names, is in the summary, whatever the verdict."""
    sides.put("cus_1", None, customer(custom_fields={"a": 1}))
    await read(make(), observed(website="https://acme.example"), observed(website="https://acme.example"))
    one = await summary(database)
    assert {(each.field, each.kind, each.count) for each in one.fields} == {
        ("website", "not_compared", 2),
        ("custom_fields", "not_compared", 2),
    }


async def test_two_workers_never_take_one_job(make: Make, database: Database, sides: FakeSides) -> None:
    """Workers side by side share what is due: each record is judged once."""
    workers = [make(), make(), make()]
    for n in range(60):
        sides.put(f"cus_{n}", customer(), customer())
    await schedule(database, *(written(f"cus_{n}") for n in range(60)))
    taken = await asyncio.gather(*(worker.run_once(30) for worker in workers))
    assert sum(taken) == 60
    assert counts(await summary(database)) == {"match": 60}


async def test_a_lost_worker_loses_nothing(make: Make, database: Database, sides: FakeSides) -> None:
    """A job whose worker died comes back when the lease ends; what the dead worker reports later is void."""
    sides.put("cus_1", customer(), customer())
    await schedule(database, written())
    now = to_micros(SystemClock().now())
    (first,) = await database.transaction(lambda conn: jobs.claim(conn, now=now, lease=1, limit=9))
    (second,) = await database.transaction(lambda conn: jobs.claim(conn, now=now + 2, lease=1, limit=9))
    assert second.token == first.token + 1
    assert await database.transaction(lambda conn: jobs.put_back(conn, first)) is False
    assert await database.transaction(lambda conn: jobs.end(conn, [first])) == {}
    assert await database.transaction(lambda conn: jobs.end(conn, [second])) == {second.record_id: 0}


async def test_the_loop_ends_cleanly(make: Make, database: Database, sides: FakeSides) -> None:
    """The worker loop does what is due, and ends on its signal with everything written."""
    comparer = make(flush_s=60.0)
    sides.put("cus_1", customer(), customer(state="blocked"))
    sides.put("cus_2", None, customer())
    await schedule(database, written())
    stop = asyncio.Event()
    running = asyncio.create_task(loop.run(comparer, stop, idle_s=0.01))
    comparer.observe(observed("cus_2"))
    async with asyncio.timeout(10):
        while not await found(database) or comparer.waiting:
            assert not (await asyncio.wait([running], timeout=0.01))[0]
    stop.set()
    await running
    assert counts(await summary(database)) == {"match": 1, "mismatch": 1}


async def test_lists_are_paged_and_filtered(make: Make, database: Database, sides: FakeSides) -> None:
    """Pages follow each other without gap or repeat, and every filter narrows."""
    comparer = make()
    for n in range(7):
        sides.put(f"cus_{n}", customer(), customer(state="blocked", name="Acme" if n else "Other"))
    await schedule(database, *(written(f"cus_{n}", region="UK" if n < 5 else "DE") for n in range(7)))
    await finish(comparer, database)
    everything = await found(database)
    paged: list[Diff] = []
    while page := await found(database, limit=3, after=paged[-1].id if paged else None):
        paged.extend(page)
    assert paged == everything
    assert len(everything) == 7
    assert len(await found(database, region="DE")) == 2
    assert len(await found(database, regions=frozenset({"DE", "US"}))) == 2
    assert len(await found(database, field="name")) == 1
    assert len(await found(database, entity="invoice")) == 0
    assert len(await found(database, verdict="late")) == 0
    assert len(await found(database, since=everything[0].last_at + 1)) == 0
    (one,) = [await database.read(lambda conn: queries.diff(conn, everything[0].id))]
    assert one == everything[0]
    assert await database.read(lambda conn: queries.diff(conn, "dif_none")) is None
