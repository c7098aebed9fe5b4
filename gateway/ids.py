"""The port for identity and chance: canonical ids, operation ids, markers and jitter, none of them made by an ERP."""

from __future__ import annotations

import base64
import random
from typing import Protocol

from uuid_utils import uuid7

#: Prefixes of things that are not records; records carry the prefix of their entity (``cus_``, ``prj_`` …).
OPERATION = "op_"
DELIVERY = "dlv_"
DIFF = "dif_"
KEY = "key_"
AUDIT = "aud_"
REPLAY = "rpl_"
CASE = "cas_"
WAIVER = "wai_"
SWITCH = "swi_"
RECONCILIATION = "rcn_"
BACKFILL = "bfl_"
SCHEDULED = "sch_"
REPAIR = "rpr_"
MERGE = "mrg_"


def first_of(prefix: str, at: int) -> str:
    """The lowest id of this kind that can be minted at ``at`` (microseconds UTC) or later: ids sort by their moment, so
    a range of ids is a range of time, without an index of its own."""
    stamp = f"{max(at, 0) // 1000:012x}"
    return f"{prefix}{stamp[:8]}-{stamp[8:]}"


class Ids(Protocol):
    def new(self, prefix: str) -> str:
        """``prefix`` and a UUIDv7: ids of one kind sort by the moment they were minted."""
        ...

    def marker(self) -> str:
        """The reference that one operation leaves in an ERP: ``T`` and 26 base-32 characters (128 bits),
        short enough for a 30-character reference field, safe in XML, URLs and file names."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1), for jitter and sampling; nothing secret is made of it."""
        ...


class SystemIds:
    def new(self, prefix: str) -> str:
        return prefix + str(uuid7())

    def marker(self) -> str:
        return "T" + base64.b32encode(uuid7().bytes).decode("ascii").rstrip("=")

    def fraction(self) -> float:
        return random.random()  # noqa: S311 - spreads retries in time; nothing secret is made of it
