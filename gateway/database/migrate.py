"""Brings a database to the tables of this version. Revisions only ever add (``expand_``) or, a version later, take
away what nobody reads any more (``contract_``), so that old and new processes can run on one journal."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url

from gateway.database.engine import sqlite_engine


def upgrade(url: str) -> None:
    """Runs every revision that the database has not had. Safe to run twice, and by several processes at once."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        engine = sqlite_engine(Path(address.database or "twinrun.db"))
        with engine.begin() as connection:
            _upgrade(connection)
        engine.dispose()
    else:
        asyncio.run(_upgrade_server(url))


def at_head(connection: Connection) -> bool:
    """Whether the database has the tables of this version."""
    return MigrationContext.configure(connection).get_current_heads() == tuple(
        ScriptDirectory.from_config(_config()).get_heads()
    )


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


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("gateway.database").joinpath("migrations")))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")
