"""How the flow of writes is shown: systems with their words, a replay with its share, one write in the order of time.
Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec

from gateway.dispatch.dead_letters import Cause, Narrowed
from gateway.dispatch.flow import Target
from gateway.dispatch.replay_runs import Run

#: Filters that the address of the page carries, in the order in which they stand there.
NAMES = ("system", "entity", "region", "code", "cause")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """One system on the page."""

    target: Target
    health: str  #: up, down, or unknown: nobody has looked yet

    @property
    def word(self) -> str:
        """What a person reads of it first."""
        if self.health == "down":
            return "does not answer"
        if self.target.shut_s is not None:
            return "asks for a pause"
        return "answers" if self.health == "up" else "not looked at yet"

    @property
    def well(self) -> bool:
        return self.health == "up" and self.target.shut_s is None

    @property
    def calls(self) -> bool:
        """Whether somebody should look."""
        return bool(self.health == "down" or self.target.parked or self.target.unknown)


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a write's way: an event, or the begin or end of an attempt."""

    at: str
    what: str
    system: str | None = None
    detail: str | None = None


def cards(targets: Sequence[Target], health: Mapping[str, str]) -> tuple[Card, ...]:
    return tuple(Card(target=target, health=health.get(target.system, "unknown")) for target in targets)


def link(narrowed: Narrowed, path: str = "/console/flow", **changed: str | None) -> str:
    """The address of a view with some filters changed."""
    named = {**msgspec.structs.asdict(narrowed), **changed}
    query = {name: named[name] for name in NAMES if named.get(name)}
    return f"{path}?{urlencode(query)}" if query else path


def said(narrowed: Narrowed) -> str:
    """A filter in words."""
    named = msgspec.structs.asdict(narrowed)
    parts = [f"{name} {named[name]}" for name in NAMES if named[name]]
    return ", ".join(parts) if parts else "everything that waits"


def share(run: Run) -> int:
    """How much of a run is decided on, in whole percent; 100 only when it is all."""
    if run.total <= 0:
        return 100
    return min(100, run.done * 100 // run.total)


def replayable(causes: Sequence[Cause]) -> tuple[Cause, ...]:
    """Only mirrors' deliveries are sent again from here; what an authority has left open is decided as a case."""
    return tuple(cause for cause in causes if cause.role == "mirror")


def way(operation: Mapping[str, Any]) -> tuple[Step, ...]:
    """Every event and attempt of a write in the order of time; at one moment, an attempt begins before it ends."""
    systems = {line["id"]: line["system"] for line in operation["deliveries"]}
    steps = [
        (
            one["at"],
            1,
            Step(
                at=one["at"],
                what=one["event"],
                system=systems.get(one["delivery"]),
                detail=one["detail"],
            ),
        )
        for one in operation["events"]
    ]
    for line in operation["deliveries"]:
        for one in line["attempts"]:
            begun = Step(
                at=one["started_at"],
                what=f"attempt {one['number']} begins",
                system=line["system"],
            )
            steps.append((one["started_at"], 2, begun))
        for one in line["late"]:
            told = Step(
                at=one["at"],
                what=f"late word of attempt {one['number']}: {one['outcome']}",
                system=line["system"],
                detail=one["message"],
            )
            steps.append((one["at"], 3, told))
    return tuple(step for _, _, step in sorted(steps, key=lambda known: known[:2]))
