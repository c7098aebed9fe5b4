"""Both simulated ERPs and their control port in one process."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from adapters.sandbox.asgi import turn
from adapters.sandbox.cloud.system import CloudSystem
from adapters.sandbox.data_load import load
from adapters.sandbox.firm import build
from adapters.sandbox.legacy.system import LegacySystem
from adapters.sandbox.server import Port
from adapters.sandbox.simulator import Simulator
from adapters.sandbox.turns import Reply, Request, Turn


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the sandbox is started. Port 0 means any free one."""

    host: str = "127.0.0.1"
    legacy_port: int = 8101
    cloud_port: int = 8102
    control_port: int = 8100
    seed: int = 7
    scale: float = 1.0  #: size of the firm; 0 is an empty one
    latency_ms: float = 0.0  #: how long each answer of an ERP takes at least
    effects_dir: Path | None = None  #: where ``<system>.jsonl`` effect logs are appended to


class Sandbox:
    """Two simulated ERPs that are being served."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.legacy = LegacySystem(**_settings(options, "legacy"))
        self.cloud = CloudSystem(**_settings(options, "cloud"))
        self.systems: tuple[Simulator, ...] = (self.legacy, self.cloud)
        firm = build(options.seed, options.scale)
        for simulator in self.systems:
            load(simulator, firm)
        numbers = {"legacy": options.legacy_port, "cloud": options.cloud_port}
        self.ports = {s.name: Port(_door(s), options.host, numbers[s.name], s.faults) for s in self.systems}
        self.ports["control"] = Port(self._control, options.host, options.control_port)

    @property
    def legacy_url(self) -> str:
        return self.ports["legacy"].address

    @property
    def cloud_url(self) -> str:
        return self.ports["cloud"].address

    @property
    def control_url(self) -> str:
        """Serves ``/legacy/_sandbox/…`` and ``/cloud/_sandbox/…``, also while a system is down."""
        return self.ports["control"].address

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for simulator in self.systems:
            simulator.call_later = loop.call_later
        for port in self.ports.values():
            await port.open()

    async def close(self) -> None:
        for port in self.ports.values():
            await port.close()
        for simulator in self.systems:
            simulator.effects.close()

    def _control(self, request: Request) -> Turn:
        for simulator in self.systems:
            prefix = f"/{simulator.name}"
            if request.path.startswith(f"{prefix}/_sandbox/"):
                request.path = request.path.removeprefix(prefix)
                return turn(simulator, request)
        return Turn(lambda: Reply(404, b"/legacy/_sandbox/ or /cloud/_sandbox/ is expected", "text/plain"))


@asynccontextmanager
async def running(options: Options) -> AsyncGenerator[Sandbox]:
    """The sandbox while the block lasts; it answers from the first moment on."""
    sandbox = Sandbox(options)
    await sandbox.open()
    try:
        yield sandbox
    finally:
        await sandbox.close()


async def serve(
    options: Options, *, stop: asyncio.Event | None = None, announce: Callable[[str], object] | None = None
) -> None:
    """Serves until ``stop`` is set or the task is cancelled; says READY once all ports answer."""
    say = announce if announce is not None else _say
    async with running(options) as sandbox:
        # The loaded firm lives to the end: the collector need not walk its half million objects again.
        gc.collect()
        gc.freeze()
        for name, port in sandbox.ports.items():
            say(f"READY {name} {port.address}")
        await (stop if stop is not None else asyncio.Event()).wait()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _door(simulator: Simulator) -> Callable[[Request], Turn]:
    return lambda request: turn(simulator, request)


def _settings(options: Options, system: str) -> dict[str, object]:
    if options.effects_dir is not None:
        options.effects_dir.mkdir(parents=True, exist_ok=True)
    return {
        "seed": options.seed,
        "latency_s": options.latency_ms / 1000,
        "effects_file": options.effects_dir / f"{system}.jsonl" if options.effects_dir is not None else None,
    }
