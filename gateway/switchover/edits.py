"""What a fence asks of whoever follows the edits that people make in a system itself."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection

from gateway.routing.stage import Stage
from gateway.routing.transition import leaves

FeedKey = tuple[str, str, str]  #: system, entity, region


class Edits(Protocol):
    """Edits made in the systems themselves. Moments are microseconds UTC on the database's clock."""

    def lag_s(self, system: str, entity: str) -> float | None:
        """Seconds within which the system may not show an edit yet; None: edits made there are not followed."""
        ...

    def ask(self, connection: Connection, key: FeedKey, *, epoch: int, past: int) -> None:
        """Has the edits of a system read on behind the fence of this epoch, and once from ``past`` on. The slice's
        exclusive lock is held."""
        ...

    def unread(self, connection: Connection, key: FeedKey, *, past: int) -> str | None:
        """What of the edits made before is neither in the other system nor a person's to decide, in words."""
        ...

    def told(self) -> None:
        """Lets whoever reads know that it is time. Never waits and never fails."""
        ...


def followed(
    edits: Edits, entity: str, region: str, current: Stage, wanted: Stage
) -> tuple[FeedKey, float] | None:
    """The feed that the fence of a move waits for, and its lag in seconds: that of the system that the move leaves.
    None: no edit is followed there."""
    system = leaves(current, wanted)
    lag_s = None if system is None else edits.lag_s(system.value, entity)
    return None if system is None or lag_s is None else ((system.value, entity, region), lag_s)
