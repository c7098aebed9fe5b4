"""What may become of an operation and of a delivery. Tables, and a function that reads them.

The numbers are those of the ledger's specification. A pair that is not here cannot happen; asking for it raises
``IllegalMove``, which is a fault of this program and never an answer to a caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class OperationState(StrEnum):
    HELD = "held"  #: accepted, and waits for a move of authority to end
    ACCEPTED = "accepted"  #: on disk, on its way to the authority
    COMMITTED = "committed"  #: the authority has applied it; mirrors are under way
    SETTLED = "settled"  #: every system that should have it has it
    ATTENTION = "attention"  #: applied by the authority, and a mirror delivery waits for a person
    UNRESOLVED = "unresolved"  #: whether the authority took it could not be found out; a person decides
    STRANDED = "stranded"  #: an emergency cut it off while nobody knew whether the authority took it; it has a case
    REJECTED = "rejected"  #: refused; no system has it
    CANCELLED = "cancelled"  #: withdrawn before anything was sent


class DeliveryState(StrEnum):
    BLOCKED = "blocked"  #: a mirror's, until the authority has applied the write
    READY = "ready"
    SENDING = "sending"
    UNKNOWN = "unknown"  #: sent, and nobody knows whether it was applied; the lane is held
    APPLIED = "applied"
    REJECTED = "rejected"
    PARKED = "parked"  #: needs a person
    SUPERSEDED = "superseded"  #: a newer state of the same record went instead
    SKIPPED = "skipped"


class OperationEvent(StrEnum):
    RELEASED = "released"
    APPLIED = "applied"
    REJECTED = "rejected"
    GAVE_UP = "gave_up"
    MIRRORS_DONE = "mirrors_done"
    MIRROR_PARKED = "mirror_parked"
    CANCELLED = "cancelled"
    SENT_AGAIN = "sent_again"  #: it was found that the authority did not take it
    RECALLED = "recalled"  #: an emergency takes back what was never sent; it goes to the authority that is to come
    CUT_OFF = "cut_off"  #: an emergency leaves its authority, and what it did there is open


class DeliveryEvent(StrEnum):
    UNBLOCKED = "unblocked"
    CLAIMED = "claimed"
    APPLIED = "applied"
    DEFINITE_NO = "definite_no"
    AMBIGUOUS = "ambiguous"
    LEASE_EXPIRED = "lease_expired"
    REFUSED_AUTHORITY = "refused_authority"
    REFUSED_MIRROR = "refused_mirror"
    FOUND = "found"
    PROVEN_ABSENT = "proven_absent"
    LOOKED = "looked"
    GAVE_UP = "gave_up"
    OVERTAKEN = "overtaken"
    REPLAYED = "replayed"
    POISONED = "poisoned"
    OPERATION_ENDED = "operation_ended"
    SAID_APPLIED = "said_applied"  #: a person says that it is there; a look is to confirm it
    SAID_REFUSED = "said_refused"  #: a person has found that it is not there, and it is not to be sent again
    DIVERGENCE_ACCEPTED = "divergence_accepted"
    RECALLED = "recalled"  #: an emergency takes back what was never sent
    CUT_OFF = "cut_off"  #: an emergency leaves this system, and whether it took the write is open
    BACK = "back"  #: the system that was left answers again; a look is to settle what it did


class IllegalMove(Exception):
    """This state does not know this event. The program is wrong, not the caller."""


_O, _OE = OperationState, OperationEvent
_D, _DE = DeliveryState, DeliveryEvent

# fmt: off
OPERATION_MOVES: Mapping[tuple[OperationState, OperationEvent], OperationState] = {
    (_O.HELD,       _OE.RELEASED):      _O.ACCEPTED,    # O5  the move of authority has ended
    (_O.HELD,       _OE.CANCELLED):     _O.CANCELLED,   # O16 nothing was ever sent
    (_O.HELD,       _OE.REJECTED):      _O.REJECTED,    # O6
    (_O.ACCEPTED,   _OE.APPLIED):       _O.COMMITTED,   # O7
    (_O.ACCEPTED,   _OE.REJECTED):      _O.REJECTED,    # O8
    (_O.ACCEPTED,   _OE.GAVE_UP):       _O.UNRESOLVED,  # O10
    (_O.ACCEPTED,   _OE.CANCELLED):     _O.CANCELLED,   # O16
    (_O.UNRESOLVED, _OE.APPLIED):       _O.COMMITTED,   # O11 a probe found it after all
    (_O.UNRESOLVED, _OE.GAVE_UP):       _O.UNRESOLVED,  # O11 a person said so, and no probe confirmed it
    (_O.UNRESOLVED, _OE.SENT_AGAIN):    _O.ACCEPTED,    # O12 not applied, and sent again
    (_O.UNRESOLVED, _OE.REJECTED):      _O.REJECTED,    # O12 not applied, and not to be
    (_O.ACCEPTED,   _OE.RECALLED):      _O.HELD,        #     never sent: O5 follows, under the epoch to come
    (_O.ACCEPTED,   _OE.CUT_OFF):       _O.STRANDED,    # O17
    (_O.UNRESOLVED, _OE.CUT_OFF):       _O.STRANDED,    # O17 nobody knew before either
    (_O.STRANDED,   _OE.APPLIED):       _O.COMMITTED,   # O18 the system is back, and has it
    (_O.STRANDED,   _OE.GAVE_UP):       _O.STRANDED,    # O18 a look that leaves it to a person
    (_O.STRANDED,   _OE.SENT_AGAIN):    _O.ACCEPTED,    # O18 not applied: it goes to the authority of now
    (_O.STRANDED,   _OE.REJECTED):      _O.REJECTED,    # O18 not applied, and not to be
    (_O.COMMITTED,  _OE.MIRRORS_DONE):  _O.SETTLED,     # O13
    (_O.COMMITTED,  _OE.MIRROR_PARKED): _O.ATTENTION,   # O14
    (_O.ATTENTION,  _OE.MIRROR_PARKED): _O.ATTENTION,   # O14 a second mirror
    (_O.ATTENTION,  _OE.MIRRORS_DONE):  _O.SETTLED,     # O15
}

DELIVERY_MOVES: Mapping[tuple[DeliveryState, DeliveryEvent], DeliveryState] = {
    (_D.BLOCKED, _DE.UNBLOCKED):         _D.READY,       # D1
    (_D.READY,   _DE.CLAIMED):           _D.SENDING,     # D3
    (_D.SENDING, _DE.APPLIED):           _D.APPLIED,     # D4
    (_D.SENDING, _DE.DEFINITE_NO):       _D.READY,       # D5
    (_D.SENDING, _DE.AMBIGUOUS):         _D.UNKNOWN,     # D6
    (_D.SENDING, _DE.LEASE_EXPIRED):     _D.UNKNOWN,     # D6  whoever held the lease may have sent
    (_D.SENDING, _DE.REFUSED_AUTHORITY): _D.REJECTED,    # D7
    (_D.SENDING, _DE.REFUSED_MIRROR):    _D.PARKED,      # D7
    (_D.UNKNOWN, _DE.FOUND):             _D.APPLIED,     # D8
    (_D.UNKNOWN, _DE.PROVEN_ABSENT):     _D.READY,       # D9
    (_D.UNKNOWN, _DE.LOOKED):            _D.UNKNOWN,     #     a look that settled nothing
    (_D.UNKNOWN, _DE.GAVE_UP):           _D.PARKED,      # D10
    (_D.READY,   _DE.OVERTAKEN):         _D.SUPERSEDED,  # D11
    (_D.BLOCKED, _DE.OVERTAKEN):         _D.SUPERSEDED,  # D11
    (_D.PARKED,  _DE.OVERTAKEN):         _D.SUPERSEDED,  # D11
    (_D.PARKED,  _DE.REPLAYED):          _D.READY,       # D12
    (_D.PARKED,  _DE.SAID_APPLIED):      _D.UNKNOWN,     # O11
    (_D.PARKED,  _DE.SAID_REFUSED):      _D.REJECTED,    # O12
    (_D.PARKED,  _DE.DIVERGENCE_ACCEPTED): _D.SKIPPED,   # D13
    (_D.READY,   _DE.POISONED):          _D.PARKED,      # D14
    (_D.READY,   _DE.RECALLED):          _D.BLOCKED,     # O17 never sent; it waits for the move to end
    (_D.READY,   _DE.CUT_OFF):           _D.PARKED,      # O17 an earlier attempt may still land
    (_D.SENDING, _DE.CUT_OFF):           _D.PARKED,      # O17 the lane stays held
    (_D.UNKNOWN, _DE.CUT_OFF):           _D.PARKED,      # O17 the lane stays held
    (_D.PARKED,  _DE.CUT_OFF):           _D.PARKED,      # O17 of an unresolved operation
    (_D.PARKED,  _DE.BACK):              _D.UNKNOWN,     # O18 looked for, one by one
    (_D.READY,   _DE.OPERATION_ENDED):   _D.SKIPPED,     # D15
    (_D.BLOCKED, _DE.OPERATION_ENDED):   _D.SKIPPED,     # D15
    (_D.PARKED,  _DE.OPERATION_ENDED):   _D.SKIPPED,     # D15
}
# fmt: on

#: Nothing more happens to these by themselves.
OPERATION_ENDS = frozenset({_O.SETTLED, _O.REJECTED, _O.CANCELLED})
#: The authority's part is over: the caller has, or can have, a final answer.
OPERATION_ANSWERED = frozenset({_O.COMMITTED, _O.SETTLED, _O.ATTENTION, _O.REJECTED, _O.CANCELLED})
#: A delivery in one of these still has something to do, by a loop or by a person.
DELIVERY_OPEN = frozenset({_D.BLOCKED, _D.READY, _D.SENDING, _D.UNKNOWN, _D.PARKED})
DELIVERY_DONE = frozenset({_D.APPLIED, _D.SUPERSEDED, _D.SKIPPED})


def operation_after(state: OperationState, event: OperationEvent) -> OperationState:
    """The state that ``event`` leads to. Raises IllegalMove for a pair that the table does not have."""
    try:
        return OPERATION_MOVES[state, event]
    except KeyError:
        raise IllegalMove(f"operation {state} does not know {event}") from None


def delivery_after(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """The state that ``event`` leads to. Raises IllegalMove for a pair that the table does not have."""
    try:
        return DELIVERY_MOVES[state, event]
    except KeyError:
        raise IllegalMove(f"delivery {state} does not know {event}") from None
