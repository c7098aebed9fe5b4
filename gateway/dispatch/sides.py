"""The two systems and the journal as comparing needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, select

from adapters.contract import Adapter, Facts
from adapters.door import Urgency, urgent
from adapters.errors import Misconfigured, NotFound
from gateway.canonical import BY_NAME
from gateway.compare.observation import Fence, Held, Reading
from gateway.crosswalk.store import Link
from gateway.crosswalk.tables import crosswalk
from gateway.database import Database, GroupCommit, among
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.command import Document
from gateway.dispatch.prepare import find_match
from gateway.dispatch.records import Records
from gateway.dispatch.translate import expected
from gateway.ledger.journal import last_applied
from gateway.ledger.slices import Slices
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import delivery, lane, operation, record
from gateway.routing.plan import PLANS

#: A parked delivery is a person's, and its record's sides differ meanwhile; that is told, not waited for.
_MOVING = [state.value for state in DELIVERY_OPEN if state is not DeliveryState.PARKED]


_OWNERS = (
    select(
        record.c.id,
        record.c.entity,
        record.c.region,
        record.c.version,
        record.c.seq,
        crosswalk.c.system,
        crosswalk.c.native_id,
    )
    .outerjoin(crosswalk, crosswalk.c.record_id == record.c.id)
    # A tombstone has no sides.
    .where(among(record.c.id, "ids"), record.c.merged_into.is_(None))
)
_LANES = select(lane.c.record_id, lane.c.system, lane.c.applied_seq).where(among(lane.c.record_id, "ids"))
_DELIVERIES = (
    select(
        delivery.c.record_id,
        func.sum(case((among(delivery.c.state, "states"), 1), else_=0)).label("moving"),
        func.max(delivery.c.updated_at).label("quiet"),
    )
    .where(among(delivery.c.record_id, "ids"))
    .group_by(delivery.c.record_id)
)


_LAST_APPLIED = last_applied(delivery.c.system, operation.c.marker, delivery.c.updated_at).where(
    delivery.c.record_id == bindparam("record_id"),
    # What a backfill has found in a system was never sent there, so its marker cannot be seen.
    delivery.c.attempt > 0,
)


def _last_written(connection: Connection, record_id: str) -> dict[str, tuple[str, int]]:
    """The marker of the last write that each system has applied to the record, and when we knew it."""
    rows = connection.execute(_LAST_APPLIED, {"record_id": record_id})
    return {row.system: (row.marker, row.updated_at) for row in rows}


class ErpSides:
    def __init__(
        self,
        *,
        adapters: Mapping[str, Adapter],
        records: Records,
        adoption: Adoption,
        slices: Slices,
        database: Database,
    ) -> None:
        self._adapters = adapters
        self._records = records
        self._adoption = adoption
        self._slices = slices
        self._database = database
        #: Looks of one moment share their statements.
        self._fences: GroupCommit[str, Fence] = GroupCommit(
            database, self._fence_step, limit=200, read_only=True
        )

    async def read(self, system: str, entity: str, record_id: str, *, held: Held | None = None) -> Reading:
        """The record as ``system`` holds it, references canonical. Raises the errors of ``adapters.errors``."""
        adapter = self._adapters.get(system)
        if adapter is None or not adapter.supports(entity):
            raise Misconfigured(f"{system} holds no {BY_NAME[entity].collection}", system=system)
        # Comparing is what a busy system does last.
        with urgent(Urgency.COMPARE):
            if held is None:
                held = await self._where(adapter, entity, record_id)
            found = await adapter.fetch(entity, held.native_id)
            document = await self._adoption.marked(adapter, entity, found, region=held.region, sure=True)
            return Reading(document=document, marker=found.marker, version=found.native_version)

    def expect(self, system: str, entity: str, fields: Document) -> Document:
        """How fields would read after a round trip through the system: its declared losses applied."""
        return expected(self._adapters[system], BY_NAME[entity], fields)

    def facts(self, system: str, entity: str) -> Facts | None:
        """What the system's profile declares of an entity; None where it does not carry it."""
        adapter = self._adapters.get(system)
        return adapter.facts(entity) if adapter is not None and adapter.supports(entity) else None

    async def _where(self, adapter: Adapter, entity: str, record_id: str) -> Held:
        system = adapter.name
        view = await self._records.one(record_id)
        if view is None:
            raise NotFound(f"no record {record_id}", system=system)
        link = view.links.get(system)
        if link is None:
            found = await find_match(
                adapter, entity, record_id, view.match_key, view.legal_entity, view.image
            )
            if found is None:
                raise NotFound(f"{system} does not hold {record_id}", system=system)
            link = Link(
                record_id=record_id,
                system=system,
                entity=entity,
                native_id=found.native_id,
                native_version=found.native_version,
            )
            if not await self._records.keep_link(link):
                raise NotFound(
                    f"what {system} holds under the same number belongs to another record", system=system
                )
        return Held(link.native_id, view.region)

    async def fence(self, record_id: str) -> Fence:
        """Whether the record stands still, and what would show that it did not."""
        return await self._fences.submit(record_id)

    async def unshown(self, record_id: str, shown: Mapping[str, str | None]) -> int | None:
        """When the newest of our writes was applied, in microseconds UTC, that a system has not shown; None: there is
        none. A product may have room for the end of a marker only."""
        written = await self._database.read(lambda connection: _last_written(connection, record_id))
        hidden = [
            at
            for system, (marker, at) in written.items()
            if system in shown and not marker.endswith(shown[system] or "\0")
        ]
        return max(hidden, default=None)

    def _fence_step(self, connection: Connection, record_ids: Sequence[str]) -> list[Fence | Exception]:
        wanted = {"ids": sorted(set(record_ids))}
        owners: dict[str, Any] = {}
        held: dict[str, dict[str, Held]] = {}
        for row in connection.execute(_OWNERS, wanted):
            owners[row.id] = row
            if row.system is not None:
                held.setdefault(row.id, {})[row.system] = Held(row.native_id, row.region)
        lanes: dict[str, list[tuple[str, int]]] = {}
        for row in connection.execute(_LANES, wanted):
            lanes.setdefault(row.record_id, []).append((row.system, row.applied_seq))
        moving = {
            row.record_id: (row.moving, row.quiet)
            for row in connection.execute(_DELIVERIES, {**wanted, "states": _MOVING})
        }
        return [
            self._fence_of(owners.get(one), lanes.get(one, []), moving.get(one, (0, None)), held.get(one, {}))
            for one in record_ids
        ]

    def _fence_of(
        self,
        owner: Any,
        lanes: list[tuple[str, int]],
        moving: tuple[int, int | None],
        held: Mapping[str, Held],
    ) -> Fence:
        if owner is None:
            return Fence(open_deliveries=0, versions=(), quiet_since=None, paired=False)
        plan = PLANS[self._slices.cached(owner.entity, owner.region).stage]
        return Fence(
            open_deliveries=moving[0],
            versions=(owner.version, owner.seq, *sorted(lanes)),
            quiet_since=moving[1],
            paired=plan.mirror is not None,
            held=held,
        )
