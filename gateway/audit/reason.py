"""The reason that a person gives for an act, as it is kept."""

from __future__ import annotations

from gateway.errors import FieldError, Invalid

LONGEST_REASON = 1000


def reason_of(text: str, *, most: int = LONGEST_REASON) -> str:
    """A reason or a comment in one line. Raises Invalid when it says nothing, or more than ``most`` characters."""
    reason = " ".join(text.split())
    if not 1 <= len(reason) <= most:
        message = f"say why, in 1 to {most} characters"
        raise Invalid(message, errors=[FieldError(pointer="/reason", code="reason", message=message)])
    return reason
