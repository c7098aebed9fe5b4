"""``twinrun demo``: needs nothing but the installed package."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Annotated

import aiohttp
import uvloop
from cyclopts import Parameter
from rich.console import Console

from gateway.cli import codes
from gateway.cli.demo.report import Outcome, Teller, tell
from gateway.cli.demo.stand import Broken, Stand
from gateway.cli.demo.story import Story, watch
from gateway.cli.demo.wire import Api, Control, Stopped
from gateway.cli.screen import Json, err, out, put_json, say
from gateway.errors import Malformed


def demo(
    *,
    serve: Annotated[bool, Parameter(name="--serve", negative="--no-serve")] = True,
    seed: int = 7,
    scale: float = 1.0,
    port: int = 0,
    keep: Path | None = None,
    json: Json = False,
) -> int:
    """Two simulated ERPs, a gateway, live traffic, and a slice moved there and back in about a minute.

    It plants differences, takes an ERP down and loses answers, and holds everything against the ERPs' own logs of what
    was done to them. Exit code 0 only if every expectation held.

    Parameters
    ----------
    serve:
        Leave the console open at the end, until Ctrl-C.
    seed:
        Which firm, and which traffic.
    scale:
        Size of the firm; 1 is 300 customers and 20,000 time entries.
    port:
        Port of the gateway; 0: any free one.
    keep:
        Work in this folder, and leave it. Default: a temporary one.
    """
    if not 0.05 <= scale <= 10:
        raise Malformed(
            f"--scale {scale:g}; allowed is 0.05 to 10, or there is too little to plant differences in"
        )
    if not 0 <= port <= 65_535:
        raise Malformed(f"--port {port}; allowed is 0 to 65535")
    screen = (err() if sys.stderr.isatty() else None) if json else out()
    with _folder(keep) as folder:
        stand = Stand(folder, seed=seed, scale=scale, port=port)
        return uvloop.run(_run(stand, screen, seed=seed, serve=serve, json=json))


async def _run(stand: Stand, screen: Console | None, *, seed: int, serve: bool, json: bool) -> int:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    try:
        playing = asyncio.create_task(_play(stand, screen, seed=seed, json=json))
        stopped = asyncio.create_task(ended.wait())
        await asyncio.wait((playing, stopped), return_when=asyncio.FIRST_COMPLETED)
        if not playing.done():
            playing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await playing
            say("interrupted")
            return codes.INTERRUPTED
        stopped.cancel()
        code = playing.result()
        if serve:
            say(f"\nThe console is open at {stand.address}/console (key: {stand.key}). Ctrl-C ends it.")
            await ended.wait()
        return code
    finally:
        await stand.close()


async def _play(stand: Stand, screen: Console | None, *, seed: int, json: bool) -> int:
    """The demo from the start of its processes to its report. Returns the exit code."""
    teller = Teller(screen)
    teller.say("starting two simulated ERPs with a firm's data, and the gateway on SQLite")
    await stand.open()
    teller.say(f"the gateway answers at {stand.address}, API key {stand.key}")
    async with contextlib.AsyncExitStack() as stack:
        api = Api(stand.address, stand.key)
        stack.push_async_callback(api.close)
        control = Control(stand.control)
        stack.push_async_callback(control.close)
        story = Story(api, control, teller, seed=seed)
        running = asyncio.create_task(story.run())
        watching = asyncio.create_task(watch(stand.check, story.traffic.health))
        try:
            await asyncio.wait((running, watching), return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not running.done():
                raise watching.exception() or Broken("a process has ended")
            outcome = running.result()
        except (Stopped, aiohttp.ClientError) as failed:
            # Where a process has ended, that is the cause, and this only what it led to.
            await asyncio.wait((watching,), timeout=1)
            if watching.done():
                watching.result()
            teller.say(f"broken off: {failed}", "bold red")
            for line in story.traffic.unexpected[:5]:
                teller.say(line, "red")
            say(f"twinrun: {failed}")
            return codes.DIFFER
        finally:
            for task in (running, watching):
                task.cancel()
            await asyncio.gather(running, watching, return_exceptions=True)
    return _report(outcome, screen, json=json)


def _report(outcome: Outcome, screen: Console | None, *, json: bool) -> int:
    passed = outcome.result == "pass"
    if json:
        put_json(outcome)
    elif screen is not None:
        tell(screen, outcome)
        held = sum(one.held for one in outcome.expectations)
        screen.print(
            f"\n{held} of {len(outcome.expectations)} expectations held, in {outcome.seconds:.0f} s",
            style="bold green" if passed else "bold red",
        )
    return codes.PASS if passed else codes.DIFFER


@contextlib.contextmanager
def _folder(keep: Path | None) -> Generator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="twinrun-demo-") as folder:
            yield Path(folder)
        return
    keep.mkdir(parents=True, exist_ok=True)
    if (keep / "twinrun.db").exists():
        raise Malformed(f"--keep {keep} holds a journal of an earlier run; name another folder")
    yield keep.resolve()
