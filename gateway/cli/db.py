"""``twinrun db``: the tables of the gateway's own database."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from gateway.cli.screen import Json, put_json, say
from gateway.database.migrate import upgrade as bring_up
from gateway.errors import StoreUnavailable
from gateway.settings import load


def upgrade(*, json: Json = False) -> None:
    """Bring the database to the tables of this version. Safe to run twice, and by several at once."""
    settings = load()
    shown = settings.database.split("@")[-1]
    try:
        bring_up(settings.database)
    except (OSError, DBAPIError) as lost:
        raise StoreUnavailable(f"{shown} cannot be reached: {str(lost).splitlines()[0]}") from lost
    if json:
        put_json({"database": shown, "upgraded": True})
    else:
        say(f"{shown} has the tables of this version")
