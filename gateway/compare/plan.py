"""Compiles the compare policy of an entity, once, into what the differ walks along."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import inspect

from gateway.canonical.entity import Entity
from gateway.canonical.policy import Compare, ComparePolicy, Rule
from gateway.compare.tolerance import TELL, Tell

#: The gateway's own fields around a document: no ERP holds them, so there is nothing to compare.
ENVELOPE = frozenset({"id", "entity", "region", "version", "created_at", "updated_at", "external_refs"})


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a plan."""

    name: str
    path: str  #: as the policy writes it: ``lines[].amount``
    rule: Rule
    tell: Tell | None  #: None for a container
    members: Plan | None
    codes: frozenset[str] | None  #: what a code may be, where the model says so
    personal: bool
    #: Values that are spelled alike are equal. Not so a reference: two systems may use one native id.
    shortcut: bool
    shown_key: tuple[str, ...] = ()  #: KEYED: the key without what says who somebody is


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    fields: tuple[Field, ...]
    known: frozenset[str]  #: names that need no mention: compared, or left alone for a declared reason
    flat: bool  #: no field holds members with rules of their own


def plan_of(entity: Entity) -> Plan:
    known = _PLANS.get(entity.name)
    if known is None or known[0] is not entity:
        codes = _codes(inspect.type_info(entity.stored), "")
        codes["state"] = frozenset(entity.lifecycle.states)
        known = entity, _compile(entity.policy, "", codes, ENVELOPE)
        _PLANS[entity.name] = known
    return known[1]


#: Entity name -> the entity and its plan; made on first use.
_PLANS: dict[str, tuple[Entity, Plan]] = {}


def _compile(
    policy: ComparePolicy, path: str, codes: Mapping[str, frozenset[str]], more: frozenset[str] = frozenset()
) -> Plan:
    fields: list[Field] = []
    named = policy.members(path)
    container = policy.rule(path)
    prefix = (
        "" if not path else path + "[]." if container and container.compare is Compare.KEYED else path + "."
    )
    for name, rule in named.items():
        if rule.compare is Compare.IGNORED:
            continue
        full = prefix + name
        holds_more = rule.compare in (Compare.KEYED, Compare.NESTED)
        members = _compile(policy, full, codes) if holds_more else None
        hidden = {member.name for member in members.fields if member.personal} if members else set[str]()
        fields.append(
            Field(
                name=name,
                path=full,
                rule=rule,
                shortcut=not holds_more and rule.compare is not Compare.REFERENCE,
                tell=None if holds_more else TELL[rule.compare],
                members=members,
                codes=codes.get(full) if rule.compare is Compare.EXACT else None,
                personal=rule.personal
                or (members is not None and any(member.personal for member in members.fields)),
                shown_key=() if members is None else tuple(name for name in rule.key if name not in hidden),
            )
        )
    return Plan(
        fields=tuple(fields),
        known=frozenset(named) | more,
        flat=all(field.members is None for field in fields),
    )


def _codes(kind: inspect.Type, path: str) -> dict[str, frozenset[str]]:
    """The closed code lists of the model, by field path."""
    if isinstance(kind, inspect.Metadata):
        return _codes(kind.type, path)
    if isinstance(kind, inspect.UnionType):
        parts = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return _codes(parts[0], path) if len(parts) == 1 else {}
    if isinstance(kind, inspect.LiteralType):
        return {path: frozenset(str(value) for value in kind.values)}
    if isinstance(kind, inspect.ListType):
        return _codes(kind.item_type, path + "[]")
    if isinstance(kind, inspect.StructType):
        found: dict[str, frozenset[str]] = {}
        for field in kind.fields:
            found |= _codes(field.type, f"{path}.{field.encode_name}" if path else field.encode_name)
        return found
    return {}
