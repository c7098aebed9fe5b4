"""A merge patch applied to a document, and the other ways to look at a document."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from gateway.canonical.decode import check_custom_fields
from gateway.canonical.entity import Entity
from gateway.canonical.explain import explain
from gateway.canonical.money import from_wire
from gateway.errors import Invalid, Malformed

_ENCODER = msgspec.json.Encoder()


def merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7396, section 2, word for word; neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged: dict[str, Any] = dict(target) if isinstance(target, dict) else {}  # pyright: ignore
    for name, value in patch.items():  # pyright: ignore[reportUnknownVariableType]
        if value is None:
            merged.pop(name, None)  # pyright: ignore[reportUnknownArgumentType]
        else:
            merged[name] = merge_patch(merged.get(name), value)  # pyright: ignore
    return merged


def merge(entity: Entity, document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The document after the patch, complete and checked as a whole. Raises Invalid where a required field is
    taken away or the values no longer fit together, Malformed where a value no longer has its form."""
    merged = merge_patch(document, patch)
    if "custom_fields" in patch:
        check_custom_fields(merged.setdefault("custom_fields", {}))
    fields: Any = typed(entity, merged)
    if entity.complete is not None:
        fields = entity.complete(fields, typed(entity, document), patch.keys())
    refused = entity.invariants(fields)
    if refused:
        raise Invalid(f"{refused[0].pointer}: {refused[0].message}", errors=refused)
    result: dict[str, Any] = msgspec.to_builtins(fields)
    result.setdefault("custom_fields", {})
    return result


def typed(entity: Entity, document: dict[str, Any]) -> Any:
    """The document as a Struct: Decimals, dates, nested Structs; None for what is absent."""
    try:
        return msgspec.convert(document, entity.stored, dec_hook=from_wire)
    except msgspec.ValidationError:
        refused = explain(entity.stored, document)
    kind = Invalid if any(error.code == "missing" for error in refused) else Malformed
    raise kind(f"{refused[0].pointer}: {refused[0].message}", errors=refused)


def record(
    entity: Entity,
    *,
    id: str,  # noqa: A002
    region: str,
    legal_entity: str,
    version: int,
    state: str,
    created_at: datetime,
    updated_at: datetime,
    external_refs: dict[str, str],
    document: dict[str, Any],
) -> dict[str, Any]:
    """The answer: the document in its envelope, in wire form."""
    return {
        "id": id,
        "entity": entity.name,
        "region": region,
        "legal_entity": legal_entity,
        "version": version,
        "state": state,
        "created_at": msgspec.to_builtins(created_at),
        "updated_at": msgspec.to_builtins(updated_at),
        "external_refs": external_refs,
        "custom_fields": document.get("custom_fields") or {},
        **{name: value for name, value in document.items() if name not in ("custom_fields", "legal_entity")},
    }


def encode(value: Any) -> bytes:
    """JSON of a document, a record, or a Struct."""
    return _ENCODER.encode(value)


def values_at(document: dict[str, Any], path: str) -> list[tuple[str, Any]]:
    """Every value at ``path`` (``customer_id``, ``lines[].project_id``) with its JSON Pointer; absent ones
    are left out."""
    found: list[tuple[str, Any]] = [("", document)]
    for step in path.split("."):
        name, rows = (step[:-2], True) if step.endswith("[]") else (step, False)
        following: list[tuple[str, Any]] = []
        for pointer, value in found:
            inner = value.get(name)
            if inner is None:
                continue
            if rows:
                following += [(f"{pointer}/{name}/{i}", row) for i, row in enumerate(inner)]
            else:
                following.append((f"{pointer}/{name}", inner))
        found = following
    return found
