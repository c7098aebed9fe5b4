"""What holds for every profile that ships, by its file alone; a new file is picked up by itself."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.contract import Capability, Idempotency
from adapters.mapping import EntityMap, compile_profile
from adapters.profile import Profile, load, names
from tests.conformance.samples import SAMPLES, resolved

PAIRS = [(name, entity) for name in names() for entity in load(name).entities]


@pytest.fixture(params=names())
def profile(request: pytest.FixtureRequest) -> Profile:
    return load(request.param)


def test_a_profile_says_where_its_facts_come_from(profile: Profile) -> None:
    """A name nobody can look up again is a rumour; and each entity is one of the canonical ones."""
    assert len(profile.source) > 10
    assert set(profile.entities) <= set(SAMPLES)
    assert profile.limits.connect_timeout_s <= profile.limits.timeout_s
    assert compile_profile(profile)


def test_references_lead_to_entities_that_the_profile_has(profile: Profile) -> None:
    """A native id can only be translated if both records are reached through the same profile."""
    for entity, spec in profile.entities.items():
        for name, form in spec.forms():
            assert form.ref is None or form.ref in profile.entities, f"{entity}.{name}"


def test_a_class_is_backed_by_what_it_needs(profile: Profile) -> None:
    """An idempotency class is a promise about a lost answer; the capability behind it must be there."""
    for entity, spec in profile.entities.items():
        if spec.idempotency in {Idempotency.C_UNIQUE_KEY, Idempotency.D_SEARCHABLE}:
            assert Capability.FIND in spec.capabilities or Capability.SEARCH in spec.capabilities, entity
        if Capability.TRANSITION in spec.capabilities:
            assert spec.form("state") is not None, entity
        if Capability.FIND in spec.capabilities:
            assert spec.marker is not None or spec.external is not None, entity


def _sample(entity_map: EntityMap, entity: str) -> dict[str, Any]:
    """The sample, with references and values that this product can hold."""
    fields = resolved(SAMPLES[entity], dict.fromkeys(SAMPLES, "7"))
    return {name: value for name, value in fields.items() if name in entity_map.mapped}


@pytest.mark.parametrize(("name", "entity"), PAIRS)
def test_expect_is_where_a_round_trip_comes_to_rest(name: str, entity: str) -> None:
    """What was lost once is not lost again: expect(expect(x)) == expect(x), and it holds only mapped
    fields."""
    entity_map = EntityMap(load(name), entity)
    once = entity_map.expect(_sample(entity_map, entity))
    assert entity_map.expect(once) == once
    assert set(once) <= entity_map.mapped


@pytest.mark.parametrize(("name", "entity"), PAIRS)
def test_each_state_that_is_read_can_be_written(name: str, entity: str) -> None:
    """A code table that reads a word which it cannot write would break the next update."""
    profile = load(name)
    for field, form in profile.entities[entity].forms():
        if form.values is None or not form.writable:
            continue
        entity_map = EntityMap(profile, entity)
        table = profile.values[form.values] if isinstance(form.values, str) else form.values
        for words in table.values():
            word = words[0] if isinstance(words, list) else words
            assert entity_map.expect({field: word})[field] == word
