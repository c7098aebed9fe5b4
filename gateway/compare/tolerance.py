"""When two single values are equal, and in which way they part if not. Pure, exact, one function for each
way.

A function gets two values of which at least one is present, and returns None for equal. Absent and null are
the same here: a canonical record always has all its fields, and an adapter leaves out what the ERP left
empty. An empty text is something else, unless the rule says that it is absent. No function ever makes a
float.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import (
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
)
from typing import Any, cast

import msgspec

from gateway.canonical.money import QUANTUM
from gateway.canonical.policy import Compare, Rule
from gateway.compare.difference import DifferenceClass, Stake

Parted = tuple[DifferenceClass, Stake | None]
Tell = Callable[[Any, Any, Rule], Parted | None]

#: Arithmetic with more digits than any amount has, so that no sum and no difference ever rounds.
EXACT = Context(prec=100)
#: Decimal text. No ledger is wider, and within these bounds arithmetic is exact.
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(?:\.[0-9]{0,40})?").fullmatch
#: The largest offset from UTC in use, on both sides of the date line together.
WIDEST_OFFSET = timedelta(hours=26)
QUARTER = timedelta(minutes=15)
#: The minor unit of a currency that ISO 4217 does not list.
_CENT = Decimal("0.01")

_encode = msgspec.json.Encoder(order="sorted").encode


def number_of(value: Any) -> Decimal | None:
    """``value`` as a Decimal, or None: a float, a boolean, an exponent and any other thing is not a number
    here."""
    if type(value) is str:
        return Decimal(value) if _NUMBER(value) else None
    if type(value) is int:
        return Decimal(value)
    return None


def tell_exact(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    if type(control) is type(candidate):
        if isinstance(control, list):
            return _lists(cast("list[Any]", control), cast("list[Any]", candidate))
        # Encoding keeps 1, 1.0 and true apart inside objects, which == would not.
        if control == candidate and (not isinstance(control, dict) or _encode(control) == _encode(candidate)):
            return None
        if isinstance(control, str):
            return _texts(control, candidate), None
        return DifferenceClass.VALUE, None
    return DifferenceClass.TYPE, None


def tell_text(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    if not isinstance(control, str) or not isinstance(candidate, str):
        return tell_exact(control, candidate, rule)
    left, right = _fold(control, rule), _fold(candidate, rule)
    if left == right:
        return None
    return _texts(left, right), None


def tell_money(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    left, right = money_of(control), money_of(candidate)
    if left is None or right is None:
        known = left or right
        return DifferenceClass.TYPE, None if known is None else _absolute(known)
    if left.currency != right.currency:
        return DifferenceClass.CURRENCY, _absolute(left)
    apart = EXACT.subtract(left.amount, right.amount).copy_abs()
    if apart <= rule.tolerance:
        return None
    minor = QUANTUM.get(left.currency, _CENT)
    # Money is rounded to whole units or below its minor unit; a tenth more or less is just another amount.
    rounding = apart < minor or _is_rounded(left.amount, right.amount, whole=True)
    kind = DifferenceClass.ROUNDING if rounding else DifferenceClass.AMOUNT
    return kind, Stake(amount=apart, currency=left.currency)


def tell_decimal(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    left, right = number_of(control), number_of(candidate)
    if left is None or right is None:
        return DifferenceClass.TYPE, None
    apart = EXACT.subtract(left, right).copy_abs()
    if apart <= rule.tolerance:
        return None
    return DifferenceClass.ROUNDING if _is_rounded(left, right) else DifferenceClass.VALUE, None


def tell_day(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    left, right = _day_of(control), _day_of(candidate)
    if left is None or right is None:
        return DifferenceClass.TYPE, None
    return None if left == right else (DifferenceClass.VALUE, None)


def tell_instant(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    left, right = _instant_of(control), _instant_of(candidate)
    if left is None or right is None:
        return DifferenceClass.TYPE, None
    if (left.tzinfo is None) != (right.tzinfo is None):
        # One side dropped its offset, so nothing proves that these are the same moment.
        apart = abs(left.replace(tzinfo=UTC) - right.replace(tzinfo=UTC))
    elif left == right:
        return None
    else:
        apart = abs(left - right)
    shifted = apart <= WIDEST_OFFSET and not apart % QUARTER
    return DifferenceClass.TIME_ZONE if shifted else DifferenceClass.VALUE, None


def tell_reference(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    if is_unresolved(control) or is_unresolved(candidate):
        return DifferenceClass.REFERENCE_UNRESOLVED, None
    return None if control == candidate else (DifferenceClass.VALUE, None)


def tell_set(control: Any, candidate: Any, rule: Rule) -> Parted | None:
    if not isinstance(control, list) or not isinstance(candidate, list):
        return DifferenceClass.TYPE, None
    parted = _lists(cast("list[Any]", control), cast("list[Any]", candidate))
    return None if parted is not None and parted[0] is DifferenceClass.ORDER else parted


#: The way in which a single value is told apart, by the word of its rule. Containers are the differ's own
#: work.
TELL: Mapping[Compare, Tell] = {
    Compare.EXACT: tell_exact,
    Compare.TEXT: tell_text,
    Compare.MONEY: tell_money,
    Compare.DECIMAL: tell_decimal,
    Compare.DAY: tell_day,
    Compare.INSTANT: tell_instant,
    Compare.NUMBER: tell_text,
    Compare.REFERENCE: tell_reference,
    Compare.SET: tell_set,
}


def money_of(value: Any) -> Stake | None:
    """``{"amount": …, "currency": …}`` with a real number and a currency, or None."""
    if not isinstance(value, dict):
        return None
    fields = cast("Mapping[str, Any]", value)
    amount, currency = number_of(fields.get("amount")), fields.get("currency")
    if amount is None or not isinstance(currency, str):
        return None
    return Stake(amount=amount, currency=currency)


def stake_of(value: Any) -> Stake | None:
    """What is at stake when this whole value is missing on the other side: money itself, or a row's
    ``amount``."""
    money = money_of(value)
    if money is None and isinstance(value, dict):
        money = money_of(cast("Mapping[str, Any]", value).get("amount"))
    return None if money is None else _absolute(money)


def is_unresolved(value: Any) -> bool:
    return isinstance(value, dict) and "unresolved" in value


def _absolute(money: Stake) -> Stake:
    return Stake(amount=money.amount.copy_abs(), currency=money.currency)


def _is_rounded(left: Decimal, right: Decimal, *, whole: bool = False) -> bool:
    """Whether the number with fewer decimals is what rounding makes of the other; with ``whole``, only if it
    has none."""
    places, others = _places(left), _places(right)
    if places == others or (whole and min(places, others)):
        return False
    fine, coarse = (left, right) if places > others else (right, left)
    if not coarse:
        return False  # nothing where there was something is not a matter of decimals
    step = Decimal(1).scaleb(-min(places, others))
    return any(fine.quantize(step, mode, EXACT) == coarse for mode in (ROUND_HALF_UP, ROUND_HALF_EVEN))


def _places(number: Decimal) -> int:
    """Decimals that say something: 12.50 has one, 12.00 and 1200 have none."""
    digits = number.as_tuple()
    exponent = cast("int", digits.exponent)
    for digit in reversed(digits.digits):
        if digit or exponent >= 0:
            break
        exponent += 1
    return max(0, -exponent)


def _fold(value: str, rule: Rule) -> str:
    value = unicodedata.normalize("NFC", value)
    if rule.fold_space:
        value = " ".join(value.split())
    return value.casefold() if rule.fold_case else value


def _texts(left: str, right: str) -> DifferenceClass:
    alike = " ".join(left.split()).casefold() == " ".join(right.split()).casefold()
    return DifferenceClass.CASE_OR_SPACE if alike else DifferenceClass.VALUE


def _lists(control: list[Any], candidate: list[Any]) -> Parted | None:
    left, right = [_encode(member) for member in control], [_encode(member) for member in candidate]
    if left == right:
        return None
    if len(left) != len(right):
        return DifferenceClass.SIZE, None
    same = Counter(left) == Counter(right)
    return DifferenceClass.ORDER if same else DifferenceClass.VALUE, None


def _day_of(value: Any) -> date | None:
    if not isinstance(value, str):
        return None
    try:
        return date.fromisoformat(value)
    except ValueError:
        return None


def _instant_of(value: Any) -> datetime | None:
    if not isinstance(value, str) or "T" not in value:
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return None
