"""Compare policies: complete, and complete only in what can be compared."""

from __future__ import annotations

import pytest

from gateway.canonical import ENTITIES, Compare, Entity
from tests.unit.canonical.bodies import fullest

each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)
ENVELOPE = {"region", "external_refs", "custom_fields"}


def _paths(value: object, prefix: str = "") -> set[str]:
    if isinstance(value, dict) and set(value) != {"amount", "currency"}:
        return {prefix} | {p for k, v in value.items() for p in _paths(v, f"{prefix}.{k}" if prefix else k)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {prefix} | {p for k, v in value[0].items() for p in _paths(v, f"{prefix}[].{k}")}
    return {prefix}


@each_entity
def test_every_field_has_a_rule(entity: Entity) -> None:
    """Each field path of a record is named by the policy, with state and legal entity; no other is."""
    own = {k: v for k, v in fullest(entity.name).items() if k not in ENVELOPE}
    assert set(entity.policy.rules) == (_paths(own) | {"state"}) - {""}


@each_entity
def test_rules_say_what_they_need(entity: Entity) -> None:
    """Keyed rows name members that are compared themselves; references name the entity that is declared."""
    declared = {reference.path: reference.entity for reference in entity.references}
    for path, rule in entity.policy.rules.items():
        if rule.compare is Compare.KEYED:
            assert rule.key
            assert set(rule.key) <= set(entity.policy.members(path))
        if rule.compare is Compare.NESTED:
            assert entity.policy.members(path)
        if rule.compare is Compare.REFERENCE:
            assert declared[path] == rule.entity


def test_members() -> None:
    """The members of the record are its top-level fields; those of a container are its own only."""
    policy = next(e for e in ENTITIES if e.name == "customer").policy
    assert "billing_address" in policy.members("")
    assert not any("." in name for name in policy.members(""))
    assert set(policy.members("billing_address")) == {
        "line1",
        "line2",
        "city",
        "state",
        "postal_code",
        "country",
    }
    assert policy.rule("custom_fields") is None


def test_personal_data() -> None:
    """E-mail, telephone and the names of persons never leave as values in samples."""
    personal = {(e.name, path) for e in ENTITIES for path, rule in e.policy.rules.items() if rule.personal}
    assert personal == {
        ("customer", "email"),
        ("customer", "phone"),
        ("resource", "name"),
        ("resource", "email"),
    }
