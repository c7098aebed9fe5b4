"""The bridge from the authority's total to the mirror's. Pure.

``authority total = mirror total + late + queued + in case + waived + unexplained``, by measure and currency, exact to
the last decimal. A record that parts goes with the whole of its part into one term, so the terms are disjoint and every
one of them leads to its records. Only *unexplained* says that something is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

import msgspec

from gateway.compare.tolerance import EXACT


class Term(StrEnum):
    """Why a record's sides part. The order is that of the bridge."""

    LATE = "late"  # equal when read again, or written within the settle time
    QUEUED = "queued"  # a mirror delivery is on its way
    IN_CASE = "in_case"  # a parked delivery or an open case: a person's
    WAIVED = "waived"  # a waiver, or a declared known reason, accounts for all of it
    UNEXPLAINED = "unexplained"  # everything else; the only term that blocks


class Part(NamedTuple):
    """What one record adds to the distance between the two totals of a measure."""

    term: Term
    measure: str
    currency: str
    authority: Decimal
    mirror: Decimal

    @property
    def amount(self) -> Decimal:
        return EXACT.subtract(self.authority, self.mirror)


class BridgeLine(msgspec.Struct, frozen=True, kw_only=True):
    """The bridge of one measure in one currency ('' for a quantity). ``records`` counts those with an amount."""

    measure: str
    currency: str
    authority: Decimal
    mirror: Decimal
    terms: Mapping[Term, Decimal]
    records: Mapping[Term, int]

    @property
    def residual(self) -> Decimal:
        """What the terms leave over. It is zero, or this program is wrong."""
        left = EXACT.subtract(self.authority, self.mirror)
        for amount in self.terms.values():
            left = EXACT.subtract(left, amount)
        return left


Totals = Mapping[tuple[str, str], tuple[Decimal, Decimal]]


def bridge(totals: Totals, parts: Iterable[Part]) -> tuple[BridgeLine, ...]:
    """The lines of every measure and currency that a total or a part names. ``totals`` are the authority's and the
    mirror's sums over all records by measure and currency."""
    terms: dict[tuple[str, str], dict[Term, Decimal]] = {}
    records: dict[tuple[str, str], dict[Term, int]] = {}
    for part in parts:
        key = part.measure, part.currency
        if not part.amount:
            continue
        amounts = terms.setdefault(key, {})
        counts = records.setdefault(key, {})
        amounts[part.term] = EXACT.add(amounts.get(part.term, Decimal(0)), part.amount)
        counts[part.term] = counts.get(part.term, 0) + 1
    nothing = Decimal(0), Decimal(0)
    return tuple(
        BridgeLine(
            measure=measure,
            currency=currency,
            authority=totals.get((measure, currency), nothing)[0],
            mirror=totals.get((measure, currency), nothing)[1],
            terms={term: terms.get((measure, currency), {}).get(term, Decimal(0)) for term in Term},
            records={term: records.get((measure, currency), {}).get(term, 0) for term in Term},
        )
        for measure, currency in sorted({*totals, *terms})
    )
