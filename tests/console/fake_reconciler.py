"""Reconciliations in memory: one that found a cent, one under way, one that failed, and what a test begins."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from gateway.compare import DifferenceClass, Sample
from gateway.errors import CannotCancel, FieldError, Invalid, NotFoundHere, ReconciliationRunning
from gateway.reconcile import Run, Term, TermRecord
from gateway.reconcile.matching import Amount
from gateway.reconcile.run import Phase, SourceUse
from gateway.reconcile.sources import Declared
from tests.unit.http.fake_reconciler import finished, reconciliation

HOSTILE = "<img src=x onerror=alert(1)>"
#: The records of the run that found something; the page has fifty of them at once.
LATE = 60


def _records() -> list[TermRecord]:
    wrong = TermRecord(
        record_id="inv_00",
        entity="invoice",
        kind="differs",
        term=Term.UNEXPLAINED,
        why="parts when read again",
        amounts=(Amount(measure="total", currency="EUR", authority=Decimal("9.99"), mirror=Decimal("9.98")),),
        differences=(
            Sample(
                path="total",
                field="total",
                kind=DifferenceClass.AMOUNT,
                authority={"amount": "9.99", "currency": "EUR"},
                other={"amount": "9.98", "currency": "EUR"},
            ),
        ),
    )
    late = [
        TermRecord(
            record_id=f"inv_{number:02}",
            entity="invoice",
            kind="missing",
            term=Term.LATE,
            why="equal when read again",
            amounts=(
                Amount(measure="total", currency="EUR", authority=Decimal("0.10"), mirror=Decimal(0)),
                Amount(measure="balance", currency="EUR", authority=Decimal("0.10"), mirror=Decimal(0)),
            ),
            differences=(),
        )
        for number in range(1, LATE + 1)
    ]
    return [wrong, *late]


class FakeReconciler:
    """What is begun stays under way until it is cancelled. The legacy ERP can be read from an export."""

    sources = (
        Declared(name="nightly", system="legacy", entities=("invoice", "payment", "time_entry")),
        Declared(name=HOSTILE, system="legacy", entities=("expense",)),
    )

    def __init__(self) -> None:
        where: dict[str, Any] = {"region": "EMEA", "actor": "Ada Migration"}
        self.runs: list[Run] = [
            reconciliation(
                3,
                **where,
                entity="expense",
                phase=Phase.RECHECK,
                read_authority=1200,
                suspected=4,
                reason=HOSTILE,
            ),
            reconciliation(2, **where, state="failed", note="the slice has moved to live since this began"),
            finished(1, **where),
        ]
        self.parted = _records()

    async def start(
        self, entity: str, region: str, *, actor: str, reason: str | None = None, sources: Sequence[str] = ()
    ) -> Run:
        for run in self.runs:
            if run.state == "running" and (run.entity, run.region) == (entity, region):
                raise ReconciliationRunning(reconciliation=run.id)
        if sources and entity not in next(one.entities for one in self.sources if one.name == sources[0]):
            message = f"{sources[0]} has no {entity}: its map would have to say where they lie"
            raise Invalid(message, errors=[FieldError(pointer="/sources/0", code="source", message=message)])
        uses = {"authority": SourceUse(name=sources[0])} if sources else {}
        where = {"entity": entity, "region": region, "actor": actor, "reason": reason, "sources": uses}
        made = reconciliation(len(self.runs) + 1, **where)
        self.runs.insert(0, made)
        return made

    def declared(self) -> tuple[Declared, ...]:
        return self.sources

    async def list(self, *, state: str | None, **asked: Any) -> list[Run]:
        return [run for run in self.runs if state in (None, run.state)]

    async def get(self, run_id: str, **asked: Any) -> Run:
        for run in self.runs:
            if run.id == run_id:
                return run
        raise NotFoundHere(f"no reconciliation {run_id}")

    async def cancel(self, run_id: str, *, actor: str, **asked: Any) -> Run:
        run = await self.get(run_id)
        if run.state != "running":
            raise CannotCancel("it has ended", state=run.state)
        ended = msgspec.structs.replace(run, state="cancelled", ended_by=actor)
        self.runs = [ended if one.id == run_id else one for one in self.runs]
        return ended

    async def records(
        self, run_id: str, *, term: Term | None, measure: str | None, after: str, limit: int, **asked: Any
    ) -> list[TermRecord]:
        found = [
            one
            for one in self.parted
            if one.record_id > after
            and term in (None, one.term)
            and (measure is None or any(amount.measure == measure for amount in one.amounts))
        ]
        return found[:limit]
