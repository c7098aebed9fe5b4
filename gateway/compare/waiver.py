"""What a person has accepted for a time: differences of one field and class, with a reason, an owner and an end. Pure.

A waiver covers one way in which one field parts in one slice, or one pair of values in it. A covered difference is
*explained* with the waiver's id; it is never counted as agreement, its money stays in the reports, and it is a mismatch
again as soon as the waiver is over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from gateway.canonical import BY_NAME, Entity
from gateway.compare.difference import WHOLE_RECORD, DifferenceClass, Diffs
from gateway.compare.observation import Result, Sample, sample
from gateway.compare.plan import Plan, plan_of

#: How ``explained`` of a waived difference begins; the id of the waiver follows.
WAIVED = "waived "


class Pair(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Two values as a diff shows them: of a personal value its fingerprint, null where a side holds nothing."""

    authority: Any
    other: Any


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to have waived. ``expires_at`` is microseconds UTC."""

    entity: str
    region: str
    field: str
    kind: str  #: a difference class
    reason: str
    owner: str
    expires_at: int
    pair: Pair | None = None  #: only where the field parts in just this way


class Waiver(msgspec.Struct, frozen=True, kw_only=True):
    """A waiver as it is kept. Moments are microseconds UTC."""

    id: str
    entity: str
    region: str
    field: str
    kind: str
    reason: str
    owner: str
    expires_at: int
    created_at: int
    created_by: str
    pair: Pair | None = None
    revoked_at: int | None = None
    revoked_by: str | None = None

    def state(self, now: int) -> str:
        """``active``, ``expired`` or ``revoked`` at this moment."""
        if self.revoked_at is not None:
            return "revoked"
        return "active" if self.expires_at > now else "expired"


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """A waiver with what it covers right now: open findings, and the money at stake in them by currency."""

    waiver: Waiver
    state: str
    findings: int
    money: Mapping[str, Decimal]


def covers(waiver: Waiver, found: Sample) -> bool:
    """Whether this waiver is about this difference of a record of its slice."""
    if (waiver.field, waiver.kind) != (found.field, found.kind):
        return False
    pair = waiver.pair
    return pair is None or (_same(pair.authority, found.authority) and _same(pair.other, found.other))


def waived(diffs: Diffs, waivers: Iterable[Waiver], *, now: int, key: bytes) -> Diffs:
    """``diffs`` with every difference explained that nothing else explains and a waiver in force covers. ``waivers``
    are those of the record's slice; ``key`` makes the fingerprints of personal values."""
    in_force = [one for one in waivers if one.state(now) == "active"]
    if not in_force or not diffs.open:
        return diffs
    differences = list(diffs.differences)
    for place, found in enumerate(differences):
        if found.explained is None:
            shown = sample(found, key)
            by = next((one for one in in_force if covers(one, shown)), None)
            if by is not None:
                differences[place] = msgspec.structs.replace(found, explained=WAIVED + by.id)
    return msgspec.structs.replace(diffs, differences=tuple(differences))


def waiver_of(found: Sample) -> str | None:
    """The id of the waiver that explains this difference, if one does."""
    words = found.explained or ""
    return words.removeprefix(WAIVED) if words.startswith(WAIVED) else None


def is_waived(result: Result) -> bool:
    """Whether a waiver has a part in this result: then its record has to be found again when that is over."""
    return any(waiver_of(found) is not None for found in result.samples)


def fields_of(entity: str) -> frozenset[str]:
    """Every field of an entity that comparisons look at, containers among them, as a diff names it; ``""`` is the
    record as a whole."""
    known = _FIELDS.get(entity)
    if known is None:
        model: Entity = BY_NAME[entity]
        known = _FIELDS[entity] = frozenset({WHOLE_RECORD, *_paths(plan_of(model))})
    return known


_FIELDS: dict[str, frozenset[str]] = {}
#: The classes that a difference can have.
KINDS = tuple(kind.value for kind in DifferenceClass)


def _paths(plan: Plan) -> Iterable[str]:
    for field in plan.fields:
        yield field.path
        if field.members is not None:
            yield from _paths(field.members)


def _same(left: Any, right: Any) -> bool:
    return _encode(left) == _encode(right)


_encode = msgspec.json.Encoder(order="sorted", decimal_format="string").encode
