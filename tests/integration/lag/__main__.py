"""``python -m tests.integration.lag [--compares 100000] [--plants 200] [--seed N] [--json FILE]``: the long run.

Exit code 1: something late was called wrong, or something wrong was not found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.figures.origin import origin
from tests.figures.record import kept
from tests.integration.lag.campaign import campaign


def main() -> int:
    given = argparse.ArgumentParser(prog="python -m tests.integration.lag", description=__doc__)
    given.add_argument("--compares", type=int, default=100_000)
    given.add_argument("--plants", type=int, default=200)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--json", type=Path)
    asked = given.parse_args()
    made = origin(str(asked.seed))
    with tempfile.TemporaryDirectory(prefix="twinrun-lag-") as folder:
        found = campaign(Path(folder), compares=asked.compares, plants=asked.plants, seed=asked.seed)
    numbers = found.numbers()
    if asked.json is not None:
        kept(asked.json, made, numbers, found)
    sys.stdout.write(
        f"{found.compares:,} compares of {found.writes:,} writes and {found.reads:,} reads in {found.seconds:.0f} s, "
        f"{found.lagging_reads:,} reads of the systems up to 20 s behind: "
        f"{numbers['false_mismatches']} false mismatches\n"
        f"verdicts {found.verdicts}, not compared {found.uncompared}\n"
        f"{numbers['found']} of {numbers['differences']} planted differences found, after "
        f"{numbers['report_p50_s']:.0f} s (median), {numbers['report_max_s']:.0f} s at most; by class {found.planted}\n"
    )
    for one in (*found.false, *found.missed):
        sys.stdout.write(f"{one}\n")
    return 1 if found.false or found.missed else 0


if __name__ == "__main__":
    sys.exit(main())
