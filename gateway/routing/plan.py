"""The stage table: what a stage means for a read and for a write. All that depends on a stage reads it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.routing.stage import Stage, System

LEGACY, CLOUD = System.LEGACY, System.CLOUD


class Plan(msgspec.Struct, frozen=True):
    """The three cells of a stage. Positional on purpose: it is written once, as the table below."""

    authority: System  # answers reads, and takes writes first; its answer counts
    shadow_read: System | None  # is read beside it and compared, off the caller's path
    mirror: System | None  # gets each write afterwards, durably and in order


# fmt: off
PLANS: Mapping[Stage, Plan] = {
    #                       authority  shadow_read  mirror
    Stage.LEGACY_ONLY: Plan(LEGACY,    None,        None),
    Stage.DUAL_WRITE:  Plan(LEGACY,    None,        CLOUD),
    Stage.SHADOW:      Plan(LEGACY,    CLOUD,       CLOUD),
    Stage.LIVE:        Plan(CLOUD,     LEGACY,      LEGACY),
    Stage.RAMP_DOWN:   Plan(CLOUD,     None,        LEGACY),
    Stage.CLOUD_ONLY:  Plan(CLOUD,     None,        None),
}
# fmt: on
