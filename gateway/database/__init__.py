"""Commits. One code path for SQLite (embedded, one process) and PostgreSQL (any number of processes).

A *unit* is a plain function ``unit(conn) -> result`` over a SQLAlchemy Core connection. It cannot await, so no
network call can ever happen while a transaction is open. Units are handed to ``Database.transaction`` (writes)
or ``Database.read``. Writes that happen at the same time share commits: ``GroupCommit`` gathers what waits and
hands it to one set-based step; on SQLite one writer thread also puts the units of different steps into one
commit. A unit that fails never fails its neighbours: the batch is rolled back and rerun one by one.

Moments are stored as whole microseconds since 1970 UTC (``Instant``), JSON as text, so that both databases sort,
compare and print the same things. Each room declares its tables on the one ``metadata``; the migrations under
``migrations/`` are what makes them, and a test holds the two together.
"""

from gateway.database.among import among
from gateway.database.engine import Database, says_not_now
from gateway.database.group import GroupCommit
from gateway.database.metadata import Instant, Json, from_micros, metadata, moment, to_micros

__all__ = [
    "Database",
    "GroupCommit",
    "Instant",
    "Json",
    "among",
    "from_micros",
    "metadata",
    "moment",
    "says_not_now",
    "to_micros",
]
