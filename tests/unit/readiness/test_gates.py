"""Gates: what passes, what fails, and what is too little to say."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import BY_NAME, ENTITIES
from gateway.change_feed import Feed, State
from gateway.readiness.gates import Outcome, judge, together
from gateway.readiness.measured import Calls, Facts, Variant
from gateway.readiness.report import way_back
from gateway.readiness.variants import KINDS
from gateway.routing.stage import Stage

GREEN = Facts(
    paired=True,
    compares=5_000,
    unlinked=0,
    lag_p99_s=1.5,
    today=Calls(count=200, failed=1, p95_s=0.2),
    next=Calls(count=200, failed=1, p95_s=0.3),
    variants=(Variant(field="currency", value="GBP", records=10, compared=10),),
    records=10,
    rehearsed="2026-11-20T10:00:00Z",
    reconciled_age_h=3.0,
    unexplained=0,
)


def _feed(system: str, state: State = State.FOLLOWING, **more: Any) -> Feed:
    values: dict[str, Any] = {"read_at": 1_767_322_800_000_000, "lag_s": 2.26, **more}
    return Feed(system=system, entity="customer", region="UK", state=state, **values)


def _verdicts(**changes: Any) -> dict[str, Outcome]:
    return {gate.name: gate.verdict for gate in judge(msgspec.structs.replace(GREEN, **changes))}


def test_everything_measured_and_in_order_passes() -> None:
    """With evidence enough and nothing in the way every gate passes, and so does the slice."""
    assert set(_verdicts().values()) == {Outcome.PASS}
    assert together(list(_verdicts().values())) is Outcome.PASS


@pytest.mark.parametrize(
    ("changes", "gate", "verdict"),
    [
        ({"compares": 99}, "compares", Outcome.INCONCLUSIVE),
        ({"mismatched": 5}, "mismatches", Outcome.PASS),
        ({"mismatched": 6}, "mismatches", Outcome.FAIL),
        ({"money_mismatched": 1}, "money", Outcome.FAIL),
        ({"compares": 0}, "money", Outcome.INCONCLUSIVE),
        ({"unverifiable": 6}, "unverifiable", Outcome.FAIL),
        ({"variants": ()}, "coverage", Outcome.INCONCLUSIVE),
        (
            {"variants": (Variant(field="currency", value="SEK", records=1, compared=0),)},
            "coverage",
            Outcome.INCONCLUSIVE,
        ),
        ({"paired": False}, "backfill", Outcome.INCONCLUSIVE),
        ({"reconciled_age_h": None}, "reconciliation", Outcome.INCONCLUSIVE),
        ({"reconciled_age_h": 24.1}, "reconciliation", Outcome.INCONCLUSIVE),
        ({"unexplained": 1}, "reconciliation", Outcome.FAIL),
        ({"unlinked": 1}, "crosswalk", Outcome.FAIL),
        ({"paired": False}, "crosswalk", Outcome.INCONCLUSIVE),
        ({"lag_p99_s": None}, "lag", Outcome.INCONCLUSIVE),
        ({"lag_p99_s": 60.1}, "lag", Outcome.FAIL),
        ({"parked": 1}, "deliveries", Outcome.FAIL),
        ({"unknown": 1}, "deliveries", Outcome.FAIL),
        ({"open": 40}, "deliveries", Outcome.PASS),
        ({"cases": 1, "case_money": {"GBP": Decimal("0.01")}}, "cases", Outcome.FAIL),
        ({"next": Calls(count=29, failed=0, p95_s=None)}, "next_authority", Outcome.INCONCLUSIVE),
        ({"next": Calls(count=200, failed=4, p95_s=0.3)}, "next_authority", Outcome.FAIL),
        ({"next": Calls(count=200, failed=1, p95_s=1.1)}, "next_authority", Outcome.FAIL),
        ({"dependencies": ("customer goes first",)}, "dependencies", Outcome.FAIL),
        ({"waivers": ("wai_1", "wai_2")}, "waivers", Outcome.PASS),
        ({"waivers": ("wai_1", "wai_2"), "waivers_ending": ("wai_1",)}, "waivers", Outcome.FAIL),
        ({"dependants": ("project writes on",)}, "dependants", Outcome.FAIL),
        ({"feeds": ()}, "change_feed", Outcome.PASS),
        ({"feeds": (_feed("legacy"), _feed("cloud"))}, "change_feed", Outcome.PASS),
        ({"feeds": (_feed("legacy"), _feed("cloud", State.NOT_AVAILABLE))}, "change_feed", Outcome.PASS),
        ({"feeds": (_feed("legacy"), _feed("cloud", State.NOT_STARTED))}, "change_feed", Outcome.INCONCLUSIVE),
        ({"feeds": (_feed("legacy"), _feed("cloud", State.BEHIND))}, "change_feed", Outcome.FAIL),
        ({"feeds": (_feed("legacy", State.FAILING), _feed("cloud"))}, "change_feed", Outcome.FAIL),
        ({"feeds": (_feed("legacy", open_conflicts=1), _feed("cloud"))}, "change_feed", Outcome.FAIL),
        ({"rehearsed": None}, "rollback_rehearsed", Outcome.INCONCLUSIVE),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_one_fact_moves_one_gate(changes: dict[str, Any], gate: str, verdict: Outcome) -> None:
    """Each gate stands on its own measure: at its threshold, beyond it, and with too little evidence."""
    assert _verdicts(**changes)[gate] is verdict


@pytest.mark.parametrize(
    ("backfilled", "unlinked", "verdict"),
    [
        pytest.param(False, 7, Outcome.INCONCLUSIVE, id="nobody has looked"),
        pytest.param(True, 7, Outcome.FAIL, id="looked, and some are missing"),
        pytest.param(True, 0, Outcome.PASS, id="looked, and complete"),
        pytest.param(False, 0, Outcome.PASS, id="complete without a backfill"),
        pytest.param(True, None, Outcome.INCONCLUSIVE, id="nobody knows how many"),
    ],
)
def test_a_mirror_is_complete_or_not_or_unknown(
    backfilled: bool, unlinked: int | None, verdict: Outcome
) -> None:
    """Missing records fail the gate only once a backfill was seen through: before it nobody knows what there is."""
    assert _verdicts(backfilled=backfilled, unlinked=unlinked)["backfill"] is verdict


@given(st.lists(st.sampled_from(Outcome), max_size=6))
def test_the_worst_decides(outcomes: list[Outcome]) -> None:
    """A slice fails if one gate fails, and passes only if each passes; the order of the gates says nothing."""
    found = together(outcomes)
    assert (found is Outcome.FAIL) == (Outcome.FAIL in outcomes)
    assert (found is Outcome.PASS) == (bool(outcomes) and all(one is Outcome.PASS for one in outcomes))
    for order in itertools.islice(itertools.permutations(outcomes), 10):
        assert together(order) is found


@given(compares=st.integers(0, 99), mismatched=st.integers(0, 50))
def test_too_little_evidence_is_never_a_pass(compares: int, mismatched: int) -> None:
    """Below the least sample no gate that counts comparisons passes."""
    found = _verdicts(compares=compares, mismatched=mismatched)
    assert Outcome.PASS not in {found[name] for name in ("compares", "mismatches", "money", "unverifiable")}


@pytest.mark.parametrize(
    ("stage", "changes", "verdict"),
    [
        (Stage.SHADOW, {}, None),
        (Stage.LIVE, {}, Outcome.PASS),
        (Stage.LIVE, {"open": 9, "lag_p99_s": None}, Outcome.INCONCLUSIVE),
        (Stage.RAMP_DOWN, {"parked": 1}, Outcome.FAIL),
        (Stage.CLOUD_ONLY, {"paired": False}, Outcome.FAIL),
    ],
)
def test_the_way_back(stage: Stage, changes: dict[str, Any], verdict: Outcome | None) -> None:
    """A slice that has moved can go back while the old system gets every write and nothing waits for a person."""
    assert way_back(stage, msgspec.structs.replace(GREEN, **changes)).verdict is verdict


def test_kinds_are_fields_of_the_canon() -> None:
    """Each entity has its kinds, and each path leads to a member that its records have."""
    assert set(KINDS) == {entity.name for entity in ENTITIES}
    for name, paths in KINDS.items():
        entity = BY_NAME[name]
        known = set(entity.record.__struct_fields__)
        assert {path.partition(".")[0].removesuffix("[]") for path in paths} <= known


def test_the_gate_of_the_feeds_says_how_far_they_are() -> None:
    """Read up to when, how long ago, what waits and how many conflicts are open; and where edits are not followed, that
    nothing is required, and why."""
    off = "change_feed is false in the settings: set it to true"
    feeds = (_feed("legacy"), _feed("cloud", waiting=3))
    (gate,) = [one for one in judge(msgspec.structs.replace(GREEN, feeds=feeds)) if one.name == "change_feed"]
    assert gate.measure == (
        "legacy read up to 2026-01-02T03:00:00.000000Z, 2.3 s ago, "
        "cloud read up to 2026-01-02T03:00:00.000000Z, 2.3 s ago, 3 waiting; 0 conflicts open"
    )
    feeds = (_feed("legacy", State.OFF, why=off), _feed("cloud", State.OFF, why=off))
    (gate,) = [one for one in judge(msgspec.structs.replace(GREEN, feeds=feeds)) if one.name == "change_feed"]
    assert (gate.verdict, gate.measure) == (Outcome.PASS, f"not required: {off}")


def test_the_evidence_says_nothing_of_traffic() -> None:
    """Figures that move with every write leave the evidence of every gate as it is, as long as no verdict changes."""
    calm = [(one.verdict, one.evidence) for one in judge(GREEN)]
    busy = msgspec.structs.replace(
        GREEN,
        compares=9_000,
        lag_p99_s=20.0,
        open=40,
        today=Calls(count=900, failed=3, p95_s=0.21),
        next=Calls(count=870, failed=2, p95_s=0.35),
        variants=(Variant(field="currency", value="GBP", records=900, compared=870),),
        records=900,
        reconciled_age_h=3.5,
    )
    assert [(one.verdict, one.evidence) for one in judge(busy)] == calm


@pytest.mark.parametrize(
    "changes",
    [
        {"mismatched": 1, "parts": "1"},
        {"mismatched": 1, "parts": "2"},
        {"unverifiable": 1},
        {"waivers": ("wai_1 until 2026-12-01",)},
        {"waivers": ("wai_2 until 2026-12-01",)},
        {"unlinked": 1},
        {"parked": 1},
        {"cases": 1},
        {"case_money": {"GBP": Decimal(1)}},
        {"unexplained": 1},
        {"backfilled": True},
        {"rehearsed": "2026-11-21T10:00:00Z"},
        {"variants": (Variant(field="currency", value="SEK", records=1, compared=0),)},
        {"dependants": ("project",)},
        {"feeds": (_feed("legacy"),)},
    ],
    ids=str,
)
def test_the_evidence_says_what_is_to_be_weighed(changes: dict[str, Any]) -> None:
    """What a person has to weigh is told apart from all else that may be so, by value and not only by verdict."""
    others = [{}, {"mismatched": 1, "parts": "3"}, {"waivers": ("wai_3 until 2026-12-01",)}]
    found = judge(msgspec.structs.replace(GREEN, **changes))
    for other in others:
        assert judge(msgspec.structs.replace(GREEN, **other)) != found
        assert [(one.verdict, one.evidence) for one in judge(msgspec.structs.replace(GREEN, **other))] != [
            (one.verdict, one.evidence) for one in found
        ]
