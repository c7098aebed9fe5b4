"""What a person decides is done in the ledger, audited, and told in the case, in one commit; or nothing is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection

from gateway.audit.tables import audit
from gateway.cases import Cases, Kind, Resolution
from gateway.cases.case import Case
from gateway.cases.queries import accepted
from gateway.cases.resolve import Decision
from gateway.clock import SystemClock
from gateway.database import Database, to_micros
from gateway.errors import DecisionStale, Invalid, NotFoundHere
from gateway.ledger import decisions
from gateway.ledger.decisions import Decided
from gateway.ledger.tables import delivery, record
from tests.integration.cases.planted import Planted, Write

LATER = to_micros(SystemClock().now()) + 30 * 86_400_000_000


async def resolve(
    cases: Cases, case_id: str, resolution: Resolution, *, by: str = "Ada", **more: object
) -> Case:
    decision = Decision(
        case_id=case_id, resolution=resolution, reason="looked into it", by=by, **more  # type: ignore[arg-type]
    )  # fmt: skip
    return (await cases.resolve(decision)).case


async def parked(planted: Planted, entity: str = "customer") -> tuple[Write, str]:
    write = await planted.write(entity, operation_state="attention", authority="applied", mirror="parked")
    return write, await planted.case(write, Kind.PARKED_DELIVERY, role="mirror")


async def unresolved(planted: Planted, entity: str = "customer") -> tuple[Write, str]:
    write = await planted.write(entity, operation_state="unresolved", authority="parked", mirror="blocked")
    return write, await planted.case(write, Kind.UNKNOWN_OUTCOME)


async def states(planted: Planted, write: Write) -> tuple[str, str, str]:
    lines = [await planted.delivery(id_) for id_ in (write.authority, write.mirror)]
    return ((await planted.operation(write.operation_id)).state, lines[0].state, lines[1].state)


async def test_replay_sends_the_mirror_s_delivery_again(planted: Planted, cases: Cases) -> None:
    """D12: ready at once, its counts begin anew, its lane is due, the case is closed and the act is audited."""
    write, case_id = await parked(planted)
    closed = await resolve(cases, case_id, Resolution.REPLAY)
    assert await states(planted, write) == ("attention", "applied", "ready")
    line = await planted.delivery(write.mirror)
    assert (line.code, line.probes, line.lease_expiries, line.maybe_sent) == (None, 0, 0, 1)
    assert (await planted.lane(write, "cloud")).wake_at is not None
    assert (closed.state, closed.resolution, closed.closed_by) == ("closed", "replay", "Ada")
    ((action, actor, detail),) = await planted.audited(case_id)
    assert (action, actor, detail["as"], detail["reason"]) == (
        "case.resolve",
        "Ada",
        "replay",
        "looked into it",
    )
    assert await planted.journey(write) == ["replayed"]


async def test_replay_waits_for_the_end_of_the_quarantine(
    planted: Planted, cases: Cases, database: Database
) -> None:
    """Whatever a person has found, an earlier attempt may land until its quarantine is over."""
    write, case_id = await parked(planted)
    longer = delivery.update().where(delivery.c.id == write.mirror).values(quarantine_until=LATER)
    await database.transaction(lambda conn: conn.execute(longer))
    await resolve(cases, case_id, Resolution.REPLAY)
    assert (await planted.delivery(write.mirror)).wake_at == LATER
    assert (await planted.lane(write, "cloud")).wake_at == LATER


@pytest.mark.parametrize("state", ["sending", "unknown", "applied"])
async def test_replay_never_overwrites_a_newer_state(planted: Planted, cases: Cases, state: str) -> None:
    """A newer write of the lane that is in the system, or may be, forbids it; nothing is changed, nothing audited."""
    write, case_id = await parked(planted)
    await planted.newer(write, state=state)
    with pytest.raises(DecisionStale, match="newer write of this record, number 2"):
        await resolve(cases, case_id, Resolution.REPLAY)
    assert await states(planted, write) == ("attention", "applied", "parked")
    assert (await cases.one(case_id)).case.state == "open"
    assert await planted.count(audit) == 0


async def test_an_accepted_difference_settles_the_operation(
    planted: Planted, cases: Cases, database: Database
) -> None:
    """D13, O15: the mirror goes without the write until the named day, and the operation is settled."""
    write, case_id = await parked(planted)
    closed = await resolve(cases, case_id, Resolution.ACCEPT_DIVERGENCE, until=LATER)
    assert await states(planted, write) == ("settled", "applied", "skipped")
    assert closed.accepted_until == LATER
    assert await planted.journey(write) == ["divergence_accepted", "settled"]
    found = await database.read(lambda conn: accepted(conn, [write.record_id], now=LATER - 1))
    assert found == {(write.record_id, "cloud"): LATER}
    assert await database.read(lambda conn: accepted(conn, [write.record_id], now=LATER)) == {}


@pytest.mark.parametrize("until", [None, 1])
async def test_an_accepted_difference_ends(planted: Planted, cases: Cases, until: int | None) -> None:
    """Nobody accepts a difference for ever, or until yesterday."""
    _, case_id = await parked(planted)
    with pytest.raises(Invalid, match="until: name a moment to come"):
        await resolve(cases, case_id, Resolution.ACCEPT_DIVERGENCE, until=until)


async def test_not_applied_and_sent_again(planted: Planted, cases: Cases) -> None:
    """O12: the operation is accepted again, its delivery ready, and the lane that it held is free and due."""
    write, case_id = await unresolved(planted)
    await resolve(cases, case_id, Resolution.NOT_APPLIED_RESEND)
    assert await states(planted, write) == ("accepted", "ready", "blocked")
    lane = await planted.lane(write, "legacy")
    assert lane.inflight is None
    assert lane.wake_at is not None


async def test_not_applied_and_refused(planted: Planted, cases: Cases) -> None:
    """O12: nowhere and never: the mirror is skipped, the record has no open write, its number is free for others, and
    the operation says why."""
    write, case_id = await unresolved(planted)
    assert await planted.numbers(write) == 1
    await resolve(cases, case_id, Resolution.NOT_APPLIED_REFUSE)
    assert await states(planted, write) == ("rejected", "rejected", "skipped")
    assert (await planted.row(record, write.record_id)).open_writes == 0
    assert await planted.numbers(write) == 0
    assert "looked into it" in (await planted.operation(write.operation_id)).problem
    assert (await planted.lane(write, "legacy")).inflight is None


async def test_applied_is_looked_for(planted: Planted, cases: Cases, database: Database) -> None:
    """O11: what a person says is confirmed by a look; until then the lane is held and the case stays open."""
    write, case_id = await unresolved(planted)
    still = await resolve(cases, case_id, Resolution.APPLIED, native_id="RE-1")
    assert still.state == "open"
    assert await states(planted, write) == ("unresolved", "unknown", "blocked")
    assert (await planted.lane(write, "legacy")).inflight == write.authority
    line = await planted.delivery(write.authority)
    assert (line.code, line.lease_expiries, line.wake_at is None) == ("confirming", 0, False)
    found = await database.read(lambda conn: decisions.stated(conn, [write.authority]))
    assert found == {write.authority: "RE-1"}
    with pytest.raises(
        DecisionStale, match="the authority's delivery is unknown, so there is nothing to decide"
    ):
        await resolve(cases, case_id, Resolution.NOT_APPLIED_REFUSE)


async def test_a_mirror_s_unknown_one_takes_its_lane_only_when_that_is_free(
    planted: Planted, cases: Cases
) -> None:
    """I10: a lane has one call of unknown outcome at most."""
    write = await planted.write("customer", operation_state="attention", authority="applied", mirror="parked")
    case_id = await planted.case(write, Kind.UNKNOWN_OUTCOME, role="mirror")
    await resolve(cases, case_id, Resolution.APPLIED)
    assert (await planted.lane(write, "cloud")).inflight == write.mirror
    assert await states(planted, write) == ("attention", "applied", "unknown")


async def test_money_is_sent_again_by_two_persons(planted: Planted, cases: Cases) -> None:
    """The first one proposes, the same one is not a second, another one makes it so; both are audited."""
    write, case_id = await unresolved(planted, "invoice")
    proposed = await resolve(cases, case_id, Resolution.NOT_APPLIED_RESEND)
    assert proposed.state == "open"
    assert proposed.proposal is not None
    assert proposed.proposal.by == "Ada"
    assert await states(planted, write) == ("unresolved", "parked", "blocked")
    with pytest.raises(DecisionStale, match="another person has to decide the same"):
        await resolve(cases, case_id, Resolution.NOT_APPLIED_RESEND)
    closed = await resolve(cases, case_id, Resolution.NOT_APPLIED_RESEND, by="Kim")
    assert (closed.state, closed.proposal) == ("closed", None)
    assert await states(planted, write) == ("accepted", "ready", "blocked")
    found = await planted.audited(case_id)
    assert [(action, actor) for action, actor, _ in found] == [
        ("case.propose", "Ada"),
        ("case.resolve", "Kim"),
    ]
    assert found[1][2]["proposed_by"] == "Ada"


async def test_a_second_person_who_decides_otherwise_proposes(planted: Planted, cases: Cases) -> None:
    """Two persons who say different things have decided nothing."""
    write, case_id = await unresolved(planted, "invoice")
    await resolve(cases, case_id, Resolution.NOT_APPLIED_RESEND)
    other = await resolve(cases, case_id, Resolution.NOT_APPLIED_REFUSE, by="Kim")
    assert other.proposal is not None
    assert (other.proposal.by, other.proposal.resolution) == ("Kim", Resolution.NOT_APPLIED_REFUSE)
    assert await states(planted, write) == ("unresolved", "parked", "blocked")


async def test_a_case_in_which_a_delivery_waits_is_not_dismissed(planted: Planted, cases: Cases) -> None:
    """Dismissed, the write would be in nobody's hands."""
    write = await planted.write("customer", operation_state="attention", authority="applied", mirror="parked")
    case_id = await planted.case(write, Kind.COLLISION, role="mirror")
    with pytest.raises(DecisionStale, match="what fits now: replay, accept_divergence"):
        await resolve(cases, case_id, Resolution.DISMISS)
    refused = await planted.write(
        "customer", operation_state="rejected", authority="rejected", mirror="skipped"
    )
    case_id = await planted.case(refused, Kind.REFUSED_AFTER_ACCEPTANCE)
    assert (await resolve(cases, case_id, Resolution.DISMISS)).state == "closed"


async def test_a_kind_offers_what_its_row_says(planted: Planted, cases: Cases) -> None:
    """What the kind does not offer is refused with what it does."""
    _, case_id = await parked(planted)
    with pytest.raises(Invalid, match="a case of parked_delivery is resolved as replay, accept_divergence"):
        await resolve(cases, case_id, Resolution.NOT_APPLIED_REFUSE)


async def test_a_closed_case_is_decided_no_more(planted: Planted, cases: Cases) -> None:
    """The second one is told who closed it and how."""
    _, case_id = await parked(planted)
    await resolve(cases, case_id, Resolution.REPLAY)
    with pytest.raises(DecisionStale, match="the case was closed by Ada: replay"):
        await resolve(cases, case_id, Resolution.REPLAY, by="Kim")
    with pytest.raises(DecisionStale):
        await cases.assign(case_id, "Kim", by="Ada")


async def test_of_many_who_decide_at_once_one_is_heard(planted: Planted, cases: Cases) -> None:
    """Decisions take turns; the ledger moves once, and one act is audited."""
    write, case_id = await parked(planted)
    ended = await asyncio.gather(
        *(resolve(cases, case_id, Resolution.REPLAY, by=f"person {number}") for number in range(8)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, Case) for one in ended) == 1
    assert all(isinstance(one, Case | DecisionStale) for one in ended)
    assert len(await planted.audited(case_id)) == 1
    assert await planted.journey(write) == ["replayed"]


async def test_a_decision_that_cannot_be_audited_is_not_made(
    planted: Planted, cases: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I26: the audit row is in the same commit, or the state has not changed."""
    write, case_id = await parked(planted)

    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("no audit")

    monkeypatch.setattr("gateway.cases.resolve.audited", fails)
    with pytest.raises(RuntimeError, match="no audit"):
        await resolve(cases, case_id, Resolution.REPLAY)
    assert await states(planted, write) == ("attention", "applied", "parked")
    assert (await cases.one(case_id)).case.state == "open"


async def test_a_key_sees_its_own_regions_and_entities(planted: Planted, cases: Cases) -> None:
    """Outside of them there is no such case, to look at or to change."""
    _, case_id = await parked(planted)
    for reach in ({"regions": frozenset({"EMEA"})}, {"entities": frozenset({"invoice"})}):
        with pytest.raises(NotFoundHere):
            await cases.one(case_id, **reach)
        with pytest.raises(NotFoundHere):
            await resolve(cases, case_id, Resolution.REPLAY, **reach)
        with pytest.raises(NotFoundHere):
            await cases.assign(case_id, "Kim", by="Ada", **reach)
        with pytest.raises(NotFoundHere):
            await cases.comment(case_id, "hello", by="Ada", **reach)
    assert (await cases.one(case_id, regions=frozenset({"UK"}))).case.id == case_id


async def test_assigning_and_commenting_are_in_the_history(planted: Planted, cases: Cases) -> None:
    """Who said what, in the order in which it was said; an assignment is audited."""
    _, case_id = await parked(planted)
    await cases.assign(case_id, " Kim  Lee ", by="Ada")
    told = await cases.comment(case_id, "The tax id is missing", by="Kim Lee")
    assert told.case.owner == "Kim Lee"
    assert [(one.event, one.actor) for one in told.events] == [
        ("opened", "the ledger"), ("assigned", "Ada"), ("commented", "Kim Lee"),
    ]  # fmt: skip
    ((action, _, detail),) = await planted.audited(case_id)
    assert (action, detail) == ("case.assign", {"before": "finance", "after": "Kim Lee"})


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 4001])
async def test_a_decision_needs_a_reason(planted: Planted, cases: Cases, text: str) -> None:
    """Nothing is decided without a word, or with more than anybody reads."""
    _, case_id = await parked(planted)
    decision = Decision(case_id=case_id, resolution=Resolution.REPLAY, reason=text, by="Ada")
    with pytest.raises(Invalid, match="say why"):
        await cases.resolve(decision)


async def test_many_are_decided_in_one_go(planted: Planted, database: Database) -> None:
    """Those that the decision fits are changed; of each of the others it is told what is so now."""
    fits = [(await parked(planted))[0] for _ in range(3)]
    newer, _ = await parked(planted)
    await planted.newer(newer, state="applied")
    wrong, _ = await unresolved(planted)
    wanted: Sequence[Decided] = [
        Decided(delivery_id=id_, detail="all of them")
        for id_ in (*(write.mirror for write in fits), newer.mirror, wrong.authority, "dlv_none")
    ]

    def unit(connection: Connection) -> dict[str, str]:
        return decisions.replay(connection, wanted, at=database.now(connection))

    unfit = await database.transaction(unit)
    assert set(unfit) == {newer.mirror, wrong.authority, "dlv_none"}
    assert "this is for the mirror's" in unfit[wrong.authority]
    assert unfit["dlv_none"] == "there is no such delivery"
    for write in fits:
        assert (await planted.delivery(write.mirror)).state == "ready"
