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


def whole_change(kind: Kind, base: Document | None, image: Document, change: Document) -> Document:
    """The change of an update with what follows from it: new lines of an invoice bring new totals with them, and a
    system that gets only the lines would refuse them, or keep totals that do not add up."""
    if kind != "update" or base is None:
        return change
    names = [*image, *(name for name in base if name not in image)]
    followed = {
        name: image.get(name)
        for name in names
        if name not in change and _said(image.get(name)) != _said(base.get(name))
    }
    return {**change, **followed}


def _said(value: object) -> object:
    """A document that was completed says nothing more by an empty list or object than by leaving it out."""
    return None if value in ({}, []) else value
