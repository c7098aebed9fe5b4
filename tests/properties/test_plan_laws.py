"""The laws of the stage table."""

from __future__ import annotations

import itertools

import pytest

from gateway.routing import PLANS, Plan, Stage, System

each_stage = pytest.mark.parametrize("stage", Stage)

CONTRACT = """
legacy_only legacy – legacy –
dual_write legacy – legacy cloud
shadow legacy cloud legacy cloud
live cloud legacy cloud legacy
ramp_down cloud – cloud legacy
cloud_only cloud – cloud –
"""


def _swapped(plan: Plan) -> Plan:
    return Plan(
        plan.authority.other,
        plan.shadow_read and plan.shadow_read.other,
        plan.mirror and plan.mirror.other,
    )


def test_total() -> None:
    """Every stage has a plan, in the order of the way."""
    assert tuple(PLANS) == tuple(Stage)
    assert [stage.position for stage in Stage] == list(range(len(Stage)))


def test_the_table_is_the_published_one() -> None:
    """The table is, cell for cell, the one that the product is described by."""
    rows = [
        f"{stage} {plan.authority} {plan.shadow_read or '–'} {plan.authority} {plan.mirror or '–'}"
        for stage, plan in PLANS.items()
    ]
    assert rows == CONTRACT.strip().splitlines()


@each_stage
def test_never_its_own_mirror(stage: Stage) -> None:
    """An authority is never its own mirror or shadow."""
    plan = PLANS[stage]
    assert plan.authority not in (plan.mirror, plan.shadow_read)


@each_stage
def test_shadow_implies_mirror(stage: Stage) -> None:
    """A shadow read always has a mirror write to the same system behind it."""
    plan = PLANS[stage]
    assert plan.shadow_read in (None, plan.mirror)


def test_authority_moves_once() -> None:
    """On the whole way the authority moves exactly once, between shadow and live, from legacy to cloud."""
    moves = [(a, b) for a, b in itertools.pairwise(Stage) if PLANS[a].authority is not PLANS[b].authority]
    assert moves == [(Stage.SHADOW, Stage.LIVE)]
    assert PLANS[Stage.LEGACY_ONLY].authority is System.LEGACY


def test_swapped_and_backwards() -> None:
    """With the systems swapped and read backwards it is the same table."""
    assert [_swapped(plan) for plan in reversed(PLANS.values())] == list(PLANS.values())


def test_one_cell_at_a_time() -> None:
    """A neighbour that keeps the authority differs in one cell only, so that each step has one effect."""
    for a, b in itertools.pairwise(Stage):
        one, two = PLANS[a], PLANS[b]
        if one.authority is two.authority:
            assert sum(getattr(one, cell) != getattr(two, cell) for cell in ("shadow_read", "mirror")) == 1
