"""What the pages of reconciliations show: figures as text, terms with the way to their records. Pure."""

from __future__ import annotations

from decimal import Decimal
from urllib.parse import urlencode

import msgspec

from gateway.compare.tolerance import EXACT
from gateway.console.words import label
from gateway.reconcile.bridge import BridgeLine, Term
from gateway.reconcile.measures import LABELS, shown
from gateway.reconcile.run import Phase, Report, Run

#: term -> its name, and what a record in it is
TERMS: dict[Term, tuple[str, str]] = {
    Term.LATE: ("Late", "equal when read again, or written within the settle time"),
    Term.QUEUED: ("Queued", "a write is on its way to the mirror"),
    Term.IN_CASE: ("In case", "a parked write or an open case: a person decides"),
    Term.WAIVED: ("Waived", "accepted for a time, or a loss that a profile declares"),
    Term.UNEXPLAINED: ("Unexplained", "everything else; the only term that blocks"),
}
PHASES: dict[Phase, str] = {
    Phase.AUTHORITY: "reads the authority's set",
    Phase.MIRROR: "reads the mirror's set",
    Phase.MATCH: "judges range by range",
    Phase.RECHECK: "reads again what parts",
    Phase.REPORT: "adds up",
}


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """An amount as text. ``zero``: there is nothing to look at."""

    text: str
    zero: bool


class TermCell(msgspec.Struct, frozen=True, kw_only=True):
    """One term of one line, with the address of its records."""

    term: Term
    figure: Figure
    records: int
    link: str


class BridgeRow(msgspec.Struct, frozen=True, kw_only=True):
    label: str
    authority: Figure
    mirror: Figure
    terms: tuple[TermCell, ...]
    residual: Figure
    parts: bool


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of a total or of a figure of the pack."""

    label: str
    of: str  #: legal entity and period, or the group
    authority: Figure
    mirror: Figure
    difference: Figure


def figure(amount: Decimal, currency: str) -> Figure:
    """With the decimals that the currency has: none for yen."""
    return Figure(text=f"{shown(amount, currency):,f} {currency}".strip(), zero=not amount)


def named(measure: str) -> str:
    return LABELS.get(measure) or label(measure)


def records_link(
    run_id: str, *, term: Term | None = None, measure: str = "", currency: str = "", csv: bool = False
) -> str:
    """The address of the records of a run, narrowed."""
    asked = {"term": "" if term is None else term.value, "measure": measure, "currency": currency}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/console/reconciliations/{run_id}/records{'.csv' if csv else ''}" + (
        f"?{query}" if query else ""
    )


def bridge_rows(run: Run, report: Report) -> list[BridgeRow]:
    """Every line of the bridge; those in which something parts come first."""
    rows = [_row(run, line) for line in report.bridge]
    return sorted(rows, key=lambda row: not row.parts)


def total_rows(report: Report) -> list[Sum]:
    return [
        Sum(
            label=named(one.measure),
            of=" ".join(part for part in (one.legal_entity, one.period) if part),
            authority=figure(one.authority, one.currency),
            mirror=figure(one.mirror, one.currency),
            difference=figure(EXACT.subtract(one.authority, one.mirror), one.currency),
        )
        for one in report.totals
    ]


def pack_rows(report: Report) -> list[Sum]:
    return [
        Sum(
            label=named(one.measure),
            of=one.group,
            authority=figure(one.authority, one.currency),
            mirror=figure(one.mirror, one.currency),
            difference=figure(EXACT.subtract(one.authority, one.mirror), one.currency),
        )
        for one in report.pack
    ]


def _row(run: Run, line: BridgeLine) -> BridgeRow:
    return BridgeRow(
        label=named(line.measure),
        authority=figure(line.authority, line.currency),
        mirror=figure(line.mirror, line.currency),
        terms=tuple(
            TermCell(
                term=term,
                figure=figure(line.terms[term], line.currency),
                records=line.records[term],
                link=records_link(run.id, term=term, measure=line.measure, currency=line.currency),
            )
            for term in Term
        ),
        residual=figure(line.residual, line.currency),
        # Parts of both signs may cancel each other out, and are there all the same.
        parts=any(line.records.values()),
    )
