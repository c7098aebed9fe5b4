"""Makes the report of a run out of its ranges' tallies and of the parts of the bridge. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from decimal import Decimal

from gateway.canonical import Entity
from gateway.compare.tolerance import EXACT
from gateway.reconcile.bridge import Part, Term, bridge
from gateway.reconcile.measures import BUCKETS, LABELS, bucket, not_available
from gateway.reconcile.run import PackLine, Report
from gateway.reconcile.tally import SIDES, Side, Tally, Total

#: The measure whose groups are days, shown as buckets of the ageing.
AGEING = "ar_open"
#: Groups of one measure that are named; those that differ come first, and every one counts in the total.
MOST_GROUPS = 200

_Sums = dict[tuple[str, str, str], list[Decimal]]


def report(
    entity: Entity,
    tally: Tally,
    parts: Iterable[Part],
    terms: Mapping[Term, int],
    *,
    as_of: date,
    held: Mapping[str, frozenset[str]],
    unread: Mapping[Side, int],
) -> Report:
    """The report. ``held`` are the fields that each system holds; ``terms`` counts the records of each term; ``unread``
    the rows of a source that could not be read."""
    sums: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for total in tally.totals:
        left, right = sums.get((total.measure, total.currency), (Decimal(0), Decimal(0)))
        sums[total.measure, total.currency] = (
            EXACT.add(left, total.authority),
            EXACT.add(right, total.mirror),
        )
    return Report(
        records={side: tally.records(side) for side in SIDES},
        states=tally.states,
        equal=tally.equal,
        explained=tally.explained,
        parted=tally.parted,
        missing=tally.missing,
        extra=tally.extra,
        terms={term: terms.get(term, 0) for term in Term},
        bridge=bridge(sums, parts),
        totals=_control(tally.totals),
        pack=_pack(tally.totals, as_of),
        not_available=not_available(entity, held),
        not_compared=tally.not_compared,
        as_of=as_of.isoformat(),
        unreadable={side: unread.get(side, 0) for side in SIDES},
    )


def _control(totals: Iterable[Total]) -> tuple[Total, ...]:
    """Control totals by currency, legal entity and period, whatever the groups."""
    sums: dict[tuple[str, str, str, str], list[Decimal]] = {}
    for total in totals:
        if total.measure in LABELS:
            continue
        key = total.measure, total.currency, total.legal_entity, total.period
        _add(sums.setdefault(key, [Decimal(0), Decimal(0)]), total)
    return tuple(
        Total(
            measure=key[0],
            group="",
            currency=key[1],
            legal_entity=key[2],
            period=key[3],
            authority=both[0],
            mirror=both[1],
        )
        for key, both in sorted(sums.items())
    )


def _pack(totals: Iterable[Total], as_of: date) -> tuple[PackLine, ...]:
    sums: _Sums = {}
    for total in totals:
        if total.measure not in LABELS:
            continue
        group = bucket(total.group, as_of) if total.measure == AGEING else total.group
        _add(sums.setdefault((total.measure, total.currency, group), [Decimal(0), Decimal(0)]), total)
    named: list[PackLine] = []
    for measure in LABELS:
        mine = [
            PackLine(measure=measure, group=key[2], currency=key[1], authority=both[0], mirror=both[1])
            for key, both in sums.items()
            if key[0] == measure
        ]
        mine.sort(key=_place)
        named.extend(mine[:MOST_GROUPS])
    return tuple(named)


def _place(line: PackLine) -> tuple[str, bool, int, str]:
    """By currency; the ageing in its own order, everything else with what differs first."""
    if line.measure == AGEING:
        return line.currency, False, BUCKETS.index(line.group), ""
    return line.currency, line.authority == line.mirror, 0, line.group


def _add(both: list[Decimal], total: Total) -> None:
    both[0] = EXACT.add(both[0], total.authority)
    both[1] = EXACT.add(both[1], total.mirror)
