"""What belongs to the deployment: made once by whichever process starts first, the same for all of them."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.access.tables import instance
from gateway.database import Database

SECRET = "secret"  # noqa: S105 - the name of the row, not its value


async def instance_secret(database: Database) -> bytes:
    """The 256-bit secret of this deployment, made once however many processes start together."""
    fresh = secrets.token_bytes(32)

    def unit(connection: Connection) -> bytes:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(
            insert(instance).values(name=SECRET, value=fresh).on_conflict_do_nothing(index_elements=["name"])
        )
        return bytes(
            connection.execute(select(instance.c.value).where(instance.c.name == SECRET)).scalar_one()
        )

    return await database.transaction(unit)
