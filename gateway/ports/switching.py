"""Where slices stand, what is known of them, and how they move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.ledger.slices import Slice, SliceChange
from gateway.proof import Notice
from gateway.readiness import Report, Watched
from gateway.readiness.trend import Day
from gateway.routing.stage import Stage
from gateway.switchover import Switch
from gateway.switchover.schedule import ScheduleWish
from gateway.switchover.scheduled import Scheduled
from gateway.switchover.simulation import Simulated
from gateway.switchover.switches import Wish as SwitchWish


class SlicesPort(Protocol):
    async def all(self) -> tuple[Slice, ...]: ...

    def cached(self, entity: str, region: str) -> Slice: ...

    def regions(self) -> tuple[str, ...]: ...

    def places(self, entity: str | None = None) -> tuple[str, ...]:
        """The regions and their cohorts; those where the entity has slices."""
        ...

    def within(self, entity: str, region: str) -> tuple[str, ...]:
        """The region, and its cohorts that have a slice of the entity."""
        ...

    def age_s(self) -> float: ...

    async def history(
        self, entity: str, region: str, *, after: int | None = None, limit: int = 50
    ) -> tuple[SliceChange, ...]: ...


class SwitchoverPort(Protocol):
    async def set_stage(
        self,
        entity: str,
        region: str,
        *,
        stage: Stage,
        reason: str,
        expected_version: int,
        actor: str,
        override: bool = False,
        compare_sample: int | None = None,
        storable: bool | None = None,
    ) -> Slice: ...

    async def mapping(self, entity: str, current: Stage, wanted: Stage) -> tuple[Notice, ...] | None:
        """What the mirror that begins with this move loses; None: no mirror begins, or nobody can say."""
        ...


class SwitchesPort(Protocol):
    """Moves of authority. A switch outside ``regions`` and ``entities`` is not there."""

    async def request(self, wish: SwitchWish, *, actor: str) -> Switch: ...

    async def emergency(self, wish: SwitchWish, *, actor: str) -> Switch: ...

    async def approve(
        self,
        id_: str,
        *,
        evidence_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Switch: ...

    async def abort(
        self,
        id_: str,
        *,
        reason: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Switch: ...

    async def one(
        self, id_: str, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Switch: ...

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Switch]: ...


class SchedulePort(Protocol):
    """Changes of rules at a time. One outside ``regions`` and ``entities`` is not there."""

    async def request(self, wish: ScheduleWish, *, actor: str) -> Scheduled: ...

    async def approve(
        self,
        id_: str,
        *,
        plan_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Scheduled: ...

    async def cancel(
        self,
        id_: str,
        *,
        reason: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Scheduled: ...

    async def one(
        self, id_: str, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Scheduled: ...

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Scheduled]: ...


class SimulationPort(Protocol):
    async def run(
        self,
        draft: Mapping[tuple[str, str], Stage],
        *,
        days: int,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Simulated: ...


class ReadinessPort(Protocol):
    """A slice outside ``regions`` and ``entities`` is not there."""

    async def all(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[Report]: ...

    async def one(
        self,
        entity: str,
        region: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Report: ...

    async def sign(
        self,
        entity: str,
        region: str,
        *,
        evidence_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Report: ...

    async def trend(self, entity: str, region: str) -> Sequence[Day]: ...


class GuardsPort(Protocol):
    async def standing(
        self, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Sequence[Watched]: ...
