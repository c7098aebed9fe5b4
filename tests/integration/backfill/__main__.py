"""``python -m tests.integration.backfill [--time-entries 20000] [--invoices 1500] [--seed N] [--json FILE]``: a mirror
is filled while callers write, and the worker is killed twice on the way.

Exit code 1: something was overwritten, doubled or left out.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.figures.origin import origin
from tests.figures.record import kept
from tests.integration.backfill.campaign import campaign

TOLD = 20


def main() -> int:
    given = argparse.ArgumentParser(prog="python -m tests.integration.backfill", description=__doc__)
    given.add_argument("--time-entries", type=int, default=20_000)
    given.add_argument("--invoices", type=int, default=1_500)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--json", type=Path)
    asked = given.parse_args()
    made = origin(str(asked.seed))
    with tempfile.TemporaryDirectory(prefix="twinrun-backfill-") as folder:
        found = campaign(
            Path(folder), time_entries=asked.time_entries, invoices=asked.invoices, seed=asked.seed
        )
    if asked.json is not None:
        kept(asked.json, made, found.numbers(), found)
    kills = ", ".join(
        f"at {one.read:,} of {one.total:,}, on after {one.resumed_after_s:.0f} s" for one in found.kills
    )
    counts = {entity: run["records"] for entity, run in found.runs.items()}
    sys.stdout.write(
        f"{found.time_entries:,} time entries and {found.invoices:,} invoices, {found.by_hand:,} of them there before, "
        f"in {found.seconds:.0f} s ({found.per_s:.0f}/s) beside {sum(found.live_writes.values()):,} live writes "
        f"{dict(found.live_writes)}\n"
        f"worker killed {kills}\n"
        f"{counts}\n"
        f"{len(found.overwritten)} overwritten, {len(found.duplicates)} duplicates, {len(found.missing)} missing\n"
    )
    for entity, run in found.runs.items():
        if not run["complete"]:
            sys.stdout.write(f"{entity} is not complete: {run}\n")
    for one in (*found.overwritten, *found.duplicates, *found.missing)[:TOLD]:
        sys.stdout.write(f"{one}\n")
    return 0 if found.holds else 1


if __name__ == "__main__":
    sys.exit(main())
