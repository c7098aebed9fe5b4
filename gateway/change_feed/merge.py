"""What was edited in each system, and what is to become of it: a three-way merge by fields. Pure.

The base is what both had in common last, the two sides are what the systems show now. A field is a top-level name of
the document: an address, or the lines of an invoice, is edited as a whole, as it is written as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

import msgspec

from gateway.routing.ownership import Ownerships
from gateway.routing.stage import System

#: Field -> value; None: the field is empty.
Edits = Mapping[str, Any]

EDITED_IN_BOTH = "edited in both systems"
NOT_OWNED = "edited where it is not owned"
RACED = "edited while a write of the same field was on its way"


class Contested(msgspec.Struct, frozen=True, kw_only=True):
    """An edit that a person decides. ``other``: what the other system holds now, where it was edited there too."""

    field: str
    system: System  #: where the edit was made that is in question
    why: str


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the edits of one record. ``carry``: to be written into the other system than the one named.
    ``revert``: to be put back in the system named. ``settled``: edited alike in both."""

    carry: Mapping[System, Edits] = {}
    revert: Mapping[System, frozenset[str]] = {}
    contested: tuple[Contested, ...] = ()
    settled: frozenset[str] = frozenset()


def edits_of(
    *,
    now: Mapping[str, Any],
    base: Mapping[str, Any] | None,
    should: Mapping[str, Any],
    mapped: Collection[str],
    written: Collection[str],
    ours: bool,
) -> dict[str, Any]:
    """What somebody has changed in a system since it was last in step.

    ``now``: what it shows. ``base``: what it showed when it was last in step; None: it has not been seen yet.
    ``should``: how the record would read there, its losses applied. ``written``: fields that writes of ours have
    reached since the base. ``ours``: the version that is shown is that of our own last write, so a field that it wrote
    is as the system made it of our value and no edit.
    """
    if base is None and ours:
        return {}
    found: dict[str, Any] = {}
    for name in mapped:
        shown, wanted = said(now.get(name)), said(should.get(name))
        if name in written:
            if ours:
                continue
            before = wanted
        else:
            before = wanted if base is None else said(base.get(name))
        if shown != before and shown != wanted:
            found[name] = shown
    return found


def merged(
    owners: Ownerships,
    authority: System,
    edits: Mapping[System, Edits],
    racing: Collection[str] = (),
) -> Merged:
    """Decides each edited field by its ownership. Total: every edited field is in exactly one of the four parts.
    ``racing``: fields that an accepted write is about to bring to the mirror."""
    carry: dict[System, dict[str, Any]] = {}
    revert: dict[System, set[str]] = {}
    contested: list[Contested] = []
    settled: set[str] = set()
    for name in sorted({name for each in edits.values() for name in each}):
        by = [system for system in System if name in edits.get(system, {})]
        rule = owners.of(name)
        if name in racing and authority.other in by:
            contested.append(Contested(field=name, system=authority.other, why=RACED))
        elif len(by) == 2 and edits[by[0]][name] == edits[by[1]][name]:
            settled.add(name)
        elif len(by) == 2:
            owner = authority if rule.owner in ("authority", "both") else System(rule.owner)
            if owners.protected(name) or rule.on_conflict == "case":
                contested.append(Contested(field=name, system=owner.other, why=EDITED_IN_BOTH))
            else:
                wins = owner.other if rule.on_conflict == "accept" and rule.owner != "both" else owner
                carry.setdefault(wins, {})[name] = edits[wins][name]
        elif rule.owned_by(by[0], authority) or rule.on_conflict == "accept":
            carry.setdefault(by[0], {})[name] = edits[by[0]][name]
        elif rule.on_conflict == "revert":
            revert.setdefault(by[0], set()).add(name)
        else:
            contested.append(Contested(field=name, system=by[0], why=NOT_OWNED))
    return Merged(
        carry=carry,
        revert={system: frozenset(names) for system, names in revert.items()},
        contested=tuple(contested),
        settled=frozenset(settled),
    )


def all_contested(edits: Mapping[System, Edits], authority: System, why: str) -> Merged:
    """Nothing of it is carried over: a person decides all of it."""
    names = sorted({name for each in edits.values() for name in each})
    return Merged(
        contested=tuple(
            Contested(
                field=name,
                system=authority.other if name in edits.get(authority.other, {}) else authority,
                why=why,
            )
            for name in names
        )
    )


def patch_to(before: Any, after: Any) -> Any:
    """The merge patch (RFC 7396) that makes ``after`` of ``before``."""
    if not isinstance(after, dict) or not isinstance(before, dict):
        return cast("Any", after)
    old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
    return {
        **{name: None for name in old if name not in new},
        **{name: patch_to(old.get(name), value) for name, value in new.items()},
    }


def with_edits(image: Mapping[str, Any], edits: Edits) -> dict[str, Any]:
    """The document after the edits."""
    out = {name: value for name, value in image.items() if name not in edits}
    out.update({name: value for name, value in edits.items() if value is not None})
    return out


def said(value: Any) -> Any:
    """A document says nothing more by an empty list, object or text than by leaving the field out."""
    return None if value in ({}, [], "") else value
