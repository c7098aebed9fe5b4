"""What is to be done about a record that parts: for every state and shape, without an ERP."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import BY_NAME, ENTITIES
from gateway.canonical.lifecycle import IN_THE_BOOKS
from gateway.compare.difference import Difference, DifferenceClass, Stake
from gateway.compare.observation import Sample
from gateway.repair import planning
from gateway.repair.planning import Decision, Hashing
from gateway.repair.run import ACTS, WRITING, Act, Action, Chosen, Item, Outcome, State
from gateway.repair.settling import settled
from gateway.repair.store import Standing

KEY = b"k" * 32
BOTH = ("update", "transition")


def parted(path: str, control: Any, candidate: Any, **more: Any) -> Difference:
    kind = more.pop("kind", DifferenceClass.VALUE)
    return Difference(path=path, field=path, kind=kind, control=control, candidate=candidate, **more)


def updated(
    entity: str = "customer",
    *found: Difference,
    chosen: Chosen | None = None,
    states: tuple[str, str] = ("active", "active"),
    offers: tuple[str, ...] = BOTH,
    image: dict[str, Any] | None = None,
) -> Decision:
    control, candidate = ({"state": state} for state in states)
    return planning.update(
        BY_NAME[entity],
        found or (parted("name", "Right", "Wrong"),),
        chosen or Chosen(),
        (control, candidate),
        {"name": "Right", "state": states[0], **(image or {})},
        native_id="C-1",
        offers=offers,
        key=KEY,
    )


@pytest.mark.parametrize(
    ("entity", "states"),
    [
        (entity.name, pair)
        for entity in ENTITIES
        for state in sorted(IN_THE_BOOKS.get(entity.name, ()))
        for pair in ((state, entity.lifecycle.initial), (entity.lifecycle.initial, state))
    ],
)
def test_what_stands_in_the_books_of_either_side_is_a_persons(entity: str, states: tuple[str, str]) -> None:
    """Whatever else differs, a posting is never written over, nor is a record that the other side has posted."""
    found = updated(entity, parted("note", "a", "b"), states=states)
    assert (found.action, found.fields, found.moves, found.digest) == (Action.PERSON, (), False, "")


@pytest.mark.parametrize(
    "entity", [one for one in ENTITIES if one.name not in IN_THE_BOOKS], ids=lambda entity: entity.name
)
def test_a_state_is_moved_only_where_the_lifecycle_leads(entity: Any) -> None:
    """From every state to every other: the legal moves are transitions, any other is a person's."""
    for before in entity.lifecycle.states:
        for after in entity.lifecycle.states:
            found = updated(entity.name, parted("state", after, before), states=(after, before))
            if after in entity.lifecycle.legal(before):
                assert (found.action, found.moves, found.fields) == (Action.UPDATE, True, ())
            else:
                assert (found.action, found.moves) == (Action.PERSON, False)


def test_a_field_is_written_whole_and_no_other() -> None:
    """Places within a field are that field; of those that were not chosen nothing is written or shown."""
    places = (
        parted("billing_address.city", "Hull", "Leeds"),
        parted("phone", "1", "2", personal=True),
        parted("name", "Right", "Wrong"),
    )
    found = updated("customer", *places, chosen=Chosen(fields=("billing_address", "phone")))
    assert found.fields == ("billing_address", "phone")
    assert [change.field for change in found.changes] == ["billing_address.city", "phone"]
    assert str(found.changes[1].before).startswith("hmac:"), "a personal value is never kept"
    by_class = updated("customer", *places, chosen=Chosen(classes=(DifferenceClass.AMOUNT,)))
    assert by_class.action is Action.NOTHING


@pytest.mark.parametrize("offers", [(), ("transition",)])
def test_what_the_product_does_not_offer_is_blocked(offers: tuple[str, ...]) -> None:
    """Nothing is sent that can only be refused."""
    assert updated(offers=offers).action is Action.BLOCKED


@given(st.text(), st.text(), st.text())
def test_the_digest_is_over_every_value(control: str, candidate: str, other: str) -> None:
    """Equal for the same from and to, different as soon as one of them differs: also where only hashes are shown."""

    def digest(to: str, was: str) -> str:
        place = parted("name", to, was, personal=True)
        return updated("customer", place, image={"name": to}).digest

    assert digest(control, candidate) == digest(control, candidate)
    if other != candidate:
        assert digest(control, candidate) != digest(control, other)
    if other != control:
        assert digest(control, candidate) != digest(other, candidate)


def test_money_is_summed_by_currency_exactly() -> None:
    """Of one record the largest of its fields, over records the sum, to the last decimal."""

    def stake(amount: str) -> dict[str, Any]:
        return {"stake": Stake(amount=Decimal(amount), currency="EUR"), "kind": DifferenceClass.AMOUNT}

    found = updated("customer", parted("name", 1, 2, **stake("0.01")), parted("notes", 1, 2, **stake("9999999999.99")))
    assert found.money == {"EUR": Decimal("9999999999.99")}
    assert planning.together([found.money, {"EUR": Decimal("0.01")}, {}]) == {"EUR": Decimal("10000000000.00")}


@pytest.mark.parametrize(
    ("kind", "chosen", "expected"),
    [
        ("missing", Chosen(), True),
        ("missing", Chosen(fields=("name",)), False),
        ("missing", Chosen(classes=(DifferenceClass.MISSING,)), True),
        ("extra", Chosen(classes=(DifferenceClass.MISSING,)), False),
        ("differs", Chosen(classes=(DifferenceClass.VALUE,)), True),
        ("differs", Chosen(classes=(DifferenceClass.AMOUNT,)), False),
        ("differs", Chosen(fields=("lines",)), True),
        ("differs", Chosen(fields=("lines[].amount",)), True),
        ("differs", Chosen(fields=("total",)), False),
    ],
)
def test_what_is_chosen(kind: str, chosen: Chosen, expected: bool) -> None:
    """By class, by field as it is told or as a whole; without a choice, everything."""
    one = Sample(path="lines[number=1].amount", field="lines[].amount", kind=DifferenceClass.VALUE)
    assert planning.selected(kind, [one], chosen) is expected


def item(record_id: str = "cus_1", action: Action = Action.UPDATE, **changes: Any) -> Item:
    fields: dict[str, Any] = {
        "kind": "differs", "outcome": Outcome.PLANNED, "why": None, "native_id": "C-1", "digest": "d",
        "changes": updated().changes, "money": {},
    }  # fmt: skip
    return Item(record_id=record_id, action=action, **fields | changes)


@pytest.mark.parametrize(
    "other",
    [
        item("cus_2"),
        item(action=Action.CREATE),
        item(native_id="C-2"),
        item(digest="e"),
        item(changes=()),
    ],
)
def test_the_hash_of_a_plan_is_over_each_record(other: Item) -> None:
    """Another record, system's record, action or value is another plan; and what is shown is what is signed."""

    def hashed(*items: Item) -> str:
        hashing = Hashing({"reconciliation": "rcn_1"})
        for one in items:
            hashing.add(one)
        return hashing.digest()

    assert hashed(item()) == hashed(item(outcome=Outcome.REPAIRED))
    assert hashed(item()) != hashed(other)
    assert hashed(item(), other) != hashed(item())


def test_only_an_approval_leads_to_writing() -> None:
    """No act but an approval of what was requested leads to a state in which anything is written."""
    led = {pair for pair, after in ACTS.items() if after in (State.RUNNING, State.VERIFYING)}
    assert led == {(State.REQUESTED, Act.APPROVE)}
    assert frozenset({Action.CREATE, Action.UPDATE}) == WRITING


@pytest.mark.parametrize(
    ("states", "more", "outcome"),
    [
        (("ready",), {}, None),
        (("applied", "sending"), {}, None),
        (("applied",), {"comparing": True}, None),
        (("applied",), {}, Outcome.REPAIRED),
        (("applied",), {"overtaken": True, "parts": ("name",)}, Outcome.REPAIRED),
        (("applied",), {"parts": ("name",)}, Outcome.FAILED),
        (("applied",), {"parts": ("website",)}, Outcome.REPAIRED),
        (("applied",), {"parts": ("",)}, Outcome.FAILED),
        (("superseded",), {}, Outcome.SUPERSEDED),
        (("parked", "ready"), {}, Outcome.FAILED),
        ((), {}, Outcome.FAILED),
    ],
)
def test_what_became_of_a_write(states: tuple[str, ...], more: dict[str, Any], outcome: Outcome | None) -> None:
    """Waited for while it moves or is to be compared; what parts still, in a field that was written, is a failure."""
    fields: dict[str, Any] = {"comparing": False, "overtaken": False, "parts": (), "message": None}
    found = settled(Standing(item=item(), states=states, **fields | more))
    assert (None if found is None else found[0]) == outcome
