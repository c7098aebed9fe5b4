"""Noise: an authority that answers in two ways excuses what it has shown itself, and nothing else."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.contract import Facts, Idempotency
from adapters.errors import NotFound
from gateway.canonical import BY_NAME
from gateway.compare.differ import NOISE
from gateway.compare.look import Eye, Seen
from gateway.compare.observation import Held, Reading
from gateway.compare.verdict import LookAgain, Settled, Verdict, judge
from tests.unit.compare.test_differ import customer, invoice, money


class Sides:
    """An authority that gives its answers in turn, and another side that has one."""

    def __init__(self, answers: Sequence[Any], other: Any) -> None:
        self._answers = cycle(answers)
        self._other = other

    async def read(self, system: str, entity: str, record_id: str, *, held: Held | None = None) -> Any:
        found = self._other if system == "cloud" else next(self._answers)
        if isinstance(found, Exception):
            raise found
        return Reading(document=found)

    async def fence(self, record_id: str) -> Any:
        raise AssertionError("a look asks for no fence")

    async def unshown(self, record_id: str, shown: Mapping[str, str | None]) -> int | None:
        raise AssertionError("a look asks for no write")


def facts(system: str, entity: str) -> Facts:
    return Facts(
        capabilities=frozenset(),
        idempotency=Idempotency.E_NOTHING,
        mapped=frozenset(BY_NAME[entity].policy.members("")),
    )


def eye(answers: Sequence[Any], other: Any) -> Eye:
    return Eye(
        sides=Sides(answers, other), expect=lambda system, entity, fields: fields, facts=facts, key=b"k"
    )


def look(one: Eye, entity: str) -> Seen:
    return asyncio.run(one.both(BY_NAME[entity], "legacy", "cloud", "a record", held={}))


def judged(entity: str, answers: Sequence[Any], other: Any) -> Settled:
    """What looks come to that follow each other."""
    one, before, changes = eye(answers, other), None, 0
    for _ in range(10):
        seen = look(one, entity)
        decided = judge(seen.diffs, seen.sight, before, changes=changes, wobbled=seen.wobbled)
        if isinstance(decided, Settled):
            return decided
        assert isinstance(decided, LookAgain)
        before, changes = decided.sight, decided.changes
    raise AssertionError("no end")


def lines(*numbers: int) -> dict[str, Any]:
    found = invoice()
    found["lines"] = [line for line in found["lines"] if line["number"] in numbers]
    return found


def wrong_line() -> dict[str, Any]:
    found = copy.deepcopy(invoice())
    found["lines"][1]["amount"] = money("9999.99")
    return found


ADDRESS = {"line1": "Hafenweg 1", "country": "DE"}


@pytest.mark.parametrize(
    ("entity", "answers", "other", "verdict"),
    [
        pytest.param(
            "customer",
            [customer(phone="1"), customer(phone="2")],
            customer(phone="2"),
            "explained",
            id="a value it showed",
        ),
        pytest.param(
            "customer", [customer(phone="1"), customer(phone="2")], customer(phone="3"), "mismatch", id="another value"
        ),
        pytest.param("invoice", [lines(1, 3), lines(1, 2, 3)], invoice(), "explained", id="a line it showed"),
        pytest.param(
            "invoice", [lines(1, 3), lines(1, 2, 3)], wrong_line(), "mismatch", id="a wrong amount in a line that flaps"
        ),
        pytest.param(
            "invoice", [lines(1, 2, 3), lines(1, 3)], wrong_line(), "mismatch", id="the same, the other way round"
        ),
        pytest.param(
            "customer",
            [customer(billing_address=None), customer()],
            customer(billing_address={**ADDRESS, "city": "Elsewhere"}),
            "mismatch",
            id="a wrong city in an address that flaps",
        ),
        pytest.param(
            "customer", [customer(billing_address=None), customer()], customer(), "explained", id="an address it showed"
        ),
        pytest.param(
            "customer",
            [NotFound("gone"), customer(phone="1")],
            customer(phone="3"),
            "mismatch",
            id="a record that flaps",
        ),
        pytest.param("customer", [NotFound("gone"), customer()], customer(), "explained", id="a record it showed"),
    ],
)  # fmt: skip
def test_a_wrong_value_in_a_noisy_place_is_found(
    entity: str, answers: Sequence[Any], other: Any, verdict: str
) -> None:
    """What the other side has and the authority has shown in neither answer is a mismatch, however noisy the field, the
    line or the whole record is; what it has shown is explained."""
    assert judged(entity, answers, other).verdict is Verdict(verdict)


_addresses = st.none() | st.fixed_dictionaries(
    {"line1": st.sampled_from("ab"), "country": st.just("DE")}, optional={"city": st.sampled_from("xyz")}
)
_documents = st.builds(
    lambda phone, address: customer(phone=phone, billing_address=address),
    st.none() | st.sampled_from("123"),
    _addresses,
)


def leaves(document: dict[str, Any]) -> dict[str, Any]:
    """Each value by its path. A part that is not there shows nothing of what could be in it, not even emptiness."""
    address = document["billing_address"]
    return {
        "phone": document["phone"],
        **{
            f"billing_address.{name}": "no address" if address is None else address.get(name)
            for name in ("line1", "country", "city")
        },
    }


@given(_documents, _documents, _documents)
def test_only_what_was_shown_is_excused(
    first: dict[str, Any], second: dict[str, Any], other: dict[str, Any]
) -> None:
    """Whatever the three answers are: each value of the other side that stands in neither answer of the authority is in
    an open difference, and no open difference is there without one."""
    seen = look(eye([first, second], other), "customer")
    shown, again, there = leaves(first), leaves(second), leaves(other)
    never_shown = {path for path, value in there.items() if value not in (shown[path], again[path])}
    open_ = {found.path for found in seen.diffs.open}
    for path in never_shown:
        assert any(path == one or path.startswith(one + ".") for one in open_), (path, open_)
    for one in open_:
        assert any(path == one or path.startswith(one + ".") for path in never_shown), (one, never_shown)
    if first == second:
        assert not any(found.explained == NOISE for found in seen.diffs.differences)
