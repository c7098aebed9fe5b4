"""What comes in to be compared, and what a comparison leaves behind, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol

import msgspec

from gateway.compare.difference import Difference, DifferenceClass, Document, Stake
from gateway.compare.tolerance import EXACT
from gateway.compare.verdict import Verdict, Why, keyed_hash

Origin = Literal["read", "write"]


class Uncompared(StrEnum):
    """How an observation can end without a verdict. They are counted beside the verdicts and are never
    agreement."""

    SHED = "shed"  # the process was busy or its queue was full
    MERGED = "merged"  # a newer write, or a look that was waiting already, answers for it
    DROPPED = "dropped"  # by the time of the look the slice no longer kept both sides


class Held(msgspec.Struct, frozen=True):
    """Where a system keeps a record, as somebody who has just looked knows it. Only a short cut: whoever reads by it
    and finds nothing has found nothing out."""

    native_id: str
    region: str


class ReadObservation(msgspec.Struct, frozen=True, kw_only=True):
    """A read that the authority has answered, in a stage that compares reads."""

    record_id: str
    entity: str
    region: str
    authority: str
    other: str
    stage: str
    document: Document  #: what the authority answered, in canonical wire form
    held: Held | None = None  #: where the other side keeps it


class CompareJob(msgspec.Struct, frozen=True, kw_only=True):
    """A record to be compared, durably. Moments are microseconds UTC on the database's clock."""

    record_id: str
    entity: str
    region: str
    authority: str
    other: str
    seq: int
    due_at: int
    stage: str = ""
    operation_id: str | None = None
    reason: Origin = "write"
    attempt: int = 0
    fingerprint: str | None = None
    # What follows is the room's own; whoever schedules a write leaves it alone.
    token: int = 0
    changes: int = 0
    failures: int = 0
    postponed: int = 0
    stood: int = 0
    sides: str | None = None
    differences: tuple[Sample, ...] = ()


class Fence(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a record stands still. Equal fences before and after the reads mean that nothing raced them."""

    open_deliveries: int
    versions: tuple[Any, ...]  #: whatever changes with every write: record version, lane positions
    quiet_since: int | None  #: microseconds UTC of the last settlement; None where nothing was ever written
    paired: bool = (
        True  #: False: the slice no longer keeps the other side current, so there is nothing to compare
    )
    held: Mapping[str, Held] = {}  #: by system


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A record as a system has shown it, in canonical wire form, references as canonical ids (or as
    ``difference.unresolved``). ``marker``: the last write of ours that this state carries, where the product says, and
    ``version`` what it calls this state for a conditional write."""

    document: Document
    marker: str | None = None
    version: str | None = None


class Sides(Protocol):
    """The two ERPs and the journal, as the comparer needs them."""

    async def read(self, system: str, entity: str, record_id: str, *, held: Held | None = None) -> Reading:
        """The record as ``system`` holds it; ``held`` saves looking up where. Raises the errors of
        ``adapters.errors``."""
        ...

    async def fence(self, record_id: str) -> Fence: ...

    async def unshown(self, record_id: str, shown: Mapping[str, str | None]) -> int | None:
        """When the newest write was applied, in microseconds UTC, that is not seen in what a system has shown; None:
        every system has shown our last write to it, or has had none. ``shown``: the marker by system."""
        ...


class Sample(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference as it is stored and shown. Of a personal value only its keyed hash is left."""

    path: str
    field: str
    kind: DifferenceClass = msgspec.field(name="class")
    authority: Any = None
    other: Any = None
    stake: Stake | None = None
    explained: str | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison that has come to its verdict."""

    id: str
    record_id: str
    entity: str
    region: str
    verdict: Verdict
    why: Why | None
    authority: str
    other: str
    stage: str
    operation_id: str | None
    origin: Origin
    rechecks: int
    fingerprint: str
    samples: tuple[Sample, ...]
    not_compared: tuple[str, ...]
    at: int
    day: str

    @property
    def money(self) -> dict[str, Decimal]:
        return at_stake(self.samples)


def at_stake(found: Sequence[Sample]) -> dict[str, Decimal]:
    """Money at stake by currency: of each field the sum, of these the largest, because a line, a net total and a
    total show the same cent three times."""
    by_field: dict[tuple[str, str], Decimal] = {}
    for one in found:
        if one.stake is not None and one.explained is None:
            key = one.stake.currency, one.field
            by_field[key] = EXACT.add(by_field.get(key, Decimal(0)), one.stake.amount)
    largest: dict[str, Decimal] = {}
    for (currency, _), amount in by_field.items():
        largest[currency] = max(largest.get(currency, Decimal(0)), amount)
    return largest


def sample(found: Difference, key: bytes) -> Sample:
    """``found`` as it may be stored: a personal value becomes a hash that still tells equal from
    different."""
    return Sample(
        path=found.path,
        field=found.field,
        kind=found.kind,
        authority=_shown(found.control, found.personal, key),
        other=_shown(found.candidate, found.personal, key),
        stake=found.stake,
        explained=found.explained,
    )


def samples(differences: Sequence[Difference], key: bytes) -> tuple[Sample, ...]:
    return tuple(sample(found, key) for found in differences)


def _shown(value: Any, personal: bool, key: bytes) -> Any:
    if value is None or not personal:
        return value
    return "hmac:" + keyed_hash(_encode(value), key)


_encode = msgspec.json.Encoder(order="sorted").encode


class Diff(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """A stored result, as the API and the pages show it. Moments are microseconds UTC."""

    id: str
    record_id: str
    entity: str
    region: str
    verdict: Verdict
    why: Why | None
    authority: str
    other: str
    stage: str
    operation_id: str | None
    origin: Origin
    rechecks: int
    fingerprint: str
    differences: tuple[Sample, ...]
    difference_count: int
    not_compared: tuple[str, ...]
    money: Mapping[str, Decimal]
    at: int
    last_at: int
    times: int
    resolved_at: int | None
    resolved_by: str | None


class FieldSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How often one field parted in one way, with one verdict."""

    field: str
    kind: str = msgspec.field(
        name="class"
    )  #: a difference class, a reason for *unverifiable*, or ``not_compared``
    verdict: str  #: a verdict, or ``not_compared``
    count: int
    share: float  #: of the slice's comparisons; a proportion for people, nothing is decided by it
    money: Mapping[str, Decimal]
    example: str | None  #: the newest kept diff that shows it


class SliceSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What comparing has found in one slice."""

    entity: str
    region: str
    compares: int  #: comparisons that came to a verdict
    verdicts: Mapping[str, int]  #: all five, zeros included
    uncompared: Mapping[str, int]  #: shed, merged, dropped
    consistency: float | None  #: match, explained and late of all verdicts; None: nothing was compared
    open_mismatches: int  #: records that part right now
    fields: tuple[FieldSummary, ...]
