"""What only the console asks of the rest of the gateway; what both faces ask stands in ``gateway.ports``. It owns no
data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.dispatch.dead_letters import Cause, Letter, Narrowed
from gateway.dispatch.flow import Held, Target


class BacklogPort(Protocol):
    async def of_slices(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """By slice: ``open``, ``parked``, ``unknown``, ``oldest_age_s``, ``lag_p99_s``."""
        ...


class FlowPort(Protocol):
    """What is on its way. Nothing outside ``regions`` and ``entities`` is told."""

    async def targets(
        self, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Sequence[Target]: ...

    async def held(self, *, regions: frozenset[str] | None, entities: frozenset[str] | None) -> Held: ...

    async def causes(
        self, narrowed: Narrowed, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Sequence[Cause]: ...

    async def letters(
        self,
        narrowed: Narrowed,
        *,
        after: str,
        limit: int,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Sequence[Letter]: ...

    async def operation(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]: ...
