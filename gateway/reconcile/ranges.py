"""Ranges of records in the order of their canonical ids, and the digests that tell whether one has changed. Pure.

Ids sort by the moment they were minted, so what is new comes at the end and the ranges before it stay as they were. A
run cuts where the run before it has cut, as long as the ranges keep a fair size: only then do their digests say the
same thing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

#: Records of a range. Small enough that judging one keeps nobody waiting, large enough to be worth a row.
SIZE = 200


def cut(ids: Sequence[str], lasts: Sequence[str], *, size: int = SIZE) -> str:
    """The last record of the range that begins with ``ids``: what follows, in order, at least one and as far as known
    up to twice ``size``. ``lasts`` are where the run before has cut behind here, in order."""
    for last in lasts:
        inside = sum(1 for one in ids if one <= last)
        if size // 2 <= inside <= 2 * size - 1 or (0 < inside == len(ids) < size):
            return last
    return ids[min(size, len(ids)) - 1]


def digest(rows: Iterable[tuple[str, str]]) -> str:
    """Of one side of a range: (record id, digest of what is compared), in the order of the ids."""
    found = hashlib.sha256()
    for record_id, own in rows:
        found.update(f"{record_id} {own}\n".encode())
    return found.hexdigest()
