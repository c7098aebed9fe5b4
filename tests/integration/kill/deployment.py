"""What a campaign stands on: the settings of its processes and their places, the wait until nothing is under way any
more, and the history that its judge is given."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from gateway.app import Gateway
from gateway.errors import StoreUnavailable
from gateway.settings import Settings, SystemSettings
from tests.integration.kill import judge
from tests.integration.kill.callers import Callers
from tests.integration.kill.disturbances import LEASE_S
from tests.integration.kill.programs import Death, Launcher, Slot, free_port
from tests.simulation.check import Verdict
from tests.simulation.history import History, open_operations
from tests.systems.processes import ROOT
from tests.systems.rules import staged
from tests.systems.sandbox import SYSTEMS, Sandbox

LATENCY_MS = 15  #: of the ERPs, so that something is always under way
QUIET_S = 120.0  #: deadline of the end; a resolver that died in its look is waited for for a minute
#: Of the settings, those that the processes are told.
_TOLD = (
    "database", "redis", "rules", "lease_margin_s", "quarantine_margin_s", "breaker_pause_s", "drain_limit_s",
    "settle_s", "recheck_s", "confirm_s", "log_level",
)  # fmt: skip


def settings(
    folder: Path, database: str, erps: Sandbox, *, stages: Mapping[str, str], redis: str | None, drain_limit_s: float
) -> Settings:
    """Short times, and every slice of an entity at its stage of ``stages``; of others at ``dual_write``."""
    return Settings(
        database=database,
        redis=redis,
        rules=str(staged(folder, stages=stages)),
        systems={
            name: SystemSettings(profile=f"sandbox_{name}", base_url=erps.urls[name], timeout_s=1.5)
            for name in SYSTEMS
        },
        lease_margin_s=LEASE_S - 1.5,
        quarantine_margin_s=0.5,
        breaker_pause_s=0.5,
        drain_limit_s=drain_limit_s,
        settle_s=0.5,
        recheck_s=1.0,
        confirm_s=5.0,
        log_level="WARNING",
    )


def environment(of: Settings) -> dict[str, str]:
    """The same for a process."""
    flat = msgspec.to_builtins(of)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TWINRUN_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        **{f"TWINRUN_{name.upper()}": str(flat[name]) for name in _TOLD if flat[name] is not None},
        **{
            f"TWINRUN_SYSTEMS__{system.upper()}__{name.upper()}": str(flat["systems"][system][name])
            for system in SYSTEMS
            for name in ("profile", "base_url", "timeout_s")
        },
    }


def slot(
    name: str,
    kind: str,
    told: Mapping[str, str],
    *,
    folder: Path,
    launcher: Launcher,
    order: Callable[[Slot], tuple[str | None, float | None]],
    died: Callable[[Death], None],
    database_up: asyncio.Event,
) -> Slot:
    """A place for a process of ``kind``: serve, serve-no-worker or worker. ``told`` is its environment."""
    port = None if kind == "worker" else free_port()
    arguments = {
        "serve": ["serve", "--port", str(port)],
        "serve-no-worker": ["serve", "--port", str(port), "--no-worker"],
        "worker": ["worker"],
    }[kind]
    return Slot(
        name,
        arguments,
        launcher=launcher,
        environment=told,
        folder=folder,
        order=order,
        died=died,
        database_up=database_up,
        port=port,
    )


async def quiet(gateway: Gateway) -> None:
    """Until nothing is under way any more; what still is at the deadline is the judge's."""
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        # A database that was killed has taken our own connections with it; the next look opens others.
        with contextlib.suppress(StoreUnavailable):
            if not open_operations(await gateway.database.read(judge.read)):
                return
        await asyncio.sleep(0.5)


async def end(slots: Sequence[Slot]) -> list[str]:
    """Ends all as an operator would. Returns what ended by itself, or not as told."""
    codes = await asyncio.gather(*(slot.end() for slot in slots))
    return [
        *(one for slot in slots for one in slot.unexpected),
        *(
            f"{slot.name} ended with {code} after SIGTERM"
            for slot, code in zip(slots, codes, strict=True)
            if code != 0
        ),
    ]


async def judged(
    gateway: Gateway, erps: Sandbox, callers: Callers, slots: Sequence[Slot], *, elapsed_s: float
) -> tuple[History, Counter[str], list[Verdict]]:
    """The history of all that was told and done, the open cases by operation, and every breach of a law."""
    history = await gateway.database.read(judge.read)
    history.elapsed_s = elapsed_s
    effects = {system: await asyncio.to_thread(erps.effects, system) for system in SYSTEMS}
    judge.tell(history, callers.said, effects, [line for slot in slots for line in slot.own_faults()])
    cases = await gateway.database.read(judge.open_cases)
    return history, cases, [*judge.verdicts(history, cases), *await judge.diverged(history, gateway.adapters)]
