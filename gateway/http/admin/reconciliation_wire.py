"""Reconciliations in wire form: moments in RFC 3339, amounts as decimal strings at the scale of their currency."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from gateway.canonical.values import Note
from gateway.clock import rfc3339
from gateway.compare.observation import Sample
from gateway.compare.tolerance import EXACT
from gateway.database import from_micros, moment
from gateway.reconcile.bridge import BridgeLine, Term
from gateway.reconcile.matching import Amount
from gateway.reconcile.measures import LABELS, NotAvailable, shown
from gateway.reconcile.run import PackLine, Report, Run, TermRecord
from gateway.reconcile.tally import Total

BASE = "/admin/v1/reconciliations"
_Token = Annotated[str, Meta(min_length=1, max_length=40, pattern="^[ -~]+$")]


class ReconciliationWish(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The slice whose two systems are to be held against each other."""

    entity: Annotated[_Token, Meta(description="the entity")]
    region: Annotated[_Token, Meta(description="the region")]
    reason: Annotated[Note, Meta(min_length=1, description="what it is for; kept in the audit")] | None = None
    sources: Annotated[
        tuple[_Token, ...],
        Meta(max_length=2, description="sources of the settings, by name, that stand for their systems' adapters"),
    ] = ()


class BridgeTold(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the bridge: `authority` = `mirror` + `late` + `queued` + `in_case` + `waived` + `unexplained`.
    `currency` null is a quantity; `records` counts those with an amount; `residual` is always zero."""

    measure: str
    currency: str | None
    authority: Decimal
    mirror: Decimal
    late: Decimal
    queued: Decimal
    in_case: Decimal
    waived: Decimal
    unexplained: Decimal
    residual: Decimal
    records: Mapping[Term, int]


class TotalTold(msgspec.Struct, frozen=True, kw_only=True):
    """A control total of both sides. Null: the records do not say."""

    measure: str
    currency: str | None
    legal_entity: str | None
    period: str | None
    authority: Decimal
    mirror: Decimal
    difference: Decimal


class PackTold(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of the professional services pack. `group` is a bucket of the ageing, or a project."""

    measure: str
    label: str
    group: str | None
    currency: str | None
    authority: Decimal
    mirror: Decimal
    difference: Decimal


class ReportTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a reconciliation has found. `terms` counts records, also those that part in no amount; `unreadable` the rows
    of a side's source that could not be read, with which nothing passes."""

    records: Mapping[str, int]
    states: Mapping[str, Mapping[str, int]]
    equal: int
    explained: int
    parted: int
    missing: int
    extra: int
    terms: Mapping[Term, int]
    bridge: tuple[BridgeTold, ...]
    totals: tuple[TotalTold, ...]
    pack: tuple[PackTold, ...]
    not_available: tuple[NotAvailable, ...]
    not_compared: tuple[str, ...]
    as_of: str
    unreadable: Mapping[str, int]


class SourceTold(msgspec.Struct, frozen=True, kw_only=True):
    """The source that a side was read from. Nothing that was written before `made_at` is missing in it; null: reading
    it has not begun. `unreadable` counts its rows that could not be read."""

    name: str
    made_at: str | None
    unreadable: int


class UnreadableTold(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a source that could not be read, by its line in the file, or its place in the query's order; 0 is no one
    row. `rows`: how many it is about."""

    side: str
    source: str
    line: int
    field: str | None
    reason: str
    rows: int


class ReconciliationLine(msgspec.Struct, frozen=True, kw_only=True):
    """A reconciliation of one slice. `read` counts the records that each side has shown so far; of the `ranges` judged
    so far, `skipped` were unchanged since the last run; `suspected` records are still to be read again. `note` says
    what it waits for, or why it failed. `terms` counts the records of each term once it is done. `sources` names those
    that a side is read from instead of its system."""

    id: str
    entity: str
    region: str
    authority: str
    mirror: str
    stage: str
    state: str
    phase: str
    read: Mapping[str, int]
    ranges: int
    skipped: int
    suspected: int
    note: str | None
    verdict: str | None
    terms: Mapping[Term, int] | None
    actor: str
    reason: str | None
    created_at: str
    updated_at: str
    ended_at: str | None
    ended_by: str | None
    href: str
    records_href: str
    sources: Mapping[str, SourceTold]


class ReconciliationTold(ReconciliationLine, frozen=True, kw_only=True):
    """A reconciliation with its report, which is null until it is done, and the first rows of its sources that could
    not be read."""

    report: ReportTold | None
    unreadable: tuple[UnreadableTold, ...]


class AmountTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a record weighs on each side, and its part in the bridge."""

    measure: str
    currency: str | None
    authority: Decimal
    mirror: Decimal
    part: Decimal


class TermRecordTold(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose sides part. `term` null: still to be read again. `why` names the delivery, case, waiver or look
    that put it there."""

    record: str
    entity: str
    kind: str
    term: Term | None
    why: str | None
    amounts: tuple[AmountTold, ...]
    differences: tuple[Sample, ...]


def told(run: Run) -> ReconciliationTold:
    report = None if run.report is None else _report(run.report)
    rows = tuple(
        UnreadableTold(
            side=one.side,
            source=run.sources[one.side].name,
            line=one.row.line,
            field=one.row.field,
            reason=one.row.reason,
            rows=one.row.rows,
        )
        for one in run.unreadable
    )
    return ReconciliationTold(report=report, unreadable=rows, **msgspec.structs.asdict(told_line(run)))


def told_line(run: Run) -> ReconciliationLine:
    return ReconciliationLine(
        id=run.id,
        entity=run.entity,
        region=run.region,
        authority=run.authority,
        mirror=run.other,
        stage=run.stage,
        state=run.state,
        phase=run.phase.value,
        read={"authority": run.read_authority, "mirror": run.read_mirror},
        ranges=run.ranges,
        skipped=run.skipped,
        suspected=run.suspected,
        note=run.note,
        verdict=None if run.verdict is None else run.verdict.value,
        terms=run.terms,
        actor=run.actor,
        reason=run.reason,
        created_at=rfc3339(from_micros(run.created_at)),
        updated_at=rfc3339(from_micros(run.updated_at)),
        ended_at=moment(run.ended_at),
        ended_by=run.ended_by,
        href=f"{BASE}/{run.id}",
        records_href=f"{BASE}/{run.id}/records",
        sources={
            side: SourceTold(name=use.name, made_at=moment(use.made_at), unreadable=use.unreadable)
            for side, use in run.sources.items()
        },
    )


def told_record(one: TermRecord) -> TermRecordTold:
    return TermRecordTold(
        record=one.record_id,
        entity=one.entity,
        kind=one.kind,
        term=one.term,
        why=one.why,
        amounts=tuple(_amount(amount) for amount in one.amounts),
        differences=one.differences,
    )


def _report(report: Report) -> ReportTold:
    return ReportTold(
        records=report.records,
        states=report.states,
        equal=report.equal,
        explained=report.explained,
        parted=report.parted,
        missing=report.missing,
        extra=report.extra,
        terms=report.terms,
        bridge=tuple(_line(line) for line in report.bridge),
        totals=tuple(_total(total) for total in report.totals),
        pack=tuple(_pack(line) for line in report.pack),
        not_available=report.not_available,
        not_compared=report.not_compared,
        as_of=report.as_of,
        unreadable=report.unreadable,
    )


def _line(line: BridgeLine) -> BridgeTold:
    terms = {term.value: shown(amount, line.currency) for term, amount in line.terms.items()}
    return BridgeTold(
        measure=line.measure,
        currency=line.currency or None,
        authority=shown(line.authority, line.currency),
        mirror=shown(line.mirror, line.currency),
        residual=shown(line.residual, line.currency),
        records=line.records,
        **terms,
    )


def _total(total: Total) -> TotalTold:
    return TotalTold(
        measure=total.measure,
        currency=total.currency or None,
        legal_entity=total.legal_entity or None,
        period=total.period or None,
        authority=shown(total.authority, total.currency),
        mirror=shown(total.mirror, total.currency),
        difference=shown(EXACT.subtract(total.authority, total.mirror), total.currency),
    )


def _pack(line: PackLine) -> PackTold:
    return PackTold(
        measure=line.measure,
        label=LABELS[line.measure],
        group=line.group or None,
        currency=line.currency or None,
        authority=shown(line.authority, line.currency),
        mirror=shown(line.mirror, line.currency),
        difference=shown(EXACT.subtract(line.authority, line.mirror), line.currency),
    )


def _amount(amount: Amount) -> AmountTold:
    return AmountTold(
        measure=amount.measure,
        currency=amount.currency or None,
        authority=shown(amount.authority, amount.currency),
        mirror=shown(amount.mirror, amount.currency),
        part=shown(EXACT.subtract(amount.authority, amount.mirror), amount.currency),
    )
