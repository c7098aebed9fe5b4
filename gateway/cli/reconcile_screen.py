"""Reconciliations as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from gateway.cli.screen import out, put_table
from gateway.compare.tolerance import EXACT
from gateway.database import from_micros
from gateway.reconcile import Report, Run, Term, TermRecord
from gateway.reconcile.measures import LABELS, shown

#: Rows of sources that could not be read, as many as are shown at once.
ROWS = 20
_NUMBERS = ("authority", "mirror", "difference", *(term.value for term in Term))


def put_run(run: Run) -> None:
    """One run: its verdict, the bridge, and the figures below it."""
    verdict = run.state if run.verdict is None else run.verdict.value
    out().print(f"{run.entity} in {run.region}: {verdict}  ({run.id})", markup=False)
    if run.note is not None:
        out().print(f"  {run.note}", markup=False)
    for side, use in run.sources.items():
        made = "" if use.made_at is None else f", as of {from_micros(use.made_at):%Y-%m-%d %H:%M} UTC"
        out().print(f"  the {side} was read from source {use.name}{made}", markup=False)
    if run.report is not None:
        _report(run, run.report)
    if run.unreadable:
        _unreadable(run)


def put_runs(found: Sequence[Run]) -> None:
    put_table(
        ("reconciliation", "slice", "begun", "state", "verdict", "unexplained", "note"),
        [
            (
                run.id,
                f"{run.entity}/{run.region}",
                from_micros(run.created_at).strftime("%Y-%m-%d %H:%M"),
                run.state,
                None if run.verdict is None else run.verdict.value,
                None if run.terms is None else run.terms[Term.UNEXPLAINED],
                run.note,
            )
            for run in found
        ],
        right=("unexplained",),
    )


def put_records(found: Sequence[TermRecord]) -> None:
    put_table(
        ("record", "term", "kind", "parts", "why"),
        [
            (
                one.record_id,
                "suspected" if one.term is None else one.term.value,
                one.kind,
                ", ".join(
                    f"{amount.measure} {_amount(EXACT.subtract(amount.authority, amount.mirror), amount.currency)}"
                    for amount in one.amounts
                )
                or " ".join(sorted({difference.field for difference in one.differences})),
                one.why,
            )
            for one in found
        ],
    )


def _unreadable(run: Run) -> None:
    shown = run.unreadable[:ROWS]
    total = sum(use.unreadable for use in run.sources.values())
    put_table(
        ("source", "line", "field", "reason"),
        [(run.sources[one.side].name, one.row.line or None, one.row.field, one.row.reason) for one in shown],
        title=f"\nrows that could not be read, {len(shown)} of {total}",
        right=("line",),
    )


def _report(run: Run, report: Report) -> None:
    out().print(
        f"  {report.records['authority']} records in {run.authority}, {report.records['mirror']} in {run.other}: "
        f"{report.equal} equal, {report.explained} explained, {report.parted} part "
        f"({report.missing} missing, {report.extra} extra); "
        + ", ".join(f"{count} {term.value}" for term, count in report.terms.items()),
        markup=False,
    )
    if report.bridge:
        put_table(
            ("measure", "authority", "mirror", *(term.value for term in Term)),
            [
                (
                    LABELS.get(line.measure, line.measure),
                    _amount(line.authority, line.currency),
                    _amount(line.mirror, line.currency),
                    *(_amount(line.terms[term], line.currency) for term in Term),
                )
                for line in report.bridge
            ],
            title="\nauthority = mirror + late + queued + in case + waived + unexplained",
            right=_NUMBERS,
        )
    parting = [total for total in report.totals if total.authority != total.mirror]
    if parting:
        put_table(
            ("measure", "legal entity", "period", "authority", "mirror", "difference"),
            [
                (
                    total.measure,
                    total.legal_entity or None,
                    total.period or None,
                    _amount(total.authority, total.currency),
                    _amount(total.mirror, total.currency),
                    _amount(EXACT.subtract(total.authority, total.mirror), total.currency),
                )
                for total in parting
            ],
            title=f"\ncontrol totals that part, {len(parting)} of {len(report.totals)}",
            right=_NUMBERS,
        )
    if report.pack:
        put_table(
            ("figure", "group", "authority", "mirror", "difference"),
            [
                (
                    LABELS[line.measure],
                    line.group or None,
                    _amount(line.authority, line.currency),
                    _amount(line.mirror, line.currency),
                    _amount(EXACT.subtract(line.authority, line.mirror), line.currency),
                )
                for line in report.pack
            ],
            title=f"\nfigures as of {report.as_of}",
            right=_NUMBERS,
        )
    for one in report.not_available:
        out().print(f"  {one.measure} is not available: {one.reason}", markup=False)
    if report.not_compared:
        out().print(f"  not compared: {', '.join(report.not_compared)}", markup=False)


def _amount(amount: Decimal, currency: str) -> str:
    """With the decimals that the currency has: none for yen."""
    return f"{shown(amount, currency):,f} {currency}".strip()
