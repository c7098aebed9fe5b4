"""Finds where two canonical documents part, by the policy of their entity. Pure, exact, and fast enough for
every read.

The policy is compiled once per entity into a plan: a tuple of fields, each with the function that tells its
values apart. Equal texts, which is nearly all there is, never leave the loop over that tuple.

Laws. No field counts as agreement that was not looked at: what no rule names, or one side does not map, and
yet holds something, is in ``not_compared``. The order of keys and of keyed rows means nothing. A difference
that a product's declared loss accounts for stays in the result, with its explanation; it is never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import msgspec

from gateway.canonical.entity import Entity
from gateway.canonical.policy import Compare
from gateway.compare.difference import Difference, DifferenceClass, Diffs, Document, Stake
from gateway.compare.plan import Field, Plan, plan_of
from gateway.compare.rows import Pair, label, paired, row_key, shared_key
from gateway.compare.tolerance import is_unresolved, stake_of

#: How given fields would read after a round trip through one system: its declared losses applied.
Expect = Callable[[dict[str, Any]], Mapping[str, Any]]

#: Why a difference is no fault. The words that reports show.
DECLARED_LOSS = "declared loss"
OWN_NUMBERING = "own numbering"
NOISE = "noise"

#: The gateway's own fields around a document: no ERP holds them, so there is nothing to compare.
ENVELOPE = frozenset({"id", "entity", "region", "version", "created_at", "updated_at", "external_refs"})

_encode = msgspec.json.Encoder(order="sorted").encode
_spelled = msgspec.json.Encoder().encode
#: How an unresolved reference reads; see ``difference.unresolved``.
_UNRESOLVED = b'{"unresolved":'


def diff(
    entity: Entity,
    control: Document,
    candidate: Document,
    *,
    not_mapped: frozenset[str] = frozenset(),
    own_numbers: frozenset[str] = frozenset(),
    expect_control: Expect | None = None,
    expect_candidate: Expect | None = None,
) -> Diffs:
    """Where ``candidate`` parts from ``control``, the document of the authority.

    ``not_mapped``: fields that one of the two products does not hold. ``own_numbers``: fields that one of
    them numbers by itself. The two ``expect`` functions know each side's declared losses: a difference is
    explained if one side is exactly what its product would make of the other side's value.
    """
    plan = plan_of(entity)
    found: list[Difference] = []
    unseen: list[str] = []
    compared = 0
    for field in plan.fields:
        left, right = control.get(field.name), candidate.get(field.name)
        if left is None and right is None:
            continue
        if field.name in not_mapped:
            unseen.append(field.path)
            continue
        compared += 1
        if left == right and (type(left) is str or (field.shortcut and _spelled(left) == _spelled(right))):
            continue
        _compare(field, left, right, field.path, found, unseen)
    unseen.extend(_unknown(plan, control, candidate))
    if found and (expect_control or expect_candidate or own_numbers):
        found = _explain(plan, control, candidate, found, own_numbers, expect_control, expect_candidate)
    return Diffs(differences=tuple(found), not_compared=tuple(sorted(set(unseen))), compared=compared)


def compared_values(entity: Entity, document: Document, *, not_mapped: frozenset[str] = frozenset()) -> bytes:
    """Everything of ``document`` that a comparison looks at, in one spelling: two readings of an unchanged
    record give the same bytes, in whatever order the system hands out its keys and rows."""
    return _encode(
        {
            field.name: _settled(field, document[field.name])
            for field in plan_of(entity).fields
            if field.name not in not_mapped and document.get(field.name) is not None
        }
    )


def _compare(
    field: Field, control: Any, candidate: Any, path: str, found: list[Difference], unseen: list[str]
) -> None:
    if not _present(field, control):
        if _present(field, candidate):
            found.append(
                _difference(field, path, DifferenceClass.EXTRA, None, candidate, stake_of(candidate))
            )
        return
    if not _present(field, candidate):
        found.append(_difference(field, path, DifferenceClass.MISSING, control, None, stake_of(control)))
        return
    if field.tell is not None:
        parted = field.tell(control, candidate, field.rule)
        if parted is not None:
            kind, stake = parted
            if field.codes is not None and not (
                _knows(field.codes, control) and _knows(field.codes, candidate)
            ):
                kind = DifferenceClass.CODE_MAPPING
            found.append(_difference(field, path, kind, control, candidate, stake))
        return
    assert field.members is not None
    if field.rule.compare is Compare.KEYED:
        if isinstance(control, list) and isinstance(candidate, list):
            rows, others = cast("list[Any]", control), cast("list[Any]", candidate)
            if all(isinstance(row, dict) for row in rows) and all(isinstance(row, dict) for row in others):
                _rows(field, rows, others, path, found, unseen)
                return
    elif isinstance(control, dict) and isinstance(candidate, dict):
        _members(
            field.members,
            cast("Document", control),
            cast("Document", candidate),
            path + ".",
            field.path + ".",
            found,
            unseen,
        )
        return
    found.append(_difference(field, path, DifferenceClass.TYPE, control, candidate, None))


def _members(
    plan: Plan,
    control: Document,
    candidate: Document,
    prefix: str,
    shape: str,
    found: list[Difference],
    unseen: list[str],
) -> None:
    for field in plan.fields:
        left, right = control.get(field.name), candidate.get(field.name)
        if left == right and (
            left is None or type(left) is str or (field.shortcut and _spelled(left) == _spelled(right))
        ):
            continue
        _compare(field, left, right, prefix + field.name, found, unseen)
    if not (plan.known >= control.keys() and plan.known >= candidate.keys()):
        unseen.extend(shape + name for name in _unknown(plan, control, candidate))


def _unknown(plan: Plan, control: Document, candidate: Document) -> list[str]:
    """Names that hold something on a side and that no rule names."""
    return [
        name
        for name in (control.keys() | candidate.keys()) - plan.known
        if _holds(control.get(name)) or _holds(candidate.get(name))
    ]


def _rows(
    field: Field,
    control: list[Document],
    candidate: list[Document],
    path: str,
    found: list[Difference],
    unseen: list[str],
) -> None:
    """Rows of one key are paired: equal ones first, the rest in their order. What is left over has no
    partner."""
    plan = field.members
    assert plan is not None
    key = shared_key(field.rule.key, control, candidate)
    shown = tuple(name for name in field.shown_key if name in key)
    lefts, rights = [row_key(row, key) for row in control], [row_key(row, key) for row in candidate]
    if lefts == rights and len(set(lefts)) == len(lefts):
        pairs: list[Pair] = [(*pair, 0) for pair in zip(control, candidate, strict=True)]
    else:
        pairs = paired(control, lefts, candidate, rights)
    places = {id(row): position for rows in (candidate, control) for position, row in enumerate(rows)}
    shape = field.path + "[]."
    for left, right, repeat in pairs:
        row = right if left is None else left
        assert row is not None
        position = places[id(row)]
        if left is None or right is None:
            kind = DifferenceClass.EXTRA if left is None else DifferenceClass.MISSING
            place = path + label(shown, row, position, repeat)
            found.append(_difference(field, place, kind, left, right, stake_of(row), row=True))
        elif plan.flat and (spelled := _spelled(left)) == _spelled(right) and _UNRESOLVED not in spelled:
            # Rows that read the same to the byte, as nearly all do, need no look at each of their members.
            if not plan.known >= left.keys():
                unseen.extend(shape + name for name in _unknown(plan, left, right))
        else:
            place = path + label(shown, left, position, repeat) + "."
            _members(plan, left, right, place, shape, found, unseen)


def _explain(
    plan: Plan,
    control: Document,
    candidate: Document,
    found: list[Difference],
    own_numbers: frozenset[str],
    expect_control: Expect | None,
    expect_candidate: Expect | None,
) -> list[Difference]:
    fields = {field.name: field for field in plan.fields}
    paths = {difference.path for difference in found}
    ways: dict[str, list[_Way]] = {}
    told: list[Difference] = []
    instead: dict[str, Difference] = {}
    for difference in found:
        name = re.split(r"[.\[]", difference.path, maxsplit=1)[0]
        field = fields[name]
        if field.rule.compare is Compare.NUMBER and name in own_numbers:
            told.append(msgspec.structs.replace(difference, explained=OWN_NUMBERING))
            continue
        if _UNRESOLVED in _spelled([difference.control, difference.candidate]):
            told.append(difference)  # no product was ever given what leads nowhere, so none can have lost it
            continue
        if name not in ways:
            left, right = control.get(name), candidate.get(name)
            ways[name] = sorted(
                (
                    _way(field, mine, expect({name: theirs}).get(name), paths, flipped=flipped)
                    for expect, mine, theirs, flipped in (
                        (expect_candidate, right, left, False),
                        (expect_control, left, right, True),
                    )
                    if expect is not None and theirs is not None
                ),
                key=lambda way: len(way.instead),
            )
        way = next((way for way in ways[name] if difference.path not in way.left), None)
        if way is None:
            told.append(difference)
        else:
            told.append(msgspec.structs.replace(difference, explained=DECLARED_LOSS))
            instead.update(way.instead)
    return [*told, *instead.values()]


class _Way(NamedTuple):
    """What is left when the declared losses of one side are taken into account."""

    left: frozenset[str]  #: paths that still part
    #: Rows that are paired in another way once a lost key is allowed for can part where nothing did before. Such
    #: a difference stands instead of those that the loss explains.
    instead: dict[str, Difference]


def _way(field: Field, mine: Any, expected: Any, paths: set[str], *, flipped: bool) -> _Way:
    """Where a side is not what its product would make of the other side's value."""
    left: list[Difference] = []
    if flipped:
        _compare(field, mine, expected, field.path, left, [])
    else:
        _compare(field, expected, mine, field.path, left, [])
    return _Way(
        left=frozenset(difference.path for difference in left),
        instead={difference.path: difference for difference in left if difference.path not in paths},
    )


def _difference(
    field: Field,
    path: str,
    kind: DifferenceClass,
    control: Any,
    candidate: Any,
    stake: Stake | None,
    *,
    row: bool = False,
) -> Difference:
    if field.rule.compare is Compare.REFERENCE and (is_unresolved(control) or is_unresolved(candidate)):
        kind = DifferenceClass.REFERENCE_UNRESOLVED
    return Difference(
        path=path,
        field=field.path + "[]" if row else field.path,
        kind=kind,
        control=control,
        candidate=candidate,
        stake=stake,
        personal=field.personal,
    )


def _knows(codes: frozenset[str], value: Any) -> bool:
    return isinstance(value, str) and value in codes


def _present(field: Field, value: Any) -> bool:
    """Whether there is a value. A container without content and, where the rule says so, a blank text are
    none."""
    if value is None:
        return False
    if field.rule.blank_is_absent and isinstance(value, str):
        return bool(value.strip())
    if field.rule.compare in (Compare.KEYED, Compare.SET, Compare.NESTED):
        return _holds(value)
    return True


def _holds(value: Any) -> bool:
    """Whether something is in there: null, an empty list, and an object of nothing but such, hold nothing."""
    if isinstance(value, dict):
        return any(_holds(member) for member in cast("Document", value).values())
    return value is not None and value != []


def _settled(field: Field, value: Any) -> Any:
    value = _without_nulls(value)
    if field.rule.compare in (Compare.KEYED, Compare.SET) and isinstance(value, list):
        return sorted(_encode(row).decode() for row in cast("list[Any]", value))
    return value


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        members = cast("Document", value)
        return {name: _without_nulls(member) for name, member in members.items() if member is not None}
    if isinstance(value, list):
        return [_without_nulls(member) for member in cast("list[Any]", value)]
    return value
