"""How a fault ends a request: what is still done, what is answered instead, how the connection goes. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable

from adapters.sandbox.faults import SECONDS, Fault
from adapters.sandbox.turns import Act, Reply, Turn

Failure = Callable[
    [int, str | None], Reply
]  #: status, Retry-After -> an error answer in the dialect's manner


def ended(fault: Fault, act: Act, wait_s: float, failure: Failure, now: int) -> Turn:
    """``now`` is microseconds since 1970, for a Retry-After that is a date."""
    silence_s = fault.s if fault.s is not None and fault.kind != "late" else SECONDS["hang"]
    done = act if fault.effect else None
    match fault.kind:
        case "answer_lost":
            return Turn(act, wait_s=wait_s, end=fault.how, hang_s=silence_s)
        case "late":
            return Turn(
                None, wait_s=wait_s, end=fault.how, hang_s=silence_s, later=act, later_s=fault.seconds
            )
        case "hang":
            return Turn(done, wait_s=wait_s, end="hang", hang_s=silence_s)
        case "error":
            retry = None if fault.retry_after_s is None else f"{fault.retry_after_s:g}"
            return Turn(_instead(done, failure(fault.status, retry)), wait_s=wait_s)
        case "throttle":
            return Turn(_instead(None, failure(429, _retry_after(fault, now))), wait_s=wait_s)
        case "garbage":
            return Turn(_halved(act, effect=fault.effect is not False), wait_s=wait_s)
        case "double":
            return Turn(_twice(act), wait_s=wait_s)
        case _:
            return Turn(None, wait_s=wait_s, end=fault.how, hang_s=silence_s)


def _retry_after(fault: Fault, now: int) -> str | None:
    seconds = fault.retry_after_s if fault.retry_after_s is not None else 1.0
    match fault.spelling:
        case "seconds":
            return f"{seconds:g}"
        case "date":
            moment = time.gmtime(now / 1_000_000 + seconds)
            return time.strftime("%a, %d %b %Y %H:%M:%S GMT", moment)
        case "none":
            return None


def _instead(act: Act | None, reply: Reply) -> Act:
    def run() -> Reply:
        if act is not None:
            act()
        return reply

    return run


def _halved(act: Act, *, effect: bool) -> Act:
    def run() -> Reply:
        reply = act() if effect else Reply(200, b'{"value": [<', "application/json")
        return Reply(200, reply.body[: max(len(reply.body) // 2, 1)] or b"<", reply.media_type)

    return run


def _twice(act: Act) -> Act:
    def run() -> Reply:
        first = act()
        act()
        return first

    return run
