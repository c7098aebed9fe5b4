"""``python -m tests.benchmarks [NAME …] [--quick] [--set KEY=VALUE] [--markdown FILE] [--json FILE]``

The figures of this program.

Each benchmark runs its two sides in turn, with real processes: gateway, ERPs, peer and client each their own.
Prints a table with ratio, gate and aim, and what it was measured on. Needs the extras ``test`` and ``bench``;
all but B1, B2, B4, B5 and B11 need a PostgreSQL server that may be given databases. Exit code 1 when a gate was not
reached.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from tests.benchmarks import (
    compare,
    compared_read,
    drain,
    durable_write,
    footprint,
    long_journal,
    pressure,
    reconciled,
    routed_read,
    switch,
)
from tests.benchmarks.programs import Broken, environment
from tests.benchmarks.scale import FULL, QUICK, Scale
from tests.benchmarks.table import Reached, Report, detail, summary
from tests.figures.origin import origin
from tests.systems.databases import NoServer

BENCHMARKS: dict[str, Callable[[Scale], Report]] = {
    "B1": routed_read.run,
    "B2": compared_read.run,
    "B3": durable_write.on_postgresql,
    "B4": durable_write.on_sqlite,
    "B5": compare.run,
    "B6": reconciled.run,
    "B7": long_journal.run,
    "B8": drain.run,
    "B9": switch.hold,
    "B10": switch.seen,
    "B11": footprint.run,
    "overload": pressure.overload,
    "hanging": pressure.hanging,
}
#: Programs of their own that print their own tables: module -> what it measures.
TABLES = {
    "transport": "CPU of a call over each carrier, against httpx's client",
    "capacity": "What a dual write costs, and what machines carry by that",
    "adapters": "CPU of an adapter's call and of its parts",
}
MEASURED_WITH = (
    "litestar",
    "uvicorn",
    "uvloop",
    "aiohttp",
    "sqlalchemy",
    "asyncpg",
    "fastapi",
    "httpx",
    "launchdarkly-server-sdk",
    "deepdiff",
    "datacompy",
)


def main() -> int:
    asked = _arguments()
    if lacking := [name for name in MEASURED_WITH if not _installed(name)]:
        print(f"{', '.join(lacking)}: not installed; pip install '.[test,bench]'", file=sys.stderr)
        return 2
    settings = dict(pair.split("=", 1) for pair in asked.set)
    scale = msgspec.structs.replace(QUICK if asked.quick else FULL, settings=settings)
    names = asked.names or [*BENCHMARKS, *TABLES]
    made = origin(f"none, {'--quick' if asked.quick else 'full size'}")
    heading = _heading(scale, quick=asked.quick)
    print(heading, flush=True)
    reports: list[Report] = []
    tables: list[str] = []
    broken: list[str] = []
    for name in names:
        before = _machine()
        if name in TABLES:
            tables.append(_table(name))
            print(f"\n{tables[-1]}", flush=True)
            continue
        try:
            report = BENCHMARKS[name](scale)
        except (Broken, NoServer) as failed:
            broken.append(f"{name} gave no figure: {failed}")
            print(f"\n{broken[-1]}", flush=True)
            continue
        said = f"The machine before: {before}; after: {_machine()}."
        reports.append(msgspec.structs.replace(report, remarks=(*report.remarks, said)))
        print(f"\n{detail(reports[-1])}", flush=True)
    parts = [heading]
    if reports:
        print(f"\n{summary(reports)}")
        parts += [summary(reports), *(detail(report) for report in reports)]
    if asked.markdown is not None:
        asked.markdown.write_text("\n\n".join([*parts, *tables, *broken]) + "\n", encoding="utf-8")
    if asked.json is not None:
        kept = msgspec.json.encode({"origin": made, "reports": reports})
        asked.json.write_bytes(msgspec.json.format(kept) + b"\n")
    missed = any(bound.reached is Reached.NEITHER for report in reports for bound in report.bounds)
    return 1 if missed or broken else 0


def _arguments() -> argparse.Namespace:
    known = [*BENCHMARKS, *TABLES]
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Benchmarks of Twinrun.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of {', '.join(known)}; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: shows that it works, figures say little"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the gateway; default: as shipped",
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there as well")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the reports there, for tests.figures"
    )
    asked = parser.parse_args()
    if asked.json is not None and not asked.json.parent.is_dir():
        parser.error(f"--json: there is no folder {asked.json.parent}")
    if unknown := [name for name in asked.names if name not in known]:
        parser.error(f"{', '.join(unknown)}: not one of {', '.join(known)}")
    if wrong := [pair for pair in asked.set if "=" not in pair]:
        parser.error(f"--set {wrong[0]}: KEY=VALUE is expected")
    return asked


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _machine() -> str:
    """Its load, and the CPU that a fixed piece of pure Python takes now, which rises with the work of others:
    figures of runs that differ in it cannot be held together."""
    taken: list[float] = []
    for _ in range(9):
        begun = time.process_time()
        sum(number % 7 for number in range(200_000))
        taken.append((time.process_time() - begun) * 1e3)
    return f"load {os.getloadavg()[0]:.1f}, a fixed piece of Python takes {median(taken):.1f} ms"


def _heading(scale: Scale, *, quick: bool) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in MEASURED_WITH)
    changed = ", ".join(f"{name} = {value}" for name, value in scale.settings.items()) or "as shipped"
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}{' with --quick, so the figures say little' if quick else ''}: "
        f"{os.cpu_count()} cores shared by clients, gateway, database and ERPs; "
        f"at the beginning {_machine()}; Python {platform.python_version()}, {versions}. "
        f"Settings: {changed}."
    )


def _table(name: str) -> str:
    """Runs it with a process of its own and gives what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{name}"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.rstrip() or done.stderr.rstrip()
    return f"**{TABLES[name]}**\n\n```\n{said}\n```"


if __name__ == "__main__":
    sys.exit(main())
