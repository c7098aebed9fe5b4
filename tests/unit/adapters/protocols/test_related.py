"""Related records: rows that have names, and relations that are named by what the other record carries."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.protocols.related import asked, gathered, references, row_commands

ROWS = {"addresses": [], "contacts": ["type", "name"]}
BY = ROWS["contacts"]


def test_rows_are_asked_for_with_what_names_them() -> None:
    """The name of a row is no field of the product: its naming fields are asked for instead, once."""
    paths = ["id", "contacts.email.value", "contacts.other:ours.value", "addresses.city", "company.code"]
    assert asked(paths, ROWS) == [
        "id",
        "contacts.value",
        "contacts.type",
        "contacts.name",
        "addresses.city",
        "company.code",
    ]


def test_rows_become_objects() -> None:
    """The first of two alike counts, as it does for the product's own people; empty parts are left out."""
    record: dict[str, Any] = {
        "addresses": [{"id": 1, "city": "Kiel"}, {"id": 2, "city": "Ulm"}],
        "contacts": [
            {"id": 3, "type": "email", "name": None, "value": "a"},
            {"id": 4, "type": "email", "name": None, "value": "b"},
            {"id": 5, "type": "other", "name": "ours", "value": "op_1"},
        ],
    }
    found = gathered(record, ROWS)
    assert found["addresses"]["city"] == "Kiel"
    assert {name: row["id"] for name, row in found["contacts"].items()} == {"email": 3, "other:ours": 5}
    assert gathered({"addresses": [], "contacts": []}, ROWS) == {"addresses": None, "contacts": {}}


EXISTING = [{"id": 3, "type": "email", "name": None}, {"id": 4, "type": "phone", "name": "desk"}]


@pytest.mark.parametrize(
    ("value", "existing", "by", "commands"),
    [
        pytest.param({"city": "Kiel"}, [], [], [["create", [{"city": "Kiel"}]]], id="first row is made"),
        pytest.param(
            {"city": "Kiel"}, [7, 8], [], [["write", [7], {"city": "Kiel"}]], id="first row is changed"
        ),
        pytest.param(
            {"email": {"value": "x"}},
            EXISTING,
            BY,
            [["write", [3], {"value": "x"}]],
            id="named row is changed",
        ),
        pytest.param(
            {"email": {"value": None}}, EXISTING, BY, [["delete", [3]]], id="emptied row is deleted"
        ),
        pytest.param({"phone": {"value": None}}, EXISTING, BY, [], id="nothing to empty"),
        pytest.param(
            {"phone": {"value": "1"}},
            EXISTING,
            BY,
            [["create", [{"type": "phone", "value": "1"}]]],
            id="a row of another name is not ours",
        ),
        pytest.param(
            {"other:ours": {"value": "op_1"}},
            [],
            BY,
            [["create", [{"type": "other", "name": "ours", "value": "op_1"}]]],
            id="a name of two parts",
        ),
    ],
)
def test_only_named_rows_are_touched(
    value: dict[str, Any], existing: list[Any], by: list[str], commands: list[Any]
) -> None:
    """A row that somebody else entered stays, whatever we write beside it."""
    assert row_commands(value, existing, by) == commands


RELATIONS = {"company": "company", "lines.currency": "currency", "address": "party.address"}


def test_relations_are_named_by_what_they_carry() -> None:
    """Each one says what to search for and where its id goes, also inside rows; other objects are left."""
    record: dict[str, Any] = {
        "company": {"party": {"code": "DE01"}},
        "lines": [{"currency": {"code": "EUR"}}, {"currency": {"code": "USD"}}],
        "address": {"party": 9},
        "contact": {"email": {"value": "x"}},
        "party": 9,
    }
    found = list(references(record, RELATIONS))
    assert [(one.resource, one.conditions, one.path) for one in found] == [
        ("company", (("party.code", "DE01"),), "company.party.code"),
        ("currency", (("code", "EUR"),), "lines.currency.code"),
        ("currency", (("code", "USD"),), "lines.currency.code"),
        ("party.address", (("party", 9),), "address.party"),
    ]
    for number, one in enumerate(found):
        one.holder[one.name] = number
    assert record["company"] == 0
    assert [row["currency"] for row in record["lines"]] == [1, 2]
    assert record["contact"] == {"email": {"value": "x"}}


def test_a_relation_that_is_named_by_nothing_is_emptied() -> None:
    """No country is no country: nothing is searched for."""
    record: dict[str, Any] = {"company": {"party": {"code": None}}}
    assert list(references(record, RELATIONS)) == []
    assert record == {"company": None}
