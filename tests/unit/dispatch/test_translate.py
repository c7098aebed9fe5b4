"""How a canonical document would read in a product, references and all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from adapters.build import open_adapter
from adapters.contract import Adapter
from adapters.profile import load
from gateway.canonical import BY_NAME
from gateway.dispatch.present import overlay
from gateway.dispatch.translate import expected

INVOICE = BY_NAME["invoice"]


@pytest.fixture
async def whole_numbers() -> AsyncIterator[Adapter]:
    """A product whose ids are whole numbers, and which folds states. Nothing is sent to it."""
    adapter = open_adapter(
        "legacy",
        load("tryton_6_0"),
        "http://127.0.0.1:9",
        {"kind": "session", "username": "u", "password": "p"},
        {
            "database": "erp",
            "context": {"company": 1},
            "constants": {
                "invoice": {
                    "journal": 1,
                    "payment_term": 1,
                    "by_legal_entity": {"DE01": {"account": 1, "lines[].account": 2}},
                }
            },
        },
    )
    yield adapter
    await adapter.close()


async def test_references_stay_canonical(whole_numbers: Adapter) -> None:
    """A product that takes only whole numbers as ids does not stand in the way of our own ids."""
    document = {"customer_id": "cus_1", "currency": "EUR", "state": "ready"}
    assert expected(whole_numbers, INVOICE, document) == {
        "customer_id": "cus_1",
        "currency": "EUR",
        "state": "draft",
    }


async def test_what_a_product_cannot_hold_is_left_out(whole_numbers: Adapter) -> None:
    """A value that it has no code for would not come back, and takes nothing else with it."""
    document = {"state": "never heard of", "currency": "EUR"}
    assert expected(whole_numbers, INVOICE, document) == {"currency": "EUR"}


@pytest.mark.parametrize(
    ("answered", "shown"),
    [
        pytest.param(
            {"state": "draft", "customer_id": "cus_1"},
            {"state": "ready", "customer_id": "cus_1"},
            id="folded",
        ),
        pytest.param(
            {"state": "posted", "customer_id": "cus_2"},
            {"state": "posted", "customer_id": "cus_2"},
            id="edited there",
        ),
    ],
)
async def test_a_state_that_the_product_folds_survives(
    whole_numbers: Adapter, answered: dict[str, Any], shown: dict[str, Any]
) -> None:
    """*ready* reads as a draft there and stays ready; what was changed there counts."""
    image = {"state": "ready", "customer_id": "cus_1"}
    found = overlay(
        INVOICE,
        image,
        answered,
        mapped=whole_numbers.facts("invoice").mapped,
        expect=lambda document: expected(whole_numbers, INVOICE, document),
    )
    assert found == shown
