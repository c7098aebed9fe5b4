"""What the two ERPs say was done to them, judged: what was overwritten, what is there twice, and what is missing. Pure.

An *account* is the effect log of one entity by native key, in order. Of each record it shows the business number and
the one value that callers change: hundredths of an hour, or the place of a state. Both only rise.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

Account = Mapping[str, Sequence[Mapping[str, Any]]]
#: The states that callers raise an invoice through.
STATES = ("draft", "ready", "released")
#: In the words of either ERP.
_STATES = {
    "E": "draft",
    "P": "ready",
    "F": "released",
    "Draft": "draft",
    "Ready": "ready",
    "Released": "released",
}
_NUMBERS = ("Stundenzettel", "Nummer", "TimesheetRef", "Number")


class Judged(msgspec.Struct, kw_only=True):
    """Faults, in words."""

    overwritten: list[str]
    duplicates: list[str]
    missing: list[str]


def judge(
    entity: str, legacy: Account, cloud: Account, *, by_hand: Collection[str], wanted: Mapping[str, int]
) -> Judged:
    """``by_hand``: native keys in the cloud of what was there before, that nobody wrote to. ``wanted``: what the last
    live write of each record said, by canonical id."""
    found = Judged(overwritten=[], duplicates=[], missing=[])
    for key in sorted(by_hand):
        if [one["action"] for one in cloud.get(key, ())] != ["direct_edit"]:
            found.overwritten.append(f"{entity} {key} was made by hand and written to")
    created = Counter(
        one["external_id"] for log in cloud.values() for one in log if one["action"] == "create"
    )
    for record_id, times in created.items():
        if times > 1:
            found.duplicates.append(f"{entity} {record_id} was created {times} times")
    held, mirrored = _ends(legacy), _ends(cloud)
    for number in sorted(held.keys() | mirrored.keys()):
        here, there = sorted(held.get(number, ())), sorted(mirrored.get(number, ()))
        told = f"{entity} {number}: {here} in legacy, {there} in cloud"
        if len(there) != len(here):
            (found.missing if len(there) < len(here) else found.duplicates).append(told)
        elif there != here:
            found.overwritten.append(told)
    for key, log in cloud.items():
        shown = [_value(one["main"]) for one in log]
        if any(later < earlier for earlier, later in itertools.pairwise(shown)):
            found.overwritten.append(f"{entity} {key} went back: {shown}")
    last = {log[-1]["external_id"]: _value(log[-1]["main"]) for log in cloud.values()}
    for record_id, value in wanted.items():
        if last.get(record_id) != value:
            found.overwritten.append(
                f"{entity} {record_id}: {value} was written, {last.get(record_id)} is there"
            )
    return found


def account(effects: Sequence[Mapping[str, Any]]) -> Account:
    """The effects by native key, in order."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in effects:
        found[one["key"]].append(one)
    return found


def _ends(logs: Account) -> dict[str, list[int]]:
    """How the records of each business number ended."""
    found: dict[str, list[int]] = defaultdict(list)
    for log in logs.values():
        main = log[-1]["main"]
        found[next(main[name] for name in _NUMBERS if name in main)].append(_value(main))
    return found


def _value(main: Mapping[str, Any]) -> int:
    hours = main.get("Stunden", main.get("Hours"))
    if hours is not None:
        return round(float(str(hours).replace(",", ".")) * 100)
    return STATES.index(_STATES[main["Status"]])
