"""What waits for a person, and long work that people begin and watch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.backfill.run import Act, Item, Outcome
from gateway.backfill.run import Run as Backfill
from gateway.cases import Case
from gateway.cases.queries import Filter
from gateway.cases.queue import Detail
from gateway.cases.resolve import Decision
from gateway.change_feed import Feed
from gateway.crosswalk.merges import Merge
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.replay import Forecast
from gateway.dispatch.replay_runs import Run
from gateway.merging import MergeWish
from gateway.repair.run import Action, Chosen, Repair
from gateway.repair.run import Item as RepairItem
from gateway.repair.run import Outcome as RepairOutcome


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


class MergingPort(Protocol):
    """Merges of two records that are one, and the way back. One outside ``regions`` and ``entities`` is not there."""

    async def request(
        self,
        wish: MergeWish,
        *,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Merge: ...

    async def split(
        self,
        id_: str,
        *,
        reason: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Merge: ...

    async def approve(
        self,
        id_: str,
        *,
        evidence_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Merge: ...

    async def abort(
        self,
        id_: str,
        *,
        reason: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Merge: ...

    async def one(
        self, id_: str, *, regions: frozenset[str] | None = None, entities: frozenset[str] | None = None
    ) -> Merge: ...

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
    ) -> Sequence[Merge]: ...


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


class RepairerPort(Protocol):
    """Repairs from reconciliations. One outside ``regions`` and ``entities`` is not there."""

    async def plan(
        self,
        reconciliation: str,
        *,
        dry_run: bool,
        actor: str,
        reason: str | None = None,
        chosen: Chosen | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Repair: ...

    async def request(
        self,
        repair_id: str,
        *,
        plan_hash: str,
        actor: str,
        reason: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Repair: ...

    async def approve(
        self,
        repair_id: str,
        *,
        plan_hash: str,
        actor: str,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Repair: ...

    async def cancel(
        self,
        repair_id: str,
        *,
        actor: str,
        reason: str | None = None,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Repair: ...

    async def get(
        self,
        repair_id: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Repair: ...

    async def list(
        self,
        reconciliation: str,
        *,
        after: str | None = None,
        limit: int = 50,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[Repair]: ...

    async def records(
        self,
        repair_id: str,
        *,
        action: Action | None = None,
        outcome: RepairOutcome | None = None,
        after: str = "",
        limit: int = 50,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Sequence[RepairItem]: ...


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
