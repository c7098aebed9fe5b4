"""The differences that the database holds, for those who ask without a connection of their own."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.compare import queries
from gateway.compare.observation import Diff, SliceSummary
from gateway.database import Database


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
