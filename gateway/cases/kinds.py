"""What can go wrong, and how a person may decide it. Tables, and the functions that read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, cast

import msgspec

from gateway.ledger.states import DELIVERY_OPEN, DeliveryState


class Kind(StrEnum):
    UNKNOWN_OUTCOME = "unknown_outcome"
    PARKED_DELIVERY = "parked_delivery"
    POISON = "poison"
    DUPLICATE_EFFECT = "duplicate_effect"
    REFUSED_AFTER_ACCEPTANCE = "refused_after_acceptance"
    COLLISION = "collision"
    REFERENCE_MISSING = "reference_missing"
    AMBIGUOUS_MATCH = "ambiguous_match"
    STRANDED = "stranded"
    GUARD = "guard"
    SCHEDULE_REFUSED = "schedule_refused"
    OWNERSHIP_CONFLICT = "ownership_conflict"
    EDIT_LOOP = "edit_loop"
    EDIT_REFUSED = "edit_refused"
    REPAIR_BY_PERSON = "repair_by_person"


class Resolution(StrEnum):
    APPLIED = "applied"
    NOT_APPLIED_RESEND = "not_applied_resend"
    NOT_APPLIED_REFUSE = "not_applied_refuse"
    REPLAY = "replay"
    ACCEPT_DIVERGENCE = "accept_divergence"
    CARRY_OVER = "carry_over"
    REVERT = "revert"
    DISMISS = "dismiss"


class Severity(StrEnum):
    URGENT = "urgent"  #: money may be in the books twice
    HIGH = "high"  #: a caller, or the books, may hold something that is not so
    MEDIUM = "medium"  #: one system is behind


class KindRow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of case. ``title`` and ``cause`` are read by finance people, ``remedy`` is what to do first."""

    title: str
    severity: Severity
    owner: str  #: the role that has it until a person takes it
    hours: int  #: from opening to deadline
    offers: tuple[Resolution, ...]
    cause: str
    remedy: str


class ResolutionRow(msgspec.Struct, frozen=True, kw_only=True):
    """One way to decide. ``role``: only for deliveries to that side. ``waiting``: the delivery must still wait for a
    person; otherwise it must not."""

    title: str
    role: str | None
    waiting: bool
    two_persons: bool  #: where money is at stake, a second person decides the same
    until: bool  #: needs the moment at which it ends
    meaning: str


_R, _S = Resolution, Severity
_FINANCE, _INTEGRATION = "finance", "integration"

# fmt: off
KINDS: Mapping[Kind, KindRow] = {
    kind: KindRow(title=title, severity=severity, owner=owner, hours=hours, offers=offers, cause=cause, remedy=remedy)
    for kind, title, severity, owner, hours, offers, cause, remedy in (
        # kind                         title                       severity   owner         hours
        (Kind.UNKNOWN_OUTCOME,          "Outcome unknown",          _S.HIGH,   _INTEGRATION,  4,
         (_R.APPLIED, _R.NOT_APPLIED_RESEND, _R.NOT_APPLIED_REFUSE, _R.REPLAY, _R.ACCEPT_DIVERGENCE),
         "The system was sent this write and never said whether it took it, and looking for it settled nothing.",
         "Look for the record in the system, by its reference or its content, then say what you found."),
        (Kind.PARKED_DELIVERY,          "Refused by the mirror",    _S.MEDIUM, _FINANCE,     24,
         (_R.REPLAY, _R.ACCEPT_DIVERGENCE),
         "The authority has this write and its caller was told so; the other system refused it and is behind.",
         "Correct in the other system what it complains about, then send the write again."),
        (Kind.POISON,                   "Cannot be sent",           _S.HIGH,   _INTEGRATION,  8,
         (_R.APPLIED, _R.NOT_APPLIED_RESEND, _R.NOT_APPLIED_REFUSE, _R.REPLAY, _R.ACCEPT_DIVERGENCE),
         "Sending this write has failed several times in a row in a way that says nothing about the write itself.",
         "Have the program's log looked at first; sent again as it is, it may fail in the same way."),
        (Kind.DUPLICATE_EFFECT,         "In the books twice",       _S.URGENT, _FINANCE,      4,
         (_R.APPLIED, _R.NOT_APPLIED_REFUSE, _R.ACCEPT_DIVERGENCE, _R.DISMISS),
         "One write stands in the system more than once, each time with the same reference.",
         "Cancel the surplus record in the system, by its own rules, then say that the write was applied."),
        (Kind.REFUSED_AFTER_ACCEPTANCE, "Refused after acceptance", _S.HIGH,   _FINANCE,      8,
         (_R.DISMISS,),
         "The caller was told that this write is accepted. The authority refused it afterwards, so it is nowhere.",
         "Tell the owner of the source system, have it corrected there and sent as a new write, then close the case."),
        (Kind.COLLISION,                "Belongs to another",       _S.HIGH,   _INTEGRATION,  8,
         (_R.REPLAY, _R.NOT_APPLIED_REFUSE, _R.ACCEPT_DIVERGENCE, _R.DISMISS),
         "The system answered with a record of its own that already belongs to another record here.",
         "Find out which of the two records it is. The one that is not needs a record of its own in the system."),
        (Kind.REFERENCE_MISSING,        "Waits for another record", _S.MEDIUM, _INTEGRATION, 24,
         (_R.REPLAY, _R.ACCEPT_DIVERGENCE),
         "This write refers to a record that the other system does not hold, and has waited for it for a day.",
         "Bring the missing record into the other system, then send this write again."),
        (Kind.AMBIGUOUS_MATCH,          "Fits several records",     _S.HIGH,   _FINANCE,     24,
         (_R.REPLAY, _R.ACCEPT_DIVERGENCE),
         "The other system holds several records that this one may be, and the gateway never guesses which.",
         "Leave one of them in the other system, by its own rules, then send the write again: it goes to that one."),
        (Kind.STRANDED,                 "Cut off by an emergency",  _S.HIGH,   _FINANCE,     24,
         (_R.APPLIED, _R.NOT_APPLIED_RESEND, _R.NOT_APPLIED_REFUSE),
         "The system failed with this write under way, and its slice was switched back before it said what it did.",
         "It is looked for when the system is back. What stands in the books waits for you: say what you found there."),
        (Kind.GUARD,                    "A guard goes back",        _S.HIGH,   _INTEGRATION,  4,
         (_R.DISMISS,),
         "Gates of this slice have failed for as long as its guard allows, so it goes back to the system before.",
         "Look at the switch back and at the gates in readiness. Close the case when what failed is mended."),
        (Kind.SCHEDULE_REFUSED,         "Scheduled change refused", _S.HIGH,   _INTEGRATION,  8,
         (_R.DISMISS,),
         "A change of this slice was to be made at its time, and something stood against it: the slice is as it was.",
         "Settle what stands against it and ask again. It closes by itself once the slice is what it was to be."),
        (Kind.OWNERSHIP_CONFLICT,       "Edited in the wrong place", _S.HIGH,  _FINANCE,     24,
         (_R.CARRY_OVER, _R.REVERT, _R.DISMISS),
         "Somebody has edited this record in a system that does not own the field, or in both systems differently.",
         "Ask who made the edit which value is right. Carry the edit over, or put back what the other system holds."),
        (Kind.EDIT_LOOP,                "Edited to and fro",        _S.HIGH,   _INTEGRATION,  8,
         (_R.CARRY_OVER, _R.REVERT, _R.DISMISS),
         "The systems change this record in turn, or one of them very often. Its edits are not carried over any more.",
         "Find the rule or job in the system that changes the record by itself, switch it off, then decide the rest."),
        (Kind.EDIT_REFUSED,             "Edit refused",             _S.MEDIUM, _FINANCE,     24,
         (_R.DISMISS,),
         "An edit made in the other system was to be carried over, and the authority refused it: the two differ.",
         "Correct the record in one of the systems, by its own rules; that is carried over; then close the case."),
        (Kind.REPAIR_BY_PERSON,         "Repair by hand",           _S.HIGH,   _FINANCE,     24,
         (_R.DISMISS,),
         "A repair was approved for this record, and it is one that the gateway never repairs by itself.",
         "Correct it by the rules of the system that is wrong, by a posting or by hand, then close the case."),
    )
}

RESOLUTIONS: Mapping[Resolution, ResolutionRow] = {
    resolution: ResolutionRow(title=title, role=role, waiting=waiting, two_persons=two, until=until, meaning=meaning)
    for resolution, title, role, waiting, two, until, meaning in (
        # resolution             title                     role         waiting two    until
        (_R.APPLIED,             "It was applied",         None,        True,  False, False,
         "The system has it. It is looked for once more, and counts as applied when that finds it."),
        (_R.NOT_APPLIED_RESEND,  "Not applied: send it",   "authority", True,  True,  False,
         "The authority does not have it. It is sent again, with the same reference, to the authority of now."),
        (_R.NOT_APPLIED_REFUSE,  "Not applied: refuse it", "authority", True,  True,  False,
         "The authority does not have it and is not to get it. The write ends as refused, in every system."),
        (_R.REPLAY,              "Send it again",          "mirror",    True,  False, False,
         "The other system gets it once more, with the same reference."),
        (_R.ACCEPT_DIVERGENCE,   "Accept the difference",  "mirror",    True,  True,  True,
         "The other system goes without this write. The difference counts as known until the day that you name."),
        (_R.CARRY_OVER,          "Carry the edit over",    None,        False, True,  False,
         "The other system gets the edit as well, on top of what the record is now."),
        (_R.REVERT,              "Put it back",            None,        False, True,  False,
         "The system where the edit was made gets back what the other system holds."),
        (_R.DISMISS,             "Close it",               None,        False, False, False,
         "Nothing waits in the gateway any more; what was to be done is done."),
    )
}

#: Kinds that are about an edit made in a system itself, which is held until it is decided.
EDITS = frozenset({Kind.OWNERSHIP_CONFLICT, Kind.EDIT_LOOP})

#: Kinds that are about a plan and say nothing of the slice's records: no evidence for a move, or against one.
ABOUT_PLANS = frozenset({Kind.SCHEDULE_REFUSED})

#: entity -> the field of its document that says how much money a case about it holds up.
STAKES: Mapping[str, str] = {
    "invoice": "total",
    "payment": "amount",
    "expense": "amount",
}

#: What a delivery was parked with -> the kind of its case; anything else follows from its role.
_CODES: Mapping[str, Kind] = {
    "ambiguous_match":   Kind.AMBIGUOUS_MATCH,
    "collision":         Kind.COLLISION,
    "duplicate_effect":  Kind.DUPLICATE_EFFECT,
    "poison":            Kind.POISON,
    "reference_missing": Kind.REFERENCE_MISSING,
    "stranded":          Kind.STRANDED,
    "stranded_absent":   Kind.STRANDED,
    "stranded_person":   Kind.STRANDED,
    "unresolved":        Kind.UNKNOWN_OUTCOME,
}
# fmt: on


def kind_of(code: str | None, role: str) -> Kind:
    """The kind of case for a delivery that was parked with ``code``."""
    return _CODES.get(code or "", Kind.PARKED_DELIVERY if role == "mirror" else Kind.UNKNOWN_OUTCOME)


def offered(kind: Kind, *, role: str | None, delivery_state: str | None) -> tuple[Resolution, ...]:
    """Those resolutions of the kind that fit its delivery as it is now; None where the case is about none."""
    waiting = delivery_state == DeliveryState.PARKED.value
    under_way = not waiting and delivery_state in {state.value for state in DELIVERY_OPEN}
    return tuple(
        resolution
        for resolution in KINDS[kind].offers
        if (row := RESOLUTIONS[resolution]).role in (None, role) and row.waiting == waiting and not under_way
    )


def needs_second(resolution: Resolution, entity: str) -> bool:
    """Whether a second person has to decide the same before it is done."""
    return RESOLUTIONS[resolution].two_persons and entity in STAKES


def stake(entity: str, document: Mapping[str, Any] | None) -> tuple[Decimal, str] | None:
    """Amount and currency that a case about this document holds up; None where it is not about money."""
    name = STAKES.get(entity)
    money = None if name is None or document is None else document.get(name)
    if not isinstance(money, Mapping):
        return None
    fields = cast("Mapping[str, Any]", money)
    return Decimal(str(fields["amount"])), str(fields["currency"])
