"""Moves between stages, and entities that depend on each other."""

from __future__ import annotations

import itertools

import pytest

from gateway.canonical import ENTITIES
from gateway.routing import (
    DEPENDS_ON,
    GATES,
    PLANS,
    TRANSITIONS,
    Stage,
    gates,
    judge,
    moves_authority,
    new_violations,
    violations,
)
from gateway.routing.stage import System
from gateway.routing.transition import EMERGENCIES, is_fenced, leaves, left_behind

PAIRS = tuple(itertools.product(Stage, Stage))
CLEAR = dict.fromkeys(GATES, 0)


def test_neighbours_are_the_ordinary_moves() -> None:
    """The table holds each move to a neighbour, both ways, and no other."""
    order = tuple(Stage)
    ways = {pair for a, b in itertools.pairwise(order) for pair in ((a, b), (b, a))}
    assert set(TRANSITIONS) == ways


@pytest.mark.parametrize(("current", "wanted"), TRANSITIONS, ids=str)
def test_the_table_agrees_with_the_plans(current: Stage, wanted: Stage) -> None:
    """A move says that it moves authority exactly when the plans differ in it; its gates are known."""
    move = TRANSITIONS[current, wanted]
    assert move.moves_authority is (PLANS[current].authority is not PLANS[wanted].authority)
    assert set(move.gates) <= set(GATES)
    # Letting go of a mirror, or making it the authority, needs that it has got everything.
    lets_go = PLANS[current].mirror is not None and PLANS[wanted].mirror is None
    assert ("open_deliveries" in move.gates) is (lets_go or move.moves_authority)


@pytest.mark.parametrize(("current", "wanted"), TRANSITIONS, ids=str)
def test_swapped_and_backwards_the_gates_are_the_same(current: Stage, wanted: Stage) -> None:
    """The way back has the gates of the way there."""
    order = tuple(Stage)
    mirrored = order[-1 - current.position], order[-1 - wanted.position]
    assert TRANSITIONS[mirrored] == TRANSITIONS[current, wanted]


@pytest.mark.parametrize("stage", Stage)
def test_an_emergency_goes_to_whom_has_the_records(stage: Stage) -> None:
    """Where the cloud leads and another system is kept, an emergency goes back to that one, which then leads with the
    one that was left as its mirror; elsewhere there is none."""
    plan = PLANS[stage]
    way = plan.authority is System.CLOUD and plan.mirror is not None
    assert (stage in EMERGENCIES) is way
    if way:
        after = PLANS[EMERGENCIES[stage]]
        assert (after.authority, after.mirror) == (plan.mirror, plan.authority)


@pytest.mark.parametrize(("current", "wanted"), PAIRS, ids=str)
def test_judge(current: Stage, wanted: Stage) -> None:
    """With every gate clear only a leap fails; with none measured each gate of the way fails."""
    leap = abs(current.position - wanted.position) > 1
    assert [f.gate for f in judge(current, wanted, CLEAR)] == (["neighbour"] if leap else [])
    unmeasured = [f.gate for f in judge(current, wanted, {}) if f.gate != "neighbour"]
    assert unmeasured == list(gates(current, wanted))


def test_a_gate_that_does_not_pass() -> None:
    """What stands open is named with its number; what was not measured does not pass."""
    failures = judge(Stage.SHADOW, Stage.LIVE, {"open_deliveries": 3, "crosswalk": None, "freeze": 0})
    assert [(f.gate, f.measured) for f in failures] == [("open_deliveries", 3), ("crosswalk", None)]
    assert "3 deliveries" in failures[0].message
    assert "not measured" in failures[1].message


def test_dependencies_are_references() -> None:
    """An entity depends only on what it refers to, and everything that it must refer to is a dependency."""
    assert set(DEPENDS_ON) == {entity.name for entity in ENTITIES}
    for entity in ENTITIES:
        refers = {r.entity for r in entity.references} - {entity.name}
        assert set(DEPENDS_ON[entity.name]) <= refers
        required = {
            f for f in entity.fields.__struct_fields__ if f in ("customer_id", "project_id", "resource_id")
        }
        if entity.name not in ("invoice", "contract"):
            needed = {f.removesuffix("_id") for f in required}
            assert needed <= set(DEPENDS_ON[entity.name])


@pytest.mark.parametrize(("customer", "project"), PAIRS, ids=str)
def test_no_entity_runs_ahead(customer: Stage, project: Stage) -> None:
    """A project led by the cloud needs its customers there; every other pair of stages is in order."""
    found = violations({("customer", "UK"): customer, ("project", "UK"): project})
    ahead = moves_authority(Stage.LEGACY_ONLY, project) and not moves_authority(Stage.LEGACY_ONLY, customer)
    assert [(v.entity, v.depends_on, v.region) for v in found] == (
        [("project", "customer", "UK")] if ahead else []
    )


def test_each_violated_dependency_is_named() -> None:
    """Moving one slice names each dependency that it newly breaks, in its own region only."""
    stages = {(entity.name, region): Stage.LEGACY_ONLY for entity in ENTITIES for region in ("UK", "US")}
    found = new_violations(stages, "invoice", "UK", Stage.LIVE)
    assert {(v.depends_on, v.region) for v in found} == {
        ("customer", "UK"),
        ("contract", "UK"),
        ("project", "UK"),
    }
    assert new_violations(stages, "invoice", "UK", Stage.SHADOW) == ()
    assert new_violations(stages, "customer", "UK", Stage.CLOUD_ONLY) == ()


def test_going_back_is_judged_too() -> None:
    """A customer cannot go back to the legacy system while its projects are led by the cloud."""
    stages = {("customer", "UK"): Stage.LIVE, ("project", "UK"): Stage.LIVE}
    assert [v.entity for v in new_violations(stages, "customer", "UK", Stage.SHADOW)] == ["project"]
    assert new_violations(stages, "project", "UK", Stage.SHADOW) == ()


def test_a_standing_violation_is_not_laid_at_anothers_door() -> None:
    """A violation that stands already does not forbid an unrelated move."""
    stages = {
        ("customer", "UK"): Stage.SHADOW,
        ("project", "UK"): Stage.LIVE,
        ("resource", "UK"): Stage.LEGACY_ONLY,
    }
    assert violations(stages)
    assert new_violations(stages, "resource", "UK", Stage.DUAL_WRITE) == ()


@pytest.mark.parametrize(("entity", "needed"), tuple(itertools.permutations(DEPENDS_ON, 2)), ids=str)
def test_who_would_be_left_behind(entity: str, needed: str) -> None:
    """Whoever refers to an entity and still writes to the system that is taken from it is named, and nobody else; and
    nobody is while it keeps both systems."""
    stages = {(entity, "UK"): Stage.LIVE, (needed, "UK"): Stage.RAMP_DOWN}
    refers = needed in DEPENDS_ON[entity]
    found = left_behind({**stages, (entity, "DE"): Stage.LIVE}, needed, "UK", Stage.CLOUD_ONLY)
    assert len(found) == refers
    assert all(entity in one and "legacy" in one and "live" in one for one in found)
    gone = {**stages, (entity, "UK"): Stage.CLOUD_ONLY}
    assert left_behind(gone, needed, "UK", Stage.CLOUD_ONLY) == ()
    assert left_behind(stages, needed, "UK", Stage.LIVE) == ()


@pytest.mark.parametrize(
    ("current", "wanted", "system"),
    [
        (Stage.SHADOW, Stage.LIVE, "legacy"),
        (Stage.LIVE, Stage.SHADOW, "cloud"),
        (Stage.RAMP_DOWN, Stage.CLOUD_ONLY, "legacy"),
        (Stage.DUAL_WRITE, Stage.LEGACY_ONLY, "cloud"),
        (Stage.SHADOW, Stage.CLOUD_ONLY, "legacy"),
    ],
    ids=str,
)
def test_what_a_fenced_move_leaves(current: Stage, wanted: Stage, system: str) -> None:
    """The authority that another one takes over from, or the mirror that is let go."""
    assert leaves(current, wanted) == system


def test_a_move_that_leaves_a_system_is_fenced() -> None:
    """A system is put second or let go of behind a fence, and only there."""
    for current, wanted in TRANSITIONS:
        assert (leaves(current, wanted) is not None) == is_fenced(current, wanted), (current, wanted)


def test_a_cohort_depends_on_its_own_slices_and_else_on_its_region_s() -> None:
    """What a cohort has a slice of has to be led as it is there; of anything else, as its region is."""
    stages = {
        ("customer", "UK"): Stage.LEGACY_ONLY,
        ("project", "UK"): Stage.LEGACY_ONLY,
        ("project", "UK.wave1"): Stage.SHADOW,
        ("time_entry", "UK.wave1"): Stage.SHADOW,
    }
    found = new_violations(stages, "project", "UK.wave1", Stage.LIVE)
    assert [(v.depends_on, v.region) for v in found] == [("customer", "UK.wave1")]
    assert "customer, which it refers to, is legacy_only in UK: move customer to live first" in found[0].message
    ready = {**stages, ("customer", "UK"): Stage.LIVE, ("project", "UK.wave1"): Stage.LIVE}
    assert new_violations(ready, "time_entry", "UK.wave1", Stage.LIVE) == ()
    assert [v.region for v in new_violations(ready, "customer", "UK", Stage.SHADOW)] == ["UK.wave1"]
    behind = {**ready, ("project", "UK.wave1"): Stage.SHADOW, ("project", "UK"): Stage.LIVE}
    found = new_violations(behind, "time_entry", "UK.wave1", Stage.LIVE)
    assert [(v.depends_on, v.region) for v in found] == [("project", "UK.wave1")]
