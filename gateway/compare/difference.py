"""What a comparison finds: where two documents part, in which way, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

#: A document in canonical wire form: what the API would answer, as plain dicts, lists, texts, integers and
#: booleans.
Document = Mapping[str, Any]

#: The field name of a difference that concerns the record as a whole.
WHOLE_RECORD = ""


class DifferenceClass(StrEnum):
    """In which way two values part. The class says what to look at, never that a difference may be
    overlooked."""

    MISSING = "missing"  # the authority has it, the other side does not
    EXTRA = "extra"  # the other side has it, the authority does not
    TYPE = (
        "type"  # the same field holds another kind of value, or one that cannot be read as what it should be
    )
    VALUE = "value"
    AMOUNT = "amount"  # the same currency, another amount
    CURRENCY = "currency"
    ROUNDING = (
        "rounding"  # one number is the other with fewer decimals, or they part by less than a minor unit
    )
    TIME_ZONE = (
        "time_zone"  # the same clock reading or whole quarter hours apart: an offset was lost or added
    )
    CASE_OR_SPACE = "case_or_space"
    ORDER = "order"  # the same members in another order
    SIZE = "size"  # another number of members
    CODE_MAPPING = "code_mapping"  # a code that the canonical model does not know
    REFERENCE_UNRESOLVED = "reference_unresolved"  # a native id that the crosswalk cannot name
    ERROR_AGAINST_SUCCESS = "error_against_success"
    DIFFERENT_ERRORS = "different_errors"


class Stake(msgspec.Struct, frozen=True, kw_only=True):
    """Money at stake in one difference: never negative, and not rounded."""

    amount: Decimal
    currency: str


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place where the two documents part. ``explained`` says why it is no fault: a declared loss, own
    numbering, noise."""

    path: str  #: the place, with row keys: ``lines[number=2].amount``
    field: str  #: the same place in every record: ``lines[].amount``
    kind: DifferenceClass = msgspec.field(name="class")
    control: Any  #: what the authority holds; None where it holds nothing
    candidate: Any  #: what the other side holds
    stake: Stake | None = None
    personal: bool = False
    explained: str | None = None


class Diffs(msgspec.Struct, frozen=True, kw_only=True):
    """All that one comparison found. ``not_compared`` are fields that hold something and that nobody looked
    at."""

    differences: tuple[Difference, ...] = ()
    not_compared: tuple[str, ...] = ()
    compared: int = 0  #: fields of the record that at least one side holds and that were looked at

    @property
    def open(self) -> tuple[Difference, ...]:
        """The differences that nothing explains."""
        return tuple(found for found in self.differences if found.explained is None)


def unresolved(native_id: str) -> dict[str, str]:
    """How a document shows a reference whose native id the crosswalk does not know."""
    return {"unresolved": native_id}
