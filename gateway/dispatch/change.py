"""What a change makes of a record: pure."""

from __future__ import annotations

from gateway.canonical import Entity, merge
from gateway.dispatch.command import Document, Kind
from gateway.errors import FieldError, IllegalTransition, Refused


def post_image(entity: Entity, kind: Kind, base: Document | None, change: Document) -> Document:
    """The whole document after ``change``. Raises Invalid or IllegalTransition when it does not fit ``base``."""
    if kind == "create":
        return {**change, "state": entity.lifecycle.initial}
    if base is None:
        raise Refused("the write before this one was refused, so there is no record to change")
    state = base["state"]
    if kind == "update":
        return {
            **merge(entity, {name: base[name] for name in base if name != "state"}, change),
            "state": state,
        }
    wanted = change["to"]
    legal = entity.lifecycle.legal(state)
    if wanted not in legal:
        allowed = ", ".join(legal) if legal else "none: it is final"
        raise IllegalTransition(
            f"{entity.label} is {state}; from there it can go to: {allowed}",
            errors=[FieldError(pointer="/to", code="illegal_transition", message=f"allowed: {allowed}")],
            legal=list(legal),
            state=state,
        )
    return {**base, "state": wanted}
