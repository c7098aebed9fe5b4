"""Where a slice is on its way, and the two systems that it is on its way between."""

from __future__ import annotations

from enum import StrEnum


class System(StrEnum):
    LEGACY = "legacy"
    CLOUD = "cloud"

    @property
    def other(self) -> System:
        return System.CLOUD if self is System.LEGACY else System.LEGACY


class Stage(StrEnum):
    """In the order of the way; the position in this list is what *neighbour* and *ahead* mean."""

    LEGACY_ONLY = "legacy_only"
    DUAL_WRITE = "dual_write"
    SHADOW = "shadow"
    LIVE = "live"
    RAMP_DOWN = "ramp_down"
    CLOUD_ONLY = "cloud_only"

    @property
    def position(self) -> int:
        return _ORDER.index(self)


_ORDER = tuple(Stage)
