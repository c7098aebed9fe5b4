"""What the console asks of the rest of the gateway. It reads through the same functions as the API and owns
no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.cases import Case
from gateway.cases.queries import Filter
from gateway.cases.queue import Detail
from gateway.cases.resolve import Decision
from gateway.compare import Diff, SliceSummary
from gateway.compare.waiver import Standing, Wish
from gateway.dispatch.dead_letters import Cause, Letter, Narrowed
from gateway.dispatch.flow import Held, Target
from gateway.dispatch.replay import Forecast
from gateway.dispatch.replay_runs import Run
from gateway.ledger.slices import Slice, SliceChange
from gateway.proof import Notice
from gateway.readiness import Report
from gateway.readiness.trend import Day
from gateway.reconcile.bridge import Term
from gateway.reconcile.run import Run as Reconciliation
from gateway.reconcile.run import TermRecord
from gateway.routing.stage import Stage
from gateway.switchover import Switch
from gateway.switchover.switches import Wish as SwitchWish


class SlicesPort(Protocol):
    async def all(self) -> tuple[Slice, ...]: ...

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
    ) -> Slice: ...

    async def mapping(self, entity: str, current: Stage, wanted: Stage) -> tuple[Notice, ...] | None:
        """What the mirror that begins with this move loses; None: no mirror begins, or nobody can say."""
        ...


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

    async def trend(self, entity: str, region: str) -> Sequence[Day]: ...


class BacklogPort(Protocol):
    async def of_slices(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """By slice: ``open``, ``parked``, ``unknown``, ``oldest_age_s``, ``lag_p99_s``."""
        ...


class JourneyPort(Protocol):
    async def of(self, record_id: str) -> dict[str, Any]: ...


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


class ReplaysPort(Protocol):
    """Bulk replays within ``regions`` and ``entities``."""

    async def forecast(
        self, narrowed: Narrowed, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Forecast: ...

    async def start(
        self,
        narrowed: Narrowed,
        *,
        actor: str,
        reason: str,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Run: ...

    async def get(
        self, run_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Run: ...

    async def list(
        self, *, limit: int, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Sequence[Run]: ...

    async def cancel(
        self, run_id: str, *, actor: str, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Run: ...


class ReconcilerPort(Protocol):
    """Reconciliations of whole sets within ``regions`` and ``entities``."""

    async def start(
        self, entity: str, region: str, *, actor: str, reason: str | None = None
    ) -> Reconciliation: ...

    async def get(
        self, run_id: str, *, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Reconciliation: ...

    async def list(
        self,
        *,
        entity: str | None,
        region: str | None,
        state: str | None,
        after: str | None,
        limit: int,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Sequence[Reconciliation]: ...

    async def records(
        self,
        run_id: str,
        *,
        term: Term | None,
        measure: str | None,
        currency: str | None,
        after: str,
        limit: int,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Sequence[TermRecord]: ...

    async def cancel(
        self, run_id: str, *, actor: str, regions: frozenset[str] | None, entities: frozenset[str] | None
    ) -> Reconciliation: ...


class DiffsPort(Protocol):
    """The questions of ``gateway.compare.queries``. Moments are microseconds UTC; ``regions`` of None means
    all."""

    async def summary(
        self, *, entity: str | None, region: str | None, regions: frozenset[str] | None, since: int | None
    ) -> Sequence[SliceSummary]: ...

    async def page(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        regions: frozenset[str] | None = None,
        verdict: str | None = None,
        field: str | None = None,
        record_id: str | None = None,
        since: int | None = None,
        resolved: bool | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Sequence[Diff]: ...

    async def one(self, diff_id: str) -> Diff | None: ...


class WaiversPort(Protocol):
    """Differences that are accepted for a time. One outside ``regions`` and ``entities`` is not there."""

    async def create(self, wish: Wish, *, actor: str) -> Standing: ...

    async def revoke(
        self,
        waiver_id: str,
        *,
        actor: str,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
    ) -> Standing: ...

    async def page(
        self,
        *,
        entity: str | None,
        region: str | None,
        state: str | None,
        regions: frozenset[str] | None,
        entities: frozenset[str] | None,
        after: str | None,
        limit: int,
    ) -> Sequence[Standing]: ...
