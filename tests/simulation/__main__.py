"""``python -m tests.simulation [--seeds N] [--from K] | --seed K [--trace] [--only TEXT] [--bug NAME | --leaving]``

``--json FILE`` keeps the figures of many seeds for ``python -m tests.figures``.

Exit code 1 when a seed failed (with ``--bug``: when no seed found the bug)."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import msgspec

from tests.figures.origin import origin
from tests.simulation import figures, planted, run
from tests.simulation.scenario import leaving, scenario
from tests.simulation.trace import readable


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--seed", type=int, help="this one seed")
    parser.add_argument("--trace", action="store_true", help="print what happened")
    parser.add_argument("--only", help="of the trace, only lines with this text (a record, an operation)")
    parser.add_argument("--bug", choices=sorted(planted.BUGS), help="with this bug planted")
    parser.add_argument(
        "--leaving", action="store_true", help="histories in which a cloud that leads is left in an emergency"
    )
    parser.add_argument("--processes", type=int, default=run.PROCESSES, help="that share the seeds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    parser.add_argument("--share", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.processes < 1 or told.seeds < 1:
        parser.error("--processes and --seeds are at least 1")
    if told.leaving and told.bug is not None:
        parser.error("--leaving and --bug each have scenarios of their own")
    if told.json is not None and (told.bug is not None or told.seed is not None or told.leaving):
        parser.error("--json: only of seeds of the program as it is, without --seed, --bug and --leaving")
    if told.json is not None and not told.json.parent.is_dir():
        parser.error(f"--json: there is no folder {told.json.parent}")
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set is part of a history.
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.simulation", *sys.argv[1:]],
            {**os.environ, "PYTHONHASHSEED": "0"},
        )
    if told.share is not None:
        share = run.some(run.shared(told.share), told.bug, leaves=told.leaving)
        sys.stdout.buffer.write(msgspec.json.encode(share) + b"\n")
        return 0
    if told.seed is not None:
        if told.bug is None:
            world, history, verdicts = run.one((leaving if told.leaving else scenario)(told.seed))
        else:
            with planted.planted(told.bug):
                world, history, verdicts = run.one(planted.BUGS[told.bug].scenario(told.seed))
        if told.trace:
            print(readable(world, history, told.only))
        print("\n".join(str(one) for one in verdicts) or "keeps the laws")
        return 1 if verdicts else 0
    seeds = range(told.first, told.first + told.seeds)
    began = time.monotonic()
    made = origin(f"{seeds.start} to {seeds.stop - 1}")
    if told.bug is None:
        total = run.many(seeds, processes=told.processes, leaves=told.leaving)
    else:
        total = run.some(seeds, told.bug)
    print(run.failures(total))
    print(run.report(total, time.monotonic() - began))
    if told.json is not None:
        found = figures.figures(total, made)
        told.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return 1 if bool(total.failed) is (told.bug is None) else 0


if __name__ == "__main__":
    sys.exit(main())
