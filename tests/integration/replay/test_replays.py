"""Dead letters sent again: what is counted, what is done, and what is not, on both databases."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Connection, select

from gateway.cases import Kind
from gateway.cases.tables import case_
from gateway.database import Database
from gateway.dispatch.backlog import Deliveries
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay import Replays, Run
from gateway.errors import CannotCancel, CannotReplay, Invalid, NotFoundHere
from gateway.ids import SystemIds
from gateway.ledger.tables import delivery
from tests.integration.cases.planted import Planted, Write

REFUSED = "the VAT id DE{n} of {n} is not known"


class Operator:
    """Someone with a heap of dead letters, and the replicas that work for him."""

    def __init__(self, database: Database, planted: Planted) -> None:
        self.database = database
        self.planted = planted
        self.told = 0
        self.replays = self.replica()

    def replica(self, *, per_s: int = 100_000) -> Replays:
        return Replays(database=self.database, ids=SystemIds(), per_s=per_s, told=self._hear)

    def _hear(self) -> None:
        self.told += 1

    async def letter(
        self,
        entity: str = "invoice",
        *,
        region: str = "UK",
        code: str = "VAT",
        message: str = REFUSED,
        n: int = 0,
    ) -> Write:
        """A write whose mirror was refused."""
        write = await self.planted.write(
            entity, operation_state="attention", authority="applied", mirror="parked", region=region
        )
        text = message.format(n=n)

        def unit(connection: Connection) -> None:
            connection.execute(
                delivery.update().where(delivery.c.id == write.mirror).values(code=code, message=text)
            )

        await self.database.transaction(unit)
        return write

    async def states(self, *writes: Write) -> list[str]:
        return [(await self.planted.delivery(write.mirror)).state for write in writes]

    async def ended(self, run: Run, *, by: Replays | None = None) -> Run:
        """The run once it is over, worked on by one replica."""
        for _ in range(100):
            await (by or self.replays).run_once()
            run = await self.replays.get(run.id)
            if run.state != "running":
                return run
            await asyncio.sleep(0.01)
        raise AssertionError(f"not over: {run}")


@pytest.fixture
def operator(database: Database, planted: Planted) -> Operator:
    return Operator(database, planted)


async def test_counted_by_cause_before_anything_is_done(operator: Operator) -> None:
    """Letters that differ in their particulars only are one cause; what a newer write has overtaken is told apart, and
    counting changes nothing."""
    vat = [await operator.letter(n=100 + n) for n in range(3)]
    await operator.letter("customer", code="NAME", message="name 'Harbour {n}' is too long", n=4)
    other = await operator.letter(region="US", message="no period for 2026-03-31")
    overtaken = await operator.letter("customer", code="NAME", message="name 'Quay {n}' is too long", n=5)
    await operator.planted.newer(overtaken, state="applied")
    await operator.planted.newer(other, state="unknown")
    found = await operator.replays.forecast(Narrowed())
    assert [(one.code, one.message, one.count, one.superseded, one.refused) for one in found.causes] == [
        ("VAT", "the VAT id … of … is not known", 3, 0, 0),
        ("NAME", "name … is too long", 2, 1, 0),
        ("VAT", "no period for …", 1, 0, 1),
    ]
    assert (found.count, found.superseded, found.refused) == (6, 1, 1)
    assert found.causes[0].delivery_id == max(write.mirror for write in vat)
    assert set(await operator.states(*vat, other, overtaken)) == {"parked"}
    assert operator.told == 0


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        pytest.param({"system": "cloud"}, 4, id="system"),
        pytest.param({"system": "legacy"}, 0, id="other system"),
        pytest.param({"entity": "invoice"}, 3, id="entity"),
        pytest.param({"region": "US"}, 1, id="region"),
        pytest.param({"code": "VAT"}, 3, id="code"),
        pytest.param({"code": "VAT", "region": "UK"}, 2, id="several"),
        pytest.param({}, 4, id="none"),
    ],
)
async def test_filters(operator: Operator, narrowed: dict[str, Any], expected: int) -> None:
    """A run sends what its filter names, and nothing beside it."""
    letters = [
        await operator.letter(n=1),
        await operator.letter(n=2),
        await operator.letter(region="US", n=3),
        await operator.letter("customer", code="NAME", message="too long"),
    ]
    forecast = await operator.replays.forecast(Narrowed(**narrowed))
    run = await operator.replays.start(Narrowed(**narrowed), actor="ada", reason="the id is known now")
    assert run.total == forecast.count == expected
    run = await operator.ended(run)
    assert (run.state, run.replayed, run.done) == ("done", expected, expected)
    states = await operator.states(*letters)
    assert states.count("ready") == expected
    assert states.count("parked") == len(letters) - expected


async def test_one_cause(operator: Operator) -> None:
    """By its cause, letters of one kind are sent and others with the same code stay."""
    vat = [await operator.letter(n=n) for n in range(4)]
    other = await operator.letter(message="no period for 2026-03-31")
    cause = (await operator.replays.forecast(Narrowed())).causes[0]
    assert cause.count == 4
    run = await operator.replays.start(Narrowed(cause=cause.id), actor="ada", reason="known now")
    run = await operator.ended(run)
    assert run.replayed == 4
    assert set(await operator.states(*vat)) == {"ready"}
    assert await operator.states(other) == ["parked"]


async def test_never_over_a_newer_state(operator: Operator) -> None:
    """Where a newer write is in the system, or may be, master data is marked superseded and a document is refused
    with the reason; what is merely waiting behind does not matter."""
    expected: dict[str, str] = {}
    for entity, after in (("customer", "superseded"), ("invoice", "parked")):
        for newer in ("sending", "unknown", "applied"):
            write = await operator.letter(entity)
            await operator.planted.newer(write, state=newer)
            expected[write.mirror] = after
        behind = await operator.letter(entity)
        await operator.planted.newer(behind, state="ready")
        expected[behind.mirror] = "ready"
    run = await operator.replays.start(Narrowed(), actor="ada", reason="once more")
    run = await operator.ended(run)
    assert (run.replayed, run.superseded, run.refused) == (2, 3, 3)
    for delivery_id, state in expected.items():
        assert (await operator.planted.delivery(delivery_id)).state == state
    assert len(run.refusals) == 3
    assert all("newer write" in one.reason and one.operation for one in run.refusals)


@pytest.mark.parametrize("entity", ["customer", "invoice"])
async def test_never_over_a_patch_of_a_new_authority(operator: Operator, entity: str) -> None:
    """After a move of authority a newer write of the lane may be an authority's: a patch, in which the letter's state
    is not contained. So the letter is neither sent on top of it nor superseded, and the forecast says so."""
    write = await operator.letter(entity)
    await operator.planted.newer(write, state="applied", role="authority")
    forecast = await operator.replays.forecast(Narrowed())
    assert (forecast.count, forecast.superseded, forecast.refused) == (1, 0, 1)
    run = await operator.replays.start(Narrowed(), actor="ada", reason="once more")
    run = await operator.ended(run)
    assert (run.replayed, run.superseded, run.refused) == (0, 0, 1)
    assert (await operator.planted.delivery(write.mirror)).state == "parked"


async def test_what_fails_again_is_not_sent_again(operator: Operator) -> None:
    """A run is over what waited when it began: a letter that comes back, or one that is new, is not its business."""
    letters = [await operator.letter(n=n) for n in range(4)]
    slow = operator.replica(per_s=4)
    run = await slow.start(Narrowed(), actor="ada", reason="once more")
    assert await slow.run_once() == 2
    await operator.letter(n=9)

    def refuse_again(connection: Connection) -> None:
        connection.execute(
            delivery.update()
            .where(delivery.c.state == "ready")
            .values(state="parked", updated_at=operator.database.now(connection))
        )

    await operator.database.transaction(refuse_again)
    # A rate of its own: what is due now is not due for half a second.
    assert await slow.run_once() == 0
    async with asyncio.timeout(20):
        while (run := await slow.get(run.id)).state == "running":
            await slow.run_once()
            await asyncio.sleep(0.02)
    assert (run.total, run.done, run.replayed) == (4, 4, 4)
    assert sorted(await operator.states(*letters)) == ["parked", "parked", "ready", "ready"]


async def test_any_replica_goes_on(operator: Operator) -> None:
    """Several replicas at once, one of which breaks off in the middle of a chunk, decide on each letter exactly
    once."""
    letters = [await operator.letter(n=n) for n in range(30)]
    run = await operator.replays.start(Narrowed(), actor="ada", reason="once more")
    replicas = [operator.replica(per_s=20) for _ in range(3)]

    def broken(connection: Connection) -> None:
        replicas[0]._chunk(connection)
        raise RuntimeError("the process ends here")

    with pytest.raises(RuntimeError):
        await operator.database.transaction(broken)
    assert (await operator.replays.get(run.id)).done == 0
    assert set(await operator.states(*letters)) == {"parked"}
    await asyncio.gather(*(operator.ended(run, by=one) for one in replicas))
    run = await operator.replays.get(run.id)
    assert (run.state, run.replayed) == ("done", 30)
    for write in letters:
        assert (await operator.planted.journey(write)).count("replayed") == 1


async def test_cancel(operator: Operator) -> None:
    """A cancelled run sends no more; cancelling it again changes nothing, and a run that is done cannot be."""
    letters = [await operator.letter(n=n) for n in range(6)]
    slow = operator.replica(per_s=4)
    run = await slow.start(Narrowed(), actor="ada", reason="once more")
    assert await slow.run_once() == 2
    cancelled = await operator.replays.cancel(run.id, actor="ben")
    assert (cancelled.state, cancelled.ended_by, cancelled.replayed) == ("cancelled", "ben", 2)
    assert await operator.replays.cancel(run.id, actor="cy") == cancelled
    assert await operator.replays.run_once() == 0
    assert (await operator.states(*letters)).count("parked") == 4
    done = await operator.ended(await operator.replays.start(Narrowed(), actor="ada", reason="the rest"))
    with pytest.raises(CannotCancel):
        await operator.replays.cancel(done.id, actor="ben")
    acts = [(act, actor) for act, actor, _ in await operator.planted.audited(run.id)]
    assert acts == [("replay.start", "ada"), ("replay.chunk", "ada"), ("replay.cancel", "ben")]


async def test_who_and_why(operator: Operator) -> None:
    """The audit names the letters of every chunk, the journey says who and why, and an open case is closed."""
    write = await operator.letter()
    case_id = await operator.planted.case(write, Kind.PARKED_DELIVERY, role="mirror")
    run = await operator.ended(await operator.replays.start(Narrowed(), actor="ada", reason="id  is\nknown"))
    audited = {act: detail for act, _, detail in await operator.planted.audited(run.id)}
    assert audited["replay.start"]["reason"] == "id is known"
    assert audited["replay.start"]["total"] == 1
    assert audited["replay.chunk"] == {"replayed": [write.mirror], "superseded": [], "refused": {}}
    kept = await operator.database.read(
        lambda conn: conn.execute(select(case_).where(case_.c.id == case_id)).one()
    )
    assert (kept.state, kept.closed_by, kept.resolution) == ("closed", "ada", "replay")
    assert operator.told == 1


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1001])
async def test_a_reason_is_needed(operator: Operator, reason: str) -> None:
    """Nothing is sent again without a word on why."""
    with pytest.raises(Invalid):
        await operator.replays.start(Narrowed(), actor="ada", reason=reason)
    assert await operator.replays.list() == ()


async def test_regions_and_entities_of_the_caller(operator: Operator) -> None:
    """A caller replays what it may see, and sees the runs that lie within that."""
    uk, us = await operator.letter(), await operator.letter(region="US")
    mine = frozenset({"UK"})
    assert (await operator.replays.forecast(Narrowed(), regions=mine)).count == 1
    wide = await operator.replays.start(Narrowed(system="legacy"), actor="ada", reason="all")
    own = await operator.replays.start(Narrowed(), actor="uk", reason="mine", regions=mine)
    own = await operator.ended(own)
    assert await operator.states(uk, us) == ["ready", "parked"]
    assert [one.id for one in await operator.replays.list(regions=mine)] == [own.id]
    assert [one.id for one in await operator.replays.list()] == [own.id, wide.id]
    assert (await operator.replays.list(after=own.id))[0].id == wide.id
    for refused in (
        operator.replays.get(wide.id, regions=mine),
        operator.replays.cancel(wide.id, actor="uk", regions=mine),
        operator.replays.get("rpl_none"),
    ):
        with pytest.raises(NotFoundHere):
            await refused


async def test_one_by_its_id(operator: Operator) -> None:
    """A single letter follows the same laws: sent, superseded, or refused with what stands against it."""
    deliveries = Deliveries(database=operator.database)
    plain, master, document = (
        await operator.letter(),
        await operator.letter("customer"),
        await operator.letter(),
    )
    await operator.planted.newer(master, state="applied")
    await operator.planted.newer(document, state="applied")
    assert (await deliveries.replay(plain.mirror, "ada"))["state"] == "ready"
    assert (await deliveries.replay(master.mirror, "ada"))["state"] == "superseded"
    with pytest.raises(CannotReplay, match="newer write"):
        await deliveries.replay(document.mirror, "ada")
    with pytest.raises(CannotReplay, match="ready"):
        await deliveries.replay(plain.mirror, "ada")
    with pytest.raises(NotFoundHere):
        await deliveries.replay(plain.mirror, "us", regions=frozenset({"US"}))
