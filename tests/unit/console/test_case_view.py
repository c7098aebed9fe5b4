"""How cases are shown: groups, deadlines, sums, and the story in plain words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.cases import Case, Kind, Resolution
from gateway.cases.case import Proposal
from gateway.console.case_view import choices, groups, line, money_of, story

HOUR = 3_600_000_000
NOW = 1_795_000_000_000_000


def a_case(number: int = 1, **more: Any) -> Case:
    fields: dict[str, Any] = {
        "id": f"cas_{number}",
        "kind": Kind.PARKED_DELIVERY,
        "state": "open",
        "owner": "finance",
        "entity": "invoice",
        "region": "UK",
        "record_id": "inv_1",
        "operation_id": "op_1",
        "delivery_id": "dlv_2",
        "system": "cloud",
        "role": "mirror",
        "code": "TAX",
        "message": "Tax code GB20 is not active",
        "amount": Decimal("1080.00"),
        "currency": "GBP",
        "opened_at": NOW - 2 * HOUR,
        "due_at": NOW + 22 * HOUR,
        "updated_at": NOW,
        "closed_at": None,
        "closed_by": None,
        "resolution": None,
        "reason": None,
        "accepted_until": None,
        "proposal": None,
        "operation_state": "attention",
        "delivery_state": "parked",
        **more,
    }
    return Case(**fields)


@pytest.mark.parametrize(
    ("due_in", "state", "standing", "due"),
    [
        (22.0, "open", "open", "in 22 h"),
        (1.5, "open", "soon", "in 1 h 30 min"),
        (-0.5, "open", "late", "late by 30 min"),
        (-0.5, "closed", "closed", "late by 30 min"),
    ],
)
def test_a_deadline_is_said_as_people_say_it(due_in: float, state: str, standing: str, due: str) -> None:
    """How long is left, or how late it is; what is closed is neither late nor soon."""
    found = line(a_case(due_at=NOW + int(due_in * HOUR), state=state), now=NOW)
    assert (found.standing, found.due) == (standing, due)


def test_groups_begin_with_what_is_most_severe() -> None:
    """Kinds by severity, then by their nearest deadline; within a kind the order of the list stays."""
    cases = [
        a_case(1),
        a_case(2, kind=Kind.REFERENCE_MISSING, due_at=NOW + HOUR),
        a_case(3, kind=Kind.DUPLICATE_EFFECT),
        a_case(4, due_at=NOW + 23 * HOUR),
        a_case(5, kind=Kind.UNKNOWN_OUTCOME, due_at=NOW - HOUR),
    ]
    found = groups(cases, now=NOW)
    assert [group.kind for group in found] == [
        Kind.DUPLICATE_EFFECT,
        Kind.UNKNOWN_OUTCOME,
        Kind.REFERENCE_MISSING,
        Kind.PARKED_DELIVERY,
    ]
    assert [one.case.id for one in found[3].lines] == ["cas_1", "cas_4"]
    assert [group.late for group in found] == [0, 1, 0, 0]
    assert found[3].money == {"GBP": Decimal("2160.00")}


def test_sums_never_mix_currencies() -> None:
    """Each currency by itself, and what is about no money is left out."""
    cases = [a_case(1), a_case(2, currency="EUR"), a_case(3, amount=None, currency=None)]
    assert money_of(cases) == {"GBP": Decimal("1080.00"), "EUR": Decimal("1080.00")}


def test_the_story_is_told_in_plain_words() -> None:
    """Who sent what, which side has it, what went wrong and what the system said."""
    journey = {
        "operations": [
            {
                "id": "op_1",
                "kind": "create",
                "client": "psa",
                "authority": "legacy",
                "deliveries": [
                    {"system": "cloud", "role": "mirror", "state": "parked", "attempt": 3},
                    {"system": "legacy", "role": "authority", "state": "applied", "attempt": 1},
                ],
            }
        ]
    }
    told = " ".join(story(a_case(), journey))
    for words in (
        "The caller psa sent a create of this invoice, in UK",
        "Legacy, the authority, has it.",
        "Cloud, the mirror, does not have it, as far as is known; it waits for a person, after 3 attempts.",
        "Cloud: “Tax code GB20 is not active”",
    ):
        assert words in told
    assert told.index("Legacy, the authority") < told.index("Cloud, the mirror")
    assert story(a_case(), None)[-1] == "Cloud: “Tax code GB20 is not active”"


def test_a_second_person_sees_that_it_is_his_turn() -> None:
    """Who has proposed a decision does not carry it out; everybody else would."""
    proposal = Proposal(resolution=Resolution.ACCEPT_DIVERGENCE, by="Ada", reason="agreed", at=NOW)
    case = a_case(proposal=proposal)
    assert {one.resolution.value: one.seconds for one in choices(case, person="Ada")} == {
        "replay": False,
        "accept_divergence": False,
    }
    assert {one.resolution.value: one.seconds for one in choices(case, person="Kim")} == {
        "replay": False,
        "accept_divergence": True,
    }
    assert choices(a_case(state="closed"), person="Kim") == ()
