"""A backfiller of the tests: keeps its runs in memory."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.backfill.run import ACTS, Act, Item, Outcome, Run, State
from gateway.errors import BackfillRunning, BackfillStale, NotFoundHere

Scope = frozenset[str] | None
AT = 1_767_322_800_000_000


def backfill(number: int, *, entity: str, region: str, actor: str, reason: str | None) -> Run:
    return Run(
        id=f"bfl_0198f0c2-9b41-7c10-8d22-{number:012x}",
        entity=entity,
        region=region,
        source="legacy",
        target="cloud",
        stage="dual_write",
        state=State.RUNNING,
        phase="count",
        actor=actor,
        reason=reason,
        total=0,
        read=0,
        linked=0,
        created=0,
        present=0,
        ambiguous=0,
        blocked=0,
        superseded=0,
        failed=None,
        differs=None,
        unlinked=None,
        note=None,
        created_at=AT,
        updated_at=AT,
        ended_at=None,
        ended_by=None,
    )


class FakeBackfiller:
    def __init__(self) -> None:
        self.runs: dict[str, Run] = {}
        #: Of each run, by the ids of the records.
        self.items: dict[str, list[Item]] = {}
        self.reasons: list[str | None] = []

    async def start(self, entity: str, region: str, *, actor: str, reason: str | None = None) -> Run:
        for run in self.runs.values():
            if run.state is State.RUNNING and (run.entity, run.region) == (entity, region):
                raise BackfillRunning(location=f"/admin/v1/backfills/{run.id}", backfill=run.id)
        made = backfill(len(self.runs) + 1, entity=entity, region=region, actor=actor, reason=reason)
        self.runs[made.id] = made
        return made

    async def get(self, run_id: str, *, regions: Scope = None, entities: Scope = None) -> Run:
        run = self.runs.get(run_id)
        if (
            run is None
            or (regions is not None and run.region not in regions)
            or (entities is not None and run.entity not in entities)
        ):
            raise NotFoundHere("there is no such backfill")
        return run

    async def list(
        self,
        *,
        entity: str | None = None,
        region: str | None = None,
        state: str | None = None,
        after: str | None = None,
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Run]:
        return [
            run
            for run in sorted(self.runs.values(), key=lambda one: one.id, reverse=True)
            if entity in (None, run.entity)
            and region in (None, run.region)
            and state in (None, run.state.value)
            and (after is None or run.id < after)
            and (regions is None or run.region in regions)
            and (entities is None or run.entity in entities)
        ][:limit]

    async def act(
        self,
        run_id: str,
        act: Act,
        *,
        actor: str,
        reason: str | None = None,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Run:
        run = await self.get(run_id, regions=regions, entities=entities)
        self.reasons.append(reason)
        after = ACTS.get((run.state, act))
        if after is None:
            raise BackfillStale(state=run.state.value)
        self.runs[run_id] = made = msgspec.structs.replace(run, state=after)
        return made

    async def records(
        self,
        run_id: str,
        *,
        outcome: Outcome | None = None,
        after: str = "",
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Item]:
        await self.get(run_id, regions=regions, entities=entities)
        return [
            item
            for item in self.items.get(run_id, ())
            if item.record_id > after and outcome in (None, item.outcome)
        ][:limit]
