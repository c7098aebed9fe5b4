"""Drawn histories keep the laws, on each store."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.simulation.run import ROOT

#: A nightly run takes more and longer histories, and others than an ordinary run: see ``python -m tests.model``.
MORE = int(os.environ.get("TWINRUN_MODEL_HISTORIES", "0"))
STEPS = int(os.environ.get("TWINRUN_MODEL_STEPS", "40"))
SEED = os.environ.get("TWINRUN_MODEL_SEED")
#: Histories of an ordinary run. Those on a real database cost several times as much, and what only they can find, its
#: statements and types, shows in the first few.
ORDINARY = {"memory": 200, "sqlite": 25, "postgresql": 20}


def _keeps_the_laws(store: str, *more: str) -> None:
    count = MORE or ORDINARY[store]
    chosen = ["--histories", str(count), "--steps", str(STEPS), "--store", store, *more]
    if SEED is not None:
        chosen += ["--seed", SEED]
    told = subprocess.run(
        # A process of its own, because the order of a set is part of a history and its hash seed must be fixed.
        [sys.executable, "-m", "tests.model", *chosen],
        env={**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout
    assert f"{count} histories" in told.stdout


@pytest.mark.timeout(max(600, MORE * 5))
def test_on_the_simulated_store() -> None:
    """Whatever callers, systems, replicas and operators do, in whatever order, the journal holds what the reference
    model expects after each step, nobody is told what is not so, and at the end no law of a history is broken."""
    _keeps_the_laws("memory")


@pytest.mark.timeout(max(600, MORE * 5))
def test_on_sqlite() -> None:
    """The same laws on a SQLite file, through the program's own writer."""
    _keeps_the_laws("sqlite")


@pytest.mark.server
@pytest.mark.timeout(max(600, MORE * 5))
def test_on_postgresql(postgres_journal: str) -> None:
    """The same laws on a PostgreSQL database of its own."""
    _keeps_the_laws("postgresql", "--journal", postgres_journal)
