"""``python -m adapters.sandbox``: serves both simulated ERPs until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Sequence
from pathlib import Path

import uvloop

from adapters.sandbox.process import Options, serve

SCALES = {"small": 0.05, "empty": 0.0}


def scale(text: str) -> float:
    """``small``, ``empty`` or a factor."""
    return SCALES[text] if text in SCALES else float(text)


def options(arguments: Sequence[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m adapters.sandbox", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--legacy-port", type=int, default=8101)
    parser.add_argument("--cloud-port", type=int, default=8102)
    parser.add_argument("--control-port", type=int, default=8100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument(
        "--scale", type=scale, default=1.0, help="small, empty, or a factor of the firm's size"
    )
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--effects-dir", type=Path, default=None)
    return Options(**vars(parser.parse_args(arguments)))


async def main(chosen: Options) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Where signals cannot be taken by the loop, the interrupt ends the program as usual.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop.set)
    await serve(chosen, stop=stop)


if __name__ == "__main__":
    uvloop.run(main(options()))
