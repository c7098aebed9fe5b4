"""From which epoch on a system may still be written to as the authority of a slice.

A move of authority raises the floor of the system that it leaves with its commit; what is older has ended by then, or
waits for a person, and goes to the authority of now if it goes again. An emergency leaves one that does not answer,
and raises the floor with its first commit: nothing of an older epoch is claimed for that system any more, and what a
call of an older epoch comes to is evidence and no outcome. Deliveries to the same system as a *mirror* are not meant:
they carry what another authority has confirmed, and may go whenever it is back.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, select

from gateway.database.rows import put_rows
from gateway.ledger.journal import Delivery
from gateway.ledger.tables import slice_target

#: (entity, region, system) -> the lowest epoch that lives
Floors = Mapping[tuple[str, str, str], int]

# On the path of every write: the table has a row for each authority that was ever left, so it is next to empty.
_ALL = select(
    slice_target.c.entity, slice_target.c.region, slice_target.c.system, slice_target.c.min_live_epoch
)


def read(connection: Connection) -> Floors:
    """Every floor that there is."""
    return {(row[0], row[1], row[2]): row[3] for row in connection.execute(_ALL)}


def drop(connection: Connection, key: tuple[str, str], system: str) -> None:
    """The authority was not left after all: what is older goes on there. The slice's lock is held."""
    connection.execute(
        delete(slice_target).where(
            slice_target.c.entity == key[0], slice_target.c.region == key[1], slice_target.c.system == system
        )
    )


def lift(connection: Connection, key: tuple[str, str], system: str, *, epoch: int) -> None:
    """Raises the floor of one authority to ``epoch``. The slice's lock is held, and epochs only rise."""
    put_rows(
        connection,
        slice_target,
        [{"entity": key[0], "region": key[1], "system": system, "min_live_epoch": epoch}],
        "entity",
        "region",
        "system",
        renew=("min_live_epoch",),
    )


def is_dead(floors: Floors, one: Delivery) -> bool:
    """Whether the delivery is to an authority that was left."""
    return one.role == "authority" and one.epoch < floors.get((one.entity, one.region, one.system), 0)
