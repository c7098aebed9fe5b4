"""The record of the last run of each proof, how a run writes its own file, and how that becomes part of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from tests.benchmarks.table import Report
from tests.figures.origin import Origin


class Misread(Exception):
    """The file is not one that this proof writes."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one proof: its numbers by name, and its origin."""

    origin: Origin
    numbers: dict[str, float]
    reports: tuple[Report, ...] = ()  #: of benchmarks, which have their own form


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """proof -> its last run; and benchmark -> the last run that it was in."""

    runs: dict[str, Run] = {}
    benchmarks: dict[str, Run] = {}

    def with_run(self, proof: str, run: Run) -> Record:
        if proof != "benchmarks":
            return Record(runs=dict(sorted({**self.runs, proof: run}.items())), benchmarks=self.benchmarks)
        alone = {one.name: msgspec.structs.replace(run, reports=(one,)) for one in run.reports}
        return Record(runs=self.runs, benchmarks=dict(sorted({**self.benchmarks, **alone}.items())))


LAWS = ("lost", "doubled", "reordered", "phantom")
#: proof -> the numbers that its file has to have.
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "simulation": ("seeds", "failed_seeds", "operations", "effects", "faults", *LAWS, "other"),
    "kill": (
        "kills", "pauses", "database_kills", "redis_kills", "redis_flushes", *LAWS, "other_breaches",
        "recovery_p50_s", "recovery_p99_s",
    ),
    "capacity": (
        "predicted_1", "measured_1", "predicted_2", "measured_2", "gateway_us", "postgresql_us", "ten_gateways",
        "postgresql_end",
    ),
    "lag": ("compares", "lagging_reads", "false_mismatches", "differences", "found", "report_p50_s", "report_max_s"),
    "switches": ("switches", "deaths", "writes", "lost", "doubled", "two_authorities", "broken", "longest_hold_s"),
    "backfill": (
        "time_entries", "invoices", "live", "killed", "overwrites", "doubles", "left_out", "incomplete", "per_s",
    ),
}  # fmt: skip


def kept(file: Path, made: Origin, numbers: Mapping[str, float], found: msgspec.Struct) -> None:
    """Writes a run's file: its figures, and all that it found beside them."""
    told = {**msgspec.to_builtins(found, str_keys=True), **numbers, "origin": made}
    file.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")


def taken(proof: str, file: bytes) -> Run:
    """The run that a proof's file tells of. Raises Misread, naming what is missing."""
    try:
        told = msgspec.json.decode(file, type=dict[str, Any])
        if proof == "benchmarks":
            if not told["reports"]:
                raise Misread("benchmarks: none of them gave a figure")
            return Run(
                origin=msgspec.convert(told["origin"], Origin),
                numbers={},
                reports=msgspec.convert(told["reports"], tuple[Report, ...]),
            )
        return Run(
            origin=_origin(told),
            numbers=msgspec.convert({name: told[name] for name in NUMBERS[proof]}, dict[str, float]),
        )
    except KeyError as missing:
        raise Misread(
            f"{proof}: the file has no {missing}; it is written by the proof's --json FILE"
        ) from missing
    except msgspec.MsgspecError as wrong:
        raise Misread(f"{proof}: {wrong}") from wrong


def _origin(told: Mapping[str, Any]) -> Origin:
    """A campaign of kills says it beside its numbers: one seed for the first campaign, each further one the next."""
    if "origin" in told:
        return msgspec.convert(told["origin"], Origin)
    first = msgspec.convert(told["seed"], int)
    return Origin(
        commit=told["commit"],
        date=told["date"],
        machine=told["machine"],
        seeds=f"{first} to {first + msgspec.convert(told['campaigns'], int) - 1}",
    )
