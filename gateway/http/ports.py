"""What the routes ask of the rest of the gateway; the composition root passes it in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.canonical import Entity
from gateway.cases import Case
from gateway.cases.queries import Filter
from gateway.cases.queue import Detail
from gateway.cases.resolve import Decision
from gateway.compare.observation import Diff, SliceSummary
from gateway.compare.waiver import Standing, Wish
from gateway.dispatch.command import Answer, Command, ListQuery, Read, ReadPage
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay import Forecast
from gateway.dispatch.replay_runs import Run
from gateway.ledger.slices import Slice, SliceChange
from gateway.readiness import Report
from gateway.reconcile.bridge import Term
from gateway.reconcile.run import Run as Reconciliation
from gateway.reconcile.run import TermRecord
from gateway.routing.stage import Stage
from gateway.switchover import Switch
from gateway.switchover.simulation import Simulated
from gateway.switchover.switches import Wish as SwitchWish


class ExecutorPort(Protocol):
    async def write(self, command: Command) -> Answer: ...


class ReadsPort(Protocol):
    async def one(
        self, entity: Entity, record_id: str, *, regions: frozenset[str] | None, trace: Mapping[str, str]
    ) -> Read: ...

    async def by_ref(
        self,
        entity: Entity,
        system: str,
        native_id: str,
        *,
        regions: frozenset[str] | None,
        trace: Mapping[str, str],
    ) -> Read: ...

    async def page(self, entity: Entity, query: ListQuery, *, trace: Mapping[str, str]) -> ReadPage: ...


class OperationsPort(Protocol):
    async def get(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]: ...

    async def cancel(
        self, operation_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> dict[str, Any]: ...


class SlicesPort(Protocol):
    async def all(self) -> tuple[Slice, ...]: ...

    def cached(self, entity: str, region: str) -> Slice: ...

    def regions(self) -> tuple[str, ...]: ...

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


class SimulationPort(Protocol):
    async def run(
        self,
        draft: Mapping[tuple[str, str], Stage],
        *,
        days: int,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Simulated: ...


class SwitchesPort(Protocol):
    """Moves of authority. A switch outside ``regions`` and ``entities`` is not there."""

    async def request(self, wish: SwitchWish, *, actor: str) -> Switch: ...

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


class JourneyPort(Protocol):
    async def of(self, record_id: str) -> dict[str, Any]: ...


class DeliveriesPort(Protocol):
    async def list(
        self,
        *,
        state: str | None = None,
        system: str | None = None,
        entity: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Mapping[str, Any]]: ...

    async def replay(
        self,
        delivery_id: str,
        actor: str,
        *,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Mapping[str, Any]: ...


class CasesPort(Protocol):
    """What waits for a person. A case outside ``regions`` and ``entities`` is not there."""

    async def page(
        self, narrowed: Filter, *, after: tuple[int, str] | None = None, limit: int = 50
    ) -> Sequence[Case]: ...

    async def one(
        self, case_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Detail: ...

    async def resolve(self, decision: Decision) -> Detail: ...

    async def assign(
        self,
        case_id: str,
        owner: str,
        *,
        by: str,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Detail: ...

    async def comment(
        self,
        case_id: str,
        text: str,
        *,
        by: str,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Detail: ...


class ReplaysPort(Protocol):
    async def forecast(
        self,
        narrowed: Narrowed,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Forecast: ...

    async def start(
        self,
        narrowed: Narrowed,
        *,
        actor: str,
        reason: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Run: ...

    async def get(
        self,
        run_id: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Run: ...

    async def list(
        self,
        *,
        after: str | None = None,
        limit: int = 50,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[Run]: ...

    async def cancel(
        self,
        run_id: str,
        *,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Run: ...


class ReconcilerPort(Protocol):
    """Reconciliations of whole sets. One outside ``regions`` and ``entities`` is not there."""

    async def start(
        self, entity: str, region: str, *, actor: str, reason: str | None = None
    ) -> Reconciliation: ...

    async def get(
        self,
        run_id: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Reconciliation: ...

    async def list(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        after: str | None = None,
        limit: int = 50,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[Reconciliation]: ...

    async def records(
        self,
        run_id: str,
        *,
        term: Term | None = None,
        measure: str | None = None,
        currency: str | None = None,
        after: str = "",
        limit: int = 50,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[TermRecord]: ...

    async def cancel(
        self,
        run_id: str,
        *,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Reconciliation: ...


class DiffsPort(Protocol):
    """What was found by comparing; reads of ``gateway.compare.queries`` on a connection."""

    async def page(
        self,
        *,
        entity: str | None,
        region: str | None,
        regions: frozenset[str] | None,
        verdict: str | None,
        field: str | None,
        record_id: str | None,
        since: int | None,
        after: str | None,
        limit: int,
    ) -> Sequence[Diff]: ...

    async def one(self, diff_id: str) -> Diff | None: ...

    async def summary(
        self, *, entity: str | None, region: str | None, regions: frozenset[str] | None, since: int | None
    ) -> Sequence[SliceSummary]: ...


class WaiversPort(Protocol):
    """Differences that a person has accepted for a time. One outside ``regions`` and ``entities`` is not there."""

    async def create(self, wish: Wish, *, actor: str) -> Standing: ...

    async def revoke(
        self,
        waiver_id: str,
        *,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Standing: ...

    async def one(
        self, waiver_id: str, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Standing: ...

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
    ) -> Sequence[Standing]: ...
