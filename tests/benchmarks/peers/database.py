"""``python -m tests.benchmarks.peers.database URL LEFT.csv RIGHT.csv``: two tables of PostgreSQL, by reladiff.

The files are copied into two tables with a key first, which is told apart; amounts are ``numeric``. Prints one JSON
document: seconds of loading, seconds from the first query to the last row that parts, the most memory of the client,
and what was found.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import asyncpg
import msgspec
import reladiff

SIDES = ("left", "right")
AMOUNTS = ("net", "tax", "total")


def heads(path: str) -> list[str]:
    """The names of the columns of a file."""
    with Path(path).open(encoding="utf-8") as file:
        return file.readline().strip().split(",")


async def copied(url: str, files: dict[str, str], names: list[str]) -> None:
    """Puts each file into a table of its side."""
    connection = await asyncpg.connect(url)
    try:
        for side, path in files.items():
            columns = ", ".join(f"{name} {'numeric(18, 2)' if name in AMOUNTS else 'text'}" for name in names)
            await connection.execute(f"CREATE TABLE side_{side} ({columns})")
            await connection.copy_to_table(f"side_{side}", source=path, format="csv", header=True)
            await connection.execute(f"ALTER TABLE side_{side} ADD PRIMARY KEY (number); ANALYZE side_{side}")
    finally:
        await connection.close()


def main() -> None:
    url, *paths = sys.argv[1:]
    loading = time.monotonic()
    names = heads(paths[0])
    asyncio.run(copied(url, dict(zip(SIDES, paths, strict=True)), names))
    columns = [name for name in names if name not in ("key", "number")]
    began = time.monotonic()
    loading = began - loading
    left, right = (reladiff.connect_to_table(url, f"side_{side}", "number") for side in SIDES)
    found = Counter(sign for sign, _ in reladiff.diff_tables(left, right, extra_columns=tuple(columns)))
    seconds = time.monotonic() - began
    told = {
        "seconds": seconds,
        "loading": loading,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "found": f"{found['-']} rows of the left and {found['+']} of the right part",
    }
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")


if __name__ == "__main__":
    main()
