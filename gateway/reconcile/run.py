"""A reconciliation as people and programs see it: how far it has come, and what it has found."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Literal

import msgspec

from gateway.compare.observation import Sample
from gateway.reconcile.bridge import BridgeLine, Term
from gateway.reconcile.matching import Amount
from gateway.reconcile.measures import NotAvailable
from gateway.reconcile.sources.piece import Unreadable
from gateway.reconcile.tally import Side, Total

State = Literal["running", "done", "cancelled", "failed"]
STATES: tuple[State, ...] = ("running", "done", "cancelled", "failed")


class Phase(StrEnum):
    """What a run is doing, in its order."""

    AUTHORITY = "authority"  # reads the authority's set
    MIRROR = "mirror"  # reads the mirror's set
    MATCH = "match"  # judges range by range
    RECHECK = "recheck"  # reads again what is suspected
    REPORT = "report"


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 - a word of the verdict
    FAIL = "fail"  # something is unexplained
    INCONCLUSIVE = "inconclusive"  # there was nothing to compare, or a part of it could not be read


class PackLine(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of the pack on both sides. ``group`` is a bucket of the ageing or a project."""

    measure: str
    group: str
    currency: str
    authority: Decimal
    mirror: Decimal


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run has found. Amounts are exact. ``terms`` counts records, also those that part in no amount."""

    records: Mapping[str, int]  #: by side
    states: Mapping[str, Mapping[str, int]]  #: side -> state -> records
    equal: int
    explained: int  #: part, and a declared reason accounts for it without an amount
    parted: int
    missing: int
    extra: int
    terms: Mapping[Term, int]
    bridge: tuple[BridgeLine, ...]
    totals: tuple[Total, ...]
    pack: tuple[PackLine, ...]
    not_available: tuple[NotAvailable, ...]
    not_compared: tuple[str, ...]
    as_of: str  #: the business day of the ageing
    unreadable: Mapping[str, int] = {}  #: rows of a source that could not be read, by side


class SourceUse(msgspec.Struct, frozen=True, kw_only=True):
    """The source that a side of a run is read from. Moments are microseconds UTC."""

    name: str
    made_at: int | None = None  #: nothing that was written before is missing; None: reading it has not begun
    unreadable: int = 0  #: rows that could not be read so far


class UnreadableRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a source that could not be read."""

    side: Side
    row: Unreadable


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One reconciliation of one slice. Moments are microseconds UTC. ``terms`` counts the records of each term once the
    run is done; the whole ``report`` is there where a run is looked at by itself, and not in a list of them."""

    id: str
    entity: str
    region: str
    authority: str
    other: str
    stage: str
    state: State
    phase: Phase
    actor: str
    reason: str | None
    read_authority: int
    read_mirror: int
    ranges: int
    skipped: int
    suspected: int  #: records that are still to be read again
    note: str | None
    verdict: Verdict | None
    terms: Mapping[Term, int] | None
    report: Report | None
    created_at: int
    updated_at: int
    ended_at: int | None
    ended_by: str | None
    sources: Mapping[Side, SourceUse] = {}  #: a side that is not named is read through its system's adapter
    unreadable: tuple[UnreadableRow, ...] = ()  #: the first of each side, where a run is looked at by itself

    @property
    def evidence_at(self) -> int:
        """The moment that what it has found is of: an export was made before the run began."""
        made = [use.made_at for use in self.sources.values() if use.made_at is not None]
        return min([self.created_at, *made])


class TermRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record of a term of the bridge. ``why`` names the delivery, case, waiver or look that put it there."""

    record_id: str
    entity: str
    kind: str
    term: Term | None  #: None: suspected, still to be read again
    why: str | None
    amounts: tuple[Amount, ...]
    differences: tuple[Sample, ...]


def verdict(report: Report) -> Verdict:
    """Unexplained records are the only ones that block. A slice without records proves nothing, and neither does one of
    which a part could not be read."""
    if report.terms.get(Term.UNEXPLAINED, 0):
        return Verdict.FAIL
    seen = sum(report.records.values()) and not sum(report.unreadable.values())
    return Verdict.PASS if seen else Verdict.INCONCLUSIVE
