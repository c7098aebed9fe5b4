"""The stage table as pages print it, and the stages that a slice may go to. Made from PLANS and TRANSITIONS,
never beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage, System
from gateway.routing.transition import GATES, gates, is_fenced, moves_authority, new_violations

Role = Literal["authority", "compared", "mirror", "off"]


class StageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One stage in the words of the stage table."""

    stage: Stage
    first: System  #: answers reads, takes writes first
    compared: System | None
    then: System | None  #: gets each write afterwards, durably

    def role(self, system: str) -> Role:
        """What the system does in this stage, its strongest role first."""
        if system == self.first:
            return "authority"
        if system == self.compared:
            return "compared"
        return "mirror" if system == self.then else "off"


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One stage that a person may pick for a slice, and what stands before it."""

    row: StageRow
    forward: bool
    leap: bool  #: leaves out a stage, so it needs an override
    moves_authority: bool
    fenced: bool  #: waits until open deliveries have ended
    gates: tuple[tuple[str, str], ...]  #: name, and what must be none
    breaks: tuple[str, ...]  #: the dependencies that it would break, as things stand


#: In the order of the way.
STAGES: tuple[StageRow, ...] = tuple(
    StageRow(stage=stage, first=plan.authority, compared=plan.shadow_read, then=plan.mirror)
    for stage, plan in PLANS.items()
)
BY_STAGE: Mapping[Stage, StageRow] = {row.stage: row for row in STAGES}


def choices(stages: Mapping[tuple[str, str], Stage], entity: str, region: str) -> tuple[Choice, ...]:
    """Every other stage for the slice: the neighbours, on first and then back, before the leaps."""
    now = stages[entity, region]
    found = [
        Choice(
            row=row,
            forward=row.stage.position > now.position,
            leap=abs(row.stage.position - now.position) > 1,
            moves_authority=moves_authority(now, row.stage),
            fenced=is_fenced(now, row.stage),
            gates=tuple((gate, GATES[gate]) for gate in gates(now, row.stage)),
            breaks=tuple(broken.message for broken in new_violations(stages, entity, region, row.stage)),
        )
        for row in STAGES
        if row.stage is not now
    ]
    return tuple(
        sorted(found, key=lambda choice: (choice.leap, not choice.forward, choice.row.stage.position))
    )
