"""Money and measured quantities: Decimal inside, decimal strings outside, and nothing else ever.

A JSON number has been through somebody's float on its way, so it is refused before it can become a Decimal.
``Amount`` and ``Quantity`` stand for that wire form; a value of either is a plain ``Decimal``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec

from gateway.canonical.codes import MINOR_UNITS

#: Wide enough for the product of the largest quantity and the largest price without rounding on the way.
ARITHMETIC = Context(prec=60, rounding=ROUND_HALF_UP)


def amount_pattern(decimals: int) -> str:
    """The wire form of a number with at most so many decimals; fifteen digits before them hold any ledger."""
    return r"^-?(0|[1-9][0-9]{0,14})" + (rf"(\.[0-9]{{1,{decimals}}})?$" if decimals else "$")


AMOUNT_PATTERN = amount_pattern(max(MINOR_UNITS.values()))
QUANTITY_PATTERN = amount_pattern(6)

QUANTUM: Mapping[str, Decimal] = MappingProxyType(
    {code: Decimal(1).scaleb(-digits) for code, digits in MINOR_UNITS.items()}
)


class _DecimalString(type):
    """Lets a plain Decimal pass as a value of the wire types below; nothing downstream meets a subclass."""

    def __instancecheck__(cls, instance: object) -> bool:
        return type(instance) is Decimal


if TYPE_CHECKING:
    Amount = Decimal
    Quantity = Decimal
    Currency = str
else:

    class Amount(metaclass=_DecimalString):
        """an amount as a decimal string such as "1250.00", without exponent, never a JSON number"""

        matches = re.compile(AMOUNT_PATTERN).fullmatch
        pattern = AMOUNT_PATTERN

    class Quantity(metaclass=_DecimalString):
        """a quantity as a decimal string such as "7.5", at most 6 decimals, never a JSON number"""

        matches = re.compile(QUANTITY_PATTERN).fullmatch
        pattern = QUANTITY_PATTERN

    Currency = Annotated[
        Literal[tuple(MINOR_UNITS)], msgspec.Meta(description="a currency code of ISO 4217 such as EUR")
    ]


class TooManyDecimals(ValueError):
    """The amount has more decimals than its currency."""


class Money(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An amount of one currency, always held at that currency's full scale."""

    amount: Amount
    currency: Currency

    def __post_init__(self) -> None:
        amount, quantum = self.amount, QUANTUM[self.currency]
        if amount.same_quantum(quantum) and (amount or not amount.is_signed()):
            return
        if int(amount.as_tuple().exponent) < int(quantum.as_tuple().exponent):
            raise TooManyDecimals(f"{self.currency} has {MINOR_UNITS[self.currency]} decimals")
        scaled = amount.quantize(quantum, context=ARITHMETIC)
        # There is no minus zero in a ledger; a quantity of nothing times a negative price would make one.
        msgspec.structs.force_setattr(self, "amount", scaled or abs(scaled))


def money(amount: Decimal, currency: str) -> Money:
    """``amount`` rounded half-up to the minor unit of ``currency``."""
    return Money(amount=rounded(amount, currency), currency=currency)


def rounded(amount: Decimal, currency: str) -> Decimal:
    """``amount`` rounded half-up to the minor unit of ``currency``."""
    return amount.quantize(QUANTUM[currency], context=ARITHMETIC)


def from_wire(kind: type, value: Any) -> Any:
    """The ``dec_hook`` of every canonical decoder: decimal strings to Decimal. A Decimal passes as it is, for
    values that an adapter has already read."""
    if kind is Amount or kind is Quantity:
        wire: Any = kind
        text = value if type(value) is str else format(value, "f") if type(value) is Decimal else ""
        if not wire.matches(text):
            raise ValueError(f"expected {wire.__doc__}")
        read = Decimal(text)
        return read or abs(read)
    raise NotImplementedError(kind)


def wire_schema(kind: type) -> dict[str, Any]:
    """The ``schema_hook`` beside ``from_wire``."""
    if kind is Amount or kind is Quantity:
        wire: Any = kind
        return {"type": "string", "pattern": wire.pattern, "description": wire.__doc__}
    raise NotImplementedError(kind)
