"""A record as the contract shows it, and the overlay of what an ERP answers on what we know. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.canonical import Entity, record
from gateway.database import from_micros
from gateway.dispatch.command import Document
from gateway.routing.cohort import plain


def present(
    entity: Entity,
    *,
    record_id: str,
    region: str,
    legal_entity: str | None,
    version: int,
    document: Mapping[str, Any],
    created_at: int,
    updated_at: int,
    external_refs: Mapping[str, str],
    native_ids: Mapping[str, str],
) -> Document:
    """The answer of the contract, which knows regions and no cohorts. Moments are microseconds UTC."""
    return record(
        entity,
        id=record_id,
        region=plain(region),
        legal_entity=document.get("legal_entity") or legal_entity or "",
        version=version,
        state=document.get("state", entity.lifecycle.initial),
        created_at=from_micros(created_at),
        updated_at=from_micros(updated_at),
        external_refs={**external_refs, **native_ids},
        document={
            name: document[name]
            for name in ("custom_fields", *entity.fields.__struct_fields__)
            if document.get(name) is not None
        },
    )


def overlay(
    entity: Entity,
    image: Document | None,
    answered: Mapping[str, Any],
    *,
    mapped: frozenset[str],
    expect: Callable[[Document], Document],
) -> Document:
    """What the record is, from what the ERP answers and what we know it was given.

    A field that the product does not hold is ours. Where it holds a shorter or coarser form of what it was given
    (a declared loss), the full value stands; any other difference is the ERP's to say: its answer counts.
    """
    if image is None:
        return {name: value for name, value in answered.items() if value is not None}
    out: Document = {name: value for name, value in image.items() if name not in mapped}
    different = [name for name in mapped if answered.get(name) != image.get(name)]
    expected = expect(image) if different else image
    for name in mapped:
        told = answered.get(name)
        if told == image.get(name) or told == expected.get(name):
            if name in image:
                out[name] = image[name]
        elif told is not None:
            out[name] = told
    if "state" not in out and "state" in image:
        out["state"] = image["state"]
    return out
