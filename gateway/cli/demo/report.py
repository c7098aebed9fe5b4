"""What the demo tells: a line for each thing as it happens, and the tables at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from gateway.cli.demo.checks import Books, Expectation
from gateway.cli.demo.faults import LostAnswers, Outage
from gateway.cli.demo.planted import Plant
from gateway.cli.demo.walk import Move
from gateway.cli.screen import table


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One phase of the slice that is moved."""

    phase: str
    seconds: float
    requests: int
    writes: int
    compares: int
    planted: int
    found: int
    held: int
    longest_wait_s: float


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One slice at the end. Too little evidence is never a pass."""

    entity: str
    region: str
    stage: str
    compares: int
    consistent: str
    differ_now: int
    verdict: str
    why: str


class Outcome(msgspec.Struct, kw_only=True):
    """Everything that the demo can say at the end."""

    seed: int
    seconds: float
    entity: str
    region: str
    phases: list[Row]
    moves: list[Move]
    planted: list[Plant]
    unplanned: dict[str, tuple[str, ...]]
    outage: Outage
    lost_answers: list[LostAnswers]
    books: Books
    reads_checked: int
    slices: list[Verdict]
    expectations: list[Expectation]
    result: str


class Teller:
    """Tells as it goes, with the time since the start before each line."""

    def __init__(self, screen: Console | None) -> None:
        self._screen = screen
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def say(self, line: str, style: str = "") -> None:
        if self._screen is not None:
            self._screen.print(Text.assemble((f"{self.seconds:5.1f} s  ", "dim"), (line, style)))


def tell(screen: Console, outcome: Outcome) -> None:
    """The tables of what was done and found."""
    numbers = ("seconds", "requests", "writes", "compares", "differences", "held", "longest wait")
    screen.print()
    screen.print(
        table(
            ("stage", *numbers),
            [
                (
                    row.phase, f"{row.seconds:.1f}", row.requests, row.writes, row.compares,
                    f"{row.found} of {row.planted}" if row.planted else None, row.held or None,
                    f"{row.longest_wait_s:.2f} s",
                )
                for row in outcome.phases
            ],
            title=f"{outcome.entity} in {outcome.region}, there and back",
            right=numbers,
        )
    )  # fmt: skip
    screen.print()
    screen.print(
        table(
            ("planted difference", "in", "record", "field expected", "field reported"),
            [
                (
                    one.what,
                    one.system,
                    one.record,
                    _fields(one.fields),
                    None if one.found is None else _fields(one.found),
                )
                for one in outcome.planted
            ],
        )
    )
    screen.print()
    screen.print(
        table(
            ("slice", "stage", "compares", "consistent", "differ now", "verdict", "why"),
            [
                (
                    f"{one.entity}/{one.region}", one.stage, one.compares, one.consistent, one.differ_now,
                    one.verdict, one.why,
                )
                for one in outcome.slices
            ],
            right=("compares", "consistent", "differ now"),
        )
    )  # fmt: skip
    screen.print()
    screen.print(
        table(
            ("expected", "", "what was seen"),
            [(one.name, "pass" if one.held else "fail", one.detail) for one in outcome.expectations],
        )
    )


def _fields(fields: Sequence[str]) -> str:
    return ", ".join(field or "(record)" for field in fields)


def verdict(report: Mapping[str, Any], summary: Mapping[str, Any] | None) -> Verdict:
    """One slice of the readiness report, with what was counted of it."""
    consistency = None if summary is None else summary["consistency"]
    why = [gate["title"].lower() for gate in report["gates"] if gate["verdict"] == "fail"]
    unsure = sum(1 for gate in report["gates"] if gate["verdict"] == "inconclusive")
    if unsure:
        why.append(f"too little evidence for {unsure} of {len(report['gates'])} gates")
    return Verdict(
        entity=report["entity"],
        region=report["region"],
        stage=report["stage"],
        compares=0 if summary is None else summary["compares"],
        consistent="–" if consistency is None else f"{consistency:.1%}",
        differ_now=0 if summary is None else summary["open_mismatches"],
        verdict=report["verdict"],
        why="; ".join(why) or "every gate holds",
    )
