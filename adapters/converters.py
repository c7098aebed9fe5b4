"""Named two-way converters between one native value and one canonical value.

``read`` takes what the product answers, ``write`` makes what the product takes. Both are strict: what they do
not understand is a ``ValueError``, never a guess, and a decimal reads the same however many zeros it has.
Empty values (missing, null, ``""``) never reach them, the mapping deals with those. Canonical values are wire
values: decimal strings, ISO dates, RFC 3339 instants in UTC.
Dates and instants are read and written in ``dates``; numbers, flags, texts, lists and tagged values here.

The law, held by property tests: ``read(write(x)) == x`` for each value that the converter's kind allows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple, cast

import msgspec

from adapters import dates

_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?").fullmatch
_COMMA = re.compile(r"-?(?:[0-9]+|[0-9]{1,3}(?:\.[0-9]{3})+)(?:,[0-9]+)?").fullmatch


class Converter(NamedTuple):
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def same(value: Any) -> Any:
    return value


def text(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int or type(value) is Decimal:
        return str(value)
    raise ValueError("is not text")


def plain(value: Decimal) -> str:
    """A decimal without exponent and without zeros that say nothing."""
    spelled = str(value)
    return shortest(spelled if "E" not in spelled else format(value, "f"))


def _upper_read(value: Any) -> str:
    return text(value).lower()


def _upper_write(value: Any) -> str:
    return text(value).upper()


def shortest(text: str) -> str:
    """The same decimal without zeros that say nothing: two readings of a value are the same text."""
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def decimal_text(value: Any) -> str:
    if type(value) is str and _DECIMAL(value):
        return value
    raise ValueError("is not a decimal with a dot")


def _dot_read(value: Any) -> str:
    return shortest(decimal_text(value))


def _comma_read(value: Any) -> str:
    if type(value) is not str or not _COMMA(value):
        raise ValueError("is not a decimal with a comma")
    return shortest(value.replace(".", "").replace(",", "."))


def _comma_write(value: Any) -> str:
    return decimal_text(value).replace(".", ",")


def _number_read(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if type(value) is Decimal and value.is_finite():
        return plain(value)
    if type(value) is float:
        return plain(Decimal(repr(value)))
    raise ValueError("is not a number")


def _number_write(value: Any) -> Decimal:
    return Decimal(decimal_text(value))


def _number_or_text_read(value: Any) -> str:
    return shortest(decimal_text(value)) if type(value) is str else _number_read(value)


def _float_read(value: Any) -> str:
    if type(value) is bool or not isinstance(value, (int, float, Decimal)):
        raise ValueError("is not a number")
    return plain(Decimal(repr(value)) if isinstance(value, float) else Decimal(value))


def _float_write(value: Any) -> float:
    return float(decimal_text(value))


def _cents_read(value: Any) -> str:
    return plain(Decimal(_whole(value)).scaleb(-2))


def _cents_write(value: Any) -> int:
    cents = Decimal(decimal_text(value)).scaleb(2)
    if cents != cents.to_integral_value():
        raise ValueError("has more than two decimals")
    return int(cents)


def _whole(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is Decimal and value == value.to_integral_value():
        return int(value)
    raise ValueError("is not a whole number")


def _whole_of_text(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
        return int(value)
    raise ValueError("is not a whole number")


def _whole_as_text(value: Any) -> str:
    return str(_whole(value))


def _boolean(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise ValueError("is neither true nor false")


def _two(yes: Any, no: Any, *also_no: Any) -> Converter:
    """A flag with one native value for each side."""

    def read(value: Any) -> bool:
        if value == yes and type(value) is type(yes):
            return True
        if (value == no and type(value) is type(no)) or value in also_no:
            return False
        raise ValueError(f"is neither {yes!r} nor {no!r}")

    def write(value: Any) -> Any:
        return yes if _boolean(value) else no

    return Converter(read, write)


def _word_read(value: Any) -> str:
    return "true" if _boolean(value) else "false"


def _word_write(value: Any) -> bool:
    if value == "true":
        return True
    if value == "false":
        return False
    raise ValueError("is neither true nor false")


def _flag_word_read(value: Any) -> str:
    return _word_read(bool(value) if type(value) is int and value in (0, 1) else value)


def _tag(value: Any, name: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        tagged = cast("dict[str, Any]", value)
        if tagged.get("__class__") == name:
            return tagged
    raise ValueError(f"is not a tagged {name}")


def _tagged_decimal_read(value: Any) -> str:
    return plain(Decimal(str(_tag(value, "Decimal")["decimal"])))


def _tagged_decimal_write(value: Any) -> dict[str, Any]:
    return {"__class__": "Decimal", "decimal": decimal_text(value)}


def _tagged_date_read(value: Any) -> str:
    tagged = _tag(value, "date")
    return date(tagged["year"], tagged["month"], tagged["day"]).isoformat()


def _tagged_date_write(value: Any) -> dict[str, Any]:
    day = date.fromisoformat(dates.iso_date(value))
    return {"__class__": "date", "year": day.year, "month": day.month, "day": day.day}


_CLOCK = ("year", "month", "day", "hour", "minute", "second", "microsecond")


def _tagged_instant_read(value: Any) -> str:
    tagged = _tag(value, "datetime")
    parts: list[int] = [tagged.get(part, 0) for part in _CLOCK]
    # type: ignore[misc,arg-type]  # pyright: ignore[reportArgumentType]
    return dates.rfc3339(datetime(*parts, tzinfo=UTC))


def _tagged_instant_write(value: Any) -> dict[str, Any]:
    found = dates.moment(value)
    return {"__class__": "datetime", **{part: getattr(found, part) for part in _CLOCK}}


def _tagged_hours_read(value: Any) -> str:
    # Seconds are an exact count here: a duration is kept in whole seconds, its hours in at most six decimals.
    seconds = Decimal(str(_tag(value, "timedelta")["seconds"]))
    return plain((seconds / 3600).quantize(Decimal("0.000001")))


def _tagged_hours_write(value: Any) -> dict[str, Any]:
    seconds = (Decimal(decimal_text(value)) * 3600).quantize(Decimal(1))
    return {"__class__": "timedelta", "seconds": float(seconds)}


def _json_text_read(value: Any) -> Any:
    if type(value) is not str:
        raise ValueError("is not JSON text")
    return msgspec.json.decode(value)


def _json_text_write(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()


def _joined(separator: str) -> Converter:
    def read(value: Any) -> list[str]:
        return [part.strip() for part in text(value).split(separator) if part.strip()]

    def write(value: Any) -> str:
        parts = _texts_write(value)
        if any(separator in part for part in parts):
            raise ValueError(f"holds a {separator!r}, which separates the values in this product")
        return separator.join(parts)

    return Converter(read, write)


def _texts_read(value: Any) -> list[str]:
    if value == "":
        return []
    values = cast("list[Any]", value) if isinstance(value, list) else [value]
    return [text(item) for item in values]


def _texts_write(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("is not a list")  # noqa: TRY004 - one class for all that a value cannot be
    return [text(item) for item in cast("list[Any]", value)]


# fmt: off
CONVERTERS: dict[str, Converter] = {
    #                         the comment: native value <-> canonical value
    "text":                   Converter(text, text),  # text or a number <-> text
    "upper":                  Converter(_upper_read, _upper_write),  # CODE <-> code
    "any":                    Converter(same, same),  # any JSON value <-> the same
    "integer":                Converter(_whole, _whole),  # 30 <-> 30
    "integer_text":           Converter(_whole_of_text, _whole_as_text),  # "30" <-> 30
    "int_text":               Converter(_whole_as_text, _whole_of_text),  # 30 <-> "30"
    "boolean":                Converter(_boolean, _boolean),  # true <-> true
    "bool_word":              Converter(_word_read, _word_write),  # true <-> "true", for a table of values
    # true, or 1 from some databases: the same
    "flag_word":              Converter(_flag_word_read, _word_write),
    "bool_text":              _two("true", "false"),  # "true" <-> true
    "yes_no":                 _two("yes", "no"),
    "y_n":                    _two("Y", "N"),
    "j_n":                    _two("J", "N"),
    "flag_x":                 _two("X", "", None),  # "X", or empty for false
    "bool_int":               _two(1, 0),
    "bool_digit":             _two("1", "0"),
    "decimal_dot":            Converter(_dot_read, decimal_text),  # "1250.00" <-> "1250.00"
    # "1250,00", also "1.250,00" <-> "1250.00"
    "decimal_comma":          Converter(_comma_read, _comma_write),
    "decimal_number":         Converter(_number_read, _number_write),  # 1250.00 <-> "1250.00"
    # 1250.00 or "1250.00"; sent as text
    "decimal_any":            Converter(_number_or_text_read, decimal_text),
    "float_quantity":         Converter(_float_read, _float_write),  # 7.5 <-> "7.5"
    "cents":                  Converter(_cents_read, _cents_write),  # 125000 <-> "1250.00"
    "tagged_decimal":         Converter(_tagged_decimal_read, _tagged_decimal_write),
    "date_iso":               Converter(dates.iso_date, dates.iso_date),  # "2026-11-20"
    "date_dmy_dots":          Converter(dates.dmy_read, dates.dmy_write),  # "20.11.2026"
    "date_compact":           Converter(dates.compact_read, dates.compact_write),  # "20261120"
    "odata_v2_date":          Converter(dates.v2_date_read, dates.v2_date_write),  # "/Date(1577836800000)/"
    "tagged_date":            Converter(_tagged_date_read, _tagged_date_write),
    "instant_iso":            Converter(dates.instant_read, dates.instant_read),  # any zone; sent in UTC
    "naive_utc":              Converter(dates.naive_read, dates.naive_write),  # "2026-11-23 00:35:02"
    # "23.11.2026 00:35:02", UTC, whole seconds
    "instant_dmy_dots":       Converter(dates.dmy_instant_read, dates.dmy_instant_write),
    "odata_v2_instant":       Converter(dates.v2_instant_read, dates.v2_instant_write),  # whole milliseconds
    "tagged_instant":         Converter(_tagged_instant_read, _tagged_instant_write),
    "tagged_timedelta_hours": Converter(_tagged_hours_read, _tagged_hours_write),  # 9000 s <-> "2.5"
    "json_text":              Converter(_json_text_read, _json_text_write),  # "[1]" <-> [1]
    "texts":                  Converter(_texts_read, _texts_write),  # a list, or one text for a list of one
    "list_commas":            _joined(","),  # "a,b" <-> ["a", "b"]
    "list_semicolons":        _joined(";"),
}
# fmt: on

#: Converters whose empty native value means something: they are asked about it instead of reading as None.
READS_EMPTY = frozenset({"flag_x", "texts", "list_commas", "list_semicolons"})
