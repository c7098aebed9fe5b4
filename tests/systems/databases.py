"""Journals for tests: an empty one on SQLite, or a clone of a template on PostgreSQL, made once a session."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from gateway.database.migrate import upgrade

#: An address that may create databases; tests use databases of their own names only.
SERVER = os.environ.get("TWINRUN_TEST_DATABASE", "postgresql://postgres@127.0.0.1:5432/postgres")


class NoServer(Exception):
    """PostgreSQL cannot be reached."""


def on_server(*statements: str) -> None:
    """Runs statements outside a transaction on the server's own database."""

    async def run() -> None:
        engine = create_async_engine(
            make_url(SERVER).set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT"
        )
        try:
            async with engine.connect() as connection:
                for statement in statements:
                    await connection.exec_driver_sql(statement)
        except OSError as cause:
            raise NoServer(str(cause)) from cause
        finally:
            await engine.dispose()

    asyncio.run(run())


def address(name: str) -> str:
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


def template() -> Iterator[str]:
    """The name of a database with this version's tables, to be cloned; dropped at the end."""
    name = f"twinrun_template_{secrets.token_hex(6)}"
    on_server(f"CREATE DATABASE {name}")
    try:
        upgrade(address(name))
        yield name
    finally:
        on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def clone(of: str) -> Iterator[str]:
    """The address of a fresh copy; dropped at the end."""
    name = f"twinrun_{secrets.token_hex(6)}"
    on_server(f"CREATE DATABASE {name} TEMPLATE {of}")
    try:
        yield address(name)
    finally:
        on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture
def sqlite_journal(tmp_path: Path) -> str:
    """The address of a SQLite journal with this version's tables."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    upgrade(url)
    return url
