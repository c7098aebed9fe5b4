"""How cases are shown: grouped by kind, with their age and deadline, and each as a story in plain words. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from gateway.cases import KINDS, RESOLUTIONS, Case, Kind, Resolution
from gateway.cases.kinds import KindRow, ResolutionRow, Severity, needs_second
from gateway.clock import rfc3339
from gateway.console.diff_view import add
from gateway.console.words import duration, label, plain
from gateway.database import from_micros

_SECOND = 1_000_000
#: Less than this before its deadline, a case is shown as due soon.
SOON_S = 2 * 3600


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One case in a list. Seconds; ``left_s`` is negative when the deadline has passed."""

    case: Case
    row: KindRow
    age_s: float
    left_s: float

    @property
    def standing(self) -> str:
        """``late``, ``soon``, ``open`` or ``closed``."""
        if self.case.state != "open":
            return "closed"
        return "late" if self.left_s < 0 else "soon" if self.left_s < SOON_S else "open"

    @property
    def due(self) -> str:
        """in 3 h, or late by 20 min"""
        return f"late by {duration(-self.left_s)}" if self.left_s < 0 else f"in {duration(self.left_s)}"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The cases of one kind, the nearest deadline first."""

    kind: Kind
    row: KindRow
    lines: tuple[Line, ...]
    late: int
    money: Mapping[str, Decimal]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One decision on offer. ``seconds``: another person has proposed it, and this one would carry it out."""

    resolution: Resolution
    row: ResolutionRow
    two_persons: bool
    seconds: bool


def line(case: Case, *, now: int) -> Line:
    """``now`` is microseconds UTC."""
    until = case.closed_at if case.closed_at is not None else now
    return Line(
        case=case,
        row=KINDS[case.kind],
        age_s=max(0, until - case.opened_at) / _SECOND,
        left_s=(case.due_at - now) / _SECOND,
    )


def groups(cases: Sequence[Case], *, now: int) -> tuple[Group, ...]:
    """The kinds that have a case, the most severe first, then the one with the nearest deadline."""
    by_kind: dict[Kind, list[Line]] = {}
    for case in cases:
        by_kind.setdefault(case.kind, []).append(line(case, now=now))
    severities = list(Severity)
    found = [_group(kind, lines) for kind, lines in by_kind.items()]
    return tuple(
        sorted(
            found, key=lambda one: (severities.index(one.row.severity), one.lines[0].case.due_at, one.kind)
        )
    )


def money_of(cases: Sequence[Case]) -> dict[str, Decimal]:
    """Sums of what is at stake, by currency."""
    sums: dict[str, Decimal] = {}
    for case in cases:
        if case.amount is not None and case.currency is not None:
            sums = add(sums, {case.currency: case.amount})
    return sums


def choices(case: Case, *, person: str) -> tuple[Choice, ...]:
    """The decisions that fit the case now, as this person may take them."""
    proposal = case.proposal
    return tuple(
        Choice(
            resolution=one,
            row=RESOLUTIONS[one],
            two_persons=needs_second(one, case.entity),
            seconds=proposal is not None and proposal.resolution is one and proposal.by != person,
        )
        for one in case.offers
    )


def story(case: Case, journey: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What happened, sentence by sentence, for somebody who has never seen the ledger."""
    told: list[str] = []
    operation = _operation(case, journey)
    entity = plain(case.entity)
    if operation is not None:
        kind = plain(str(operation["kind"]))
        told.append(
            f"The caller {operation['client']} sent a {kind} of this {entity}, in {case.region}. "
            f"{label(str(operation['authority']))} is the authority there."
        )
        # The authority first: a mirror's part follows from it.
        told.extend(_side(line) for line in sorted(operation["deliveries"], key=lambda line: line["role"]))
    told.append(KINDS[case.kind].cause)
    if case.message:
        who = "The gateway" if case.system is None else label(case.system)
        told.append(f"{who}: “{case.message}”")
    if case.accepted_until is not None:
        told.append(f"The difference is accepted until {rfc3339(from_micros(case.accepted_until))[:10]}.")
    return tuple(told)


#: State of a delivery -> what it means for the system that it goes to.
_SIDES: Mapping[str, str] = {
    "applied": "has it",
    "rejected": "refused it",
    "parked": "does not have it, as far as is known; it waits for a person",
    "unknown": "may have it; it is being looked for",
    "sending": "is being sent it",
    "ready": "is to get it next",
    "blocked": "gets it when the authority has it",
    "superseded": "has a newer state of the record instead",
    "skipped": "does not get it",
}


def _side(delivery: Mapping[str, Any]) -> str:
    tries = int(delivery["attempt"])
    after = f", after {tries} attempts" if tries > 1 else ""
    return (
        f"{label(str(delivery['system']))}, the {delivery['role']}, {_SIDES[str(delivery['state'])]}{after}."
    )


def _operation(case: Case, journey: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if journey is None:
        return None
    return next((one for one in journey["operations"] if one["id"] == case.operation_id), None)


def _group(kind: Kind, lines: Sequence[Line]) -> Group:
    return Group(
        kind=kind,
        row=KINDS[kind],
        lines=tuple(lines),
        late=sum(one.standing == "late" for one in lines),
        money=money_of([one.case for one in lines]),
    )
