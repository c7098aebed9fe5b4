"""The one MetaData, and the column types that read the same on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import BigInteger, MetaData, Text

from gateway.clock import rfc3339

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: Microseconds since 1970-01-01T00:00:00Z. An integer compares and sorts alike on both databases.
Instant = BigInteger
#: JSON text, written and read with msgspec by the room that owns the column.
Json = Text

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Whole microseconds since 1970 UTC. ``moment`` must be aware."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)


def moment(micros: int | None) -> str | None:
    """In the spelling of the API; None stays None."""
    return None if micros is None else rfc3339(from_micros(micros))
