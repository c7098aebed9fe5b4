"""Merge patches on documents, and the views of a document."""

from __future__ import annotations

import copy
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from gateway.canonical import (
    BY_NAME,
    ENTITIES,
    Entity,
    decode_draft,
    decode_patch,
    encode,
    merge,
    merge_patch,
    record,
    typed,
    values_at,
)
from gateway.errors import Invalid, Malformed
from tests.unit.canonical.bodies import fullest, smallest

each_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.name)


def _document(entity: Entity) -> dict[str, Any]:
    return decode_draft(entity, json.dumps(fullest(entity.name)).encode()).document


def _merged(entity: Entity, document: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    return merge(entity, document, decode_patch(entity, json.dumps(patch).encode()))


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
    ids=str,
)
def test_appendix_a(original: Any, patch: Any, result: Any) -> None:
    """The test cases of RFC 7396, appendix A."""
    before = copy.deepcopy((original, patch))
    assert merge_patch(original, patch) == result
    assert (original, patch) == before


@each_entity
def test_empty_patch(entity: Entity) -> None:
    """An empty patch changes nothing, and the document given is not touched."""
    document = _document(entity)
    before = copy.deepcopy(document)
    assert merge(entity, document, {}) == document == before


@each_entity
def test_required_fields_cannot_be_taken_away(entity: Entity) -> None:
    """Null for a required field is Invalid and names it."""
    for name in smallest(entity.name).keys() - {"region"}:
        with pytest.raises(Invalid) as caught:
            _merged(entity, _document(entity), {name: None})
        assert (f"/{name}", "missing") in {(error.pointer, error.code) for error in caught.value.errors}


@each_entity
def test_optional_fields_can(entity: Entity) -> None:
    """Null for all optional fields leaves the document of the smallest create."""
    optional = fullest(entity.name).keys() - smallest(entity.name).keys() - {"external_refs", "legal_entity"}
    if entity.name == "invoice":
        optional -= {"net_total", "tax_total", "total", "balance"}
    merged = _merged(entity, _document(entity), dict.fromkeys(optional))
    assert not optional - {"custom_fields"} & merged.keys()
    assert merged["custom_fields"] == {}
    assert merged["legal_entity"] == "UK01"


def test_nested_objects_are_merged() -> None:
    """A patch reaches into an object, and into custom fields, without replacing what it does not name."""
    customer = BY_NAME["customer"]
    merged = _merged(
        customer,
        _document(customer),
        {
            "billing_address": {"city": "Bern", "line2": None},
            "custom_fields": {"any": {"thing": None, "more": {"x": 1}}, "new": [None]},
            "credit_limit": {"amount": "7"},
        },
    )
    assert merged["billing_address"] == {
        "line1": "1 Road",
        "city": "Bern",
        "state": "ZH",
        "postal_code": "8001",
        "country": "CH",
    }
    assert merged["custom_fields"] == {"any": {"more": {"x": 1}}, "new": [None]}
    assert merged["credit_limit"] == {"amount": "7.00", "currency": "EUR"}


def test_a_patch_cannot_smuggle_decimals() -> None:
    """An amount and its currency patched apart are held to the same scale as together."""
    customer = BY_NAME["customer"]
    for patch in ({"credit_limit": {"amount": "7.005"}}, {"credit_limit": {"currency": "JPY"}}):
        with pytest.raises(Malformed) as caught:
            _merged(customer, _document(customer), patch)
        assert [(e.pointer, e.code) for e in caught.value.errors] == [("/credit_limit/amount", "decimals")]


def test_custom_fields_cannot_grow_beyond_the_limit() -> None:
    """The limit of custom fields holds for the merged whole, not for each patch."""
    customer = BY_NAME["customer"]
    document = _merged(customer, _document(customer), {"custom_fields": {"a": "x" * 9000}})
    with pytest.raises(Malformed):
        _merged(customer, document, {"custom_fields": {"b": "x" * 9000}})


def test_invariants_hold_after_a_patch() -> None:
    """What a create would refuse, a patch cannot reach either."""
    project = BY_NAME["project"]
    for patch in ({"currency": "USD"}, {"end_date": "2025-01-01"}):
        with pytest.raises(Invalid):
            _merged(project, _document(project), patch)


def test_typed() -> None:
    """The typed view has Decimals, dates and None for what is absent."""
    document = {k: v for k, v in _document(BY_NAME["expense"]).items() if k != "merchant"}
    view = typed(BY_NAME["expense"], document)
    assert view.amount.amount == Decimal("1250.00")
    assert type(view.amount.amount) is Decimal
    assert view.date == date(2026, 2, 28)
    assert view.merchant is None
    assert msgspec.to_builtins(view) == document


@each_entity
def test_record(entity: Entity) -> None:
    """A record is the document in its envelope, and fits its own schema."""
    document = _document(entity)
    moment = datetime(2026, 2, 28, 12, 0, 0, 5, tzinfo=UTC)
    answer = record(
        entity,
        id=entity.prefix + "1",
        region="UK",
        legal_entity="UK01",
        version=3,
        state=entity.lifecycle.initial,
        created_at=moment,
        updated_at=moment,
        external_refs={"legacy": "1"},
        document=document,
    )
    assert answer["created_at"] == "2026-02-28T12:00:00.000005Z"
    assert {k: answer[k] for k in document} == document
    read = json.loads(encode(answer))
    assert read == answer
    msgspec.convert(read, entity.record, dec_hook=lambda kind, value: Decimal(value))


def test_values_at() -> None:
    """Every value of a path is found with its pointer; what is absent is left out."""
    document = _document(BY_NAME["invoice"])
    document["lines"].append({"number": 2})
    document["lines"].append({"number": 3, "project_id": "prj_9"})
    assert values_at(document, "lines[].project_id") == [
        ("/lines/0/project_id", "prj_1"),
        ("/lines/2/project_id", "prj_9"),
    ]
    assert values_at(document, "customer_id") == [("/customer_id", "cus_1")]
    assert values_at(document, "parent_id") == []
    assert values_at({}, "lines[].project_id") == []
