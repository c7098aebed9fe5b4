"""``python -m tests.integration.switches [--switches 50] [--seed N] [--json FILE]``: the long run.

Exit code 1: a law was broken, or a process ended by itself.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.figures.origin import origin
from tests.figures.record import kept
from tests.integration.switches.campaign import campaign, table


def main() -> int:
    given = argparse.ArgumentParser(prog="python -m tests.integration.switches", description=__doc__)
    given.add_argument("--switches", type=int, default=50, help="there and back together (default: 50)")
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--json", type=Path, help="a file for what was found")
    asked = given.parse_args()
    if asked.switches < 1:
        given.error("--switches is at least 1")
    made = origin(str(asked.seed))
    with tempfile.TemporaryDirectory(prefix="twinrun-switches-") as folder:
        found = campaign(Path(folder), switches=asked.switches, seed=asked.seed)
    if asked.json is not None:
        kept(asked.json, made, found.numbers(), found)
    sys.stdout.write(table(found) + "\n")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
