"""What the console asks of the rest of the gateway. It reads through the same functions as the API and owns
no data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from gateway.compare import Diff, SliceSummary, queries
from gateway.database import Database
from gateway.ledger.slices import Slice, SliceChange
from gateway.routing.stage import Stage


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


class BacklogPort(Protocol):
    async def of_slices(self) -> Mapping[tuple[str, str], Mapping[str, Any]]:
        """By slice: ``open``, ``parked``, ``unknown``, ``oldest_age_s``, ``lag_p99_s``."""
        ...


class JourneyPort(Protocol):
    async def of(self, record_id: str) -> dict[str, Any]: ...


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


class StoredDiffs:
    """The differences that the gateway's database holds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def summary(
        self, *, entity: str | None, region: str | None, regions: frozenset[str] | None, since: int | None
    ) -> Sequence[SliceSummary]:
        return await self._database.read(
            lambda conn: queries.summary(conn, entity=entity, region=region, regions=regions, since=since)
        )

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
    ) -> Sequence[Diff]:
        return await self._database.read(
            lambda conn: queries.diffs(
                conn,
                entity=entity,
                region=region,
                regions=regions,
                verdict=verdict,
                field=field,
                record_id=record_id,
                since=since,
                resolved=resolved,
                after=after,
                limit=limit,
            )
        )

    async def one(self, diff_id: str) -> Diff | None:
        return await self._database.read(lambda conn: queries.diff(conn, diff_id))
