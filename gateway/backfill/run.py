"""A backfill as people and programs see it, and the moves that it may make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class State(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    VERIFYING = "verifying"  #: everything is taken; deliveries and comparisons are waited for
    CANCELLED = "cancelled"
    DONE = "done"
    FAILED = "failed"


class Act(StrEnum):
    """What a person may do to a run."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


class Outcome(StrEnum):
    """What became of a record of the source. The value is the name of the run's counter too."""

    PRESENT = "present"  #: linked before; never written to
    LINKED = "linked"
    CREATED = "created"  #: a delivery into the target was made
    AMBIGUOUS = "ambiguous"  #: a person has it
    BLOCKED = "blocked"  #: refers to a record that the target does not hold
    SUPERSEDED = "superseded"  #: a live write brings it


_S, _A = State, Act

# fmt: off
#: (state, act) -> state; a pair that leads to where the run is changes nothing, and one that is not here is refused.
ACTS: Mapping[tuple[State, Act], State] = {
    (_S.RUNNING,   _A.PAUSE):  _S.PAUSED,
    (_S.PAUSED,    _A.PAUSE):  _S.PAUSED,
    (_S.PAUSED,    _A.RESUME): _S.RUNNING,
    (_S.RUNNING,   _A.RESUME): _S.RUNNING,
    (_S.RUNNING,   _A.CANCEL): _S.CANCELLED,
    (_S.PAUSED,    _A.CANCEL): _S.CANCELLED,
    (_S.VERIFYING, _A.CANCEL): _S.CANCELLED,
    (_S.CANCELLED, _A.CANCEL): _S.CANCELLED,
}
# fmt: on
STATES: tuple[str, ...] = tuple(state.value for state in State)
OUTCOMES: tuple[str, ...] = tuple(outcome.value for outcome in Outcome)
#: Somebody works on these.
WORKED = (State.RUNNING.value, State.VERIFYING.value)
#: What still has something to do, by a loop or by a person.
OPEN = (*WORKED, State.PAUSED.value)
#: Of what the target bears, the part that a backfill takes at most.
SHARE = 0.2
#: Calls a second that one place of a system's ``concurrency`` is taken to bear where the profile names no rate: a call
#: of a hosted ERP takes 100 ms or more.
CALLS_A_PLACE = 10.0


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One backfill of one slice. Moments are microseconds UTC. The last three counters are None until verified."""

    id: str
    entity: str
    region: str
    source: str
    target: str
    stage: str
    state: State
    phase: str
    actor: str
    reason: str | None
    total: int
    read: int
    linked: int
    created: int
    present: int
    ambiguous: int
    blocked: int
    superseded: int
    failed: int | None
    differs: int | None
    unlinked: int | None
    note: str | None
    created_at: int
    updated_at: int
    ended_at: int | None
    ended_by: str | None

    @property
    def remaining(self) -> int:
        """Records that are still to be taken, by what the source listed at the beginning."""
        return 0 if self.phase == "verify" else max(0, self.total - self.read)

    @property
    def per_s(self) -> float:
        """Records taken a second, since it began."""
        return self.read / max(1.0, (self.updated_at - self.created_at) / 1_000_000)

    @property
    def complete(self) -> bool:
        """Verified, and nothing is missing or differs."""
        return self.state is State.DONE and not (self.failed or self.differs or self.unlinked)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record of the source. ``delivery_state`` is where the write into the target stands now, and
    ``case_id`` the newest case about it; ``why`` is what a person reads: ours, or the target's where it refused."""

    record_id: str
    outcome: Outcome
    why: str | None = None
    delivery_id: str | None = None
    delivery_state: str | None = None
    case_id: str | None = None


def rate(requests_per_second: float | None, concurrency: int) -> float:
    """Calls a second that a backfill may make in a system with these limits."""
    return SHARE * (requests_per_second or CALLS_A_PLACE * concurrency)


def places(concurrency: int) -> int:
    """Calls that it may have in flight there at once."""
    return max(1, int(SHARE * concurrency))
