"""Chooses how other processes are woken."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.telemetry import Log
from gateway.wake.port import Alone, Wake


def open_wake(redis: str | None, *, deployment: bytes, name: str, clock: Clock, log: Log) -> Wake:
    """Through the Redis at this address, or not at all. ``deployment`` tells those apart that share a Redis."""
    if redis is None:
        return Alone()
    from gateway.wake.over_redis import RedisWake  # the package is there only where it was asked for

    return RedisWake(redis, deployment=deployment, name=name, clock=clock, log=log)
