"""``python -m tests.model [--histories N] [--steps N] [--store memory|sqlite|postgresql] [--journal URL] [--seed K]``

Exit code 1 when a history broke a law; its steps, as few as they could be made, are printed.

``--bug NAME`` (as often as there are bugs to plant, or ``all``) says which history on the simulated store finds it;
exit code 1 when none does."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from gateway.database.migrate import upgrade
from tests.model.run import found_within, histories
from tests.model.stores import Server
from tests.simulation import planted


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--histories", type=int, default=200, help="how many")
    parser.add_argument("--steps", type=int, default=40, help="of each, at most")
    parser.add_argument("--store", choices=("memory", "sqlite", "postgresql"), default="memory")
    parser.add_argument("--journal", metavar="URL", help="a database that may be emptied; for postgresql")
    parser.add_argument("--seed", type=int, help="other histories than those of every ordinary run")
    parser.add_argument("--bug", choices=[*sorted(planted.BUGS), "all"], action="append", default=[])
    told = parser.parse_args()
    if told.bug and (told.store != "memory" or told.seed is not None):
        parser.error("--bug goes with the ordinary histories on the simulated store")
    if told.histories < 1 or told.steps < 1:
        parser.error("--histories and --steps are at least 1")
    if (told.store == "postgresql") != (told.journal is not None):
        parser.error("--journal goes with --store postgresql, which cannot do without it")
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set is part of a history.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.model", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    if told.bug:
        bugs = sorted(planted.BUGS) if "all" in told.bug else told.bug
        return _find(bugs, told.histories, told.steps)
    began = time.monotonic()
    if told.store == "memory":
        histories(told.histories, told.steps, seed=told.seed)
    else:
        with tempfile.TemporaryDirectory() as folder:
            url = told.journal or f"sqlite:///{Path(folder) / 'journal.db'}"
            upgrade(url)
            with Server(url) as server:
                histories(told.histories, told.steps, server.store, seed=told.seed)
    print(
        f"{told.histories} histories of {told.steps} steps on {told.store}: {time.monotonic() - began:.1f} s"
    )
    return 0


def _find(bugs: list[str], most: int, steps: int) -> int:
    missed = 0
    for bug in bugs:
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
            found = found_within(bug, most, steps)  # the steps are of no interest
        missed += found is None
        how = f"not in {most}" if found is None else f"in history {found[0]}: {found[1]}"
        print(f"{bug} {how}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
