"""What values a canonical field may have, and which of them tell most about a mapping. Pure.

A ``Domain`` is handed in by whoever knows the canonical model; nothing here knows an entity. ``probes`` picks
values of a domain for one field of one profile: the ordinary ones, the borders of the domain, and for each limit
that the profile names (a length, decimals, a code, a separator, an empty value) a pair that differs only beyond it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any

import msgspec

from adapters.converters import CONVERTERS
from adapters.profile import FieldForm


class Kind(StrEnum):
    """What sort of value a canonical field holds."""

    TEXT = "text"
    CODE = "code"  # one of a closed list
    WHOLE = "whole"
    FLAG = "flag"
    NUMBER = "number"  # a decimal as text
    MONEY = "money"
    DAY = "day"
    TEXTS = "texts"
    REFERENCE = "reference"  # a native id, once it is on its way to a system
    JSON = "json"


class Domain(msgspec.Struct, frozen=True, kw_only=True):
    """Every value that the canonical model lets into one field."""

    kind: Kind
    required: bool = False
    max_length: int = 255  #: characters of a text, or of each text of a list
    pattern: str | None = None  #: what a text must look like, as a regular expression
    values: tuple[str, ...] = ()  #: CODE: the list
    least: int = 0
    most: int = 0
    decimals: int = 6  #: NUMBER: at most so many
    #: MONEY: currency -> decimals of its amounts
    currencies: dict[str, int] = {}
    #: MONEY: the amount may be in another currency than its record
    free_currency: bool = True

    def fits(self, text: str) -> bool:
        return len(text) <= self.max_length and (
            self.pattern is None or re.match(self.pattern, text) is not None
        )


_STEM = "KestrelHydraulicsAndPumpsOfUlm"
#: From the shortest to the longest that people write.
_TAGS = ("de", "en-GB", "de-CH-1996", "zh-Hant-TW", "de-Latn-DE-1996", "sl-Latn-IT-rozaj-nedis-biske15")
_ORDINARY = (
    "Kestrel",
    "KE-1",
    "0042",
    "7",
    "“Größe 7” <a & b>",
    "a, b; c",
    " a  b ",
    "a\r\nb",
    "x [tw:1]",
    "post@a.example",
    # Letters that are not what they were once they have been capitals.
    "ıŉ@a.example",
    *_TAGS,
)
#: The currency that an amount of so many decimals is tried in, where there is a choice.
PREFERRED = ("EUR", "USD", "JPY", "KWD", "CLF")


def texts_beyond(domain: Domain, length: int) -> Iterator[str]:
    """Two texts of the domain that differ only after the first ``length`` characters, if there are such."""
    body = (_STEM * (length // len(_STEM) + 1))[:length]
    pair = [body + end for end in ("1", "2")]
    if all(domain.fits(one) for one in pair):
        yield from pair
        return
    # An address of e-mail differs in the name of its host.
    name = ("a" * max(1, length - 2)) + "@b"
    pair = [name[-length:] + end if length > 2 else name + end for end in ("c.example", "d.example")]
    if all(domain.fits(one) for one in pair):
        yield from pair
        return
    yield from (tag for tag in _TAGS if len(tag) > length and domain.fits(tag))


def money_of(
    domain: Domain, decimals: int, amount: str, own: str, *, other: bool = False
) -> dict[str, str] | None:
    """The amount in the record's own currency where that has so many decimals; with ``other``, in another one."""
    for currency in (*PREFERRED, *domain.currencies) if other else (own, *PREFERRED, *domain.currencies):
        if domain.currencies.get(currency) == decimals and not (other and currency == own):
            return {"amount": amount, "currency": currency}
    return None


def probes(domain: Domain, form: FieldForm | None, *, currency: str) -> list[Any]:
    """Values to try, the ordinary first. ``currency`` is the record's own."""
    return [*_PROBES[domain.kind](domain, form or FieldForm(), currency), *_named(domain, form)]


def ordinary(domain: Domain, currency: str) -> Any:
    """An everyday value of the domain."""
    if domain.kind is Kind.TEXT:
        return next(one for one in _ORDINARY if domain.fits(one))
    return next(_PROBES[domain.kind](domain, FieldForm(), currency))


def _text(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    found = [ordinary(domain, currency)]
    if form.max_length is not None:
        found += [*texts_beyond(domain, form.max_length), *texts_beyond(domain, max(1, form.max_length - 1))]
    # As long as the field may be, and longer than that in capitals.
    found += [*texts_beyond(domain, domain.max_length - 1), *_ORDINARY, "ß" * domain.max_length]
    yield from (one for one in dict.fromkeys(found) if domain.fits(one))


def _code(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    yield from domain.values


def _whole(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    yield from dict.fromkeys(
        (domain.least, min(domain.least + 1, domain.most), min(30, domain.most), domain.most)
    )


def _flag(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    yield from (True, False)


def _number(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    yield from ("7.5", "0", "-1.5", "8")
    top = domain.decimals
    for places in sorted({1, 2, min(form.scale or 0, top - 1) + 1, top - 1, top}):
        step = "0." + "3" * places
        yield step
        yield step[:-1] + "4"
    yield from (
        "0." + "0" * (top - 1) + "1",
        "9" * 15 + "." + "9" * top,
        "9" * 15 + "." + "9" * (top - 1) + "8",
    )


def _money(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    own = domain.currencies.get(currency, 2)
    for decimals in sorted(set(domain.currencies.values()), key=lambda n: (n != own, n)):
        point = "." if decimals else ""
        amounts = [
            "1250" + point + "3" * decimals,
            "1250" + point + "4" * decimals,
            "0" + point + "0" * decimals,
            "-7" + point + "5" * decimals,
            "9" * 15 + point + "9" * decimals,
        ]
        if decimals:
            # They differ in the last decimal only.
            amounts += ["8." + "3" * (decimals - 1) + last for last in "12"]
        for amount in amounts:
            found = money_of(domain, decimals, amount, currency)
            if found is not None:
                yield found
    if domain.free_currency:
        found = money_of(domain, own, "19" + ("." + "0" * own if own else ""), currency, other=True)
        if found is not None:
            yield found


def _day(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    yield from ("2026-11-20", "2026-11-21", "2028-02-29", "1969-12-31", "0001-01-01", "9999-12-31")


def _texts(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    one = Domain(kind=Kind.TEXT, max_length=domain.max_length, pattern=domain.pattern)
    yield ["tim_1"]
    yield ["tim_2", "tim_1"]
    yield from ([text] for text in _text(one, form, currency))


def _reference(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    yield from ("1", "42")


def _json(domain: Domain, form: FieldForm, currency: str) -> Iterator[Any]:
    yield {"segment": "gold", "ratings": [1, {"by": None, "on": True}]}
    yield {"segment": "silver"}


def _named(domain: Domain, form: FieldForm | None) -> Iterator[Any]:
    """The values that the profile itself names: codes, what stands for nothing, and the one that may stand."""
    if form is None or form.convert not in CONVERTERS:
        return
    for value in (form.default, form.constant):
        if value is not None:
            yield value
    if isinstance(form.values, dict):
        for meaning in form.values.values():
            yield from (meaning if isinstance(meaning, list) else [meaning])
    elif form.empty is not None:
        try:
            yield CONVERTERS[form.convert].read(form.empty)
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
            return  # no value of the domain is written like that


_PROBES: dict[Kind, Callable[[Domain, FieldForm, str], Iterator[Any]]] = {
    Kind.TEXT: _text,
    Kind.CODE: _code,
    Kind.WHOLE: _whole,
    Kind.FLAG: _flag,
    Kind.NUMBER: _number,
    Kind.MONEY: _money,
    Kind.DAY: _day,
    Kind.TEXTS: _texts,
    Kind.REFERENCE: _reference,
    Kind.JSON: _json,
}
