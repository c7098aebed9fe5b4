"""How many accepted writes of each slice wait for their authority, as of a second ago at most."""

from __future__ import annotations

import asyncio

import msgspec
from sqlalchemy import Connection, func, select, union_all

from gateway.clock import Clock
from gateway.database import Database
from gateway.errors import StoreUnavailable
from gateway.ledger.states import OperationState
from gateway.ledger.tables import operation, slice_
from gateway.telemetry import Log

MICROS = 1_000_000
#: Seconds between two counts. A count looks at what waits and at nothing else, so it costs little where little does.
COUNT_S = 0.8
#: Writes ahead of one that are counted one by one when it is answered. (Measured with 20,000
#: waiting, on PostgreSQL: 0.3 ms for a thousand, 4 ms for all.)
COUNTED_AHEAD = 1_000

#: States in which a write waits for its authority.
WAITS = (OperationState.ACCEPTED.value, OperationState.HELD.value)


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    waiting: int = 0
    oldest_s: float = 0.0  #: how long the oldest of them has been waiting


_NONE = Queue()


class Queues:
    def __init__(self, *, database: Database, clock: Clock, log: Log) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._counted: dict[tuple[str, str], Queue] = {}
        self._task: asyncio.Task[None] | None = None

    def of(self, entity: str, region: str) -> Queue:
        """What waits in this slice. Writes that all processes have accepted since the last count are not in it."""
        return self._counted.get((entity, region), _NONE)

    async def start(self) -> None:
        await self.count()
        self._task = asyncio.create_task(self._keep_counting(), name="queues")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def count(self) -> None:
        self._counted = await self._database.read(self._count)

    def _count(self, connection: Connection) -> dict[tuple[str, str], Queue]:
        now = self._database.now(connection)
        return {
            (row.entity, row.region): Queue(waiting=row.waiting, oldest_s=(now - row.oldest) / MICROS)
            for row in connection.execute(_COUNT)
        }

    async def _keep_counting(self) -> None:
        while True:
            await self._clock.sleep(COUNT_S)
            try:
                await self.count()
            except StoreUnavailable as lost:
                # While it is away nothing can be accepted, so the old count does no harm.
                self._log.warning("waiting for the database", loop="queues", reason=str(lost))
            except Exception:  # noqa: BLE001 - a fault of ours must not end this loop for the life of the process
                self._log.exception("what waits could not be counted")


#: By way of the slices, so that each look goes by the index on (entity, region, state).
_COUNT = (
    select(
        slice_.c.entity,
        slice_.c.region,
        func.count().label("waiting"),
        func.min(operation.c.created_at).label("oldest"),
    )
    .join(operation, (operation.c.entity == slice_.c.entity) & (operation.c.region == slice_.c.region))
    .where(operation.c.state.in_(WAITS))
    .group_by(slice_.c.entity, slice_.c.region)
)


def ahead_of(
    connection: Connection, operation_id: str, entity: str, region: str, *, most: int | None = None
) -> int:
    """How many writes of the same slice wait that were accepted before this one, counted up to ``most``. Ids rise with
    time. State by state, since a server that has not counted the journal would ask the index for any of them and go
    through the whole slice."""
    before = union_all(
        *(
            select(operation.c.id).where(
                operation.c.entity == entity,
                operation.c.region == region,
                operation.c.state == state,
                operation.c.id < operation_id,
            )
            for state in WAITS
        )
    )
    counted = select(func.count()).select_from(before.limit(most).subquery())
    return connection.execute(counted).scalar_one()
