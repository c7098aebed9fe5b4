"""Guards: when they act, which slices they are about, and what is refused in their file."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RuleFileWrong
from gateway.readiness.gates import judge
from gateway.readiness.measured import Facts
from gateway.routing import PLANS, TRANSITIONS
from gateway.routing.guards import GUARDED, Guard, GuardGate, Guards, Verdict, acts, failing_after
from gateway.routing.ruleset import read
from tests.unit.routing.test_ruleset import rule_files

HOUR = 3_600_000_000
MONEY = Guard(name="Money", gates=("money",), windows=3)


def test_a_guard_leads_back_and_only_from_where_the_new_system_leads() -> None:
    """Each way of a guard is an ordinary step back, which moves the authority to the system that is its mirror."""
    for stage, to in GUARDED.items():
        assert to.position < stage.position
        assert TRANSITIONS[stage, to].moves_authority
        assert PLANS[to].authority is PLANS[stage].mirror


def test_a_guard_watches_gates_that_there_are() -> None:
    """Each gate that a rule file may name is one of readiness."""
    assert set(get_args(GuardGate)) <= {gate.name for gate in judge(Facts(paired=True))}


@given(st.lists(st.sampled_from(get_args(Verdict)), max_size=60))
def test_it_acts_on_failures_in_a_row_and_on_nothing_else(verdicts: list[Verdict]) -> None:
    """Whatever the windows say, the guard acts exactly when the last three have all failed; what is inconclusive never
    counts, and after each act it rests for its time."""
    failing, held_until, acted = 0, None, []
    for number, verdict in enumerate(verdicts):
        now = number * HOUR
        failing = failing_after(failing, verdict)
        assert (failing > 0) is (verdict == "fail")
        if acts(MONEY, failing=failing, now=now, held_until=held_until):
            assert verdicts[number - 2 : number + 1] == ["fail"] * 3
            acted.append(number)
            failing, held_until = 0, now + 24 * HOUR
    assert all(later - sooner >= 24 for sooner, later in itertools.pairwise(acted))
    if not acted:
        assert all(verdicts[at : at + 3] != ["fail"] * 3 for at in range(len(verdicts)))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('gates = ["money"]\nregions = ["MARS"]', "guards[0].regions: 'MARS'"),
        ('gates = ["money"]\nentities = ["planet"]', "guards[0].entities: 'planet'"),
        ("gates = []", "guards[0].gates"),
        ('gates = ["cases"]', "guards[0].gates[0]"),
        ('gates = ["money"]\nwindows = 0', "guards[0].windows"),
        ('gates = ["money"]\nthen = "promote"', "guards[0].then"),
        ('gates = ["money"]\nhold_hours = 0', "guards[0].hold_hours"),
        ('gates = ["money"]\nwindow = 3', "guards[0]"),
    ],
    ids=lambda value: value.splitlines()[-1] if isinstance(value, str) else None,
)
def test_a_wrong_file_stops_the_start_with_its_place(text: str, said: str) -> None:
    """A guard of a slice that nobody knows, of a gate that is none, or without a rest is no guard."""
    files = {**rule_files(), "guards.toml": f'[[guards]]\nname = "Wrong"\n{text}\n'}
    with pytest.raises(RuleFileWrong, match=r"guards\.toml") as wrong:
        read(files)
    assert said in str(wrong.value)


def test_a_slice_has_one_guard() -> None:
    """Two that are about the same slice stop the start; two about different ones stand beside each other."""
    guard = '[[guards]]\nname = "{name}"\ngates = ["money"]\nentities = ["{entity}"]\n'
    both = guard.format(name="A", entity="invoice") + guard.format(name="B", entity="invoice")
    with pytest.raises(RuleFileWrong, match="has a guard already, 'A'"):
        read({**rule_files(), "guards.toml": both})
    apart = guard.format(name="A", entity="invoice") + guard.format(name="B", entity="payment")
    found = read({**rule_files(), "guards.toml": apart})
    region = next(iter(found.regions))
    named = [found.guards.of(entity, region) for entity in ("invoice", "payment", "customer")]
    assert [one and one.name for one in named] == ["A", "B", None]
    assert read(rule_files()).guards == Guards()
