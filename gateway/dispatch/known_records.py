"""What a process keeps in memory of records and their links, and what it forgets when two records are merged.

A link never changes but by a merge or a split, or by a repair that takes it back. Those are rare, so whoever sees that
there was one forgets everything that it knew; what was being read meanwhile is not kept. Until a process has seen a
merge, which is within a second or two, a reference to a native record may still be told as the loser, whose address
leads to the winner.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

import msgspec

from gateway.crosswalk.store import Holder, Link
from gateway.errors import RecordMerged

#: Links kept in memory: the oldest are dropped only for room.
KNOWN_LINKS = 200_000

#: (system, entity, native id)
Native = tuple[str, str, str]


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a reference names. ``record_id``: the one that is meant, another one where it is a tombstone."""

    entity: str
    record_id: str


class KnownRecords:
    def __init__(self) -> None:
        #: rises whenever all is forgotten
        self.turn = 0
        self.native: OrderedDict[tuple[str, str], str] = OrderedDict()
        self.holders: OrderedDict[Native, Holder] = OrderedDict()
        self.named: OrderedDict[str, Named] = OrderedDict()
        #: native ids that stand for a record beside its own, by (record, system)
        self.retired: Mapping[tuple[str, str], tuple[str, ...]] = {}
        #: how many merges and splits there were when all was forgotten last; None: nobody has looked yet
        self.merges: int | None = None

    def keep(self, turn: int, links: Iterable[Link] = (), holders: Mapping[Native, Holder] | None = None) -> None:
        """Keeps what was read in ``turn``; nothing where all was forgotten since."""
        if turn != self.turn:
            return
        for one in links:
            self.native[one.record_id, one.system] = one.native_id
            self.holders[one.system, one.entity, one.native_id] = Holder(
                record_id=one.record_id, holder=one.record_id
            )
        self.holders.update(holders or {})
        self._make_room()

    def keep_native(self, turn: int, system: str, natives: Mapping[str, str]) -> None:
        if turn == self.turn:
            self.native.update({(record_id, system): native for record_id, native in natives.items()})
            self._make_room()

    def keep_named(self, turn: int, named: Mapping[str, Named]) -> None:
        if turn == self.turn:
            self.named.update(named)
            self._make_room()

    def forget(self, merges: int, retired: Mapping[tuple[str, str], tuple[str, ...]]) -> None:
        self.merges = merges
        self.retired = retired
        self._forget()

    def take_back(self, links: Iterable[Link]) -> None:
        """These links are no more, by whichever id they were known: that of a tombstone leads to the winner's."""
        if tuple(links):
            self._forget()

    def _forget(self) -> None:
        self.turn += 1
        self.native.clear()
        self.holders.clear()
        self.named.clear()

    def _make_room(self) -> None:
        for kept in (self.native, self.holders, self.named):
            while len(kept) > KNOWN_LINKS:
                kept.popitem(last=False)


def merged(winner: str) -> RecordMerged:
    """What is said of a tombstone."""
    return RecordMerged(f"it was merged into {winner}: use that one", merged_into=winner, location=winner)
