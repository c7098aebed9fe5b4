"""The same proof on records that a running system holds: each is read, taken through the other product's mapping and
home again, and compared. Nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from adapters.contract import Adapter, Capability, Found, Query
from gateway.canonical import Entity
from gateway.compare.differ import diff
from gateway.dispatch.translate import expected

#: Records asked for at once.
PAGE = 100
#: Losses of one entity that are named; all records that lose something are counted.
MOST_NAMED = 200


class SampledLoss(msgspec.Struct, frozen=True, kw_only=True):
    """One field of one record that does not come home as it was."""

    native_id: str
    path: str
    kind: str  #: the class of the difference
    holds: Any
    becomes: Any


class Sampled(msgspec.Struct, frozen=True, kw_only=True):
    """What the records of one entity showed. ``unread`` says why none could be tried."""

    entity: str
    read: int = 0
    losing: int = 0  #: records that lose something
    lost: tuple[SampledLoss, ...] = ()  #: the first of them, field by field
    not_compared: tuple[str, ...] = ()
    unread: str | None = None


async def sample(
    entity: Entity, first: Adapter, second: Adapter, count: int, *, progress: Callable[[str, int], None]
) -> Sampled:
    """Up to ``count`` records of ``first``. Raises what its adapter raises."""
    for system in (first, second):
        if not system.supports(entity.name):
            return Sampled(entity=entity.name, unread=f"{system.product} does not hold this entity")
    if Capability.SEARCH not in first.facts(entity.name).capabilities:
        return Sampled(entity=entity.name, unread=f"{first.product} cannot list its records")
    read = losing = 0
    lost: list[SampledLoss] = []
    unseen: set[str] = set()
    cursor: str | None = None
    while read < count:
        page = await first.search(entity.name, Query(limit=min(PAGE, count - read), cursor=cursor))
        for found in page.items[: count - read]:
            losses, not_compared = judged(entity, first, second, found)
            losing += bool(losses)
            lost += losses[: MOST_NAMED - len(lost)]
            unseen |= not_compared
            read += 1
        progress(entity.name, read)
        cursor = page.next_cursor
        if cursor is None or not page.items:
            break
    unread = None if read else f"{first.name} holds no record of it"
    return Sampled(
        entity=entity.name,
        read=read,
        losing=losing,
        lost=tuple(lost),
        not_compared=tuple(sorted(unseen)),
        unread=unread,
    )


def judged(
    entity: Entity, first: Adapter, second: Adapter, found: Found
) -> tuple[list[SampledLoss], frozenset[str]]:
    """What of one record is lost, and what no rule compares."""
    there = expected(second, entity, found.fields)
    home = expected(first, entity, there)
    for becomes in (there, home):
        seen = diff(entity, found.fields, becomes)
        if seen.differences:
            # Where it is lost already on the way there, the way home shows nothing new.
            return [
                SampledLoss(
                    native_id=found.native_id,
                    path=one.path,
                    kind=one.kind.value,
                    holds=HIDDEN if one.personal else one.control,
                    becomes=HIDDEN if one.personal else one.candidate,
                )
                for one in seen.differences
            ], frozenset(seen.not_compared)
    return [], frozenset(diff(entity, found.fields, home).not_compared)


#: Stands for the value of a field that is somebody's own.
HIDDEN = "(personal)"
