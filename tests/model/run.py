"""Runs histories in this process."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.model.machine import BrokenLaw, Ledger
from tests.simulation import planted
from tests.simulation.check import Verdict
from tests.simulation.loop import Loop
from tests.simulation.store import Store


def histories(
    count: int,
    steps: int,
    store: Callable[[Loop, random.Random], Store] = Store,
    *,
    seed: int | None = None,
    shrink: bool = True,
) -> None:
    """So many histories of at most so many steps; without a ``seed`` the same ones each time. Raises BrokenLaw for the
    first one that breaks a law, made as short as it can be, with its steps in the notes."""
    machine = type("Ledger", (Ledger,), {"store": staticmethod(store)})
    _run(machine, count, steps, seed=seed, shrink=shrink)


def found_within(bug: str, most: int, steps: int) -> tuple[int, Verdict] | None:
    """The number of the first of the ordinary histories that finds a planted bug, and what it broke; None when none of
    the first ``most`` does."""
    begun = 0
    first: tuple[int, Verdict] | None = None

    class Counted(Ledger):
        def __init__(self) -> None:
            super().__init__()
            nonlocal begun
            begun += 1

        def judged(self, verdicts: list[Verdict]) -> None:
            nonlocal first
            if verdicts and first is None:
                first = begun, verdicts[0]
            super().judged(verdicts)

    with planted.planted(bug):
        try:
            _run(Counted, most, steps, seed=None, shrink=False)
        except (BrokenLaw, FlakyFailure):
            # Flaky is a bug with a memory of its own: the same history, told again, may not find it.
            assert first is not None
    return first


def _run(
    machine: type[RuleBasedStateMachine], count: int, steps: int, *, seed: int | None, shrink: bool
) -> None:
    if seed is not None:
        machine = hypothesis.seed(seed)(machine)
    # What asyncio leaves in cycles is collected between histories and not in the middle of one: where that is would
    # depend on what was run before. What is there already is left out of it.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=count,
                stateful_step_count=steps,
                derandomize=seed is None,
                database=None,
                deadline=None,
                phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
                print_blob=False,
                report_multiple_bugs=False,
                suppress_health_check=[one for one in HealthCheck if isinstance(one, HealthCheck)],
            ),
        )
    finally:
        gc.enable()
        gc.unfreeze()
