"""A merge as somebody asks for it."""

from __future__ import annotations

import msgspec


class MergeWish(msgspec.Struct, frozen=True, kw_only=True):
    """``both``: although the authority holds each of them as a record of its own."""

    loser: str
    winner: str
    reason: str
    both: bool = False
