"""Finds the partner of each row of a list in the list of the other side. Pure.

Rows are partners by their key; rows of one key, equal ones first, in their order. A part of the key that one side
does not hold at all tells nothing apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import msgspec

from gateway.compare.difference import Document

_encode = msgspec.json.Encoder(order="sorted").encode

#: A row, its partner, and which of the rows of that key it is.
Pair = tuple[Document | None, Document | None, int]


def paired(
    control: Sequence[Document],
    lefts: Sequence[tuple[str, ...]],
    candidate: Sequence[Document],
    rights: Sequence[tuple[str, ...]],
) -> list[Pair]:
    """The rows of both sides by their keys (``lefts``, ``rights``); what is left over has no partner."""
    groups: defaultdict[tuple[str, ...], tuple[list[Document], list[Document]]] = defaultdict(
        lambda: ([], [])
    )
    for key, row in zip(lefts, control, strict=True):
        groups[key][0].append(row)
    for key, row in zip(rights, candidate, strict=True):
        groups[key][1].append(row)
    pairs: list[Pair] = []
    for rows, others in groups.values():
        if rows and others and len(rows) + len(others) > 2:
            rows, others = _same_first(rows, others)
        pairs.extend((*pair, repeat) for repeat, pair in enumerate(zip_longest(rows, others)))
    return pairs


def _same_first(rows: list[Document], others: list[Document]) -> tuple[list[Document], list[Document]]:
    left_over: defaultdict[bytes, list[Document]] = defaultdict(list)
    for row in others:
        left_over[_encode(row)].append(row)
    same: list[Document] = []
    rest: list[Document] = []
    partners: list[Document] = []
    for row in rows:
        twins = left_over[_encode(row)]
        if twins:
            same.append(row)
            partners.append(twins.pop(0))
        else:
            rest.append(row)
    taken = {id(row) for row in partners}
    return same + rest, partners + [row for row in others if id(row) not in taken]


def shared_key(
    key: tuple[str, ...], control: Sequence[Document], candidate: Sequence[Document]
) -> tuple[str, ...]:
    """The parts of a key that both sides hold. A product that does not number its lines still has them in their
    order, and a row is then its partner's by that."""
    return tuple(
        name
        for name in key
        if any(row.get(name) is not None for row in control)
        and any(row.get(name) is not None for row in candidate)
    )


def row_key(row: Document, key: tuple[str, ...]) -> tuple[str, ...]:
    # Case and blanks do not tell rows apart, so that a row whose key was retyped is one difference and not
    # two.
    return tuple([_key_text(row.get(name)) for name in key])


def _key_text(value: Any) -> str:
    if type(value) is str:
        return " ".join(value.split()).casefold()
    if type(value) is int:
        return str(value)
    if value is None:
        return ""
    return _encode(value).decode()


def label(key: tuple[str, ...], row: Document, position: int, repeat: int) -> str:
    """``[number=2]``, and ``[number=2#1]`` for the second row of one key. Keys that say who somebody is are
    not shown, nor those that only one side holds."""
    shown = [f"{name}={row[name]}" for name in key if row.get(name) is not None]
    again = f"#{repeat}" if repeat else ""
    return f"[{','.join(shown)}{again}]" if shown else f"[#{position}]"
