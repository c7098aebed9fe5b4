"""Runs histories in this process."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Ledger
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
    """So many histories of at most so many steps; without a ``seed`` the same ones each time. Raises what the first
    one that breaks a law raises, after it was made as short as it can be and its steps were printed."""
    machine = type("Ledger", (Ledger,), {"store": staticmethod(store)})
    if seed is not None:
        machine = hypothesis.seed(seed)(machine)
    # What asyncio leaves in cycles is collected between histories and not in the middle of one: where that is would
    # depend on what was run before.
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
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        gc.enable()
