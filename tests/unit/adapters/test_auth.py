"""How we say who we are, and that nobody overhears it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from adapters import auth
from adapters.errors import Misconfigured


async def no_login() -> dict[str, str]:
    raise AssertionError("nobody should log in here")


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, {}),
        ({"kind": "none"}, {}),
        ({"kind": "basic", "username": "a", "password": "b"}, {"Authorization": "Basic YTpi"}),
        ({"kind": "bearer", "token": "t"}, {"Authorization": "Bearer t"}),
    ],
)
async def test_fixed_headers(settings: dict[str, Any], headers: dict[str, str]) -> None:
    """Known from the settings; when they are refused there are no others."""
    built = auth.build(settings, no_login)
    assert built.headers == headers
    assert await built.renew(headers) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "kerberos"},
        {"kind": "basic", "username": "a"},
        {"kind": "bearer", "token": ""},
        {"kind": "session", "password": "secret-value"},
    ],
)
def test_incomplete_settings_stop_the_start(settings: dict[str, Any]) -> None:
    """The message names the key that is missing and no value of any other."""
    with pytest.raises(Misconfigured) as caught:
        auth.build(settings, no_login)
    assert "secret-value" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "basic", "username": "a", "password": "secret-value"},
        {"kind": "bearer", "token": "secret-value"},
        {"kind": "session", "username": "a", "password": "secret-value"},
    ],
)
def test_secrets_are_not_shown(settings: dict[str, Any]) -> None:
    """A repr travels into logs and traces."""
    assert "secret-value" not in repr(auth.build(settings, no_login))


async def test_many_callers_log_in_once() -> None:
    """A session that ends under load is renewed by one caller; the others take what it got."""
    logins = 0

    async def login() -> dict[str, str]:
        nonlocal logins
        logins += 1
        await asyncio.sleep(0)
        return {"Authorization": f"Session {logins}"}

    session = auth.Session(login)
    first = await asyncio.gather(*(session.obtain() for _ in range(10)))
    assert {id(headers) for headers in first} == {id(first[0])}
    second = await asyncio.gather(*(session.renew(first[0]) for _ in range(10)))
    assert logins == 2
    assert all(headers == {"Authorization": "Session 2"} for headers in second)


async def test_a_failed_login_is_tried_anew() -> None:
    """A failure is not remembered as a session, nor does it keep the lock."""
    answers = iter([Misconfigured("no"), {"Authorization": "Session 1"}])

    async def login() -> dict[str, str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    session = auth.Session(login)
    with pytest.raises(Misconfigured):
        await session.obtain()
    assert await session.obtain() == {"Authorization": "Session 1"}
