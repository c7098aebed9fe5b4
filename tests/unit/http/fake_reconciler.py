"""Reconciliations as the routes ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from gateway.errors import CannotCancel, NotFoundHere, ReconciliationRunning
from gateway.reconcile import BridgeLine, Report, Run, Term, TermRecord, Verdict
from gateway.reconcile.matching import Amount
from gateway.reconcile.measures import NotAvailable
from gateway.reconcile.run import PackLine, Phase
from gateway.reconcile.sources import Declared
from gateway.reconcile.tally import Total

AT = 1_767_000_000_000_000


def reconciliation(number: int = 1, **changes: Any) -> Run:
    """A run that has just begun."""
    fields: dict[str, Any] = {
        "id": f"rcn_{number}",
        "entity": "invoice",
        "region": "UK",
        "authority": "legacy",
        "other": "cloud",
        "stage": "shadow",
        "state": "running",
        "phase": Phase.AUTHORITY,
        "actor": "all",
        "reason": None,
        "read_authority": 0,
        "read_mirror": 0,
        "ranges": 0,
        "skipped": 0,
        "suspected": 0,
        "note": None,
        "verdict": None,
        "terms": None,
        "report": None,
        "created_at": AT,
        "updated_at": AT,
        "ended_at": None,
        "ended_by": None,
    }
    return Run(**fields | changes)


def finished(number: int = 1, **changes: Any) -> Run:
    """A run that has found a cent in euros and a lost hour."""
    terms = {term: Decimal(0) for term in Term} | {Term.UNEXPLAINED: Decimal("0.01"), Term.LATE: Decimal(5)}
    counts = dict.fromkeys(Term, 0) | {Term.UNEXPLAINED: 1, Term.LATE: 1}
    report = Report(
        records={"authority": 3, "mirror": 2},
        states={"authority": {"posted": 3}, "mirror": {"posted": 2}},
        equal=1,
        explained=0,
        parted=2,
        missing=1,
        extra=0,
        terms=counts,
        bridge=(
            BridgeLine(
                measure="total",
                currency="EUR",
                authority=Decimal("9999999999.99"),
                mirror=Decimal("9999999994.98"),
                terms=terms,
                records=counts,
            ),
        ),
        totals=(
            Total(
                measure="total",
                group="",
                currency="EUR",
                legal_entity="",
                period="2026-03",
                authority=Decimal("9999999999.99"),
                mirror=Decimal("9999999994.98"),
            ),
        ),
        pack=(
            PackLine(
                measure="ar_open",
                group="31-60 days",
                currency="EUR",
                authority=Decimal(7),
                mirror=Decimal(7),
            ),
        ),
        not_available=(NotAvailable(measure="trial_balance", reason="no profile maps accounts"),),
        not_compared=("custom_fields",),
        as_of="2026-11-23",
    )
    ended: dict[str, Any] = {
        "state": "done",
        "phase": Phase.REPORT,
        "verdict": Verdict.FAIL,
        "terms": counts,
        "report": report,
        "read_authority": 3,
        "read_mirror": 2,
        "ranges": 1,
        "ended_at": AT + 1_000_000,
    }
    return reconciliation(number, **ended | changes)


def parted(number: int, term: Term | None = Term.UNEXPLAINED) -> TermRecord:
    return TermRecord(
        record_id=f"inv_{number}",
        entity="invoice",
        kind="differs",
        term=term,
        why="parts when read again",
        amounts=(
            Amount(measure="total", currency="EUR", authority=Decimal("9.90"), mirror=Decimal("9.9")),
            Amount(measure="hours", currency="", authority=Decimal("1.5"), mirror=Decimal(0)),
        ),
        differences=(),
    )


class FakeReconciler:
    """Keeps what it is asked for; every slice but one has two sides."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.runs: list[Run] = []
        self.parted: list[TermRecord] = []
        self.sources: tuple[Declared, ...] = ()

    def declared(self) -> tuple[Declared, ...]:
        return self.sources

    async def start(
        self, entity: str, region: str, *, actor: str, reason: str | None = None, sources: Sequence[str] = ()
    ) -> Run:
        asked: dict[str, Any] = {"start": (entity, region), "actor": actor, "reason": reason}
        self.asked.append(asked | ({"sources": tuple(sources)} if sources else {}))
        if any(run.state == "running" and (run.entity, run.region) == (entity, region) for run in self.runs):
            raise ReconciliationRunning(location="/admin/v1/reconciliations/rcn_1", reconciliation="rcn_1")
        made = reconciliation(len(self.runs) + 1, entity=entity, region=region, actor=actor, reason=reason)
        self.runs.insert(0, made)
        return made

    async def list(self, *, after: str | None = None, limit: int = 50, **asked: Any) -> list[Run]:
        self.asked.append(asked)
        found = [run for run in self.runs if asked["state"] in (None, run.state)]
        return [run for run in found if after is None or run.id < after][:limit]

    async def get(self, run_id: str, **asked: Any) -> Run:
        self.asked.append(asked)
        found = next((run for run in self.runs if run.id == run_id), None)
        if found is None:
            raise NotFoundHere(run_id)
        return found

    async def cancel(self, run_id: str, *, actor: str, **asked: Any) -> Run:
        found = await self.get(run_id, **asked)
        if found.state == "done":
            raise CannotCancel("the reconciliation is done", state="done")
        ended = msgspec.structs.replace(found, state="cancelled", ended_at=AT, ended_by=actor)
        self.runs = [ended if run.id == run_id else run for run in self.runs]
        return ended

    async def records(self, run_id: str, *, after: str = "", limit: int = 50, **asked: Any) -> list[TermRecord]:
        self.asked.append(asked)
        return [one for one in self.parted if one.record_id > after][:limit]
