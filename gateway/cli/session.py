"""The gateway as a command uses it: opened on the settings' database, beside a serving process if there is one."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from gateway.app import Gateway
from gateway.settings import Settings, load
from gateway.telemetry import configure

T = TypeVar("T")


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Gateway]:
    """The gateway without its loops. Closes whatever was opened, also when opening breaks off."""
    gateway = Gateway(settings)
    try:
        await gateway.open(exclusive=False)
        await gateway.slices.refresh()
        yield gateway
    finally:
        await gateway.close()


def with_gateway(work: Callable[[Gateway], Awaitable[T]]) -> T:
    """Runs ``work`` with the gateway of the settings, and returns what it returns."""
    settings = load()
    configure("WARNING")

    async def run() -> T:
        async with opened(settings) as gateway:
            return await work(gateway)

    return asyncio.run(run())


def actor() -> str:
    """Who is named in the history: the person at the terminal."""
    try:
        return f"{getpass.getuser()} (command line)"
    except (OSError, KeyError):
        # A container may run under a number that no name belongs to.
        return "command line"
