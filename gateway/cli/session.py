"""The gateway as a command uses it: opened on the settings' database, beside a serving process if there is one."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from gateway.app import Gateway
from gateway.errors import Malformed
from gateway.settings import Settings, load
from gateway.telemetry import configure

T = TypeVar("T")

#: How a person says who they are on the command line.
KeyFile = Annotated[Path | None, Parameter(name="--key-file")]


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


def secret(key_file: Path | None) -> str | None:
    """The API key in a file; None without one. Raises Malformed."""
    try:
        return None if key_file is None else key_file.read_text().strip()
    except OSError as unreadable:
        raise Malformed(f"--key-file {key_file}: {unreadable.strerror}") from unreadable


async def who(gateway: Gateway, secret: str | None, scope: str) -> str:
    """The name behind the key, which has to carry ``scope``; without a key, the person at the terminal."""
    if secret is None:
        return actor()
    await gateway.keys.start()
    try:
        caller = await gateway.keys.authenticate(f"Bearer {secret}")
    finally:
        await gateway.keys.stop()
    caller.require(scope)
    return caller.name
