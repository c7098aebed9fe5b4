"""The filters of a list: which query parameters an entity takes, and what a value of each may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from gateway.canonical import Entity
from gateway.canonical.entity import without_null
from gateway.canonical.money import from_wire
from gateway.canonical.values import LegalEntityCode
from gateway.http.query import wrong
from gateway.http.route import Parameter, Schema

_REGION: Schema = {"type": "string"}


class Filters:
    """The filters of one entity, beside ``region``, ``updated_since`` and the page."""

    def __init__(self, entity: Entity) -> None:
        hints = get_type_hints(entity.fields, include_extras=True)
        self.entity = entity
        self.kinds: dict[str, Any] = {name: without_null(hints[name]) for name in entity.filters}
        self.kinds["legal_entity"] = LegalEntityCode
        self.names = frozenset(self.kinds) | {"region", "state", "updated_since", "limit", "cursor"}

    def read(self, query: Mapping[str, str]) -> dict[str, str]:
        """The filters in ``query``. Raises Malformed for a value that no record could have."""
        found: dict[str, str] = {}
        for name, text in query.items():
            if name == "state":
                states = self.entity.lifecycle.states
                if text not in states:
                    raise wrong(name, "unknown", f"is one of {', '.join(states)}")
                found[name] = text
            elif name in self.kinds:
                self._check(name, text)
                found[name] = text
        return found

    def _check(self, name: str, text: str) -> None:
        kind = self.kinds[name]
        if _bare(kind) is bool:
            # Only the JSON words: an ERP must never have to guess what "1" or "yes" meant.
            if text not in ("true", "false"):
                raise wrong(name, "type", "is true or false")
            return
        try:
            msgspec.convert(text, kind, dec_hook=from_wire)
        except msgspec.ValidationError:
            raise wrong(name, "value", f"is {described(kind)}") from None

    def parameters(self, components: Mapping[str, Any], regions: tuple[str, ...]) -> tuple[Parameter, ...]:
        """What the document says of them. ``components`` are the schemas of the canonical bodies."""
        own = components[self.entity.draft.__name__]["properties"]
        found = [
            Parameter(
                name="region",
                where="query",
                schema={"type": "string", "enum": list(regions)} if regions else _REGION,
                description="Only this region; without it, every region that the key may read.",
                example=regions[0] if regions else None,
            ),
            Parameter(
                name="state",
                where="query",
                schema={"type": "string", "enum": list(self.entity.lifecycle.states)},
                description="Only records in this state.",
            ),
        ]
        for name, kind in self.kinds.items():
            schema = {key: value for key, value in _without_null(own[name]).items() if key != "description"}
            if schema.get("type") == "string" and "enum" not in schema:
                schema.setdefault("minLength", 1)
            found.append(
                Parameter(
                    name=name,
                    where="query",
                    schema=schema,
                    description=f"Only records of which `{name}` is this: {described(kind)}.",
                )
            )
        return tuple(found)


def described(kind: Any) -> str:
    """The words of the type, for an error and for the document."""
    bare = _bare(kind)
    if get_origin(bare) is not None and not isinstance(bare, type):
        return f"one of {', '.join(str(value) for value in get_args(bare))}"
    if get_origin(kind) is Annotated:
        for meta in get_args(kind)[1:]:
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    return f"a {getattr(bare, '__name__', 'value')}"


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        left = [part for part in schema["anyOf"] if part != {"type": "null"}]
        if len(left) == 1:
            return left[0]
    return schema
