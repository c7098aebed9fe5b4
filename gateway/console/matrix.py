"""The routing matrix as figures: one cell for each slice, and the sums above it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.compare import SliceSummary, Verdict
from gateway.compare.queries import CONSISTENT
from gateway.console.stages import StageRow
from gateway.ledger.slices import Slice
from gateway.routing.cohort import cohort_of, plain


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparisons of one slice say. *consistent* counts match, explained and late of all that came
    to a verdict: what could not be verified is agreement for nobody."""

    compares: int = 0
    consistent: int = 0
    mismatched: int = 0
    open: int = 0  #: records that part right now

    def plus(self, other: Compared) -> Compared:
        return Compared(
            compares=self.compares + other.compares,
            consistent=self.consistent + other.consistent,
            mismatched=self.mismatched + other.mismatched,
            open=self.open + other.open,
        )


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """What is on its way to the mirror of one slice, and how late it is."""

    open: int = 0
    parked: int = 0
    unknown: int = 0
    oldest_age_s: float | None = None
    lag_p99_s: float | None = None


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    slice: Slice
    row: StageRow
    compared: Compared
    queue: Queue

    @property
    def id(self) -> str:
        return f"slice-{self.slice.entity}-{self.slice.region}"

    @property
    def needs_person(self) -> bool:
        return bool(self.compared.open or self.queue.parked or self.queue.unknown)


class Matrix(msgspec.Struct, frozen=True, kw_only=True):
    """All that the page shows. ``cells`` has no entry where no rule routes that entity in that region."""

    entities: tuple[str, ...]
    regions: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    stages: tuple[tuple[StageRow, int], ...]  #: each stage with the number of slices in it
    compared: Compared
    queue: Queue
    worst: Cell | None  #: the slice with the largest lag

    def absent(self, region: str) -> str:
        """What is said of a slice that there is not: what a cohort does not narrow is led as its region is."""
        return "not routed" if cohort_of(region) is None else f"as in {plain(region)}"


def compared_of(found: SliceSummary) -> Compared:
    return Compared(
        compares=found.compares,
        consistent=sum(found.verdicts.get(verdict, 0) for verdict in CONSISTENT),
        mismatched=found.verdicts.get(Verdict.MISMATCH, 0),
        open=found.open_mismatches,
    )


def queue_of(figures: Mapping[str, Any] | None) -> Queue:
    """The backlog figures of a slice; a slice that the backlog does not name has nothing on its way."""
    return Queue() if figures is None else msgspec.convert(dict(figures), Queue, strict=False)


def matrix(
    slices: Iterable[Slice],
    *,
    order: Sequence[str],
    rows: Sequence[StageRow],
    compared: Mapping[tuple[str, str], Compared],
    backlog: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Matrix:
    """``order`` is the order of the entities; one that it does not name comes last."""
    by_stage = {row.stage: row for row in rows}
    cells = {
        (one.entity, one.region): Cell(
            slice=one,
            row=by_stage[one.stage],
            compared=compared.get((one.entity, one.region), Compared()),
            queue=queue_of(backlog.get((one.entity, one.region))),
        )
        for one in slices
    }
    place = {entity: number for number, entity in enumerate(order)}
    present = {entity for entity, _ in cells}
    total = Compared()
    for cell in cells.values():
        total = total.plus(cell.compared)
    queues = [cell.queue for cell in cells.values()]
    late = [cell for cell in cells.values() if cell.queue.lag_p99_s is not None]
    return Matrix(
        entities=tuple(sorted(present, key=lambda entity: (place.get(entity, len(place)), entity))),
        regions=tuple(sorted({region for _, region in cells})),
        cells=cells,
        stages=tuple(
            (row, sum(1 for cell in cells.values() if cell.slice.stage == row.stage)) for row in rows
        ),
        compared=total,
        queue=Queue(
            open=sum(queue.open for queue in queues),
            parked=sum(queue.parked for queue in queues),
            unknown=sum(queue.unknown for queue in queues),
            oldest_age_s=max((q.oldest_age_s for q in queues if q.oldest_age_s is not None), default=None),
            lag_p99_s=max((q.lag_p99_s for q in queues if q.lag_p99_s is not None), default=None),
        ),
        worst=max(late, key=lambda cell: cell.queue.lag_p99_s or 0.0, default=None),
    )
