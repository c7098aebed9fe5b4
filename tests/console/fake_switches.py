"""Switches in memory: one that waits for another person, one that drains and one of each end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from gateway.database import to_micros
from gateway.errors import (
    EvidenceChanged,
    FieldError,
    NotFoundHere,
    RuleRefused,
    SecondPersonNeeded,
    SwitchOver,
)
from gateway.routing.stage import Stage
from gateway.switchover.states import SwitchState
from gateway.switchover.store import Counts, Problem, Switch
from gateway.switchover.switches import Wish

START = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
SECOND = 1_000_000

EVIDENCE: dict[str, Any] = {
    "slice": {"entity": "project", "region": "UK", "stage": "shadow", "authority": "legacy", "version": 4},
    "move": {"stage": "live", "authority": "cloud"},
    "gates": [
        {"gate": "open_deliveries", "passed": True, "message": None},
        {"gate": "crosswalk", "passed": False, "message": "3 records of the slice without an id"},
    ],
    "mapping": ["tasks[].name: at most 35 characters"],
    "differences": {
        "records": {"mismatch": 2},
        "fields": [{"field": "budget_amount", "class": "amount", "verdict": "mismatch", "records": 2}],
    },
    "deliveries": {"parked": 1},
    "cases": {"open": {"parked_delivery": 1}, "amount": {"GBP": "1080.00"}},
    "waivers": [{"id": "wai_01930001", "field": "name", "class": "value", "expires_at": 1}],
}


STRANDED: dict[str, Any] = {
    "slice": {"entity": "invoice", "region": "UK", "stage": "live", "authority": "cloud", "version": 5},
    "move": {"stage": "shadow", "authority": "legacy"},
    "gates": [
        {"gate": "authority_down", "passed": True, "message": None},
        {"gate": "successor", "passed": True, "message": None},
        {"gate": "dependency", "passed": True, "message": None},
    ],
    "parked": 0,
    "stranded": {
        "count": 2,
        "operations_hash": "0" * 64,
        "amount": {"GBP": "1980.00"},
        "listed": [
            {
                "operation": f"op_0193000{number}",
                "record": f"inv_0193000{number}",
                "kind": kind,
                "number": f"R-{number}",
                "accepted_at": "2026-11-23T09:29:58.000000Z",
                "amount": {"amount": amount, "currency": "GBP"},
                "posted": posted,
            }
            for number, kind, amount, posted in ((1, "create", "900.00", False), (2, "transition", "1080.00", True))
        ],
    },
}


class FakeSwitches:
    def __init__(self) -> None:
        self.kept = {
            one.id: one
            for one in (
                self._switch(
                    6,
                    kind="emergency",
                    from_stage=Stage.LIVE,
                    to_stage=Stage.SHADOW,
                    requested_by="Cy Operator",
                    evidence=STRANDED,
                    counts=Counts(at="requested", stranded=2, recalled=1204, undelivered=3),
                ),
                self._switch(4, requested_by="Cy Operator", overridden=("crosswalk",)),
                self._switch(3, state=SwitchState.DRAINING, epoch=7, remaining=12, **_fenced()),
                self._switch(2, state=SwitchState.COMMITTED, epoch=5, ended_at=to_micros(START), **_fenced()),
                self._switch(
                    1,
                    state=SwitchState.ABORTED,
                    kind="rollback",
                    ended_at=to_micros(START),
                    problem=Problem(code="expired", message="nobody approved it in time"),
                ),
            )
        }
        #: what the next request is refused with
        self.against: str | None = None

    def _switch(self, number: int, **changes: Any) -> Switch:
        at = to_micros(START)
        fields: dict[str, Any] = {
            "id": f"swi_0193000{number}",
            "entity": "project",
            "region": "UK",
            "kind": "switch",
            "from_stage": Stage.SHADOW,
            "to_stage": Stage.LIVE,
            "state": SwitchState.REQUESTED,
            "rule": {},
            "rule_version": 4,
            "reason": "A <b>week</b> without a mismatch",
            "overridden": (),
            "accepted": (),
            "evidence": EVIDENCE,
            "evidence_hash": f"{number:x}" * 64,
            "two_person": True,
            "requested_by": "Ada Migration",
            "requested_at": at,
            "expires_at": at + 1800 * SECOND,
            "looked_at": at,
        }
        return Switch(**{**fields, **changes})

    async def request(self, wish: Wish, *, actor: str) -> Switch:
        if self.against is not None and not wish.override:
            raise RuleRefused(
                f"{wish.entity} in {wish.region} cannot go there",
                errors=[FieldError(pointer="/stage", code="crosswalk", message=self.against)],
            )
        made = self._switch(
            5,
            entity=wish.entity,
            region=wish.region,
            to_stage=wish.stage,
            reason=wish.reason,
            requested_by=actor,
            overridden=("crosswalk",) if wish.override else (),
        )
        self.kept[made.id] = made
        return made

    async def emergency(self, wish: Wish, *, actor: str) -> Switch:
        made = await self.request(wish, actor=actor)
        return self.put(made, kind="emergency", from_stage=Stage.LIVE, evidence=STRANDED)

    async def approve(self, id_: str, *, evidence_hash: str, actor: str, **scope: Any) -> Switch:
        there = await self.one(id_)
        if there.requested_by == actor:
            raise SecondPersonNeeded(f"{actor} has asked for this switch")
        if there.evidence_hash != evidence_hash:
            raise EvidenceChanged("what has moved since the request: cases")
        return self.put(there, state=SwitchState.APPROVED, approved_by=actor, approved_at=to_micros(START))

    async def abort(self, id_: str, *, reason: str, actor: str, **scope: Any) -> Switch:
        there = await self.one(id_)
        if there.state is SwitchState.COMMITTED:
            raise SwitchOver("it is committed; ask for a switch back")
        problem = Problem(code="aborted", message=reason)
        return self.put(
            there, state=SwitchState.ABORTED, problem=problem, ended_by=actor, ended_at=to_micros(START)
        )

    async def one(self, id_: str, *, regions: frozenset[str] | None = None, **scope: Any) -> Switch:
        found = self.kept.get(id_)
        if found is None or (regions is not None and found.region not in regions):
            raise NotFoundHere(f"there is no switch {id_}")
        return found

    async def page(self, *, state: str | None = None, limit: int, **scope: Any) -> Sequence[Switch]:
        found = sorted(self.kept.values(), key=lambda one: one.id, reverse=True)
        return [one for one in found if state in (None, one.state.value)][:limit]

    def put(self, there: Switch, **changes: Any) -> Switch:
        after = msgspec.structs.replace(there, **changes)
        self.kept[after.id] = after
        return after


def _fenced() -> dict[str, Any]:
    at = to_micros(START)
    return {
        "approved_by": "Bo Approver",
        "approved_at": at,
        "fenced_at": at - SECOND // 2,
        "drain_until": at + 20 * SECOND,
    }
