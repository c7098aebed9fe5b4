"""What a record is, from what its authority answers and what we know it was given."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canonical import CUSTOMER
from gateway.dispatch.present import overlay

MAPPED = frozenset({"name", "phone", "state", "number"})


def _short(document: dict[str, Any]) -> dict[str, Any]:
    """A product that keeps ten characters of a name."""
    return {**document, "name": document["name"][:10]} if "name" in document else document


GIVEN = {"name": "Harbour Engineering", "phone": "1", "website": "harbour.example", "state": "active"}


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        pytest.param(
            {"name": "Harbour Engineering", "phone": "1", "state": "active"},
            GIVEN,
            id="the same: nothing is lost",
        ),
        pytest.param(
            {"name": "Harbour En", "phone": "1", "state": "active"},
            GIVEN,
            id="a declared loss: the full value stands",
        ),
        pytest.param(
            {"name": "Harbour Eng", "phone": "1", "state": "active"},
            {**GIVEN, "name": "Harbour Eng"},
            id="any other difference is the system's to say",
        ),
        pytest.param(
            {"name": "Harbour Engineering", "phone": "1", "state": "blocked"},
            {**GIVEN, "state": "blocked"},
            id="so is its state",
        ),
        pytest.param(
            {"name": "Harbour Engineering", "state": "active"},
            {name: value for name, value in GIVEN.items() if name != "phone"},
            id="what it does not have any more is gone",
        ),
        pytest.param(
            {"name": "Harbour Engineering", "phone": "1", "state": "active", "number": "K-7"},
            {**GIVEN, "number": "K-7"},
            id="a number that it gave counts",
        ),
        pytest.param(
            {"name": "Harbour Engineering", "phone": "1", "state": "active", "website": "else.example"},
            GIVEN,
            id="a field that it does not hold is ours",
        ),
    ],
)
def test_an_answer_laid_over_what_was_given(answered: dict[str, Any], expected: dict[str, Any]) -> None:
    """A declared loss is not a change, a field beyond the mapping is ours, everything else is the system's."""
    assert overlay(CUSTOMER, GIVEN, answered, mapped=MAPPED, expect=_short) == expected


def test_a_record_that_was_only_ever_seen() -> None:
    """Without an image of ours the answer is the record; it says nothing where there is nothing."""
    seen = overlay(CUSTOMER, None, {"name": "Harbour", "phone": None}, mapped=MAPPED, expect=_short)
    assert seen == {"name": "Harbour"}
