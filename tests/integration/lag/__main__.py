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
    if asked.json is not None:
        kept(asked.json, made, found.numbers(), found)
    median = found.report_s[len(found.report_s) // 2] if found.report_s else float("nan")
    longest = max(found.report_s, default=float("nan"))
    sys.stdout.write(
        f"{found.compares:,} compares of {found.writes:,} writes and {found.reads:,} reads in {found.seconds:.0f} s, "
        f"{found.lagging_reads:,} reads of the systems up to 20 s behind: {len(found.false)} false mismatches\n"
        f"verdicts {found.verdicts}, not compared {found.uncompared}\n"
        f"{len(found.report_s)} of {sum(found.planted.values())} planted differences found, "
        f"after {median:.0f} s (median), {longest:.0f} s at most; by class {found.planted}\n"
    )
    for one in (*found.false, *found.missed):
        sys.stdout.write(f"{one}\n")
    return 1 if found.false or found.missed else 0


if __name__ == "__main__":
    sys.exit(main())
