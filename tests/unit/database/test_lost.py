"""What counts as a database that is not there."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError

from gateway.database.engine import _lost_told
from gateway.errors import StoreUnavailable


def _told(sqlstate: str | None) -> DBAPIError:
    """The error as the driver's adapter raises it for a state that it has no class for."""
    said = Exception("as the server says it")
    if sqlstate is not None:
        said.sqlstate = sqlstate  # type: ignore[attr-defined]
    return DBAPIError("SELECT 1", None, AsyncAdapt_asyncpg_dbapi.Error("as the server says it", said))


@pytest.mark.parametrize(
    "sqlstate",
    [
        pytest.param("57P01", id="stopped by its administrator"),
        pytest.param("57P02", id="a backend crashed, and all are restarted"),
        pytest.param("57P03", id="starting up, or recovering"),
        pytest.param("53300", id="too many connections"),
        pytest.param("53100", id="no room on its disk"),
        pytest.param("08006", id="the connection failed"),
    ],
)
def test_a_server_that_serves_nobody_is_not_there(sqlstate: str) -> None:
    """A server that starts, recovers, stops or is full is as good as none: callers are told to come back, and loops
    go on."""
    with pytest.raises(StoreUnavailable), _lost_told():
        raise _told(sqlstate)


@pytest.mark.parametrize("sqlstate", ["23505", "42703", "40P01", None])
def test_a_statement_that_fails_is_our_fault(sqlstate: str | None) -> None:
    """What the server refuses is never told as a lost server."""
    with pytest.raises(DBAPIError), _lost_told():
        raise _told(sqlstate)
