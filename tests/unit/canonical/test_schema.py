"""The schemas say what the decoders do."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest

from gateway.canonical import (
    ENTITIES,
    Entity,
    decode_draft,
    draft_schema,
    patch_schema,
    record_schema,
    schemas,
)
from gateway.errors import Invalid, Malformed
from tests.unit.canonical.bodies import fullest, smallest

each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)

#: Values that are wrong for nearly every field, in one way or another.
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**7, 1.5, 30.0, 1e300, "", " ", "x", "a\n", "\x00", "\ufffe", "x" * 256, "x"
    * 4001, "EUR", "XXX", "DE", "de-CH", "cus_1", "prj_1", "1.5", "1.12345", "1.1234567", "1e3",
    "NaN", [], [1], [{}], {}, {"x": 1}, {"amount": "1", "currency": "JPY"}, {"amount": "1.5",
    "currency": "JPY"}, {"amount": "1.005", "currency": "EUR"}, {"amount": 1, "currency": "EUR"},
    {"amount": "1.005", "currency": "KWD"}, {"country": "ZZ"}, {"legacy": "\n"},
)  # fmt: skip


@each_entity
def test_schema_and_decoder_agree(entity: Entity) -> None:
    """A body fits the schema exactly when the decoder does not call it malformed."""
    validator = jsonschema_rs.validator_for(draft_schema(entity), validate_formats=True)
    bodies = [smallest(entity.name), fullest(entity.name)]
    for name, value in fullest(entity.name).items():
        bodies += [{**smallest(entity.name), name: odd} for odd in ODD]
        row = value[0] if isinstance(value, list) else value
        if isinstance(row, dict) and name not in ("custom_fields", "external_refs"):
            for member in row:
                changed = [{**row, member: odd} for odd in ODD]
                bodies += [{**smallest(entity.name), name: [c] if row is not value else c} for c in changed]
    for body in bodies:
        try:
            decode_draft(entity, json.dumps(body).encode())
            accepted = True
        except Invalid:
            accepted = True
        except Malformed:
            accepted = False
        assert validator.is_valid(body) is accepted, body


@each_entity
def test_patch_schema(entity: Entity) -> None:
    """The schema of a patch takes any part of the fullest body, and null for each."""
    validator = jsonschema_rs.validator_for(patch_schema(entity))
    own = {
        k: v for k, v in fullest(entity.name).items() if k not in ("region", "legal_entity", "external_refs")
    }
    assert all(
        validator.is_valid({name: value}) and validator.is_valid({name: None}) for name, value in own.items()
    )
    assert validator.is_valid({})
    assert not validator.is_valid({"region": "UK"})
    assert not validator.is_valid({"state": "active"})


@each_entity
def test_record_schema(entity: Entity) -> None:
    """The schema of a record requires its whole envelope and lists the states."""
    schema = record_schema(entity)
    definition = schema["$defs"][schema["$ref"].split("/")[-1]]
    assert set(definition["properties"]["state"]["enum"]) == set(entity.lifecycle.states)
    assert {"id", "entity", "region", "legal_entity", "version", "state", "created_at", "updated_at"} <= set(
        definition["required"]
    )


def test_components() -> None:
    """The components name each body, hold no dialect of this language, and say which regions there are."""
    found = schemas(ENTITIES, regions=("UK", "US"), legal_entities=("UK01",))
    for entity in ENTITIES:
        assert {entity.draft.__name__, entity.patch.__name__, entity.record.__name__} <= set(found)
        assert found[entity.draft.__name__]["properties"]["region"]["enum"] == ["UK", "US"]
    text = json.dumps(found)
    assert "\\\\Z" not in text
    assert '"default": null' not in text
    for reference in re.findall(r'"#/components/schemas/(\w+)"', text):
        assert reference in found
