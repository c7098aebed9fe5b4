"""How two readings of the same field are told apart: one rule per field path, declared beside the entity.

A *path* is written as in a reference: ``name``, ``billing_address.city``, ``lines[].amount``. A container has
a rule of its own (``nested`` or ``keyed``) and its members have theirs. A field that no rule names is *not
compared*, and is shown as such: silence is never agreement. ``custom_fields`` is deliberately not named.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

import msgspec


class Compare(StrEnum):
    """The ways in which two values can be equal."""

    EXACT = "exact"  # the same value of the same type: codes, booleans, integers, states
    TEXT = "text"  # the same text after the folding that the rule allows
    MONEY = "money"  # the same currency, and the same amount at that currency's scale
    DECIMAL = "decimal"  # the same number, whatever its scale: "8.5" is "8.50"
    DAY = "day"  # the same business day
    INSTANT = "instant"  # the same moment, in whatever zone it was written
    NUMBER = "number"  # a number that each ERP may give out itself: exact where both sides carry the caller's
    REFERENCE = "reference"  # the same canonical record; native ids go through the crosswalk first
    NESTED = "nested"  # an object; its members have rules of their own
    KEYED = "keyed"  # rows paired by a business key; rows of the same key pair up in their order
    SET = "set"  # the same members in any order
    IGNORED = "ignored"  # never compared, for the reason given


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How one field path is compared. ``tolerance`` is absolute, in the unit of the field."""

    compare: Compare
    entity: str | None = None  # REFERENCE: the kind of record that is meant
    key: tuple[str, ...] = ()  # KEYED: the members that tell rows apart
    fold_case: bool = False
    fold_space: bool = False  # runs of blanks are one blank, and none at either end
    blank_is_absent: bool = False  # an ERP that cannot hold "nothing" hands back an empty text
    tolerance: Decimal = Decimal(0)
    personal: bool = False  # samples keep a keyed hash of the value, never the value
    reason: str = ""


class ComparePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one entity by field path."""

    rules: Mapping[str, Rule]

    def rule(self, path: str) -> Rule | None:
        """The rule for ``path``, or None: the field is not compared."""
        return self.rules.get(path)

    def members(self, path: str) -> Mapping[str, Rule]:
        """The rules of the members of the container at ``path`` (``""`` is the record), by member name."""
        container = self.rules.get(path)
        if not path:
            prefix = ""
        elif container is not None and container.compare is Compare.KEYED:
            prefix = path + "[]."
        else:
            prefix = path + "."
        found: dict[str, Rule] = {}
        for full, rule in self.rules.items():
            rest = full.removeprefix(prefix)
            if (not prefix or rest != full) and "." not in rest:
                found[rest] = rule
        return found


def exact(*, personal: bool = False) -> Rule:
    return Rule(compare=Compare.EXACT, personal=personal)


def text(*, fold_case: bool = False, fold_space: bool = False, personal: bool = False) -> Rule:
    return Rule(
        compare=Compare.TEXT,
        fold_case=fold_case,
        fold_space=fold_space,
        blank_is_absent=True,
        personal=personal,
    )


def money() -> Rule:
    return Rule(compare=Compare.MONEY)


def decimal() -> Rule:
    return Rule(compare=Compare.DECIMAL)


def day() -> Rule:
    return Rule(compare=Compare.DAY)


def instant() -> Rule:
    return Rule(compare=Compare.INSTANT)


def number() -> Rule:
    return Rule(compare=Compare.NUMBER, blank_is_absent=True)


def reference(entity: str) -> Rule:
    return Rule(compare=Compare.REFERENCE, entity=entity)


def nested() -> Rule:
    return Rule(compare=Compare.NESTED)


def keyed(*key: str) -> Rule:
    return Rule(compare=Compare.KEYED, key=key)


def unordered() -> Rule:
    return Rule(compare=Compare.SET)


def ignored(reason: str) -> Rule:
    return Rule(compare=Compare.IGNORED, reason=reason)
