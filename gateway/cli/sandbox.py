"""``twinrun sandbox``: the two simulated ERPs alone."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import uvloop

from adapters.sandbox.process import Options, serve
from gateway.cli.screen import Json, put_json, say
from gateway.errors import Malformed

#: Words for sizes of the firm.
SCALES = {"full": 1.0, "small": 0.05, "empty": 0.0}


def sandbox(
    *,
    host: str = "127.0.0.1",
    legacy_port: int = 8101,
    cloud_port: int = 8102,
    control_port: int = 8100,
    seed: int = 7,
    scale: str = "full",
    latency_ms: float = 0.0,
    effects_dir: Path | None = None,
    json: Json = False,
) -> None:
    """The two simulated ERPs alone, at the addresses where `twinrun serve` looks for them by default.

    Parameters
    ----------
    host:
        The address to listen on.
    legacy_port:
        Port of the on-premise ERP; 0: any free one.
    cloud_port:
        Port of the cloud ERP.
    control_port:
        Port of the fault switches and effect logs of both.
    seed:
        Which firm: the same seed is the same data.
    scale:
        full, small, empty, or a factor of the firm's size.
    latency_ms:
        How long each answer takes at least.
    effects_dir:
        Folder that the effect logs are appended to.
    """
    options = Options(
        host=host,
        legacy_port=legacy_port,
        cloud_port=cloud_port,
        control_port=control_port,
        seed=seed,
        scale=_scale(scale),
        latency_ms=latency_ms,
        effects_dir=effects_dir,
    )
    uvloop.run(_serve(options, json=json))


async def _serve(options: Options, *, json: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    addresses: dict[str, str] = {}

    def announce(line: str) -> None:
        _, name, address = line.split(" ", 2)
        addresses[name] = address
        if len(addresses) < 3:
            return
        if json:
            put_json(addresses)
        else:
            say("; ".join(f"{name} {address}" for name, address in addresses.items()))

    await serve(options, stop=stop, announce=announce)


def _scale(text: str) -> float:
    if text in SCALES:
        return SCALES[text]
    try:
        scale = float(text)
    except ValueError:
        raise Malformed(f"--scale {text!r}; allowed are {', '.join(SCALES)} and a number") from None
    if not 0 <= scale <= 100:
        raise Malformed(f"--scale {text}; allowed is 0 to 100")
    return scale
