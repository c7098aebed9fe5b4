"""A repair as people and programs see it, and the moves that it may make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from gateway.compare.difference import DifferenceClass
from gateway.compare.observation import Sample


class State(StrEnum):
    PLANNING = "planning"  #: each record is looked at; nothing is written anywhere
    PLANNED = "planned"  #: a dry run: it ends here unless somebody asks for it
    REQUESTED = "requested"  #: waits for another person
    RUNNING = "running"  #: approved; chunk after chunk goes into the ledger
    VERIFYING = "verifying"  #: everything is written; deliveries and comparisons are waited for
    DONE = "done"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  #: nobody has approved it in time
    FAILED = "failed"


class Act(StrEnum):
    """What a person may do to a repair."""

    REQUEST = "request"
    APPROVE = "approve"
    CANCEL = "cancel"


class Action(StrEnum):
    """What a look at a record has found is to be done."""

    CREATE = "create"  #: the mirror does not hold it: it gets the whole record
    LINK = "link"  #: the mirror holds it, and exactly one record there fits: nothing is written to it
    UPDATE = "update"  #: the mirror gets the fields that part
    AMBIGUOUS = "ambiguous"  #: several records of the mirror fit: a person says which
    PERSON = "person"  #: posted, only in the mirror, or in a state that leads nowhere: never written by a program
    BLOCKED = "blocked"  #: refers to a record that the mirror does not hold, or cannot be read or written there
    NOTHING = "nothing"  #: the difference is gone, or a write or a person has it already


class Outcome(StrEnum):
    """What became of a record."""

    PLANNED = "planned"  #: nothing yet
    WRITTEN = "written"  #: its delivery is on its way, or it is to be compared still
    REPAIRED = "repaired"  #: the mirror has taken it, and both sides were compared anew
    LINKED = "linked"
    SUPERSEDED = "superseded"  #: it is not as it was when it was planned, or something newer brings it
    PERSON = "person"  #: a case has it
    FAILED = "failed"  #: the mirror has refused it, it differs still, or it could not be written


_S, _A = State, Act

# fmt: off
#: (state, act) -> state; a pair that leads to where the repair is changes nothing, and one that is not here is refused.
ACTS: Mapping[tuple[State, Act], State] = {
    (_S.PLANNED,   _A.REQUEST): _S.REQUESTED,
    (_S.REQUESTED, _A.APPROVE): _S.RUNNING,
    (_S.PLANNING,  _A.CANCEL):  _S.CANCELLED,
    (_S.PLANNED,   _A.CANCEL):  _S.CANCELLED,
    (_S.REQUESTED, _A.CANCEL):  _S.CANCELLED,
    (_S.RUNNING,   _A.CANCEL):  _S.CANCELLED,
    (_S.VERIFYING, _A.CANCEL):  _S.CANCELLED,
    (_S.CANCELLED, _A.CANCEL):  _S.CANCELLED,
}
# fmt: on
STATES: tuple[str, ...] = tuple(state.value for state in State)
ACTIONS: tuple[str, ...] = tuple(action.value for action in Action)
OUTCOMES: tuple[str, ...] = tuple(outcome.value for outcome in Outcome)
#: Somebody works on these; a request that is not approved in time is ended.
WORKED = (State.PLANNING.value, State.REQUESTED.value, State.RUNNING.value, State.VERIFYING.value)
#: Something is written into a system for these.
WRITING = frozenset({Action.CREATE, Action.UPDATE})
#: A record that is planned so may still become what a look finds later: nothing is written to a system for any of it.
HARMLESS = frozenset({Action.LINK, Action.AMBIGUOUS, Action.PERSON})


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which unexplained differences of a reconciliation a repair is about; an empty part: all of them."""

    classes: tuple[DifferenceClass, ...] = ()
    fields: tuple[str, ...] = ()  #: as ``lines[].amount``, or the field that it is in, as ``lines``
    records: tuple[str, ...] = ()


class Repair(msgspec.Struct, frozen=True, kw_only=True):
    """One repair of one slice. Moments are microseconds UTC. ``plan_hash``: SHA-256 of what would be written where,
    once it is planned. ``planned``: records by action, ``money``: at stake by currency in what would be written,
    ``outcomes``: records by what became of them."""

    id: str
    reconciliation: str
    entity: str
    region: str
    source: str
    target: str
    stage: str
    epoch: int
    state: State
    dry_run: bool
    actor: str
    reason: str | None
    chosen: Chosen
    total: int
    looked: int
    planned: Mapping[Action, int]
    money: Mapping[str, Decimal]
    plan_hash: str | None
    outcomes: Mapping[Outcome, int]
    note: str | None
    requested_by: str | None
    requested_at: int | None
    expires_at: int | None
    approved_by: str | None
    approved_at: int | None
    created_at: int
    updated_at: int
    ended_at: int | None
    ended_by: str | None

    @property
    def writes(self) -> int:
        """Records that something would be, or is, written for."""
        return sum(self.planned.get(action, 0) for action in WRITING)

    @property
    def taken(self) -> int:
        """Records that have been carried out, or were found to need nothing any more."""
        return self.total - self.outcomes.get(Outcome.PLANNED, 0) if self.approved_at is not None else 0

    @property
    def complete(self) -> bool:
        """Seen through, and nothing was refused or is left to a person."""
        left = self.outcomes.get(Outcome.FAILED, 0) + self.outcomes.get(Outcome.PERSON, 0)
        return self.state is State.DONE and not left


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One field that would be written: what the target shows, and what it gets. Of a personal value only its keyed hash
    is kept."""

    field: str
    before: Any = msgspec.field(name="from")
    after: Any = msgspec.field(name="to")


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a repair: what is planned, with ``digest`` over all of it, and what became of it. ``native_id``:
    how the target calls it. ``deliveries``: the writes into the target, in their order."""

    record_id: str
    kind: str
    action: Action
    outcome: Outcome
    why: str | None
    native_id: str | None
    digest: str
    changes: tuple[Change, ...]
    money: Mapping[str, Decimal]
    deliveries: tuple[str, ...] = ()
    delivery_state: str | None = None
    case_id: str | None = None


def changes_of(found: tuple[Sample, ...]) -> tuple[Change, ...]:
    """Differences as they would be written over."""
    return tuple(Change(field=one.path or "(record)", before=one.other, after=one.authority) for one in found)
