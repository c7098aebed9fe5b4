"""Merges as the routes ask for them."""

from __future__ import annotations

from typing import Any

import msgspec

from gateway.crosswalk.merges import Merge, MergeKind, MergeState, Problem
from gateway.errors import NotFoundHere, RecordNotFound, SecondPersonNeeded
from gateway.merging import MergeWish


class FakeMerging:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.wishes: list[MergeWish] = []
        self.asked: list[dict[str, Any]] = []
        self.held: dict[str, Merge] = {}

    async def request(self, wish: MergeWish, *, actor: str, **scope: Any) -> Merge:
        self.wishes.append(wish)
        if wish.winner.endswith("missing"):
            raise RecordNotFound(f"there is no record {wish.winner}")
        return self._keep(MergeKind.MERGE, wish.loser, wish.winner, wish.reason, actor, both=wish.both)

    async def split(self, id_: str, *, reason: str, actor: str, **scope: Any) -> Merge:
        done = await self.one(id_)
        return self._keep(MergeKind.SPLIT, done.loser, done.winner, reason, actor, undoes=id_)

    async def approve(self, id_: str, *, evidence_hash: str, actor: str, **scope: Any) -> Merge:
        there = await self.one(id_)
        if there.requested_by == actor:
            raise SecondPersonNeeded(requested_by=actor)
        return self._change(there, state=MergeState.DONE, approved_by=actor, ended_at=1_767_000_100_000_000)

    async def abort(self, id_: str, *, reason: str, actor: str, **scope: Any) -> Merge:
        problem = Problem(code="aborted", message=reason)
        return self._change(await self.one(id_), state=MergeState.ABORTED, problem=problem, ended_by=actor)

    async def one(self, id_: str, **scope: Any) -> Merge:
        if id_ not in self.held:
            raise NotFoundHere(f"there is no merge {id_}")
        return self.held[id_]

    async def page(self, **asked: Any) -> list[Merge]:
        self.asked.append(asked)
        return sorted(self.held.values(), key=lambda one: one.id, reverse=True)

    def _change(self, there: Merge, **values: Any) -> Merge:
        self.held[there.id] = msgspec.structs.replace(there, **values)
        return self.held[there.id]

    def _keep(
        self, kind: MergeKind, loser: str, winner: str, reason: str, actor: str, **more: Any
    ) -> Merge:
        made = Merge(
            id=f"mrg_0198f0c2-7b10-7f44-9a01-{len(self.held):012d}",
            kind=kind,
            entity="customer",
            region="UK",
            loser=loser,
            winner=winner,
            state=MergeState.REQUESTED,
            reason=reason,
            evidence={"kind": kind.value},
            evidence_hash="a" * 64,
            requested_by=actor,
            requested_at=1_767_000_000_000_000,
            expires_at=1_767_001_800_000_000,
            **{"both": False, **more},
        )
        self.held[made.id] = made
        return made
