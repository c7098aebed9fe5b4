"""``python -m tests.benchmarks.peers.tables LEFT.csv RIGHT.csv``: two files compared as tables, by datacompy.

Amounts are read as Decimal, because a cent in a float of fifteen digits is luck; everything else is text. Prints one
JSON document: seconds from the files to the rows that part, the most memory, and what was found.
"""

from __future__ import annotations

import resource
import sys
import time
from decimal import Decimal

import datacompy
import msgspec
import pandas

AMOUNTS = ("net", "tax", "total")


def read(path: str) -> pandas.DataFrame:
    texts = dict.fromkeys(pandas.read_csv(path, nrows=0).columns, str)
    return pandas.read_csv(path, converters=texts | dict.fromkeys(AMOUNTS, Decimal))


def main() -> None:
    began = time.monotonic()
    left, right = (read(path).drop(columns="key") for path in sys.argv[1:3])
    compared = datacompy.PandasCompare(left, right, join_columns="number")
    differing = len(compared.all_mismatch())
    seconds = time.monotonic() - began
    told = {
        "seconds": seconds,
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "found": f"{differing} rows differ, {len(compared.df1_unq_rows)} only left, "
        f"{len(compared.df2_unq_rows)} only right",
    }
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")


if __name__ == "__main__":
    main()
