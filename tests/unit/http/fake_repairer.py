"""A repairer of the tests: keeps repairs in memory, plans two records at once, and knows who asked."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from gateway.errors import EvidenceChanged, NotFoundHere, RepairRunning, RepairStale, SecondPersonNeeded
from gateway.repair.run import ACTS, Act, Action, Change, Chosen, Item, Outcome, Repair, State

Scope = frozenset[str] | None
AT = 1_767_322_800_000_000
HASH = "5a" * 32


def repair(number: int, **changes: Any) -> Repair:
    """A dry run that has been planned."""
    fields: dict[str, Any] = {
        "id": f"rpr_0198f0c2-9b41-7c10-8d22-{number:012x}",
        "reconciliation": "rcn_1",
        "entity": "invoice",
        "region": "UK",
        "source": "legacy",
        "target": "cloud",
        "stage": "dual_write",
        "epoch": 1,
        "state": State.PLANNED,
        "dry_run": True,
        "actor": "all",
        "reason": None,
        "chosen": Chosen(),
        "total": 2,
        "looked": 2,
        "planned": {Action.UPDATE: 1, Action.PERSON: 1},
        "money": {"EUR": Decimal("0.01")},
        "plan_hash": HASH,
        "outcomes": {Outcome.PLANNED: 2},
        "note": None,
        "requested_by": None,
        "requested_at": None,
        "expires_at": None,
        "approved_by": None,
        "approved_at": None,
        "created_at": AT,
        "updated_at": AT,
        "ended_at": None,
        "ended_by": None,
    }
    return Repair(**fields | changes)


def items() -> list[Item]:
    """One record that would be written, and one for a person."""
    nothing: dict[str, Any] = {"digest": "", "changes": (), "money": {}}
    return [
        Item(
            record_id="inv_1",
            kind="differs",
            action=Action.UPDATE,
            outcome=Outcome.PLANNED,
            why=None,
            native_id="C-1",
            digest="d1",
            changes=(
                Change(field="total", before={"amount": "9.98", "currency": "EUR"},
                       after={"amount": "9.99", "currency": "EUR"}),
                Change(field="po_number", before="hmac:0011223344aa", after="=cmd()"),
            ),
            money={"EUR": Decimal("0.01")},
        ),
        Item(
            record_id="inv_2", kind="extra", action=Action.PERSON, outcome=Outcome.PLANNED,
            why="only cloud holds it, and a repair deletes nothing", native_id="C-2", **nothing,
        ),
    ]  # fmt: skip


class FakeRepairer:
    def __init__(self) -> None:
        self.repairs: dict[str, Repair] = {}
        self.items: list[Item] = items()
        self.reasons: list[str | None] = []
        self.chosen: list[Chosen | None] = []

    async def plan(
        self,
        reconciliation: str,
        *,
        dry_run: bool,
        actor: str,
        reason: str | None = None,
        chosen: Chosen | None = None,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Repair:
        self.reasons.append(reason)
        self.chosen.append(chosen)
        if not dry_run and any(one.state is State.REQUESTED for one in self.repairs.values()):
            raise RepairRunning(location="/admin/v1/repairs/rpr_1", repair="rpr_1")
        asked: dict[str, Any] = {}
        if not dry_run:
            asked = {"state": State.REQUESTED, "requested_by": actor, "requested_at": AT, "expires_at": AT}
        made = repair(
            len(self.repairs) + 1, reconciliation=reconciliation, dry_run=dry_run, actor=actor, reason=reason,
            chosen=chosen or Chosen(), **asked,
        )  # fmt: skip
        return self._keep(made, regions, entities)

    async def request(
        self, repair_id: str, *, plan_hash: str, actor: str, reason: str, regions: Scope = None, entities: Scope = None
    ) -> Repair:
        there = self._moved(repair_id, Act.REQUEST, regions, entities)
        _agreed(plan_hash)
        self.reasons.append(reason)
        return self._keep(
            msgspec.structs.replace(there, requested_by=actor, requested_at=AT, expires_at=AT, reason=reason)
        )

    async def approve(
        self, repair_id: str, *, plan_hash: str, actor: str, regions: Scope = None, entities: Scope = None
    ) -> Repair:
        if (await self.get(repair_id, regions=regions, entities=entities)).requested_by == actor:
            raise SecondPersonNeeded("another person has to approve it", requested_by=actor)
        there = self._moved(repair_id, Act.APPROVE, regions, entities)
        _agreed(plan_hash)
        return self._keep(msgspec.structs.replace(there, approved_by=actor, approved_at=AT))

    async def cancel(
        self,
        repair_id: str,
        *,
        actor: str,
        reason: str | None = None,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Repair:
        there = self._moved(repair_id, Act.CANCEL, regions, entities)
        self.reasons.append(reason)
        return self._keep(msgspec.structs.replace(there, ended_by=actor, ended_at=AT))

    async def get(self, repair_id: str, *, regions: Scope = None, entities: Scope = None) -> Repair:
        found = self.repairs.get(repair_id)
        if found is None:
            raise NotFoundHere("there is no such repair")
        return self._seen(found, regions, entities)

    async def list(
        self,
        reconciliation: str,
        *,
        after: str | None = None,
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Repair]:
        found = [one for one in self.repairs.values() if one.reconciliation == reconciliation]
        found.sort(key=lambda one: one.id, reverse=True)
        return [one for one in found if after is None or one.id < after][:limit]

    async def records(
        self,
        repair_id: str,
        *,
        action: Action | None = None,
        outcome: Outcome | None = None,
        after: str = "",
        limit: int = 50,
        regions: Scope = None,
        entities: Scope = None,
    ) -> Sequence[Item]:
        await self.get(repair_id, regions=regions, entities=entities)
        return [
            one
            for one in self.items
            if one.record_id > after and action in (None, one.action) and outcome in (None, one.outcome)
        ][:limit]

    def _moved(self, repair_id: str, act: Act, regions: Scope, entities: Scope) -> Repair:
        found = self.repairs.get(repair_id)
        if found is None:
            raise NotFoundHere("there is no such repair")
        self._seen(found, regions, entities)
        after = ACTS.get((found.state, act))
        if after is None:
            raise RepairStale(f"the repair is {found.state.value}", state=found.state.value)
        return msgspec.structs.replace(found, state=after)

    @staticmethod
    def _seen(found: Repair, regions: Scope, entities: Scope) -> Repair:
        if regions is not None and found.region not in regions:
            raise NotFoundHere("there is no such repair")
        if entities is not None and found.entity not in entities:
            raise NotFoundHere("there is no such repair")
        return found

    def _keep(self, made: Repair, regions: Scope = None, entities: Scope = None) -> Repair:
        self._seen(made, regions, entities)
        self.repairs[made.id] = made
        return made


def _agreed(plan_hash: str) -> None:
    if plan_hash != HASH:
        raise EvidenceChanged("it is another plan", plan_hash=HASH)
