"""What both faces, the API and the console, ask of the rest of the gateway; the composition root passes it in.

What only one of them asks stands in its own room. Moments are microseconds UTC; ``regions`` and ``entities`` of None
mean all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gateway.backfill.run import Act, Item, Outcome
from gateway.backfill.run import Run as Backfill
from gateway.cases import Case
from gateway.cases.queries import Filter
from gateway.cases.queue import Detail
from gateway.cases.resolve import Decision
from gateway.change_feed import Feed
from gateway.compare.observation import Diff, SliceSummary
from gateway.compare.waiver import Standing, Wish
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay import Forecast
from gateway.dispatch.replay_runs import Run
from gateway.ledger.slices import Slice, SliceChange
from gateway.proof import Notice
from gateway.readiness import Report, Watched
from gateway.readiness.trend import Day
from gateway.reconcile.bridge import Term
from gateway.reconcile.run import Run as Reconciliation
from gateway.reconcile.run import TermRecord
from gateway.routing.stage import Stage
from gateway.switchover import Switch
from gateway.switchover.switches import Wish as SwitchWish


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

    async def mapping(self, entity: str, current: Stage, wanted: Stage) -> tuple[Notice, ...] | None:
        """What the mirror that begins with this move loses; None: no mirror begins, or nobody can say."""
        ...


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


class GuardsPort(Protocol):
    async def standing(
        self, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Sequence[Watched]: ...


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


class BackfillerPort(Protocol):
    """Backfills of slices. One outside ``regions`` and ``entities`` is not there."""

    async def start(
        self, entity: str, region: str, *, actor: str, reason: str | None = None
    ) -> Backfill: ...

    async def get(
        self,
        run_id: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Backfill: ...

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
    ) -> Sequence[Backfill]: ...

    async def act(
        self,
        run_id: str,
        act: Act,
        *,
        actor: str,
        reason: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Backfill: ...

    async def records(
        self,
        run_id: str,
        *,
        outcome: Outcome | None = None,
        after: str = "",
        limit: int = 50,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[Item]: ...


class FeedsPort(Protocol):
    """Edits made in the systems themselves. A feed outside ``regions`` and ``entities`` is not there."""

    async def list(
        self,
        *,
        system: str | None = None,
        entity: str | None = None,
        region: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[Feed]: ...


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
