"""Waiting for a state, never for time."""

from __future__ import annotations

import pytest

from gateway.cli.demo.wire import TooLate, until


async def test_it_returns_what_was_seen() -> None:
    """The first state that is there ends the wait; 0 and an empty list are states, None is not."""
    seen = iter([None, None, 0])

    async def look() -> int | None:
        return next(seen)

    assert await until(look, "a number", 5) == 0


async def test_a_deadline_names_what_did_not_come() -> None:
    """Nothing is waited for without end, and the message says for what."""

    async def look() -> None:
        return None

    with pytest.raises(TooLate, match="the moon did not come within 0"):
        await until(look, "the moon", 0)
