"""The fields of an entity with what values each may have, and documents to try them in. From the canonical types
alone, so that a new field is proved without being told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec import inspect

from adapters.domain import Domain, Kind, ordinary
from gateway.canonical import BY_NAME, Entity
from gateway.canonical.codes import MINOR_UNITS
from gateway.canonical.money import Money, Quantity, from_wire

#: The currency of a document in which nothing else is asked for.
CURRENCY = "EUR"

#: Entity name -> the entity and its domains; made on first use.
_KNOWN: dict[str, tuple[Entity, Mapping[str, Domain]]] = {}


def domains(entity: Entity) -> Mapping[str, Domain]:
    """Every field path that can hold a value (``name``, ``billing_address.city``, ``lines[].amount``), each with its
    domain."""
    known = _KNOWN.get(entity.name)
    if known is None or known[0] is not entity:
        known = entity, _domains(entity)
        _KNOWN[entity.name] = known
    return known[1]


def document(
    entity: Entity, found: Mapping[str, Domain], path: str, value: Any, *, currency: str = CURRENCY
) -> dict[str, Any]:
    """The smallest document that shows ``value`` at ``path``: beside it stand the currency, the amounts of the record
    and whose books it is in, which a product may need to keep it."""
    made: dict[str, Any] = {}
    for name, domain in found.items():
        head = name.partition("[]")[0].partition(".")[0]
        if name == head and (domain.kind is Kind.MONEY or name in ("currency", "legal_entity")):
            made[name] = _beside(name, domain, currency)
    rows, joint, _ = path.partition("[].")
    if joint:
        # A row needs its key and its other amounts; what the value is about is put over them.
        for name, domain in found.items():
            if name.startswith(rows + "[]."):
                _put(made, name, ordinary(domain, currency))
    _put(made, path, value)
    return made


def value_at(fields: Mapping[str, Any], path: str) -> Any:
    """What stands at ``path`` in a document that ``document`` made, or in what became of it."""
    head, joint, rest = path.partition("[].")
    if joint:
        rows = fields.get(head)
        return rows[0].get(rest) if rows else None
    head, joint, rest = path.partition(".")
    found = fields.get(head)
    if not joint:
        return found
    return cast("dict[str, Any]", found).get(rest) if isinstance(found, dict) else None


def without(fields: dict[str, Any], wrong: str, path: str) -> dict[str, Any] | None:
    """The document without what stands at ``wrong`` (``total``, ``lines[0].amount``); None where that is the value at
    ``path`` itself, or what it lies in."""
    wrong = re.sub(r"\[[0-9]+\]", "[]", wrong)
    if path == wrong or path.startswith((f"{wrong}.", f"{wrong}[")):
        return None
    head, joint, rest = wrong.partition("[].")
    if joint and head in fields:
        return {
            **fields,
            head: [{name: held for name, held in row.items() if name != rest} for row in fields[head]],
        }
    return {name: held for name, held in fields.items() if name != head} if head in fields else None


def _beside(name: str, domain: Domain, currency: str) -> Any:
    return currency if name == "currency" else ordinary(domain, currency)


def _domains(entity: Entity) -> dict[str, Domain]:
    found: dict[str, Domain] = {}
    references = {one.path for one in entity.references}
    info = inspect.type_info(entity.stored)
    assert isinstance(info, inspect.StructType)
    _fields(info, "", references, found)
    found["state"] = Domain(kind=Kind.CODE, required=True, values=entity.lifecycle.states)
    for path, domain in found.items():
        if domain.kind is Kind.MONEY:
            found[path] = msgspec.structs.replace(domain, free_currency=_is_free(entity, found, path))
    return found


def _fields(info: inspect.StructType, above: str, references: set[str], found: dict[str, Domain]) -> None:
    for field in info.fields:
        path = above + field.encode_name
        domain = _domain(field.type, path, references, found)
        if domain is not None:
            found[path] = msgspec.structs.replace(domain, required=field.required and not above)


def _domain(kind: inspect.Type, path: str, references: set[str], found: dict[str, Domain]) -> Domain | None:
    """The domain of a value; None for a container, whose members are put into ``found`` themselves."""
    if isinstance(kind, inspect.Metadata):
        return _domain(kind.type, path, references, found)
    if isinstance(kind, inspect.UnionType):
        (kind,) = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return _domain(kind, path, references, found)
    if path in references:
        return Domain(kind=Kind.REFERENCE)
    match kind:
        case inspect.StructType(cls=cls) if cls is Money:
            return Domain(kind=Kind.MONEY, currencies=dict(MINOR_UNITS))
        case inspect.StructType():
            _fields(kind, path + ".", references, found)
            return None
        case inspect.ListType(item_type=item):
            inner = _domain(item, path + "[]", references, {})
            if inner is not None:
                return msgspec.structs.replace(inner, kind=Kind.TEXTS)
            bare = item.type if isinstance(item, inspect.Metadata) else item
            assert isinstance(bare, inspect.StructType)
            _fields(bare, path + "[].", references, found)
            return None
        case inspect.StrType(max_length=longest, pattern=pattern):
            return Domain(kind=Kind.TEXT, max_length=_longest(longest, pattern), pattern=pattern)
        case inspect.LiteralType(values=values):
            return Domain(kind=Kind.CODE, values=tuple(str(value) for value in values))
        case inspect.IntType(ge=least, le=most):
            return Domain(kind=Kind.WHOLE, least=least or 0, most=2**31 - 1 if most is None else most)
        case inspect.BoolType():
            return Domain(kind=Kind.FLAG)
        case inspect.DateType():
            return Domain(kind=Kind.DAY)
        case inspect.CustomType(cls=cls) if cls is Quantity:
            return Domain(kind=Kind.NUMBER, decimals=6)
        case inspect.DictType():
            return Domain(kind=Kind.JSON)
        case _:
            raise NotImplementedError(f"{path}: no domain for {kind}")


def _longest(longest: int | None, pattern: str | None) -> int:
    """The length of the model, or the one that its pattern allows."""
    if longest is not None:
        return longest
    assert pattern is not None
    return 32 if "{0,31}" in pattern else 255


def _is_free(entity: Entity, found: Mapping[str, Domain], path: str) -> bool:
    """Whether the model lets this amount be in another currency than its record."""
    made: dict[str, Any] = {}
    prefixes = {one.path: BY_NAME[one.entity].prefix for one in entity.references}
    for name, domain in found.items():
        if name not in ("state", "legal_entity", "custom_fields"):
            value = _beside(name, domain, CURRENCY)
            _put(made, name, f"{prefixes[name]}1" if name in prefixes else value)
    _put(made, path, {"amount": "19.00", "currency": "USD"})
    fields = msgspec.convert(made, entity.fields, dec_hook=from_wire)
    return not any(one.code == "currency_mixed" for one in entity.invariants(fields))


def _put(made: dict[str, Any], path: str, value: Any) -> None:
    head, joint, rest = path.partition("[].")
    if joint:
        made.setdefault(head, [{}])[0][rest] = value
        return
    head, joint, rest = path.partition(".")
    if joint:
        made.setdefault(head, {})[rest] = value
    else:
        made[head] = value
