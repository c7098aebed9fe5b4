"""Test equipment: places at which a process can be made to die as if its machine had lost power.

``crash_point("CP05")`` does nothing, unless ``TWINRUN_CRASH_AT`` names that point when the process starts. Then the
process kills itself (SIGKILL) in its passage, and nothing is finished, flushed or told but one line on standard error.
No installation sets the variable; it is no setting, is in no file, and cannot be changed while a process runs.

    CP05            at the first passage
    CP05:17         at the 17th
    CP05%5          at each passage with a chance of 5 in 100; ``CP05%5/42`` rolls other dice
    CP03+20         20 ms after the passage, while the process goes on: with the request under way
    CP12:2,CP13     whichever comes first

The numbers that ``POINTS`` leaves out have no place in the program yet: an event that goes from the journal to its
stream and is marked as gone (CP07, CP08), the sealing of the audit log (CP24). And a document goes into a system
whole, with its lines, in the one request of CP03: there is no moment with a header (CP14) or half of the lines (CP15).
"""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Mapping
from zlib import crc32

VARIABLE = "TWINRUN_CRASH_AT"

#: Every point that there is.
POINTS: Mapping[str, str] = {
    "CP01": "a write is accepted, and its commit has not begun",
    "CP02": "a write is accepted on disk, and nothing of it has been sent",
    "CP03": "an authority's request is about to leave",
    "CP04": "an authority's answer has been read",
    "CP05": "an authority's outcome is written, and its commit has not begun",
    "CP06": "an authority's outcome is on disk, and its caller has no answer",
    "CP09": "a mirror's delivery is claimed, and its request is about to leave",
    "CP10": "a mirror's answer has been read",
    "CP11": "a mirror's outcome is written, and its commit has not begun",
    "CP12": "the resolver has looked for a write of unknown outcome",
    "CP13": "a write is proven absent, and that it may be sent again is not on disk",
    "CP16": "a record has been moved to its next state in a system (a document is posted), and that is not on disk",
    "CP17": "the fence of a move of authority is on disk",
    "CP18": "a move of authority waits for open deliveries",
    "CP19": "a move of authority is written, and its commit has not begun",
    "CP20": "a changed rule is on disk, and nobody has been told",
    "CP21": "a chunk of a backfill is written, and its commit has not begun",
    "CP22": "a page of a system's changes is read, judged and written, and its commit has not begun",
    "CP23": "a number that only one record may have is given up, and the commit has not begun",
    "CP25": "what the last process left behind is taken up at a start",
    "CP26": "a part of what an emergency cuts off is written, and its commit has not begun",
    "CP27": "an emergency's turn of the authority is written, and its commit has not begun",
    "CP28": "a part of what an emergency lets go is written, and its commit has not begun",
    "CP29": "a scheduled change is taken, and nothing of it is made",
    "CP30": "a scheduled change is written, and its commit has not begun",
    "CP31": "the fence of a move of authority is written, and its commit has not begun",
    "CP32": "a chunk of a repair is written, and its commit has not begun",
    "CP33": "a merge of two records, or the way back from one, is written, and its commit has not begun",
}

#: The points of a delivery, by its role.
LEAVES = {"authority": "CP03", "mirror": "CP09"}
ANSWERED = {"authority": "CP04", "mirror": "CP10"}
CONCLUDED = {"authority": "CP05", "mirror": "CP11"}

_ORDER = re.compile(r"(CP\d\d)(?::(\d+)|%(\d+)(?:/(\d+))?)?(?:\+(\d+))?")


def _inert(name: str) -> None:
    del name


class Armed:
    """The crash points of one process, as ``order`` arms them. Raises ValueError for an order that it cannot read."""

    def __init__(self, order: str, *, die: Callable[[str], None]) -> None:
        self._die = die
        self._passages: dict[str, int] = {}
        self._lock = threading.Lock()
        self._orders: dict[str, tuple[int, int, int, int]] = {}
        for one in order.split(","):
            read = _ORDER.fullmatch(one.strip())
            if read is None or read[1] not in POINTS:
                allowed = ", ".join(POINTS)
                raise ValueError(
                    f"{VARIABLE} is {one!r}; allowed is CP05, CP05:17, CP05%5 or CP05+20 with {allowed}"
                )
            name, passage, chance, seed, late_ms = read.groups()
            self._orders[name] = (
                int(passage or 1), 100 if passage or chance is None else int(chance), int(seed or 0), int(late_ms or 0)
            )  # fmt: skip

    def __call__(self, name: str) -> None:
        order = self._orders.get(name)
        if order is None:
            return
        first, chance, seed, late_ms = order
        # Points are passed in the loop's thread and in a writer's.
        with self._lock:
            passage = self._passages[name] = self._passages.get(name, 0) + 1
        if passage < first or crc32(f"{name} {seed} {passage}".encode()) % 100 >= chance:
            return
        if late_ms:
            later = threading.Timer(late_ms / 1000, self._die, (name,))
            later.daemon = True
            later.start()
        else:
            self._die(name)


def _die(name: str) -> None:
    # Past every buffer of the program: the line is evidence for the one who armed the point.
    os.write(2, f"crash point {name}: {POINTS[name]}\n".encode())
    os.kill(os.getpid(), signal.SIGKILL)


#: Bound once: a process that is not armed pays an empty call.
crash_point: Callable[[str], None] = (
    Armed(os.environ[VARIABLE], die=_die) if os.environ.get(VARIABLE) else _inert
)
