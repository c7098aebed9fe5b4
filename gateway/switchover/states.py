"""What may become of a switch, and of a change that is asked for at a time. Tables, and functions that read them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class SwitchState(StrEnum):
    REQUESTED = "requested"  #: waits for another person
    APPROVED = "approved"  #: may begin
    FENCING = "fencing"  #: waits for the slice's lock
    DRAINING = "draining"  #: writes are held; open deliveries of the old epoch are ending
    COMMITTED = "committed"
    ABORTED = "aborted"  #: the slice stays as it was


class SwitchEvent(StrEnum):
    APPROVED = "approved"
    BEGUN = "begun"
    FENCED = "fenced"
    DRAINED = "drained"
    GIVEN_UP = "given_up"


class IllegalSwitch(Exception):
    """This state does not know this event. The program is wrong, not the caller."""


_S, _E = SwitchState, SwitchEvent

# fmt: off
SWITCH_MOVES: Mapping[tuple[SwitchState, SwitchEvent], SwitchState] = {
    (_S.REQUESTED, _E.APPROVED): _S.APPROVED,
    (_S.APPROVED,  _E.BEGUN):    _S.FENCING,
    (_S.FENCING,   _E.BEGUN):    _S.FENCING,    # taken up again by another process
    (_S.FENCING,   _E.FENCED):   _S.DRAINING,
    (_S.DRAINING,  _E.DRAINED):  _S.COMMITTED,
    (_S.REQUESTED, _E.GIVEN_UP): _S.ABORTED,
    (_S.APPROVED,  _E.GIVEN_UP): _S.ABORTED,
    (_S.FENCING,   _E.GIVEN_UP): _S.ABORTED,
    (_S.DRAINING,  _E.GIVEN_UP): _S.ABORTED,
}
# fmt: on

#: Somebody carries these, or is to.
UNDER_WAY = frozenset({_S.APPROVED, _S.FENCING, _S.DRAINING})
ENDED = frozenset({_S.COMMITTED, _S.ABORTED})


def switch_after(state: SwitchState, event: SwitchEvent) -> SwitchState:
    """The state that ``event`` leads to. Raises IllegalSwitch for a pair that the table does not have."""
    try:
        return SWITCH_MOVES[state, event]
    except KeyError:
        raise IllegalSwitch(f"switch {state} does not know {event}") from None


class ScheduleState(StrEnum):
    REQUESTED = "requested"  #: waits for another person
    SCHEDULED = "scheduled"  #: waits for its time
    BEGUN = "begun"  #: a switch carries it through
    DONE = "done"
    REFUSED = "refused"  #: at its time something stood against it; the slice stays as it was
    CANCELLED = "cancelled"


class ScheduleEvent(StrEnum):
    APPROVED = "approved"
    BEGUN = "begun"
    DONE = "done"
    REFUSED = "refused"
    CANCELLED = "cancelled"


_C, _CE = ScheduleState, ScheduleEvent

# fmt: off
SCHEDULE_MOVES: Mapping[tuple[ScheduleState, ScheduleEvent], ScheduleState] = {
    (_C.REQUESTED, _CE.APPROVED):  _C.SCHEDULED,
    (_C.REQUESTED, _CE.REFUSED):   _C.REFUSED,    # its time has come, and nobody has approved it
    (_C.REQUESTED, _CE.CANCELLED): _C.CANCELLED,
    (_C.SCHEDULED, _CE.BEGUN):     _C.BEGUN,
    (_C.SCHEDULED, _CE.DONE):      _C.DONE,       # in one commit with the rule
    (_C.SCHEDULED, _CE.REFUSED):   _C.REFUSED,
    (_C.SCHEDULED, _CE.CANCELLED): _C.CANCELLED,
    (_C.BEGUN,     _CE.DONE):      _C.DONE,
    (_C.BEGUN,     _CE.REFUSED):   _C.REFUSED,    # its switch was aborted
}
# fmt: on


def schedule_after(state: ScheduleState, event: ScheduleEvent) -> ScheduleState:
    """The state that ``event`` leads to. Raises IllegalSwitch for a pair that the table does not have."""
    try:
        return SCHEDULE_MOVES[state, event]
    except KeyError:
        raise IllegalSwitch(f"scheduled change {state} does not know {event}") from None
