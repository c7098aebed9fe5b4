"""What a range of records comes to: counts, states and totals of each side. Pure; ranges add up to the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

import msgspec

from gateway.canonical import Entity
from gateway.compare.difference import Document
from gateway.compare.tolerance import EXACT
from gateway.reconcile.measures import Line, lines, period

Side = Literal["authority", "mirror"]
SIDES: tuple[Side, ...] = ("authority", "mirror")
_Key = tuple[str, str, str, str, str]  # measure, group, currency, legal entity, period


class Total(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides' sums of one measure. ``currency`` '' is a quantity; '' elsewhere: the records do not say."""

    measure: str
    group: str
    currency: str
    legal_entity: str
    period: str
    authority: Decimal
    mirror: Decimal


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """The counts and totals of some records. ``equal``, ``explained`` and ``parted`` are every record once;
    ``missing`` (on the mirror) and ``extra`` (there alone) are among those that part."""

    states: dict[str, dict[str, int]]  #: side -> state -> records; '' where a record has none
    totals: tuple[Total, ...]
    equal: int
    explained: int
    parted: int
    missing: int
    extra: int
    not_compared: tuple[str, ...]

    def records(self, side: Side) -> int:
        return sum(self.states[side].values())


class Counting:
    """Makes a tally record by record."""

    def __init__(self, entity: Entity, mapped: frozenset[str]) -> None:
        self._entity = entity
        self._mapped = mapped
        self._states: dict[Side, Counter[str]] = {side: Counter() for side in SIDES}
        self._sums: dict[_Key, list[Decimal]] = {}
        self._not_compared: set[str] = set()
        self.equal = self.explained = self.parted = self.missing = self.extra = 0

    def add(self, side: Side, document: Document) -> list[Line]:
        """Counts a document of one side; its lines are returned."""
        state = document.get("state")
        self._states[side][state if isinstance(state, str) else ""] += 1
        company = document.get("legal_entity")
        company = company if isinstance(company, str) else ""
        month = period(self._entity, document)
        found = lines(self._entity, document, self._mapped)
        for line in found:
            key = line.measure, line.group, line.currency, company, month
            sums = self._sums.setdefault(key, [Decimal(0), Decimal(0)])
            place = SIDES.index(side)
            sums[place] = EXACT.add(sums[place], line.amount)
        return found

    def unseen(self, names: Iterable[str]) -> None:
        """Fields that hold something and that nobody compared."""
        self._not_compared.update(names)

    def tally(self) -> Tally:
        return Tally(
            states={side: dict(sorted(self._states[side].items())) for side in SIDES},
            totals=totals_of(self._sums),
            equal=self.equal,
            explained=self.explained,
            parted=self.parted,
            missing=self.missing,
            extra=self.extra,
            not_compared=tuple(sorted(self._not_compared)),
        )


def together(tallies: Iterable[Tally]) -> Tally:
    """The tally of all of them."""
    states: dict[str, Counter[str]] = {side: Counter() for side in SIDES}
    sums: dict[_Key, list[Decimal]] = {}
    unseen: set[str] = set()
    counts: Counter[str] = Counter()
    for one in tallies:
        for side in SIDES:
            states[side].update(one.states[side])
        for total in one.totals:
            key = total.measure, total.group, total.currency, total.legal_entity, total.period
            both = sums.setdefault(key, [Decimal(0), Decimal(0)])
            both[0] = EXACT.add(both[0], total.authority)
            both[1] = EXACT.add(both[1], total.mirror)
        unseen.update(one.not_compared)
        for name in ("equal", "explained", "parted", "missing", "extra"):
            counts[name] += getattr(one, name)
    return Tally(
        states={side: dict(sorted(states[side].items())) for side in SIDES},
        totals=totals_of(sums),
        equal=counts["equal"],
        explained=counts["explained"],
        parted=counts["parted"],
        missing=counts["missing"],
        extra=counts["extra"],
        not_compared=tuple(sorted(unseen)),
    )


def totals_of(sums: dict[_Key, list[Decimal]]) -> tuple[Total, ...]:
    """The totals of these sums of both sides."""
    return tuple(
        Total(
            measure=key[0],
            group=key[1],
            currency=key[2],
            legal_entity=key[3],
            period=key[4],
            authority=both[0],
            mirror=both[1],
        )
        for key, both in sorted(sums.items())
    )
