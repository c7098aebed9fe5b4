"""Runs seeds: one in this process, or many in two processes of their own, and adds up what they found."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import msgspec

from tests.simulation import planted
from tests.simulation.check import Verdict, check
from tests.simulation.history import History
from tests.simulation.scenario import Scenario, leaving, scenario
from tests.simulation.world import World

#: One seed in so many is run twice, and both runs must be the same to the last event.
TWICE = 100
PROCESSES = 2
#: After so many seeds a process says how far it has come.
TOLD = 500
ROOT = Path(__file__).parents[2]


class Result(msgspec.Struct, kw_only=True):
    """What one seed, or a process's share of all seeds, came to."""

    seeds: int = 0
    operations: int = 0
    effects: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    repeated: int = 0
    counted: dict[str, int] = {}
    states: dict[str, int] = {}
    classes: dict[str, int] = {}
    #: seed -> what was wrong with it
    failed: dict[int, list[Verdict]] = {}

    def add(self, other: Result) -> None:
        for name in ("seeds", "operations", "effects", "virtual_s", "cpu_s", "repeated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("counted", "states", "classes"):
            setattr(self, name, dict(Counter(getattr(self, name)) + Counter(getattr(other, name))))
        self.failed = {**self.failed, **other.failed}


def one(made: Scenario) -> tuple[World, History, list[Verdict]]:
    """Runs a scenario and judges its history."""
    world = World(made)
    history = world.run()
    verdicts = check(history)
    if not history.quiet:
        verdicts.append(Verdict(law="C1 lost", what="half an hour after all faults something was still open"))
    return world, history, verdicts


def some(seeds: Iterable[int], bug: str | None = None, *, leaves: bool = False) -> Result:
    """Runs seeds in this process, with a bug planted if one is named; stops at the first that finds a planted bug.
    ``leaves``: in scenarios in which an authority is left."""
    total = Result()
    gc.disable()
    try:
        for seed in seeds:
            found = _judged(seed, bug, leaving if leaves else scenario)
            total.add(found)
            if bug is None and (found.failed or total.seeds % TOLD == 0):
                # At once, and not with the figures: those of many seeds come after an hour.
                print(failures(found) or f"{total.seeds} seeds, up to {seed}", file=sys.stderr, flush=True)
            gc.collect()
            gc.freeze()  # what is left is the program and what it keeps: not looked through again at each seed
            if bug is not None and found.failed:
                _, _, without = one(planted.BUGS[bug].scenario(seed))
                if without:
                    raise RuntimeError(f"{bug}: seed {seed} breaks laws without it: {without[0]}")
                break
    finally:
        gc.unfreeze()
        gc.enable()
    return total


def _judged(seed: int, bug: str | None, made_of: Callable[[int], Scenario]) -> Result:
    """One seed. With a planted bug, it failed only if a law was broken that this bug breaks."""
    began = time.process_time()
    if bug is None:
        made = made_of(seed)
        world, history, verdicts = one(made)
    else:
        with planted.planted(bug):
            made = planted.BUGS[bug].scenario(seed)
            world, history, verdicts = one(made)
    repeated = bug is None and seed % TWICE == 0
    if repeated:
        again, _, _ = one(made_of(seed))
        if again.trace.digest() != world.trace.digest():
            verdicts.append(Verdict(law="determinism", what="two runs of this seed differ"))
    broken = verdicts if bug is None or _by_its_law(bug, verdicts) else []
    return Result(
        seeds=1,
        operations=len(history.operations),
        effects=len(history.effects),
        virtual_s=history.elapsed_s,
        cpu_s=time.process_time() - began,
        repeated=int(repeated),
        counted=dict(world.counted),
        states=dict(Counter(op.state for op in history.operations.values())),
        classes=dict(Counter(p.idempotency.value for p in made.products.values())),
        failed={seed: broken} if broken else {},
    )


def _by_its_law(bug: str, verdicts: list[Verdict]) -> bool:
    return any(verdict.law.split()[0] in planted.BUGS[bug].laws for verdict in verdicts)


def many(*seeds: range, processes: int = PROCESSES, leaves: bool = False) -> Result:
    """Runs seeds in processes of their own, each process its share of each range."""
    total = Result()
    for worker in _workers(seeds, processes, *(["--leaving"] if leaves else [])):
        total.add(_told(worker))
    return total


def first(seeds: range, bug: str, processes: int = PROCESSES) -> Result:
    """What the first of these processes found that found the planted bug; else what all of them looked at."""
    total = Result()
    workers = _workers([seeds], processes, "--bug", bug)
    with ThreadPoolExecutor(processes) as waiting:
        try:
            for one in as_completed([waiting.submit(_told, worker) for worker in workers]):
                total.add(one.result())
                if total.failed:
                    break
        finally:
            for worker in workers:  # who waits for longer than it may leaves none of them at work
                worker.kill()
    return total


def _workers(seeds: Sequence[range], processes: int, *more: str) -> list[subprocess.Popen[bytes]]:
    """Their hash seed is fixed, because a set's order is part of a history."""
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": str(ROOT)}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation", "--share", _share(seeds, place, processes), *more],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
        )
        for place in range(processes)
    ]


def _share(seeds: Sequence[range], place: int, processes: int) -> str:
    """Of one of so many processes. Ranges begin at one process after the other, for many have one seed alone."""
    parts = [
        f"{some.start + (place + turn) % processes}:{some.stop}:{processes}" for turn, some in enumerate(seeds)
    ]
    return ",".join(parts)


def shared(told: str) -> Iterator[int]:
    """The seeds of such a share."""
    for part in told.split(","):
        yield from range(*map(int, part.split(":")))


def _told(worker: subprocess.Popen[bytes]) -> Result:
    out, _ = worker.communicate()
    if worker.returncode != 0:
        raise RuntimeError(f"a share of the seeds ended with exit code {worker.returncode}")
    return msgspec.json.decode(out.splitlines()[-1], type=Result)


def report(total: Result, wall_s: float) -> str:
    """The figures, for a person."""
    laws = Counter(verdict.law.split()[0] for verdicts in total.failed.values() for verdict in verdicts)
    faults = sum(total.counted.values())
    lines = [
        f"seeds {total.seeds}, run twice {total.repeated}, failed {len(total.failed)}",
        f"operations {total.operations}, effects {total.effects}, virtual time {total.virtual_s / 3600:.1f} h",
        f"injected {faults}: " + ", ".join(f"{name} {n}" for name, n in sorted(total.counted.items())),
        "operations ended: " + ", ".join(f"{name} {n}" for name, n in sorted(total.states.items())),
        "classes: " + ", ".join(f"{name} {n}" for name, n in sorted(total.classes.items())),
        f"lost {laws['C1']}, doubled {laws['C2']}, reordered {laws['C3']}, phantom {laws['C4']}; "
        + ", ".join(f"{law} {n}" for law, n in sorted(laws.items()) if law not in ("C1", "C2", "C3", "C4")),
        f"time {wall_s:.1f} s, CPU {total.cpu_s:.1f} s, {total.cpu_s / max(1, total.seeds):.3f} s a seed",
    ]
    return "\n".join(lines)


def failures(total: Result, most: int = 40) -> str:
    """Each failing seed with its verdicts and the way to see it."""
    lines: list[str] = []
    for seed, verdicts in sorted(total.failed.items())[:most]:
        lines.append(f"seed {seed}: python -m tests.simulation --seed {seed} --trace")
        lines.extend(f"    {verdict}" for verdict in verdicts[:6])
    return "\n".join(lines)
