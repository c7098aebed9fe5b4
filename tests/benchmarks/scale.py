"""How long the benchmarks measure, and with which settings beside the shipped ones."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    rounds: int = 3  #: of each side
    seconds: float = 10.0  #: of one round
    warm_s: float = 2.0  #: before the first round of each side, not counted
    mixed: int = 100_000  #: requests before the memory is read
    starts: int = 5
    journal: int = 1_000_000  #: operations of the long journal; the short one has a hundredth
    backlog: int = 100_000  #: deliveries that are drained
    invoices: int = 1_000_000  #: of each side that are reconciled
    settings: Mapping[str, str] = {}  #: of the gateway, by the names of ``gateway/settings.py``


FULL = Scale()
#: Shows that everything works; its figures say little.
QUICK = Scale(rounds=2, seconds=3.0, warm_s=0.5, mixed=10_000, starts=3, journal=50_000, backlog=3_000, invoices=20_000)
