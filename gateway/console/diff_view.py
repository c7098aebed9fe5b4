"""How differences are shown: values as text with what differs marked, fields as a tree with counts and
money. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any, cast

import msgspec

from gateway.compare import SliceSummary, Verdict

#: Beyond this many characters a text is not marked character by character; the whole of it counts as
#: differing.
LONGEST_MARKED = 600
#: Texts that share less of their letters than this are shown as two texts.
ALIKE = 0.4
#: What a personal value is stored as.
MASK = "hmac:"
_encode = msgspec.json.Encoder(decimal_format="string").encode

WHOLE_RECORD = "(whole record)"


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    text: str
    differs: bool


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One value as a page shows it. ``absent``: the system holds nothing; ``masked``: a fingerprint, not the
    value."""

    segments: tuple[Segment, ...] = ()
    absent: bool = False
    masked: bool = False
    block: bool = False  #: several lines, shown as they are


class ClassCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often a field parted in one way, under one verdict."""

    kind: str
    verdict: str
    count: int
    money: Mapping[str, Decimal]
    example: str | None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One field in the tree, with what was found in it and below it."""

    name: str
    field: str  #: the whole path, as a filter takes it
    count: int
    mismatched: int  #: those among them that last and that nothing explains
    money: Mapping[str, Decimal]
    classes: tuple[ClassCount, ...]
    children: tuple[Node, ...]


def spell(value: Any) -> str:
    """The value as text: money as people write it, anything nested as indented JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        if set(fields) == {"amount", "currency"}:
            return f"{fields['amount']} {fields['currency']}"
        if set(fields) == {"unresolved"}:
            return f"unresolved: {fields['unresolved']}"
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return msgspec.json.format(_encode(value), indent=2).decode()
    return str(value)


def side_by_side(authority: Any, other: Any) -> tuple[Shown, Shown]:
    """Both values, with the characters that only one of them has marked."""
    if authority is None or other is None or _masked(authority) or _masked(other):
        return _whole(authority, differs=other is None), _whole(other, differs=authority is None)
    left, right = spell(authority), spell(other)
    if max(len(left), len(right)) > LONGEST_MARKED:
        return _whole(authority, differs=True), _whole(other, differs=True)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.ratio() < ALIKE:
        # Two words that only share some letters: single letters between marks would say nothing.
        return _whole(authority, differs=True), _whole(other, differs=True)
    lefts: list[Segment] = []
    rights: list[Segment] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        same = tag == "equal"
        if i < j:
            lefts.append(Segment(text=_visible(left[i:j], same), differs=not same))
        if k < m:
            rights.append(Segment(text=_visible(right[k:m], same), differs=not same))
    return (
        Shown(segments=tuple(lefts), block="\n" in left),
        Shown(segments=tuple(rights), block="\n" in right),
    )


def tree(
    summaries: Iterable[SliceSummary], *, verdict: str | None = None, explained: bool = True
) -> tuple[Node, ...]:
    """The fields that parted, nested as they are in the record, the ones with most mismatches first.
    ``verdict`` narrows it; without one, what was never compared is left out: it is no difference. Not ``explained``:
    without what parts with a reason."""
    slices = list(summaries)
    known = {item.value for item in Verdict if explained or item is not Verdict.EXPLAINED}
    found: dict[str, dict[tuple[str, str], ClassCount]] = {}
    for one in slices:
        for field in one.fields:
            if field.verdict != verdict if verdict else field.verdict not in known:
                continue
            classes = found.setdefault(field.field, {})
            key = field.kind, field.verdict
            before = classes.get(key)
            classes[key] = ClassCount(
                kind=field.kind,
                verdict=field.verdict,
                count=field.count + (before.count if before else 0),
                money=add(before.money if before else {}, field.money),
                example=field.example or (before.example if before else None),
            )
    return _nest(found, depth=0, prefix="")


def add(left: Mapping[str, Decimal], right: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Sums by currency; amounts of different currencies are never added."""
    sums = dict(left)
    for currency, amount in right.items():
        sums[currency] = sums.get(currency, Decimal(0)) + amount
    return sums


def larger(left: Mapping[str, Decimal], right: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """By currency the larger one: a line, a net total and a total show the same cent, which is at stake
    once."""
    return {
        currency: max(left.get(currency, Decimal(0)), right.get(currency, Decimal(0)))
        for currency in {**left, **right}
    }


def _nest(
    found: Mapping[str, Mapping[tuple[str, str], ClassCount]], *, depth: int, prefix: str
) -> tuple[Node, ...]:
    groups: dict[str, dict[str, Mapping[tuple[str, str], ClassCount]]] = {}
    for field, classes in found.items():
        part = field.split(".")[depth] if field else WHOLE_RECORD
        groups.setdefault(part, {})[field] = classes
    nodes: list[Node] = []
    for part, members in groups.items():
        path = f"{prefix}.{part}" if prefix else ("" if part == WHOLE_RECORD else part)
        own = tuple(sorted(members.get(path, {}).values(), key=lambda found: (-found.count, found.kind)))
        children = _nest(
            {field: classes for field, classes in members.items() if field != path},
            depth=depth + 1,
            prefix=path,
        )
        count = sum(one.count for one in own) + sum(child.count for child in children)
        mismatched = sum(one.count for one in own if one.verdict == Verdict.MISMATCH)
        mismatched += sum(child.mismatched for child in children)
        money: dict[str, Decimal] = {}
        for one in own:
            money = add(money, one.money)
        for child in children:
            money = larger(money, child.money)
        nodes.append(
            Node(
                name=part,
                field=path,
                count=count,
                mismatched=mismatched,
                money=money,
                classes=own,
                children=children,
            )
        )
    return tuple(sorted(nodes, key=lambda node: (-node.mismatched, -node.count, node.name)))


def _whole(value: Any, *, differs: bool) -> Shown:
    if value is None:
        return Shown(absent=True)
    if _masked(value):
        return Shown(segments=(Segment(text=value.removeprefix(MASK), differs=differs),), masked=True)
    text = spell(value)
    return Shown(segments=(Segment(text=_visible(text, not differs), differs=differs),), block="\n" in text)


def _masked(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(MASK)


#: Characters that differ without being seen, and what is shown for them where they differ.
_UNSEEN = str.maketrans({" ": "␣", "\u00a0": "⍽", "\t": "⇥", "\u200b": "∅", "\ufeff": "∅", "\u00ad": "‧"})


def _visible(text: str, same: bool) -> str:
    return text if same else text.translate(_UNSEEN)
