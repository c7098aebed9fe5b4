"""What is to be done about a record that parts, from what a look has seen of it. Pure.

A repair writes into the mirror and nowhere else, and never what stands in the books there or in the authority: what is
posted is corrected by another posting, and that is a person's work. A field is written whole, as it is edited whole: an
address, or the lines of an invoice.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from gateway.canonical import Entity
from gateway.canonical.lifecycle import in_the_books
from gateway.compare.difference import WHOLE_RECORD, Difference, Document
from gateway.compare.observation import Sample, at_stake, samples
from gateway.compare.tolerance import EXACT
from gateway.compare.verdict import keyed_hash
from gateway.repair.run import WRITING, Action, Change, Chosen, Item, changes_of

#: Changes of one record that are kept to be shown; all of them are in its digest.
KEPT = 50

ONLY_THERE = "only {target} holds it, and a repair deletes nothing"
POSTED = "it stands in the books: what is posted is corrected by another posting"
GONE = "the difference is gone"
_encode = msgspec.json.Encoder(order="sorted", decimal_format="string").encode


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done about one record. ``fields`` and ``moves``: of a record that the target holds, the fields that
    are written, and its state. ``digest`` is over what would be written where, to the last value."""

    action: Action
    why: str | None = None
    native_id: str | None = None
    fields: tuple[str, ...] = ()
    moves: bool = False
    changes: tuple[Change, ...] = ()
    money: Mapping[str, Decimal] = {}
    digest: str = ""


def head(path: str) -> str:
    """The field of the document that a place is in: ``lines`` of ``lines[number=2].amount``."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def chosen_of(found: Iterable[Sample] | Iterable[Difference], chosen: Chosen) -> frozenset[str]:
    """The fields of the document that the chosen differences are in; ``WHOLE_RECORD`` is one."""
    return frozenset(
        head(one.path)
        for one in found
        if (not chosen.classes or one.kind in chosen.classes)
        and (not chosen.fields or one.field in chosen.fields or head(one.path) in chosen.fields)
    )


def decided(action: Action, why: str | None = None, *, native_id: str | None = None) -> Decision:
    """A decision that writes nothing into a system."""
    return Decision(action=action, why=why, native_id=native_id)


def only_there(target: str, native_id: str) -> Decision:
    """The authority does not hold it."""
    return decided(Action.PERSON, ONLY_THERE.format(target=target), native_id=native_id)


def create(found: Sequence[Difference], image: Document, *, native_id: str | None, key: bytes) -> Decision:
    """The whole record goes into the target. ``found``: every field that it would get, held against nothing.
    ``native_id``: how the target called it before it was deleted there."""
    return _written(Action.CREATE, found, image, native_id=native_id, key=key)


def update(
    entity: Entity,
    found: Sequence[Difference],
    chosen: Chosen,
    sides: Sequence[Document],
    image: Document,
    *,
    native_id: str,
    offers: Collection[str],
    key: bytes,
) -> Decision:
    """What the target gets of a record that it holds. ``found``: the open differences; ``sides``: what the authority
    and the target show; ``image``: what the record is; ``offers``: of *update* and *transition* what the target can do.
    """
    names = chosen_of(found, chosen)
    if not names:
        return decided(Action.NOTHING, GONE, native_id=native_id)
    if any(in_the_books(entity.name, side) for side in sides):
        return decided(Action.PERSON, POSTED, native_id=native_id)
    control, candidate = sides
    moves = "state" in names
    if moves:
        before, after = str(candidate.get("state")), str(control.get("state"))
        if after not in entity.lifecycle.legal(before):
            why = f"its state is {before} there, and nothing leads from that to {after}"
            return decided(Action.PERSON, why, native_id=native_id)
    fields = tuple(sorted(names - {"state"}))
    for needed, wanted in (("update", bool(fields)), ("transition", moves)):
        if wanted and needed not in offers:
            return decided(Action.BLOCKED, f"its system does not offer to {needed} it", native_id=native_id)
    written = [one for one in found if head(one.path) in names]
    made = _written(Action.UPDATE, written, {name: image.get(name) for name in names}, native_id=native_id, key=key)
    return msgspec.structs.replace(made, fields=fields, moves=moves)


def _written(
    action: Action, found: Sequence[Difference], values: Document, *, native_id: str | None, key: bytes
) -> Decision:
    shown = samples(found, key)
    what = [action.value, native_id, [[one.path, one.control, one.candidate] for one in found], values]
    return Decision(
        action=action,
        native_id=native_id,
        changes=changes_of(shown[:KEPT]),
        money=at_stake(shown),
        digest=keyed_hash(_encode(what), key, digits=40),
    )


def selected(kind: str, found: Sequence[Sample], chosen: Chosen) -> bool:
    """Whether a record of a reconciliation is one that was chosen, by its differences as they are kept."""
    if kind == "differs":
        return bool(chosen_of(found, chosen))
    whole = not chosen.fields or WHOLE_RECORD in chosen.fields
    return whole and (not chosen.classes or kind in chosen.classes)


def together(amounts: Iterable[Mapping[str, Decimal]]) -> dict[str, Decimal]:
    """Sums by currency."""
    out: dict[str, Decimal] = {}
    for each in amounts:
        for currency, amount in each.items():
            out[currency] = EXACT.add(out.get(currency, Decimal(0)), amount)
    return dict(sorted(out.items()))


class Hashing:
    """SHA-256, in hex, of a plan: what it is about, and each record that something would be written for, or that a
    person would get, in the order of their ids."""

    def __init__(self, about: Mapping[str, Any]) -> None:
        self._hash = hashlib.sha256(_encode(dict(about)))

    def add(self, one: Item) -> None:
        line = [one.record_id, one.action.value, one.native_id, one.digest]
        # What is shown of it is signed as well: nobody approves one thing and reads another.
        shown = [msgspec.to_builtins(change) for change in one.changes] if one.action in WRITING else []
        self._hash.update(b"\n" + _encode([*line, shown]))

    def digest(self) -> str:
        return self._hash.hexdigest()
