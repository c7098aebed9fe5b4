"""When a slice that the new system leads is to go back by itself: the guards of the rule files. Pure.

A guard names gates of readiness and how many windows in a row they may fail. A window *fails* when one of them fails,
whatever the others say; it *passes* when all of them pass. Anything else is *inconclusive*: too little is known, and
that neither counts as a failure nor lets earlier failures stand, so it never demotes; and no guard ever promotes. After
a guard has acted it rests for its hold time, whatever the slice does meanwhile: it does not flap.

A guard goes back as a whole, and never with the reads alone. No row of ``PLANS`` reads from one system and writes
first to the other, and none could without a change of the contract. A record's ``ETag`` is its version, which counts
writes: answered by the mirror it would name another document than the authority's, just where a guard has found that
the two part, and a write with that ``If-Match`` would be taken by a system whose record its caller has not seen. Lists
would lack what a caller was answered 201 for. And of the gates below lag, deliveries, unverifiable and next_authority
speak against the mirror, to which the reads would go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.canonical.values import Name
from gateway.routing.calendar import EVERYWHERE
from gateway.routing.cohort import plain
from gateway.routing.stage import Stage

#: Stages that are guarded, and where a guard leads back to.
GUARDED: Mapping[Stage, Stage] = {Stage.LIVE: Stage.SHADOW}

#: Gates that say how the slice is, and not how far its preparation has come.
GuardGate = Literal[
    "mismatches", "money", "unverifiable", "lag", "deliveries", "next_authority", "reconciliation"
]
Verdict = Literal["pass", "fail", "inconclusive"]


class Guard(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``then``: ``ask`` opens a switch back that waits for a person's approval; ``switch_back`` begins it."""

    name: Name
    regions: tuple[str, ...] = (EVERYWHERE,)
    entities: tuple[str, ...] = (EVERYWHERE,)
    gates: Annotated[tuple[GuardGate, ...], Meta(min_length=1)]
    windows: Annotated[int, Meta(ge=1, le=1000)] = 3
    window_minutes: Annotated[float, Meta(gt=0, le=1440)] = 10
    then: Literal["ask", "switch_back"] = "ask"
    hold_hours: Annotated[float, Meta(gt=0, le=8760)] = 24
    note: str = ""

    def covers(self, entity: str, region: str) -> bool:
        """Whether the guard is about this slice. One of a region is about its cohorts as well."""
        return bool({region, plain(region), EVERYWHERE} & set(self.regions)) and bool(
            {entity, EVERYWHERE} & set(self.entities)
        )


class Guards(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every guard of the firm; a slice has at most one."""

    guards: tuple[Guard, ...] = ()

    def of(self, entity: str, region: str) -> Guard | None:
        """The guard of the slice."""
        return next((guard for guard in self.guards if guard.covers(entity, region)), None)


def failing_after(before: int, verdict: Verdict) -> int:
    """Windows that have failed in a row, after one more."""
    return before + 1 if verdict == "fail" else 0


def acts(guard: Guard, *, failing: int, now: int, held_until: int | None) -> bool:
    """Whether the guard acts now: enough windows have failed in a row, and it does not rest. Moments are microseconds
    UTC."""
    return failing >= guard.windows and (held_until is None or held_until <= now)


def misplaced(guards: Iterable[Guard], regions: Iterable[str], entities: Iterable[str]) -> str | None:
    """The first thing that is wrong with these guards, with its place; None: nothing."""
    places, names = tuple(regions), tuple(entities)
    known = {"regions": {*places, EVERYWHERE}, "entities": {*names, EVERYWHERE}}
    taken: dict[tuple[str, str], str] = {}
    for number, guard in enumerate(guards):
        for field, allowed in known.items():
            for value in getattr(guard, field):
                if value not in allowed:
                    return f"guards[{number}].{field}: {value!r} is none of {', '.join(sorted(allowed))}"
        for slice_ in (
            (entity, region) for entity in names for region in places if guard.covers(entity, region)
        ):
            if slice_ in taken:
                return f"guards[{number}]: {slice_[0]} in {slice_[1]} has a guard already, {taken[slice_]!r}"
            taken[slice_] = guard.name
    return None
