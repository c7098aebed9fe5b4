"""Switches as the routes ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gateway.errors import EvidenceChanged, NotFoundHere, SecondPersonNeeded
from gateway.routing.stage import Stage
from gateway.switchover.simulation import Simulated
from gateway.switchover.states import SwitchState
from gateway.switchover.store import Counts, Switch
from gateway.switchover.switches import Wish


class FakeSwitches:
    """Keeps what it is asked for."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.asked: list[dict[str, Any]] = []
        self.held: dict[str, Switch] = {}

    async def request(self, wish: Wish, *, actor: str) -> Switch:
        self.wishes.append(wish)
        made = Switch(
            id=f"swi_0198f0c2-7b10-7f44-9a01-{len(self.wishes):012d}",
            entity=wish.entity,
            region=wish.region,
            kind="switch",
            from_stage=Stage.SHADOW,
            to_stage=wish.stage,
            state=SwitchState.REQUESTED,
            rule={},
            rule_version=wish.expected_version,
            reason=wish.reason,
            overridden=(),
            accepted=(),
            evidence={"gates": []},
            evidence_hash="a" * 64,
            two_person=True,
            requested_by=actor,
            requested_at=1_767_000_000_000_000,
            expires_at=1_767_001_800_000_000,
            looked_at=1_767_000_000_000_000,
        )
        self.held[made.id] = made
        return made

    async def emergency(self, wish: Wish, *, actor: str) -> Switch:
        made = await self.request(wish, actor=actor)
        left = msgspec.structs.replace(
            made, kind="emergency", from_stage=Stage.LIVE, counts=Counts(at="requested", stranded=2, recalled=5)
        )
        self.held[made.id] = left
        return left

    async def page(self, **asked: Any) -> list[Switch]:
        self.asked.append(asked)
        return sorted(self.held.values(), key=lambda one: one.id, reverse=True)[: asked["limit"]]

    async def one(self, id_: str, **asked: Any) -> Switch:
        if id_ not in self.held:
            raise NotFoundHere(id_)
        return self.held[id_]

    async def approve(self, id_: str, *, evidence_hash: str, actor: str, **asked: Any) -> Switch:
        there = await self.one(id_)
        if there.requested_by == actor:
            raise SecondPersonNeeded(requested_by=actor)
        if there.evidence_hash != evidence_hash:
            raise EvidenceChanged(evidence_hash=there.evidence_hash)
        return msgspec.structs.replace(there, state=SwitchState.APPROVED, approved_by=actor)

    async def abort(self, id_: str, *, reason: str, actor: str, **asked: Any) -> Switch:
        there = await self.one(id_)
        return msgspec.structs.replace(there, state=SwitchState.ABORTED, ended_by=actor)


class FakeSimulation:
    async def run(self, draft: Mapping[tuple[str, str], Stage], *, days: int, **scope: Any) -> Simulated:
        self.draft = draft
        return Simulated(
            since="2026-11-16T00:00:00.000000Z", days=days, writes=0, moves=(), breaks=(), load=()
        )
