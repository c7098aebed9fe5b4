"""A product that loses the key of rows loses nothing else by it: what parts in such a row is still found."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.canonical import BY_NAME
from gateway.compare.differ import DECLARED_LOSS, diff

INVOICE = BY_NAME["invoice"]
PROJECT = BY_NAME["project"]


def lines(*amounts: str, numbered: bool) -> dict[str, Any]:
    return {
        "lines": [
            {
                **({"number": number} if numbered else {}),
                "description": f"Work {number}",
                "amount": {"amount": amount, "currency": "EUR"},
            }
            for number, amount in enumerate(amounts, start=1)
        ]
    }


def without_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """A product that does not number the lines of an invoice."""
    return {
        name: [{**row, "number": None} for row in value] if name == "lines" else value
        for name, value in fields.items()
    }


def sides(numbered: list[str], plain: list[str], *, legacy_leads: bool) -> dict[str, Any]:
    """The product without line numbers against the one with them, as authority or as the other side."""
    first, second = lines(*plain, numbered=False), lines(*numbered, numbered=True)
    if legacy_leads:
        return {"control": first, "candidate": second, "expect_control": without_numbers}
    return {"control": second, "candidate": first, "expect_candidate": without_numbers}


@pytest.mark.parametrize("legacy_leads", [True, False], ids=["it leads", "the other leads"])
def test_lines_without_numbers_pair_in_their_order(legacy_leads: bool) -> None:
    """Equal lines part in their numbers only, which is a declared loss, and no line is missing or extra."""
    found = diff(INVOICE, **sides(["1.00", "2.00"], ["1.00", "2.00"], legacy_leads=legacy_leads))
    assert [(each.field, each.explained) for each in found.differences] == [
        ("lines[].number", DECLARED_LOSS),
        ("lines[].number", DECLARED_LOSS),
    ]


@pytest.mark.parametrize("legacy_leads", [True, False], ids=["it leads", "the other leads"])
@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_a_wrong_amount_is_found_in_a_line_without_number(legacy_leads: bool, wrong: int) -> None:
    """The lost number explains itself and not the amount beside it; the place is the line's own."""
    amounts = ["1.00", "2.00", "3.00"]
    changed = [*amounts[:wrong], "9.00", *amounts[wrong + 1 :]]
    found = diff(INVOICE, **sides(amounts, changed, legacy_leads=legacy_leads))
    assert [each.path for each in found.open] == [f"lines[#{wrong}].amount"]


@pytest.mark.parametrize("legacy_leads", [True, False], ids=["it leads", "the other leads"])
def test_a_line_too_few_is_found(legacy_leads: bool) -> None:
    """A line that only one side has is told, numbers or not."""
    found = diff(INVOICE, **sides(["1.00", "2.00"], ["1.00"], legacy_leads=legacy_leads))
    assert [each.field for each in found.open] == ["lines[]"]


def test_rows_paired_anew_still_part() -> None:
    """A key that one product cuts pairs the rows again once the cut is allowed for; what then parts is open."""

    def cut(fields: dict[str, Any]) -> dict[str, Any]:
        return {name: [{**row, "code": row["code"][:3]} for row in value] for name, value in fields.items()}

    left = {"tasks": [{"code": "DESIGN", "name": "Design", "billable": True}]}
    right = {"tasks": [{"code": "DES", "name": "Design", "billable": False}]}
    found = diff(PROJECT, left, right, expect_candidate=cut)
    assert [each.path for each in found.open] == ["tasks[code=DES].billable"]
    same = {"tasks": [{"code": "DES", "name": "Design", "billable": True}]}
    assert diff(PROJECT, left, same, expect_candidate=cut).open == ()
