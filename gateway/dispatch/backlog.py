"""What is still under way, slice by slice; and single deliveries, for those who look after them."""

from __future__ import annotations

from typing import Any, TypedDict

from sqlalchemy import Connection, case, func, literal_column, select

from gateway.access import within
from gateway.audit import record as audited
from gateway.database import Database, among
from gateway.dispatch.claim import MICROS
from gateway.dispatch.operations import told_delivery
from gateway.dispatch.replay import replay
from gateway.errors import CannotReplay, NotFoundHere
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import delivery

_OPEN = [state.value for state in DELIVERY_OPEN]
#: Mirror deliveries of this long ago are what the lag is read from.
LAG_WINDOW_S = 600
LAG_SAMPLE = 500
#: The states stand in the statement: from a list that it would have to read first, SQLite makes a walk through every
#: delivery there is.
_BY_SYSTEM = (
    select(
        delivery.c.system,
        delivery.c.state,
        func.count().label("open"),
        func.min(delivery.c.created_at).label("oldest"),
    )
    .where(delivery.c.state.in_([literal_column(f"'{state}'") for state in sorted(_OPEN)]))
    .group_by(delivery.c.system, delivery.c.state)
)


class SliceBacklog(TypedDict):
    open: int
    parked: int
    unknown: int
    oldest_age_s: float | None  #: of what is still under way, parked ones left out
    lag_p99_s: float | None  #: from acceptance to applied by the mirror, over the last ten minutes


class SystemBacklog(TypedDict):
    open: dict[str, int]  #: by state, every open one
    oldest_age_s: float  #: of what is still under way, parked ones left out; 0.0 where nothing is


class Backlog:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def of_slices(self) -> dict[tuple[str, str], SliceBacklog]:
        """Every slice that has, or lately had, something under way."""
        return await self._database.read(self._of_slices)

    async def of_systems(self) -> dict[str, SystemBacklog]:
        """Every system that has something to be done. One statement over open rows alone, by the index on the state."""
        return await self._database.read(self._of_systems)

    def _of_systems(self, connection: Connection) -> dict[str, SystemBacklog]:
        now = self._database.now(connection)
        found: dict[str, SystemBacklog] = {}
        for row in connection.execute(_BY_SYSTEM):
            one = found.setdefault(row.system, SystemBacklog(open={}, oldest_age_s=0.0))
            one["open"][row.state] = row.open
            if row.state != DeliveryState.PARKED.value:
                one["oldest_age_s"] = max(one["oldest_age_s"], (now - row.oldest) / MICROS)
        return found

    def _of_slices(self, connection: Connection) -> dict[tuple[str, str], SliceBacklog]:
        now = self._database.now(connection)
        moving = case((delivery.c.state != DeliveryState.PARKED.value, delivery.c.created_at))
        found: dict[tuple[str, str], SliceBacklog] = {}
        for row in connection.execute(
            select(
                delivery.c.entity,
                delivery.c.region,
                func.count().label("open"),
                func.sum(case((delivery.c.state == DeliveryState.PARKED.value, 1), else_=0)).label("parked"),
                func.sum(case((delivery.c.state == DeliveryState.UNKNOWN.value, 1), else_=0)).label(
                    "unknown"
                ),
                func.min(moving).label("oldest"),
            )
            .where(among(delivery.c.state, _OPEN))
            .group_by(delivery.c.entity, delivery.c.region)
        ):
            found[row.entity, row.region] = SliceBacklog(
                open=row.open,
                parked=int(row.parked),
                unknown=int(row.unknown),
                oldest_age_s=None if row.oldest is None else (now - row.oldest) / MICROS,
                lag_p99_s=None,
            )
        lags: dict[tuple[str, str], list[int]] = {}
        for row in connection.execute(
            select(
                delivery.c.entity,
                delivery.c.region,
                (delivery.c.updated_at - delivery.c.created_at).label("lag"),
            )
            .where(
                delivery.c.state == DeliveryState.APPLIED.value,
                delivery.c.role == "mirror",
                delivery.c.updated_at > now - LAG_WINDOW_S * MICROS,
            )
            .order_by(delivery.c.id.desc())
            .limit(LAG_SAMPLE)
        ):
            lags.setdefault((row.entity, row.region), []).append(row.lag)
        for key, values in lags.items():
            values.sort()
            lag = values[min(len(values) - 1, int(len(values) * 0.99))] / MICROS
            one = found.get(key) or SliceBacklog(
                open=0, parked=0, unknown=0, oldest_age_s=None, lag_p99_s=None
            )
            one["lag_p99_s"] = lag
            found[key] = one
        return found


class Deliveries:
    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def list(
        self,
        *,
        state: str | None = None,
        system: str | None = None,
        entity: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> tuple[dict[str, Any], ...]:
        """Deliveries from the newest to the oldest; ``after`` is the id that the last page ended with."""

        def unit(connection: Connection) -> tuple[dict[str, Any], ...]:
            query = select(delivery).order_by(delivery.c.id.desc()).limit(limit)
            for column, value in (
                (delivery.c.state, state),
                (delivery.c.system, system),
                (delivery.c.entity, entity),
            ):
                if value is not None:
                    query = query.where(column == value)
            if after is not None:
                query = query.where(delivery.c.id < after)
            return tuple(told_delivery(row) for row in connection.execute(query))

        return await self._database.read(unit)

    async def replay(
        self,
        delivery_id: str,
        actor: str,
        *,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> dict[str, Any]:
        """Makes a parked mirror delivery ready again with the same marker. A mirror of master data that a newer state
        has overtaken is marked so instead. Raises NotFoundHere, and CannotReplay for one that does not wait, or that
        would undo a newer write."""

        def unit(connection: Connection) -> dict[str, Any]:
            row = connection.execute(select(delivery).where(delivery.c.id == delivery_id)).one_or_none()
            if row is None or not within(row.entity, row.region, entities, regions):
                raise NotFoundHere(f"no delivery {delivery_id}")
            now = self._database.now(connection)
            done = replay(connection, [delivery_id], at=now, by=actor, reason=None)
            if done.refused:
                raise CannotReplay("; ".join(done.refused.values()))
            audited(
                connection,
                at=now,
                actor=actor,
                action="delivery.replay",
                subject=delivery_id,
                detail={"superseded": bool(done.superseded)},
            )
            return told_delivery(
                connection.execute(select(delivery).where(delivery.c.id == delivery_id)).one()
            )

        return await self._database.transaction(unit)
