"""What a run of many seeds found, as figures that ``python -m tests.figures`` reads. Pure."""

from __future__ import annotations

from collections import Counter

import msgspec

from tests.figures.origin import Origin
from tests.simulation.run import Result


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of broken laws are of verdicts; a seed may have several."""

    origin: Origin
    seeds: int
    failed_seeds: int
    operations: int
    effects: int
    faults: int  #: injected
    lost: int
    doubled: int
    reordered: int
    phantom: int
    other: int  #: verdicts by any other law


def figures(total: Result, made: Origin) -> Figures:
    laws = Counter(verdict.law.split()[0] for verdicts in total.failed.values() for verdict in verdicts)
    return Figures(
        origin=made,
        seeds=total.seeds,
        failed_seeds=len(total.failed),
        operations=total.operations,
        effects=total.effects,
        faults=sum(total.counted.values()),
        lost=laws["C1"],
        doubled=laws["C2"],
        reordered=laws["C3"],
        phantom=laws["C4"],
        other=laws.total() - sum(laws[law] for law in ("C1", "C2", "C3", "C4")),
    )
