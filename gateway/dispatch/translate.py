"""References between canonical ids and native ids, wherever an entity has them: ``customer_id``,
``lines[].project_id``. Pure: the caller brings the pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from adapters.contract import Adapter
from gateway.canonical import Entity
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


def expected(adapter: Adapter, entity: Entity, document: Document) -> Document:
    """How a canonical document would read after a round trip through the product, references canonical as before.
    A product may take only native ids of its own form, so numbers stand in for ours on the way."""
    stand_ins: dict[str, str] = {}
    ours: dict[str, str] = {}

    def going(_: str, record_id: str | Document) -> str | None:
        if not isinstance(record_id, str):
            return None  # a reference that leads nowhere is sent to nobody
        stand_in = stand_ins.setdefault(record_id, str(len(stand_ins) + 1))
        ours[stand_in] = record_id
        return stand_in

    read = adapter.expect(entity.name, translated(entity, document, going))
    return translated(entity, read, lambda _, stand_in: ours.get(stand_in))


def pointer_of(kind: Kind, field: str | None) -> str:
    """Where in the caller's body the canonical field stands that a system refuses."""
    if field is None:
        return ""
    if kind == "transition" and field == "state":
        # A transition's body has no state; it names the state that is wanted.
        return "/to"
    return f"/{field.replace('.', '/')}"
