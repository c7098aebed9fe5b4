"""The same simulated ERP as an ASGI application, for tests in one process. A cut connection raises here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

from adapters.sandbox import control
from adapters.sandbox.simulator import Simulator
from adapters.sandbox.turns import Reply, Request, Turn

Message = MutableMapping[str, Any]


def turn(simulator: Simulator, request: Request) -> Turn:
    """The one door to a simulated ERP: its own wire, and the switches beside it."""
    if request.path.startswith(control.PREFIX):
        return Turn(lambda: control.answer(simulator, request))
    return simulator.turn(request)


class AsgiApp:
    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        simulator.call_later = _call_later

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        headers = cast("list[tuple[bytes, bytes]]", scope["headers"])
        request = Request(
            scope["method"],
            scope["path"],
            cast("bytes", scope["query_string"]).decode("latin-1"),
            {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers},
            await _body(receive),
        )
        what = turn(self.simulator, request)
        if what.wait_s > 0:
            await asyncio.sleep(what.wait_s)
        reply = what.act() if what.act is not None else Reply(200)
        if what.later is not None:
            asyncio.get_running_loop().call_later(what.later_s, what.later)
        if what.end == "hang":
            await asyncio.sleep(what.hang_s)
        if what.end != "answer":
            raise ConnectionResetError(f"the simulated system ended the connection ({what.end})")
        media_type = [(b"content-type", reply.media_type.encode())] if reply.media_type else []
        more = [(name.lower().encode(), value.encode()) for name, value in reply.headers]
        start = {"type": "http.response.start", "status": reply.status, "headers": [*media_type, *more]}
        await send(start)
        await send({"type": "http.response.body", "body": reply.body})


def _call_later(seconds: float, act: Callable[[], object]) -> object:
    return asyncio.get_running_loop().call_later(seconds, act)


async def _body(receive: Callable[[], Awaitable[Message]]) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
