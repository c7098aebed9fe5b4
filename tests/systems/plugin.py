"""Fixtures of real systems. Where one cannot be had, its tests are left out and say why.

With ``CI`` or ``TWINRUN_REQUIRE_SERVERS`` set (to anything but an empty text, ``0`` or ``false``) that is a
failure: a green run then means that the tests ran.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.systems import databases
from tests.systems.databases import sqlite_journal as sqlite_journal
from tests.systems.redis import own_redis as own_redis
from tests.systems.sandbox import sandbox as sandbox
from tests.systems.sandbox import sandbox_process as sandbox_process
from tests.systems.tryton60.home import CannotInstall, Home, home
from tests.systems.tryton60.server import Tryton

_TIMES = pytest.StashKey[list[str]]()


def servers_required() -> bool:
    return any(os.environ.get(name, "").lower() not in ("", "0", "false") for name in _REQUIRING)


_REQUIRING = ("CI", "TWINRUN_REQUIRE_SERVERS")


def leave_out(system: str, cause: Exception) -> NoReturn:
    """Skip what needs this system, or fail where it is required."""
    reason = f"{system} is not to be had here: {cause}"
    if servers_required():
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def tryton_home(pytestconfig: pytest.Config) -> Home:
    """The installed and seeded ERP; its installation is made once per machine and kept."""
    try:
        made = home()
    except (CannotInstall, OSError) as cause:
        leave_out("Tryton 6.0", cause)
    _times(pytestconfig).extend(f"{part} {seconds:.1f} s" for part, seconds in made.seconds.items())
    return made


@pytest.fixture(scope="session")
def tryton(
    tryton_home: Home, tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Tryton]:
    """Tryton 6.0 with the seeded firm, shared by the session: a test that kills it starts it again."""
    run = Tryton(home=tryton_home, folder=tmp_path_factory.mktemp("tryton60"))
    try:
        run.start()
        _times(pytestconfig).append(f"start {run.start_s:.1f} s")
        yield run
    except CannotInstall as cause:
        leave_out("Tryton 6.0", cause)
    finally:
        run.stop()


@pytest.fixture
def tryton_alone(tryton_home: Home, tmp_path: Path) -> Iterator[Tryton]:
    """A run for one test, not started yet: for tests that stop it, kill it or change how it is configured."""
    run = Tryton(home=tryton_home, folder=tmp_path / "tryton60")
    try:
        yield run
    finally:
        run.stop()


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[str]:
    """A PostgreSQL database with this version's tables, made once a session."""
    try:
        yield from databases.template()
    except databases.NoServer as cause:
        leave_out("PostgreSQL", cause)


@pytest.fixture
def postgres_journal(postgres_template: str) -> Iterator[str]:
    """The address of a PostgreSQL journal of the test's own."""
    yield from databases.clone(postgres_template)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def journal(request: pytest.FixtureRequest) -> str:
    """The address of an empty journal, once on each database."""
    name = "sqlite_journal" if request.param == "sqlite" else "postgres_journal"
    return request.getfixturevalue(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The time limit is for the test: an installation has deadlines of its own, and may take longer."""
    for item in items:
        if "tryton_home" in getattr(item, "fixturenames", ()):
            limit = float(item.config.getini("timeout") or 0)
            item.add_marker(pytest.mark.timeout(limit, func_only=True))


def _times(config: pytest.Config) -> list[str]:
    return config.stash.setdefault(_TIMES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if times := _times(config):
        terminalreporter.write_line(f"Tryton 6.0: {', '.join(times)}")
