"""What a person writes on the command line, read strictly: a choice and a moment."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from gateway.database import to_micros
from gateway.errors import Malformed


def one_of(option: str, value: str | None, allowed: Sequence[str]) -> str | None:
    """``value`` if it is allowed or left out. Raises Malformed, naming what is allowed."""
    if value is not None and value not in allowed:
        raise Malformed(f"{option} {value!r}; allowed are {', '.join(allowed)}")
    return value


def moment(option: str, text: str | None) -> datetime | None:
    """A day or a moment of RFC 3339, in UTC; without a zone it is taken to be UTC. Raises Malformed."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as wrong:
        raise Malformed(
            f"{option} {text!r} is no moment: write 2026-11-23 or 2026-11-23T08:00:00Z"
        ) from wrong
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).astimezone(UTC)


def micros(option: str, text: str | None) -> int | None:
    """The same in microseconds UTC."""
    found = moment(option, text)
    return None if found is None else to_micros(found)
