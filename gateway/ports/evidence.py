"""What the comparison and the reconciliation found, and what has been said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gateway.compare.observation import Diff, SliceSummary
from gateway.compare.waiver import Standing, Wish
from gateway.reconcile.bridge import Term
from gateway.reconcile.run import Run as Reconciliation
from gateway.reconcile.run import TermRecord
from gateway.reconcile.sources import Declared


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


class ReconcilerPort(Protocol):
    """Reconciliations of whole sets. One outside ``regions`` and ``entities`` is not there."""

    def declared(self) -> Sequence[Declared]:
        """The sources of the settings, which ``start`` takes by name."""
        ...

    async def start(
        self,
        entity: str,
        region: str,
        *,
        actor: str,
        reason: str | None = None,
        sources: Sequence[str] = (),
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


class JourneyPort(Protocol):
    async def of(self, record_id: str) -> dict[str, Any]: ...
