"""Brings a database to the tables of this version. Revisions only ever add (``expand_``) or, a version later, take
away what nobody reads any more (``contract_``), so that old and new processes can run on one journal.

Alembic is imported only where there is something to bring up: it is a fifth of the start of a process."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, make_url, text

from gateway.database.engine import sqlite_engine

if TYPE_CHECKING:
    from alembic.config import Config

#: The newest revision. A test holds it against the files in ``migrations/versions``.
HEAD = "expand_0013_sets"


def upgrade(url: str) -> None:
    """Runs every revision that the database has not had. Safe to run twice, and by several processes at once."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        engine = sqlite_engine(Path(address.database or "twinrun.db"))
        try:
            with engine.begin() as connection:
                if not at_head(connection):
                    _upgrade(connection)
        finally:
            engine.dispose()
    else:
        asyncio.run(_upgrade_server(url))


def at_head(connection: Connection) -> bool:
    """Whether the database has the tables of this version."""
    if not inspect(connection).has_table("alembic_version"):
        return False
    return list(connection.execute(text("SELECT version_num FROM alembic_version")).scalars()) == [HEAD]


async def _upgrade_server(url: str) -> None:
    # It brings SQLAlchemy's whole ORM along, which SQLite does not need.
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    try:
        async with engine.begin() as connection:
            # Processes that start together take turns.
            await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(8271964)")
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def config(connection: Connection | None = None) -> Config:
    """Alembic's settings: where the revisions are, and what they are run on."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(files("gateway.database").joinpath("migrations")))
    if connection is not None:
        made.attributes["connection"] = connection
    return made


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(config(connection), "head")
