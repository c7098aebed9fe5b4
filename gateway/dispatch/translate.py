"""References between canonical ids and native ids, wherever an entity has them: ``customer_id``,
``lines[].project_id``. Pure: the caller brings the pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.contract import Adapter
from gateway.canonical import Entity
from gateway.compare.tolerance import is_unresolved
from gateway.dispatch.command import Document, Kind


def references(entity: Entity, document: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(JSON pointer, entity, id) of every reference that the document makes."""
    for reference in entity.references:
        head, _, tail = reference.path.partition("[].")
        value = document.get(head)
        if value is None:
            continue
        if not tail:
            yield f"/{head}", reference.entity, value
            continue
        for index, row in enumerate(value):
            inner = row.get(tail)
            if inner is not None:
                yield f"/{head}/{index}/{tail}", reference.entity, inner


def translated(
    entity: Entity, document: Document, exchange: Callable[[str, str], str | Document | None]
) -> Document:
    """The document with every reference exchanged: ``exchange(entity, id)``; None leaves the reference out."""
    out = document
    for reference in entity.references:
        head, _, tail = reference.path.partition("[].")
        value = out.get(head)
        if value is None:
            continue
        if out is document:
            out = dict(document)
        if not tail:
            other = exchange(reference.entity, value)
            if other is None:
                del out[head]
            else:
                out[head] = other
            continue
        rows: list[dict[str, Any]] = []
        for row in value:
            inner = row.get(tail)
            if inner is not None:
                other = exchange(reference.entity, inner)
                row = {name: kept for name, kept in row.items() if name != tail}
                if other is not None:
                    row[tail] = other
            rows.append(row)
        out[head] = rows
    return out


def leads_nowhere(entity: Entity, document: Document) -> str | None:
    """The JSON pointer of the first reference that is marked as unresolved."""
    return next((pointer for pointer, _, id_ in references(entity, document) if is_unresolved(id_)), None)


def without_marks(entity: Entity, document: Document) -> Document:
    """The document without its references that are marked as unresolved; itself, where there are none."""
    if leads_nowhere(entity, document) is None:
        return document
    return translated(entity, document, lambda _, id_: None if is_unresolved(id_) else id_)


def expected(adapter: Adapter, entity: Entity, document: Document) -> Document:
    """How a canonical document would read after a round trip through the product, references canonical as before.
    A product may take only native ids of its own form, so numbers stand in for ours on the way."""
    stand_ins: dict[str, str] = {}
    ours: dict[str, str] = {}

    def going(_: str, record_id: str) -> str:
        stand_in = stand_ins.setdefault(record_id, str(len(stand_ins) + 1))
        ours[stand_in] = record_id
        return stand_in

    # A reference that leads nowhere is sent to nobody.
    read = adapter.expect(entity.name, translated(entity, without_marks(entity, document), going))
    return translated(entity, read, lambda _, stand_in: ours.get(stand_in))


def pointer_of(kind: Kind, field: str | None) -> str:
    """Where in the caller's body the canonical field stands that a system refuses."""
    if field is None:
        return ""
    if kind == "transition" and field == "state":
        # A transition's body has no state; it names the state that is wanted.
        return "/to"
    return f"/{field.replace('.', '/')}"
