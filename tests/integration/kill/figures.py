"""What campaigns have shown, in figures: as a table for people, and as JSON for what publishes them."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from gateway import crash
from tests.integration.kill.campaign import Outcome
from tests.integration.kill.judge import percentile
from tests.integration.kill.programs import PASSED
from tests.systems.processes import ROOT


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over campaigns. Times in seconds."""

    date: str  #: UTC
    commit: str  #: ``+`` at the end: with changes that are in none
    machine: str
    seed: int  #: of the first campaign; each further one has the next
    campaigns: int
    seconds: float
    kills: int
    kills_by_point: dict[str, int]  #: ``random``: at no point of the program, but at any moment
    pauses: int  #: a process was held still for longer than its leases
    database_kills: int
    redis_kills: int
    redis_flushes: int
    moves: dict[str, int]  #: of authority, by how they ended
    operations: dict[str, int]  #: by their state at the end
    effects: int  #: in both ERPs, by their own logs
    repeats: int  #: of callers who were not told what became of their write
    with_case: int  #: operations that a person decides
    lost: int
    doubled: int
    reordered: int
    phantom: int
    other_breaches: int
    left_in_the_middle: int  #: writes that somebody was sending when he died
    recovered_kills: int  #: kills that left any
    recovery_p50_s: float  #: from such a kill to the end of the last of its writes
    recovery_p99_s: float
    quiet_s: float  #: the longest time from the last kill of a campaign until nothing was under way
    breaches: list[str]
    unexpected: list[str]  #: processes that ended by themselves, or not as they were told
    never_reached: list[str]

    @property
    def failed(self) -> bool:
        return bool(self.breaches or self.unexpected or self.never_reached)


def figures(outcomes: Sequence[Outcome], *, seed: int) -> Figures:
    points = sum((one.by_point for one in outcomes), Counter[str]())
    had = sum((one.disturbances for one in outcomes), Counter[str]())
    states = Counter(op.state for one in outcomes for op in one.history.operations.values())
    breaches = [verdict for one in outcomes for verdict in one.verdicts]
    recoveries = [one for outcome in outcomes for one in outcome.recoveries]
    seconds = [one.seconds for one in recoveries]
    lost, doubled, reordered, phantom = (
        sum(verdict.law.startswith(names) for verdict in breaches)
        for names in (("C1", "acknowledged"), "C2", "C3", "C4")
    )
    return Figures(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        machine=f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}",
        seed=seed,
        campaigns=len(outcomes),
        seconds=round(sum(one.seconds for one in outcomes), 1),
        kills=points.total(),
        kills_by_point={name: points[name] for name in (*PASSED, "random")},
        pauses=had["pause"],
        database_kills=had["postgres"],
        redis_kills=had["redis"],
        redis_flushes=had["flush"],
        moves={
            name.removeprefix("move: "): number
            for name, number in sorted(had.items())
            if name.startswith("move: ")
        },
        operations=dict(states.most_common()),
        effects=sum(len(one.history.effects) for one in outcomes),
        repeats=sum(one.repeats for one in outcomes),
        with_case=sum(len(one.cases) for one in outcomes),
        lost=lost,
        doubled=doubled,
        reordered=reordered,
        phantom=phantom,
        other_breaches=len(breaches) - lost - doubled - reordered - phantom,
        left_in_the_middle=sum(one.affected for one in recoveries),
        recovered_kills=len(recoveries),
        recovery_p50_s=round(percentile(seconds, 0.5), 1),
        recovery_p99_s=round(percentile(seconds, 0.99), 1),
        quiet_s=round(max((one.quiet_s for one in outcomes), default=0.0), 1),
        breaches=[str(one) for one in breaches],
        unexpected=[text for one in outcomes for text in one.unexpected],
        never_reached=[name for name in PASSED if not points[name]],
    )


def table(of: Figures) -> str:
    def counted(numbers: dict[str, int]) -> str:
        return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "none"

    rows = [
        ("kills", f"{of.kills} in {of.campaigns} campaigns"),
        *(
            (f"  {name}", f"{number:4}  {crash.POINTS.get(name, 'at any moment')}")
            for name, number in of.kills_by_point.items()
        ),
        ("processes held still", str(of.pauses)),
        ("PostgreSQL killed", str(of.database_kills)),
        ("Redis killed, flushed", f"{of.redis_kills}, {of.redis_flushes}"),
        ("moves of authority", counted(of.moves)),
        ("operations", counted(of.operations)),
        ("effects in the ERPs", f"{of.effects}; {of.repeats} repeats of callers"),
        ("with a person", f"{of.with_case} operations"),
        ("lost", str(of.lost)),
        ("doubled", str(of.doubled)),
        ("reordered", str(of.reordered)),
        ("phantom", str(of.phantom)),
        ("other breaches", str(of.other_breaches)),
        ("left in the middle", f"{of.left_in_the_middle} writes by {of.recovered_kills} kills"),
        ("recovery", f"p50 {of.recovery_p50_s:.1f} s, p99 {of.recovery_p99_s:.1f} s"),
        ("quiet after the last kill", f"{of.quiet_s:.1f} s at most"),
        ("run", f"{of.date}, commit {of.commit}, seed {of.seed}, {of.seconds:.0f} s, {of.machine}"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:{width}}  {text}" for name, text in rows]
    lines.extend(of.breaches)
    lines.extend(of.unexpected)
    if of.never_reached:
        lines.append(f"never reached: {', '.join(of.never_reached)}")
    return "\n".join(lines)


def _commit() -> str:
    """Of the checkout; a tree without one has none to name."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown"
    return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
