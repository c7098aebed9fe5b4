"""What a benchmark comes to: rounds of two sides, their ratio, and whether it reaches gate and aim. Pure.

A *round* is one stretch of one side; the sides take turns (A B A B), so that what else the machine does meets
both. A side's rate is all that was done by all the time that it took: a lucky round counts for no more than an
unlucky one. The *spread* is the ratio of the worst and the best pair of neighbouring rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of one side."""

    count: int  #: what was done: requests, compares, writes
    seconds: float
    cpu_s: float  #: CPU time of the side's process in that stretch
    p50_ms: float
    p99_ms: float


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the programs that are measured, with its rounds in order."""

    name: str
    rounds: tuple[Round, ...]

    @property
    def rate(self) -> float:
        return sum(one.count for one in self.rounds) / sum(one.seconds for one in self.rounds)

    @property
    def cpu_us(self) -> float:
        """CPU of the side's process for one of what was counted."""
        return sum(one.cpu_s for one in self.rounds) / sum(one.count for one in self.rounds) * 1e6

    @property
    def p50_ms(self) -> float:
        return _median([one.p50_ms for one in self.rounds])

    @property
    def p99_ms(self) -> float:
        return max(one.p99_ms for one in self.rounds)


class Reached(StrEnum):
    AIM = "aim"
    GATE = "gate"
    NEITHER = "NOT reached"


class Bound(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be reached, and what was."""

    unit: str
    value: float
    gate: float
    aim: float
    at_most: bool = False

    @property
    def reached(self) -> Reached:
        sign = -1 if self.at_most else 1
        if sign * self.value >= sign * self.aim:
            return Reached.AIM
        return Reached.GATE if sign * self.value >= sign * self.gate else Reached.NEITHER


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark's outcome. ``bounds`` are judged; ``sides`` and ``remarks`` stand beside them."""

    name: str
    title: str
    bounds: tuple[Bound, ...]
    sides: tuple[Side, ...] = ()
    remarks: tuple[str, ...] = ()


def ratio(ours: Side, theirs: Side) -> float:
    return ours.rate / theirs.rate


def spread(ours: Side, theirs: Side) -> tuple[float, float]:
    """The lowest and the highest ratio of two rounds that followed each other."""
    pairs = [
        (mine.count / mine.seconds) / (other.count / other.seconds)
        for mine, other in zip(ours.rounds, theirs.rounds, strict=True)
    ]
    return min(pairs), max(pairs)


def summary(reports: Sequence[Report]) -> str:
    """The table of all bounds, as Markdown."""
    lines = ["| | figure | measured | gate | aim | reached |", "|---|---|---|---|---|---|"]
    for report in reports:
        for bound in report.bounds:
            sign = "≤" if bound.at_most else "≥"
            lines.append(
                f"| {report.name} | {report.title} | {shown(bound.value, bound.unit)} "
                f"| {sign} {shown(bound.gate, bound.unit)} | {shown(bound.aim, bound.unit)} | {bound.reached} |"
            )
    return "\n".join(lines)


def detail(report: Report) -> str:
    """The two sides beside each other, as Markdown."""
    lines = [f"**{report.name}** {report.title}", ""]
    if report.sides:
        lines += ["| side | per second | p50 | p99 | CPU of its process for one |", "|---|---|---|---|---|"]
        lines += [
            f"| {side.name} | {shown(side.rate, '/s')} | {side.p50_ms:.1f} ms | {side.p99_ms:.1f} ms "
            f"| {side.cpu_us:,.0f} µs |"
            for side in report.sides
        ]
        lines.append("")
    lines += [f"- {remark}" for remark in report.remarks]
    return "\n".join(lines).rstrip()


def shown(value: float, unit: str) -> str:
    """With as many digits as say something."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{'' if unit in ('×', '/s') else ' '}{unit}".rstrip()


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
