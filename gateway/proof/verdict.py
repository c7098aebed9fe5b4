"""The words of a proof: what a mapping can lose, and what is known of a field, an entity and a pair of products."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import msgspec


class Loss(StrEnum):
    """A way in which a canonical value does not come back from a product as it went there."""

    NOT_MAPPED = "not_mapped"
    REFUSED = "refused"
    SHORTENED = "shortened"
    ROUNDED = "rounded"
    MERGED = "merged"
    CONSTANT = "constant"
    EMPTIED = "emptied"
    ASSUMED = "assumed"
    CHANGED = "changed"
    UNREACHABLE = "unreachable"
    SET_ONCE = "set_once"
    READ_ONLY = "read_only"
    NOT_READ = "not_read"
    OWN_NUMBER = "own_number"
    SUSPECTED = "suspected"


class Nature(msgspec.Struct, frozen=True):
    """Positional on purpose: it is written once, as the table below."""

    words: str
    loses: bool  #: False: nothing was seen to be lost, and nobody can say from the profile that nothing is
    total: bool  #: a field of which this is all still has an image for every canonical value


# fmt: off
LOSSES: Mapping[Loss, Nature] = {
    #                        words                                                    loses  total
    Loss.NOT_MAPPED:  Nature("the product does not hold the field",                    True,  False),
    Loss.REFUSED:     Nature("some values cannot be written",                          True,  False),
    Loss.SHORTENED:   Nature("longer text is cut",                                     True,  True),
    Loss.ROUNDED:     Nature("more decimals are rounded",                              True,  True),
    Loss.MERGED:      Nature("several codes become one",                               True,  True),
    Loss.CONSTANT:    Nature("every record has the same value",                        True,  True),
    Loss.EMPTIED:     Nature("a value reads back as nothing",                          True,  True),
    Loss.ASSUMED:     Nature("nothing reads back as a value",                          True,  True),
    Loss.CHANGED:     Nature("a value reads back as another one",                      True,  True),
    Loss.UNREACHABLE: Nature("some states are set by the product alone",               True,  False),
    Loss.SET_ONCE:    Nature("it is written with a create only, never changed later",  True,  True),
    Loss.READ_ONLY:   Nature("it is never written: the product has a value of its own", False, False),
    Loss.NOT_READ:    Nature("it is written and never read back",                      False, True),
    Loss.OWN_NUMBER:  Nature("the product gives the number itself",                    False, False),
    Loss.SUSPECTED:   Nature("the profile sets a limit, and no value was found that meets it", False, True),
}
# fmt: on


class Outcome(StrEnum):
    """What was found out, for a field or for all of them."""

    EXACT = "exact"
    LOST = "lost"
    UNPROVEN = "unproven"
    NOT_HELD = "not_held"  #: of a pair: the first product holds nothing that could be lost


_WORST_FIRST = (Outcome.LOST, Outcome.UNPROVEN, Outcome.EXACT, Outcome.NOT_HELD)


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One loss, with the value that shows it. ``example`` is absent where the loss needs none: all values are lost."""

    path: str
    loss: Loss
    words: str
    example: Any = None
    becomes: Any = None
    twin: Any = None  #: another value that reads back as the same
    changes_money: bool = False


class FieldProof(msgspec.Struct, frozen=True, kw_only=True):
    """One field in one product: canonical value → product → canonical value."""

    path: str
    significant: bool  #: the compare policy looks at it
    outcome: Outcome
    total: bool  #: every canonical value has an image
    injective: bool  #: no two canonical values have the same image
    findings: tuple[Finding, ...] = ()


class EntityProof(msgspec.Struct, frozen=True, kw_only=True):
    """One entity in one product."""

    entity: str
    product: str
    written: bool  #: the product takes new records
    fields: tuple[FieldProof, ...]
    required_unmapped: tuple[str, ...]  #: fields that every create carries and that have no place here

    @property
    def money(self) -> tuple[Finding, ...]:
        """The findings that change an amount."""
        return tuple(one for field in self.fields for one in field.findings if one.changes_money)

    @property
    def blocking_fields(self) -> tuple[tuple[str, str], ...]:
        """Why no writes may be mirrored to this product: each field with its reason."""
        return (
            *((path, f"is required and {self.product} does not hold it") for path in self.required_unmapped),
            *((one.path, f"is money that {self.product} would change: {told(one)}") for one in self.money),
        )

    @property
    def blocking(self) -> tuple[str, ...]:
        """The same, each as a sentence."""
        return tuple(f"{path} {words}" for path, words in self.blocking_fields)


class PairField(msgspec.Struct, frozen=True, kw_only=True):
    """One field on the way first → canon → second → canon → first."""

    path: str
    significant: bool
    outcome: Outcome
    first: FieldProof
    second: FieldProof
    finding: Finding | None = None  #: what is lost of a value that the first product holds


class PairProof(msgspec.Struct, frozen=True, kw_only=True):
    """One entity between two products, from the first to the second and back."""

    entity: str
    first: EntityProof
    second: EntityProof
    fields: tuple[PairField, ...]

    @property
    def outcome(self) -> Outcome:
        """What is known of the fields that the compare policy looks at: the worst of them."""
        seen = {field.outcome for field in self.fields if field.significant}
        return next(one for one in _WORST_FIRST if one in seen or one is Outcome.NOT_HELD)


def told(finding: Finding) -> str:
    """The finding in one sentence, with its counterexample."""
    said = finding.words
    if finding.example is not None:
        said += f": {shown(finding.example)}"
        if finding.loss is not Loss.REFUSED and finding.loss is not Loss.UNREACHABLE:
            said += f" reads back as {shown(finding.becomes)}"
        if finding.twin is not None:
            said += f", as {shown(finding.twin)} does"
    return said


def shown(value: Any) -> str:
    """A value as people write it."""
    if value is None:
        return "nothing"
    if isinstance(value, dict) and value.keys() == {"amount", "currency"}:
        return f"{value['amount']} {value['currency']}"
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    spelled = text.replace("\r", "\\r").replace("\n", "\\n")
    if len(spelled) <= LONGEST_SHOWN:
        return f"“{spelled}”"
    return f"“{spelled[:12]}…{spelled[-6:]}” ({len(text)} characters)"


#: Characters of a value that a table has room for.
LONGEST_SHOWN = 32
