"""The JSON Schemas of the bodies and answers, from the same types that the decoders are compiled from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.canonical.decode import Transition
from gateway.canonical.entity import Entity
from gateway.canonical.money import wire_schema

REFERENCE = "#/components/schemas/{name}"


def schemas(entities: Sequence[Entity]) -> dict[str, Any]:
    """Every component: per entity ``CustomerDraft``, ``CustomerPatch`` and ``Customer``, and what is shared."""
    kinds = [kind for entity in entities for kind in (entity.draft, entity.patch, entity.record)]
    _, components = msgspec.json.schema_components(
        [*kinds, Transition], schema_hook=wire_schema, ref_template=REFERENCE
    )
    return {name: _plain(schema) for name, schema in components.items()}


def draft_schema(entity: Entity) -> dict[str, Any]:
    """The schema of the body of a create, with ``$defs`` of its own."""
    return _alone(entity.draft)


def patch_schema(entity: Entity) -> dict[str, Any]:
    """The schema of a merge patch, with ``$defs`` of its own."""
    return _alone(entity.patch)


def record_schema(entity: Entity) -> dict[str, Any]:
    """The schema of an answer, with ``$defs`` of its own."""
    return _alone(entity.record)


def _alone(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return _plain(msgspec.json.schema(kind, schema_hook=wire_schema))


def _plain(schema: Any) -> Any:
    if isinstance(schema, dict):
        members: dict[str, Any] = schema  # pyright: ignore[reportUnknownVariableType]
        return {
            name: _pattern(value) if name == "pattern" and isinstance(value, str) else _plain(value)
            for name, value in members.items()
            # An absent member is absent, not null: no schema of ours promises a default.
            if not (name == "default" and value is None)
        }
    if isinstance(schema, list):
        return [_plain(part) for part in schema]  # pyright: ignore[reportUnknownVariableType]
    return schema


def _pattern(pattern: str) -> str:
    r"""The end of the text is ``\Z`` here and ``$`` in the dialect of JSON Schema."""
    return pattern.removesuffix(r"\Z") + "$" if pattern.endswith(r"\Z") else pattern
