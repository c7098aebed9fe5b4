"""The JSON Schemas of the bodies and answers, from the same types that the decoders are compiled from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.canonical.codes import MINOR_UNITS
from gateway.canonical.decode import Transition
from gateway.canonical.entity import Entity
from gateway.canonical.money import amount_pattern, wire_schema

REFERENCE = "#/components/schemas/{name}"


def schemas(
    entities: Sequence[Entity], *, regions: Sequence[str] = (), legal_entities: Sequence[str] = ()
) -> dict[str, Any]:
    """Every component: ``CustomerDraft``, ``CustomerPatch``, ``Customer`` and so on, and what they share.
    Where the regions and legal entities are known, the creates say which there are."""
    kinds: list[Any] = [kind for entity in entities for kind in (entity.draft, entity.patch, entity.record)]
    _, components = msgspec.json.schema_components(
        [*kinds, Transition], schema_hook=wire_schema, ref_template=REFERENCE
    )
    found = {name: _said(name, schema) for name, schema in components.items()}
    for entity in entities:
        members = found[entity.draft.__name__]["properties"]
        if regions:
            members["region"] = {"enum": list(regions), "description": "a region that a routing rule knows"}
        if legal_entities:
            members["legal_entity"] = {
                "enum": [*legal_entities, None],
                "description": "whose books it is in; the region's own if absent",
            }
    return found


def draft_schema(entity: Entity) -> dict[str, Any]:
    """The schema of the body of a create, with ``$defs`` of its own."""
    return _alone(entity.draft)


def patch_schema(entity: Entity) -> dict[str, Any]:
    """The schema of a merge patch, with ``$defs`` of its own."""
    return _alone(entity.patch)


def record_schema(entity: Entity) -> dict[str, Any]:
    """The schema of an answer, with ``$defs`` of its own."""
    return _alone(entity.record)


def _alone(kind: type[Any]) -> dict[str, Any]:
    schema = _plain(msgspec.json.schema(kind, schema_hook=wire_schema))
    schema["$defs"] = {name: _said(name, part) for name, part in schema.get("$defs", {}).items()}
    return schema


def _said(name: str, schema: Any) -> Any:
    plain = _plain(schema)
    if name in ("Money", "MoneyPatch"):
        # What the types cannot say, but JSON Schema can: no more decimals than the currency has.
        nothing = [None] if name == "MoneyPatch" else []
        plain["anyOf"] = [
            {
                "properties": {
                    "amount": {"pattern": amount_pattern(digits)},
                    "currency": {"enum": [*(c for c, d in MINOR_UNITS.items() if d == digits), *nothing]},
                }
            }
            for digits in sorted(set(MINOR_UNITS.values()))
        ]
    return plain


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
