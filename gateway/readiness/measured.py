"""What is measured of a slice, for its gates to be judged by. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from gateway.change_feed import Feed


class Calls(msgspec.Struct, frozen=True, kw_only=True):
    """Writes to one system lately. ``p95_s`` is seconds; None where there was none."""

    count: int = 0
    failed: int = 0
    p95_s: float | None = None


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of record, such as currency EUR: how many there are, and of how many both sides were compared."""

    field: str
    value: str
    records: int
    compared: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one slice. None: nobody could."""

    paired: bool  #: both systems are kept
    compares: int = 0
    mismatched: int = 0  #: records whose sides part and stay so
    money_mismatched: int = 0  #: of these, records in which money parts
    parts: str | None = None  #: SHA-256 over which records part in which fields and how; None: none does
    unverifiable: int = 0
    unlinked: int | None = None  #: records without an id in the system that is not the authority
    backfilled: bool = False  #: a backfill of this authority period was verified
    lag_p99_s: float | None = None
    open: int = 0
    parked: int = 0
    unknown: int = 0
    cases: int = 0
    case_money: Mapping[str, Decimal] = {}
    today: Calls = Calls()
    next: Calls = Calls()
    variants: Sequence[Variant] = ()
    records: int = 0  #: that the variants were read from
    dependencies: Sequence[str] = ()
    dependants: Sequence[str] = ()  #: entities that would wait for records which the next stage keeps from them
    feeds: Sequence[Feed] = ()  #: of both systems
    frozen: str | None = None  #: the window in which no authority moves, and its last day
    waivers: Sequence[str] = ()  #: those in force, each with its end
    waivers_ending: Sequence[str] = ()
    rehearsed: str | None = None  #: when the way back was last gone
    reconciled_age_h: float | None = None
    unexplained: int | None = None
