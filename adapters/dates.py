"""Dates and instants as products spell them, each as a function that reads one and a function that writes it.

``converters`` gives them their names. A canonical date is an ISO date, a canonical instant is RFC 3339 in UTC;
what is neither is a ``ValueError``, never a guess, and a time without its zone is refused unless its converter says
that it is UTC.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_DMY = re.compile(r"([0-9]{2})\.([0-9]{2})\.([0-9]{4})").fullmatch
_V2 = re.compile(r"/Date\((-?[0-9]+)(?:[+-][0-9]{4})?\)/").fullmatch
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso_date(value: Any) -> str:
    if type(value) is str and _DATE(value):
        date.fromisoformat(value)
        return value
    raise ValueError("is not a date like 2026-11-20")


def dmy_read(value: Any) -> str:
    match = _DMY(value) if type(value) is str else None
    if match is None:
        raise ValueError("is not a date like 20.11.2026")
    return iso_date(f"{match[3]}-{match[2]}-{match[1]}")


def dmy_write(value: Any) -> str:
    year, month, day = iso_date(value).split("-")
    return f"{day}.{month}.{year}"


def compact_read(value: Any) -> str:
    if type(value) is not str or len(value) != 8 or not value.isdigit():
        raise ValueError("is not a date like 20261120")
    return iso_date(f"{value[:4]}-{value[4:6]}-{value[6:]}")


def compact_write(value: Any) -> str:
    return iso_date(value).replace("-", "")


def _v2_moment(value: Any) -> datetime:
    match = _V2(value) if type(value) is str else None
    if match is None:
        raise ValueError("is not a date like /Date(1577836800000)/")
    return _EPOCH + timedelta(milliseconds=int(match[1]))


def _milliseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def v2_date_read(value: Any) -> str:
    return _v2_moment(value).date().isoformat()


def v2_date_write(value: Any) -> str:
    day = datetime.fromisoformat(iso_date(value)).replace(tzinfo=UTC)
    return f"/Date({_milliseconds(day)})/"


def v2_instant_read(value: Any) -> str:
    return rfc3339(_v2_moment(value))


def v2_instant_write(value: Any) -> str:
    return f"/Date({_milliseconds(moment(value))}+0000)/"


def rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def moment(value: Any) -> datetime:
    """A canonical instant as an aware datetime."""
    if type(value) is not str:
        raise ValueError("is not an instant")
    found = datetime.fromisoformat(value)
    if found.tzinfo is None:
        raise ValueError("is an instant without its zone")
    return found.astimezone(UTC)


def instant_read(value: Any) -> str:
    return rfc3339(moment(value))


def naive_read(value: Any) -> str:
    found = datetime.fromisoformat(value) if type(value) is str else None
    if found is None or found.tzinfo is not None:
        raise ValueError("is not a time like 2026-11-23 00:35:02")
    return rfc3339(found.replace(tzinfo=UTC))


def naive_write(value: Any) -> str:
    return moment(value).replace(tzinfo=None).isoformat(" ")


def dmy_instant_read(value: Any) -> str:
    if type(value) is not str or len(value) != 19 or value[2] + value[5] + value[10] != ".. ":
        raise ValueError("is not a time like 23.11.2026 00:35:02")
    # Read by its places: strptime takes ten times as long, and every record that is read carries such a stamp.
    return rfc3339(
        datetime.fromisoformat(f"{value[6:10]}-{value[3:5]}-{value[:2]}T{value[11:]}").replace(tzinfo=UTC)
    )


def dmy_instant_write(value: Any) -> str:
    # Whole seconds, rounded down: a search from a moment on must not begin after it.
    return moment(value).strftime("%d.%m.%Y %H:%M:%S")
