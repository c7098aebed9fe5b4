"""Judges a range: pairs what the two sides hold by canonical id, and finds the records that part. Touches nothing.

A record was paired when it was read: through the crosswalk, else by its natural key, both by the room that adopts what
is seen for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal

import msgspec

from gateway.canonical import Entity
from gateway.compare.difference import Document
from gateway.compare.look import Eye
from gateway.compare.observation import Sample, samples
from gateway.compare.waiver import WAIVED, Waiver, waived
from gateway.reconcile.measures import summed
from gateway.reconcile.tally import SIDES, Counting, Tally

#: Differences of one record that are kept.
KEPT = 50
#: What accounts for an amount where no difference was found.
WITHIN = "within the tolerance of the compare policy"
Kind = Literal["missing", "extra", "differs"]


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """What one record weighs on each side in one measure and currency."""

    measure: str
    currency: str
    authority: Decimal
    mirror: Decimal


class Parted(msgspec.Struct, frozen=True, kw_only=True):
    """A record whose sides part. ``covered`` names what accounts for all of it: a waiver, or a declared reason."""

    record_id: str
    kind: Kind
    read_at: int  #: microseconds UTC, a moment before the side that was read last was asked
    covered: str | None
    differences: tuple[Sample, ...]
    amounts: tuple[Amount, ...]


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A record as one side showed it."""

    document: Document
    read_at: int


class Matching:
    """Judges the ranges of one slice, for as long as its waivers are those given."""

    def __init__(
        self,
        *,
        entity: Entity,
        authority: str,
        other: str,
        eye: Eye,
        waivers: Sequence[Waiver],
        now: int,
        key: bytes,
    ) -> None:
        self._entity = entity
        self._systems = authority, other
        self._eye = eye
        self._waivers = waivers
        self._now = now
        self._key = key
        self._counting = Counting(entity, eye.shared(entity, authority, other))
        self.parted: list[Parted] = []

    def add(self, record_id: str, sides: Mapping[str, Held]) -> None:
        """Judges one record; a side that does not hold it is not among ``sides``."""
        counting = self._counting
        control, candidate = sides.get("authority"), sides.get("mirror")
        weights: list[dict[tuple[str, str], Decimal]] = []
        for side, held in zip(SIDES, (control, candidate), strict=True):
            weights.append({} if held is None else summed(counting.add(side, held.document)))
        diffs = self._eye.documents(
            self._entity,
            *self._systems,
            None if control is None else control.document,
            None if candidate is None else candidate.document,
        )
        counting.unseen(diffs.not_compared)
        diffs = waived(diffs, self._waivers, now=self._now, key=self._key)
        amounts = _amounts(*weights)
        by_waiver = [one for one in diffs.differences if (one.explained or "").startswith(WAIVED)]
        if not diffs.open and not by_waiver and not amounts:
            if diffs.differences:
                counting.explained += 1
            else:
                counting.equal += 1
            return
        kind: Kind = "missing" if candidate is None else "extra" if control is None else "differs"
        counting.parted += 1
        counting.missing += kind == "missing"
        counting.extra += kind == "extra"
        covered = None
        if not diffs.open:
            named = {one.explained for one in diffs.differences if one.explained}
            covered = ", ".join(sorted(named)) or WITHIN
        self.parted.append(
            Parted(
                record_id=record_id,
                kind=kind,
                read_at=max(held.read_at for held in sides.values()),
                covered=covered,
                differences=samples((diffs.open or diffs.differences)[:KEPT], self._key),
                amounts=amounts,
            )
        )

    def tally(self) -> Tally:
        return self._counting.tally()


def _amounts(
    authority: Mapping[tuple[str, str], Decimal], mirror: Mapping[tuple[str, str], Decimal]
) -> tuple[Amount, ...]:
    """Where the two weigh differently."""
    nothing = Decimal(0)
    return tuple(
        Amount(measure=key[0], currency=key[1], authority=left, mirror=right)
        for key in sorted({*authority, *mirror})
        if (left := authority.get(key, nothing)) != (right := mirror.get(key, nothing))
    )
