"""A feed as people and programs see it. Pure."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class State(StrEnum):
    """What a feed does. Only *following* and *behind* see edits."""

    FOLLOWING = "following"
    BEHIND = "behind"  #: it works, and has not come to the end of what it has to read for a while
    FAILING = "failing"  #: its last try failed
    NOT_STARTED = "not_started"  #: no worker has taken it up yet
    NOT_AVAILABLE = (
        "not_available"  #: the system's profile cannot list what has changed, or does not hold the entity
    )
    NOT_PAIRED = "not_paired"  #: the slice keeps one system, so there is nowhere to carry an edit to
    OFF = "off"  #: the settings say so


#: States in which a worker reads the feed, or ought to.
FOLLOWED = frozenset({State.FOLLOWING, State.BEHIND, State.FAILING})
STATES: tuple[str, ...] = tuple(state.value for state in State)


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """Edits made in one system, of one entity and region. Moments are microseconds UTC. ``lag_s``: seconds since
    which nothing is known of the system; None where the feed has never read it."""

    system: str
    entity: str
    region: str
    state: State
    why: str | None = None
    cursor_at: int | None = None
    read_at: int | None = None
    lag_s: float | None = None
    seen: int = 0
    echoes: int = 0
    carried: int = 0
    reverted: int = 0
    conflicts: int = 0
    unlinked: int = 0
    waiting: int = 0
    open_conflicts: int = 0
