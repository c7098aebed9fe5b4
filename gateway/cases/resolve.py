"""A person's decision: checked against what is so now, done in the ledger, and audited, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from gateway.access import within
from gateway.audit import record as audited
from gateway.cases import queries, store
from gateway.cases.case import Case, Proposal
from gateway.cases.kinds import EDITS, KINDS, RESOLUTIONS, Resolution, needs_second
from gateway.cases.tables import case_
from gateway.errors import DecisionStale, FieldError, Invalid, NotFoundHere
from gateway.ledger import decisions, journal, slices, stranded
from gateway.ledger.decisions import Decided, Unfit
from gateway.ledger.states import OperationState

LONGEST_REASON = 4000  #: of a decision, which often quotes what somebody has looked up

#: Gives up the numbers that records neither have nor are about to have any more; the caller holds the records.
Release = Callable[[Connection, Iterable[str]], None]
#: Does what was decided about an edit that was made in a system itself; the caller holds the slice and the record.
Edited = Callable[[Connection, Case, Resolution, int], Unfit]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a person says. ``until``: when an accepted difference ends, microseconds UTC. ``native_id``: how the
    system calls the record, for *applied*. ``regions`` and ``entities``: what the person may see; None is all."""

    case_id: str
    resolution: Resolution
    reason: str
    by: str
    until: int | None = None
    native_id: str | None = None
    regions: frozenset[str] | None = None
    entities: frozenset[str] | None = None


def decide(connection: Connection, decision: Decision, *, at: int, release: Release, edited: Edited) -> None:
    """Carries the decision out, or keeps it as the proposal that a second person has to confirm. ``at`` is
    microseconds UTC. Raises NotFoundHere, Invalid for what this kind of case does not offer or what is missing, and
    DecisionStale where it no longer fits."""
    case = visible(connection, decision.case_id, regions=decision.regions, entities=decision.entities)
    _check(case, decision, at)
    # The slice before all: a move of authority holds it, and what a decision sends goes to the authority of now.
    slices.lock_shared(connection, [(case.entity, case.region)])
    # Records and lanes first, the case last: the order in which every commit of the ledger takes them.
    journal.records_for_update(connection, [case.record_id])
    journal.lanes_for_update(connection, [case.record_id])
    case = locked(connection, case.id)
    if case.state != "open":
        raise DecisionStale(f"the case was closed by {case.closed_by}: {case.resolution}", state=case.state)
    if decision.resolution not in case.offers:
        raise DecisionStale(_now(case), **_facts(case))
    if needs_second(decision.resolution, case.entity) and not _seconded(connection, case, decision, at):
        return
    if case.kind in EDITS:
        unfit = edited(connection, case, decision.resolution, at)
    else:
        unfit = _ACTS[decision.resolution](connection, case, decision, at, release)
    if unfit:
        raise DecisionStale("; ".join(sorted(set(unfit.values()))), **_facts(case))
    detail = f"{decision.resolution.value}: {decision.reason}"
    if decision.resolution is Resolution.APPLIED:
        # It is closed when a look has found it, and stays open when none does.
        store.add_event(connection, case.id, at=at, actor=decision.by, event="looked_for", detail=detail)
        connection.execute(case_.update().where(case_.c.id == case.id).values(updated_at=at))
    else:
        store.close(
            connection,
            case_.c.id == case.id,
            at=at,
            how=decision.resolution.value,
            by=decision.by,
            reason=decision.reason,
            accepted_until=decision.until,
        )
    _audit(connection, case, decision, at=at, action="case.resolve")


def visible(
    connection: Connection,
    case_id: str,
    *,
    regions: frozenset[str] | None,
    entities: frozenset[str] | None,
) -> Case:
    """The case. Raises NotFoundHere, also for one that is outside the caller's reach."""
    case = queries.one(connection, case_id)
    if case is None or not within(case.entity, case.region, entities, regions):
        raise NotFoundHere("there is no such case, or it is outside the key's regions")
    return case


def locked(connection: Connection, case_id: str) -> Case:
    """The case as it is now, locked until the commit."""
    connection.execute(select(case_.c.id).where(case_.c.id == case_id).with_for_update()).one()
    case = queries.one(connection, case_id)
    assert case is not None
    return case


def _check(case: Case, decision: Decision, at: int) -> None:
    offers = KINDS[case.kind].offers
    wrong: list[FieldError] = []
    if decision.resolution not in offers:
        message = f"a case of {case.kind.value} is resolved as {', '.join(offers)}"
        wrong.append(FieldError(pointer="/as", code="not_offered", message=message))
    if RESOLUTIONS[decision.resolution].until:
        if decision.until is None or decision.until <= at:
            message = "name a moment to come, at which the accepted difference ends"
            wrong.append(FieldError(pointer="/until", code="until", message=message))
    elif decision.until is not None:
        message = f"{decision.resolution.value} does not end; leave it out"
        wrong.append(FieldError(pointer="/until", code="until", message=message))
    if decision.native_id is not None and decision.resolution is not Resolution.APPLIED:
        message = "goes with applied only"
        wrong.append(FieldError(pointer="/native_id", code="native_id", message=message))
    if wrong:
        raise Invalid(f"{wrong[0].pointer[1:]}: {wrong[0].message}", errors=wrong)


def _seconded(connection: Connection, case: Case, decision: Decision, at: int) -> bool:
    """Whether a first person has decided the same. If not, this decision is the proposal from now on."""
    before = case.proposal
    if before is not None and before.resolution is decision.resolution:
        if before.by != decision.by:
            return True
        raise DecisionStale(
            f"{decision.by} has proposed this already; money is at stake, so another person has to decide the same",
            **_facts(case),
        )
    proposal = Proposal(resolution=decision.resolution, by=decision.by, reason=decision.reason, at=at)
    connection.execute(
        case_.update()
        .where(case_.c.id == case.id)
        .values(proposal=msgspec.json.encode(proposal).decode(), updated_at=at)
    )
    detail = f"{decision.resolution.value}: {decision.reason}"
    store.add_event(connection, case.id, at=at, actor=decision.by, event="proposed", detail=detail)
    _audit(connection, case, decision, at=at, action="case.propose")
    return False


def _audit(connection: Connection, case: Case, decision: Decision, *, at: int, action: str) -> None:
    audited(
        connection,
        at=at,
        actor=decision.by,
        action=action,
        subject=case.id,
        detail={
            "as": decision.resolution.value,
            "reason": decision.reason,
            "kind": case.kind.value,
            "operation": case.operation_id,
            "delivery": case.delivery_id,
            "until": decision.until,
            "native_id": decision.native_id,
            "proposed_by": None if case.proposal is None else case.proposal.by,
        },
    )


def _facts(case: Case) -> dict[str, Any]:
    facts: dict[str, Any] = {"state": case.state}
    if case.operation_state is not None:
        facts["operation_state"] = case.operation_state
    if case.delivery_state is not None:
        facts["delivery_state"] = case.delivery_state
    return facts


def _now(case: Case) -> str:
    """What is so now, for a decision that does not fit."""
    so = (
        f"the operation is {case.operation_state}"
        if case.delivery_state is None
        else f"the {case.role}'s delivery is {case.delivery_state}"
    )
    left = ", ".join(case.offers)
    return f"{so}; what fits now: {left}" if left else f"{so}, so there is nothing to decide now"


# --- what each decision does ---------------------------------------------------------------------------------


def _decided(case: Case, decision: Decision) -> list[Decided]:
    assert case.delivery_id is not None  # nothing but dismissing is offered where a case is about no delivery
    detail = f"{decision.by}: {decision.reason}"
    return [Decided(delivery_id=case.delivery_id, detail=detail, native_id=decision.native_id)]


def _applied(c: Connection, case: Case, decision: Decision, at: int, _: Release) -> Unfit:
    return decisions.confirm(c, _decided(case, decision), at=at)


def _resend(c: Connection, case: Case, decision: Decision, at: int, _: Release) -> Unfit:
    key = (case.entity, case.region)
    rule = slices.read(c, [key]).get(key)
    # The authority that it was sent to may have been left, by an emergency or by a move that overrode its case.
    left = case.operation_state == OperationState.STRANDED.value or (
        rule is not None and rule.authority.value != case.system
    )
    return (stranded if left else decisions).send_again(c, _decided(case, decision), at=at)


def _refuse(c: Connection, case: Case, decision: Decision, at: int, release: Release) -> Unfit:
    problem: dict[str, Any] = {
        "kind": "Refused",
        "detail": f"the authority did not take it, and it was decided not to send it again: {decision.reason}",
        "errors": [],
        "facts": {},
    }
    unfit = decisions.refuse(c, _decided(case, decision), at=at, problem=problem)
    if not unfit:
        release(c, [case.record_id])
    return unfit


def _replay(c: Connection, case: Case, decision: Decision, at: int, _: Release) -> Unfit:
    return decisions.replay(c, _decided(case, decision), at=at)


def _accept(c: Connection, case: Case, decision: Decision, at: int, _: Release) -> Unfit:
    return decisions.accept_divergence(c, _decided(case, decision), at=at)


def _dismiss(c: Connection, case: Case, decision: Decision, at: int, _: Release) -> Unfit:
    return {}


_ACTS: Mapping[Resolution, Callable[[Connection, Case, Decision, int, Release], Unfit]] = {
    Resolution.APPLIED: _applied,
    Resolution.NOT_APPLIED_RESEND: _resend,
    Resolution.NOT_APPLIED_REFUSE: _refuse,
    Resolution.REPLAY: _replay,
    Resolution.ACCEPT_DIVERGENCE: _accept,
    Resolution.DISMISS: _dismiss,
}
