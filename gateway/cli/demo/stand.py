"""What stands on the table: a folder, the two simulated ERPs, and the gateway, each a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import msgspec

import gateway
from gateway.clock import SystemClock
from gateway.ids import SystemIds

#: How long a process may take until it answers; a busy machine with a cold disk is slow.
START_S = 60.0
STOP_S = 20.0

#: Short times, so that a minute shows what takes hours in a real migration. Nothing else differs from a real one.
SETTINGS = """\
# Written by `twinrun demo`.
host                = "127.0.0.1"
port                = {port}
database            = "sqlite:///{folder}/twinrun.db"
settle_s            = 0.3
recheck_s           = 1.0
confirm_s           = 3.0
rules_refresh_s     = 0.2
lease_margin_s      = 3.0
quarantine_margin_s = 1.0
drain_limit_s       = 15.0
log_level           = "WARNING"

[systems.legacy]
profile   = "sandbox_legacy"
base_url  = "http://127.0.0.1:{legacy}"
timeout_s = 5.0

[systems.cloud]
profile   = "sandbox_cloud"
base_url  = "http://127.0.0.1:{cloud}"
timeout_s = 5.0
"""


class Broken(OSError):
    """A process of the demo did not start, or has ended by itself."""


class Stand:
    """``open()`` puts everything up, ``close()`` takes it down again."""

    def __init__(self, folder: Path, *, seed: int, scale: float, port: int) -> None:
        self.folder = folder
        self.address = ""
        self.control = ""
        self.key = ""
        self._seed = seed
        self._scale = scale
        self._port = port
        self._processes: dict[str, Process] = {}

    async def open(self) -> None:
        legacy, cloud, control = _free_ports(3)
        self.control = f"http://127.0.0.1:{control}"
        settings = self.folder / "twinrun.toml"
        settings.write_text(
            SETTINGS.format(port=self._port, folder=self.folder, legacy=legacy, cloud=cloud), encoding="utf-8"
        )
        sandbox = await self._start(
            "sandbox", "-m", "adapters.sandbox", "--legacy-port", str(legacy), "--cloud-port", str(cloud),
            "--control-port", str(control), "--seed", str(self._seed), "--scale", str(self._scale),
        )  # fmt: skip
        serving = await self._start("gateway", "-m", "gateway.cli", "serve", "--json", config=settings)
        self.key = await self._make_key()
        await self._line("sandbox", sandbox, "READY control")
        await self._line("gateway", serving, "{")
        rest = await self._line("gateway", serving, "}", keep=True)
        self.address = msgspec.json.decode("{" + rest)["address"]

    async def close(self) -> None:
        """Ends the gateway first, so that what is under way still finds the ERPs."""
        for name in reversed(list(self._processes)):
            process = self._processes[name]
            if process.returncode is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()

    def check(self) -> None:
        """Raises Broken when a process has ended by itself."""
        for name, process in self._processes.items():
            if process.returncode is not None:
                raise Broken(f"the {name} has ended by itself: {self.last_words(name)}")

    def last_words(self, name: str) -> str:
        """The end of what a process wrote to standard error."""
        with contextlib.suppress(OSError):
            return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-1500:].strip()
        return ""

    async def _make_key(self) -> str:
        """Makes a key in the journal, while the gateway is still starting: whoever is first makes the tables."""
        # Imported here, so that the other two processes are on their way meanwhile.
        from gateway.access import Keys
        from gateway.database import Database
        from gateway.database.migrate import upgrade

        url = f"sqlite:///{self.folder}/twinrun.db"
        await asyncio.to_thread(upgrade, url)
        clock = SystemClock()
        database = Database(url, clock=clock)
        database.start()
        try:
            secret, _ = await Keys(database=database, clock=clock, ids=SystemIds()).create(
                "demo", scopes=("read", "write", "admin:read", "admin:write"), actor="demo"
            )
        finally:
            await database.close()
        return secret

    async def _start(self, name: str, *arguments: str, config: Path | None = None) -> Process:
        environ = {key: value for key, value in os.environ.items() if not key.startswith("TWINRUN_")}
        # The children run in the folder of the demo, where a checkout that is not installed would not be found.
        root = str(Path(gateway.__file__).parent.parent)
        environ["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [environ.get("PYTHONPATH")])])
        if config is not None:
            environ["TWINRUN_CONFIG"] = str(config)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, cwd=self.folder, env=environ, stdout=PIPE, stderr=log,
                # A Ctrl-C is for the demo, which then ends its children in order.
                start_new_session=True,
            )  # fmt: skip
        self._processes[name] = process
        return process

    async def _line(self, name: str, process: Process, begins: str, *, keep: bool = False) -> str:
        """Reads standard output up to the line that begins with ``begins``; with ``keep``, returns what came."""
        assert process.stdout is not None
        kept = ""
        try:
            async with asyncio.timeout(START_S):
                while line := (await process.stdout.readline()).decode():
                    kept += line
                    if line.startswith(begins):
                        return kept if keep else line
        except TimeoutError:
            raise Broken(f"the {name} did not answer within {START_S:g} s: {self.last_words(name)}") from None
        await process.wait()
        raise Broken(f"the {name} did not start: {self.last_words(name)}")


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses now. All are held until the last is known, so they differ."""
    with contextlib.ExitStack() as held:
        found: list[int] = []
        for _ in range(count):
            one = held.enter_context(contextlib.closing(socket.socket()))
            one.bind(("127.0.0.1", 0))
            found.append(one.getsockname()[1])
        return found
