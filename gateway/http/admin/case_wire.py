"""Cases as the operations side tells and takes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gateway.canonical.values import Name, Note
from gateway.cases import KINDS, Case, Kind, Resolution
from gateway.cases.kinds import Severity, needs_second
from gateway.cases.queue import Detail
from gateway.database import from_micros
from gateway.ids import CASE
from gateway.routing.stage import System

EXAMPLE_ID = f"{CASE}0198f0c2-8a31-7d02-8c11-2f6a5b4c3d2e"
_Reason = Annotated[Note, Meta(min_length=1)]


class Assignment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to have the case."""

    owner: Name


class Comment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line for the case's history."""

    comment: _Reason


class Resolving(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decides. Which of them a case takes stands in its ``offers``."""

    resolution: Annotated[Resolution, Meta(description="one of the case's `offers`")] = msgspec.field(
        name="as"
    )
    reason: _Reason
    until: (
        Annotated[datetime, Meta(tz=True, description="accept_divergence: when the accepted difference ends")]
        | None
    ) = None
    native_id: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=200,
                pattern="^[ -~]+$",
                description="applied: how the system calls the record, where you know it",
            ),
        ]
        | None
    ) = None


class AtStake(msgspec.Struct, frozen=True, kw_only=True):
    amount: str
    currency: str


class CaseProposal(msgspec.Struct, frozen=True, kw_only=True):
    """What one person has decided, and a second one has to before it is done."""

    resolution: Resolution = msgspec.field(name="as")
    by: str
    reason: str
    at: datetime


class CaseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A case as lists show it."""

    id: str
    kind: Kind
    title: str
    cause: str
    remedy: str
    severity: Severity
    state: Literal["open", "closed"]
    owner: str
    entity: str
    region: str
    record: str
    operation: str
    operation_state: str | None
    delivery: str | None
    delivery_state: str | None
    system: System | None
    role: Literal["authority", "mirror"] | None
    code: str | None
    message: str | None
    at_stake: AtStake | None
    opened_at: datetime
    due_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    resolution: str | None
    reason: str | None
    accepted_until: datetime | None
    offers: tuple[Resolution, ...]
    two_persons: tuple[Resolution, ...]  #: those of the offers that a second person has to decide, too
    proposal: CaseProposal | None


class CaseHistoryLine(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    actor: str
    event: str
    detail: str | None


class CaseAttempt(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    started_at: datetime
    outcome: str | None
    message: str | None


class CaseInFull(CaseLine, frozen=True, kw_only=True):
    """A case with its history and every send of its delivery."""

    history: tuple[CaseHistoryLine, ...]
    attempts: tuple[CaseAttempt, ...]


def shown(case: Case) -> CaseLine:
    """A case in wire form."""
    return CaseLine(**_line(case))


def in_full(detail: Detail) -> CaseInFull:
    """A case with its history in wire form."""
    return CaseInFull(
        **_line(detail.case),
        history=tuple(
            CaseHistoryLine(at=from_micros(one.at), actor=one.actor, event=one.event, detail=one.detail)
            for one in detail.events
        ),
        attempts=tuple(
            CaseAttempt(
                number=one.number,
                started_at=from_micros(one.started_at),
                outcome=one.outcome,
                message=one.message,
            )
            for one in detail.attempts
        ),
    )


def _line(case: Case) -> dict[str, Any]:
    kind = KINDS[case.kind]
    stake = None
    if case.amount is not None and case.currency is not None:
        stake = AtStake(amount=format(case.amount, "f"), currency=case.currency)
    proposal = case.proposal
    return {
        "id": case.id,
        "kind": case.kind,
        "title": kind.title,
        "cause": kind.cause,
        "remedy": kind.remedy,
        "severity": kind.severity,
        "state": case.state,
        "owner": case.owner,
        "entity": case.entity,
        "region": case.region,
        "record": case.record_id,
        "operation": case.operation_id,
        "operation_state": case.operation_state,
        "delivery": case.delivery_id,
        "delivery_state": case.delivery_state,
        "system": None if case.system is None else System(case.system),
        "role": case.role,
        "code": case.code,
        "message": case.message,
        "at_stake": stake,
        "opened_at": from_micros(case.opened_at),
        "due_at": from_micros(case.due_at),
        "updated_at": from_micros(case.updated_at),
        "closed_at": None if case.closed_at is None else from_micros(case.closed_at),
        "closed_by": case.closed_by,
        "resolution": case.resolution,
        "reason": case.reason,
        "accepted_until": None if case.accepted_until is None else from_micros(case.accepted_until),
        "offers": case.offers,
        "two_persons": tuple(one for one in case.offers if needs_second(one, case.entity)),
        "proposal": None
        if proposal is None
        else CaseProposal(
            resolution=proposal.resolution,
            by=proposal.by,
            reason=proposal.reason,
            at=from_micros(proposal.at),
        ),
    }


EXAMPLE: dict[str, Any] = {
    "id": EXAMPLE_ID,
    "kind": Kind.PARKED_DELIVERY.value,
    "title": KINDS[Kind.PARKED_DELIVERY].title,
    "cause": KINDS[Kind.PARKED_DELIVERY].cause,
    "remedy": KINDS[Kind.PARKED_DELIVERY].remedy,
    "severity": "medium",
    "state": "open",
    "owner": "finance",
    "entity": "invoice",
    "region": "UK",
    "record": "inv_0198f0c2-7d22-7b63-9f55-1c7b8d2e3f40",
    "operation": "op_0198f0c2-7d22-7b63-9f55-1c7b8d2e3f41",
    "operation_state": "attention",
    "delivery": "dlv_0198f0c2-7d22-7b63-9f55-1c7b8d2e3f42",
    "delivery_state": "parked",
    "system": "cloud",
    "role": "mirror",
    "code": "TAX_CODE",
    "message": "Tax code GB20 is not active in this company",
    "at_stake": {"amount": "1080.00", "currency": "GBP"},
    "opened_at": "2026-03-31T08:00:00.000000Z",
    "due_at": "2026-04-01T08:00:00.000000Z",
    "updated_at": "2026-03-31T08:00:00.000000Z",
    "closed_at": None,
    "closed_by": None,
    "resolution": None,
    "reason": None,
    "accepted_until": None,
    "offers": ["replay", "accept_divergence"],
    "two_persons": ["accept_divergence"],
    "proposal": None,
}
EXAMPLE_IN_FULL: dict[str, Any] = {
    **EXAMPLE,
    "history": [
        {
            "at": "2026-03-31T08:00:00.000000Z",
            "actor": "the ledger",
            "event": "opened",
            "detail": "Tax code GB20 is not active in this company",
        }
    ],
    "attempts": [
        {
            "number": 1,
            "started_at": "2026-03-31T07:59:58.000000Z",
            "outcome": "refused_mirror",
            "message": "Tax code GB20 is not active in this company",
        }
    ],
}
