"""How the flow of writes is put into words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.console.flow_view import cards, link, said, share, way
from gateway.dispatch.dead_letters import Narrowed
from gateway.dispatch.flow import Target
from gateway.dispatch.replay_runs import Run


def target(**more: Any) -> Target:
    return Target(
        **{
            "system": "cloud", "states": {"ready": 3, "parked": 2, "unknown": 1}, "oldest_age_s": 4.0,
            "per_minute": 9, "shut_s": None, **more,
        }
    )  # fmt: skip


def run(**more: Any) -> Run:
    return Run(
        **{
            "id": "rpl_1", "state": "running", "filter": Narrowed(), "actor": "ada", "reason": "why", "total": 3,
            "replayed": 0, "superseded": 0, "refused": 0, "per_s": 25, "created_at": "", "updated_at": "",
            "ended_at": None, "ended_by": None, **more,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("health", "shut_s", "word", "well"),
    [
        pytest.param("up", None, "answers", True, id="up"),
        pytest.param("down", None, "does not answer", False, id="down"),
        pytest.param("up", 30.0, "asks for a pause", False, id="paused"),
        pytest.param(None, None, "not looked at yet", False, id="unseen"),
    ],
)
def test_a_system_in_words(health: str | None, shut_s: float | None, word: str, well: bool) -> None:
    """What nobody has looked at is never said to be well."""
    (card,) = cards([target(shut_s=shut_s)], {} if health is None else {"cloud": health})
    assert (card.word, card.well) == (word, well)


def test_what_moves_and_what_waits() -> None:
    """Parked ones wait for a person and are not on their way."""
    one = target()
    assert (one.moving, one.parked, one.unknown) == (4, 2, 1)
    assert cards([target(states={"ready": 1})], {"cloud": "up"})[0].calls is False
    assert cards([one], {"cloud": "up"})[0].calls is True


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [(0, 3, 0), (1, 3, 33), (2, 3, 66), (3, 3, 100), (0, 0, 100), (999, 1000, 99)],
)
def test_a_share_never_flatters(done: int, total: int, percent: int) -> None:
    """Only all of it is 100 %; a run over nothing is done."""
    assert share(run(replayed=done, total=total)) == percent


def test_a_filter_in_words_and_as_an_address() -> None:
    """What stands in the address is what is said, and moments that a count fixed are not part of a view."""
    narrowed = Narrowed(system="cloud", code="A&B")
    assert said(narrowed) == "system cloud, code A&B"
    assert said(Narrowed()) == "everything that waits"
    assert link(narrowed) == "/console/flow?system=cloud&code=A%26B"
    assert link(narrowed, "/x", code=None, cause="0a") == "/x?system=cloud&cause=0a"
    assert link(Narrowed()) == "/console/flow"


def test_a_write_in_the_order_of_time() -> None:
    """Events, attempts and late words of every delivery in one line of time."""
    operation: dict[str, Any] = {
        "events": [
            {"at": "T1", "event": "accepted", "delivery": None, "detail": None},
            {"at": "T3", "event": "authority_applied", "delivery": "dlv_1", "detail": "legacy 7"},
        ],
        "deliveries": [
            {
                "id": "dlv_1",
                "system": "legacy",
                "attempts": [{"number": 1, "started_at": "T1"}, {"number": 2, "started_at": "T2"}],
                "late": [{"at": "T4", "number": 1, "outcome": "applied", "message": "after all"}],
            }
        ],
    }
    assert [(step.at, step.what, step.system) for step in way(operation)] == [
        ("T1", "accepted", None),
        ("T1", "attempt 1 begins", "legacy"),
        ("T2", "attempt 2 begins", "legacy"),
        ("T3", "authority_applied", "legacy"),
        ("T4", "late word of attempt 1: applied", "legacy"),
    ]
