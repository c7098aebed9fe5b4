"""Histories of many seeds keep the laws; a bug that is planted is found; a seed always tells the same history."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest

from tests.simulation import planted, run

#: The first of the seeds, so that a nightly run takes others.
FIRST = int(os.environ.get("TWINRUN_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("TWINRUN_SEEDS", "200"))
#: In how many seeds a planted bug must show at the latest.
MOST = 2_000


@pytest.mark.timeout(max(300, SEEDS * 2))
def test_every_history_keeps_the_laws() -> None:
    """Three replicas, two systems, faults of every kind: nothing lost, doubled, reordered, made up; and one seed in
    a hundred, run twice, tells the same history to the last event."""
    total = run.many(range(FIRST, FIRST + SEEDS))
    print(run.report(total, 0.0))
    assert total.seeds == SEEDS
    assert total.repeated >= SEEDS // run.TWICE
    assert not total.failed, run.failures(total)


@pytest.mark.parametrize("name", sorted(planted.BUGS))
def test_a_planted_bug_is_found(name: str) -> None:
    """Within its own scenario, by one of the laws that it breaks; the same history without it keeps them all."""
    told = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--bug", name, "--share", f"0:{MOST}:1"],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(run.ROOT)},
        cwd=run.ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    total = msgspec.json.decode(told.stdout.splitlines()[-1], type=run.Result)
    assert total.failed, f"not found in {total.seeds} seeds: {planted.BUGS[name].what}"
    (verdicts,) = total.failed.values()
    assert {one.law.split()[0] for one in verdicts} & planted.BUGS[name].laws, verdicts


def test_there_are_enough_planted_bugs() -> None:
    """At least twelve."""
    assert len(planted.BUGS) >= 12
