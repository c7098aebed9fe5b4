"""The slice that a body names: one that there is, and that the key may change."""

from __future__ import annotations

from gateway.canonical import BY_NAME
from gateway.errors import FieldError, Malformed, UnknownRegion
from gateway.http.exchange import Exchange
from gateway.ports import SlicesPort


def check_slice(exchange: Exchange, slices: SlicesPort, entity: str, region: str) -> None:
    """Raises Malformed, UnknownRegion, or Forbidden where the key does not reach it."""
    if entity not in BY_NAME:
        message = f"is one of {', '.join(BY_NAME)}"
        error = FieldError(pointer="/entity", code="unknown", message=message)
        raise Malformed(f"/entity {message}", errors=[error])
    if region not in slices.places(entity):
        message = "is no region that a rule knows"
        error = FieldError(pointer="/region", code="unknown_region", message=message)
        raise UnknownRegion(f"{region!r} {message}", errors=[error])
    exchange.may_use_region(region)
    exchange.may_see(entity)
