"""What one canonical entity is. From the one Struct of its own fields come the shapes of bodies and answers:

``draft``  the body of a create: own fields, ``region``, and what every create may carry
``patch``  a merge patch: each own field absent, null or a value, and the same inside nested objects
``stored`` the *document*: own fields with ``legal_entity`` and ``custom_fields``
``record`` the answer: the document in its envelope
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from gateway.canonical.checks import Errors
from gateway.canonical.lifecycle import Lifecycle
from gateway.canonical.money import Money, from_wire
from gateway.canonical.policy import ComparePolicy
from gateway.canonical.values import CustomFields, ExternalRefs, LegalEntityCode, RegionCode

_STRICT: dict[str, Any] = {
    "frozen": True,
    "kw_only": True,
    "forbid_unknown_fields": True,
    "omit_defaults": True,
}

F = TypeVar("F", bound=Struct)


class Reference(Struct, frozen=True, kw_only=True):
    """A field that names another record: ``customer_id``, ``lines[].project_id``."""

    path: str
    entity: str


class Entity(Struct, frozen=True, kw_only=True, eq=False):
    """One canonical entity: everything that routes, OpenAPI, command line and compare are made from."""

    name: str
    collection: str
    prefix: str
    label: str
    fields: type[Struct]
    draft: type[Struct]
    patch: type[Struct]
    stored: type[Struct]
    record: type[Struct]
    lifecycle: Lifecycle
    references: tuple[Reference, ...]
    #: Unique within a legal entity: a second create with the same value is refused.
    natural_key: str | None
    #: Finds the same record in another system. Not always unique: a timesheet has many entries.
    match_key: str
    #: Of records that share a match key, what two different ones do not share.
    told_apart_by: tuple[str, ...]
    policy: ComparePolicy
    key_required: bool
    if_match_required: bool
    #: "latest": only the newest version has to reach the mirror. "strict": every write does, in its order.
    lane_mode: Literal["latest", "strict"]
    filters: tuple[str, ...]
    #: (fields, fields before the patch or None, names given) -> fields with what follows filled in.
    #: What does not add up is left alone: that is for ``invariants`` to name.
    complete: Callable[[Any, Any, Collection[str]], Any] | None
    invariants: Callable[[Any], Errors]
    draft_decoder: msgspec.json.Decoder[Any]
    patch_decoder: msgspec.json.Decoder[Any]

    def __repr__(self) -> str:
        return f"<entity {self.name}>"


def _nothing_wrong(fields: Struct) -> Errors:
    return ()


def define(
    *,
    name: str,
    collection: str,
    prefix: str,
    label: str,
    fields: type[F],
    lifecycle: Lifecycle,
    policy: ComparePolicy,
    match_key: str,
    natural_key: str | None = None,
    told_apart_by: tuple[str, ...] = (),
    references: Mapping[str, str] | None = None,
    key_required: bool = False,
    if_match_required: bool = False,
    lane_mode: Literal["latest", "strict"] = "strict",
    filters: tuple[str, ...] = (),
    complete: Callable[[F, F | None, Collection[str]], F] | None = None,
    invariants: Callable[[F], Errors] = _nothing_wrong,
) -> Entity:
    """The entity with the shapes that follow from ``fields``."""
    title = "".join(word.capitalize() for word in name.split("_"))
    draft = _draft(title, fields)
    patch = _patch(f"{title}Patch", fields, {"custom_fields": CustomFields})
    return Entity(
        name=name,
        collection=collection,
        prefix=prefix,
        label=label,
        fields=fields,
        draft=draft,
        patch=patch,
        stored=_stored(title, fields),
        record=_record(title, fields, name, lifecycle),
        lifecycle=lifecycle,
        references=tuple(Reference(path=path, entity=to) for path, to in (references or {}).items()),
        natural_key=natural_key,
        match_key=match_key,
        told_apart_by=told_apart_by,
        policy=policy,
        key_required=key_required,
        if_match_required=if_match_required,
        lane_mode=lane_mode,
        filters=filters,
        complete=complete,
        invariants=invariants,
        draft_decoder=msgspec.json.Decoder(draft, dec_hook=from_wire),
        patch_decoder=msgspec.json.Decoder(patch, dec_hook=from_wire),
    )


def _draft(title: str, fields: type[Struct]) -> type[Struct]:
    return msgspec.defstruct(
        f"{title}Draft",
        [
            ("region", RegionCode),
            ("legal_entity", LegalEntityCode | None, None),
            ("external_refs", ExternalRefs | None, None),
            ("custom_fields", CustomFields | None, None),
        ],
        bases=(fields,),
        **_STRICT,
    )


def _stored(title: str, fields: type[Struct]) -> type[Struct]:
    return msgspec.defstruct(
        f"{title}Document",
        [("legal_entity", LegalEntityCode | None, None), ("custom_fields", CustomFields | None, None)],
        bases=(fields,),
        **_STRICT,
    )


def _record(title: str, fields: type[Struct], name: str, lifecycle: Lifecycle) -> type[Struct]:
    state: Any = Literal[lifecycle.states]  # pyright: ignore
    kind: Any = Literal[name]  # pyright: ignore
    return msgspec.defstruct(
        title,
        [
            ("id", str),
            ("entity", kind),
            ("region", RegionCode),
            ("legal_entity", LegalEntityCode),
            ("version", Annotated[int, Meta(ge=1, description="rises by 1 with each accepted write")]),
            ("state", state),
            ("created_at", datetime),
            ("updated_at", datetime),
            ("external_refs", ExternalRefs),
            ("custom_fields", CustomFields),
        ],
        bases=(fields,),
        frozen=True,
        kw_only=True,
        omit_defaults=True,
    )


def _patch(title: str, fields: type[Struct], more: Mapping[str, Any]) -> type[Struct]:
    """A Struct in which every member may be absent, null or a value; a nested object is a patch itself."""
    members: list[tuple[str, Any, Any]] = []
    for member, kind in {**get_type_hints(fields, include_extras=True), **more}.items():
        inner = without_null(kind)
        bare = get_args(inner)[0] if get_origin(inner) is Annotated else inner
        if isinstance(bare, type) and issubclass(bare, Struct):
            inner = _PATCHES.get(bare) or _PATCHES.setdefault(bare, _patch(f"{bare.__name__}Patch", bare, {}))
        members.append((member, inner | None | UnsetType, UNSET))
    return msgspec.defstruct(
        title,
        members,
        namespace={"__post_init__": _fitting} if fields is Money else None,
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
    )


def _fitting(money: Any) -> None:
    """A patch that carries a whole amount of money is held to the scale of its currency at once."""
    if money.amount and money.currency:
        Money(amount=money.amount, currency=money.currency)


#: Nested Struct -> its patch, so that Address or Money has one patch in the whole model.
_PATCHES: dict[type[Struct], type[Struct]] = {}


def without_null(kind: Any) -> Any:
    """The type without the alternatives None and UNSET."""
    if get_origin(kind) in (Union, UnionType):
        left = [part for part in get_args(kind) if part not in (NoneType, UnsetType)]
        return left[0] if len(left) == 1 else Union[tuple(left)]  # noqa: UP007
    return kind
