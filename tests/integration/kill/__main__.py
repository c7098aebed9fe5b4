"""``python -m tests.integration.kill [--kills 500] [--seed N] [--json FILE]``: the long run, in campaigns of a hundred
kills each.

Prints its figures as a table. Exit code 1: a law was broken, a point was never reached, or a process ended.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import shutil
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from tests.integration.kill.campaign import Campaign, Outcome
from tests.integration.kill.figures import figures, table
from tests.integration.kill.programs import Postgres
from tests.systems.redis import Redis

AT_ONCE = 100  #: kills of one campaign


async def run(kills: int, seed: int, keep: Path | None) -> list[Outcome]:
    outcomes: list[Outcome] = []
    postgres = Postgres()
    try:
        await postgres.start()
        left = kills
        while left > 0:
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="twinrun-kill-") as folder:
                redis = Redis(Path(folder))
                redis.start()
                try:
                    now = min(left, AT_ONCE)
                    campaign = Campaign(
                        Path(folder), postgres, redis, kills=now, seed=seed + len(outcomes), limit_s=60 + 8.0 * now,
                        flushes=max(1, now // 40), redis_kills=max(1, now // 40), postgres_kills=max(1, now // 25),
                        pauses=max(1, now // 10),
                    )  # fmt: skip
                    outcomes.append(await campaign.run())
                    if keep is not None:
                        (Path(folder) / "outcome.pickle").write_bytes(pickle.dumps(outcomes[-1]))
                finally:
                    redis.stop()
                    if keep is not None:
                        shutil.copytree(folder, keep / f"{seed + len(outcomes)}", dirs_exist_ok=True)
            left -= max(1, len(outcomes[-1].deaths))
            sys.stderr.write(f"{len(outcomes[-1].deaths)} kills in {time.monotonic() - began:.0f} s\n")
            sys.stderr.flush()
    finally:
        postgres.remove()
    return outcomes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.integration.kill", description=__doc__)
    parser.add_argument("--kills", type=int, default=500, help="at least so many (default: 500)")
    parser.add_argument("--seed", type=int, default=0, help="of the dice of the first campaign (default: 0)")
    parser.add_argument("--keep", type=Path, help="a folder for all logs, and for what the judge was given")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    told = parser.parse_args()
    if told.kills < 1:
        parser.error("--kills is at least 1")
    if told.json is not None and not told.json.parent.is_dir():
        parser.error(f"--json: there is no folder {told.json.parent}")
    outcomes = asyncio.run(run(told.kills, told.seed, told.keep))
    found = figures(outcomes, seed=told.seed)
    print(table(found))
    if told.json is not None:
        told.json.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
