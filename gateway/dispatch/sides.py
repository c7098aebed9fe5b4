"""The two systems and the journal as comparing needs them."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, func, select

from adapters.contract import Adapter
from adapters.errors import Misconfigured, NotFound
from gateway.canonical import BY_NAME
from gateway.compare.observation import Fence
from gateway.crosswalk.store import Link
from gateway.database import Database, among
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.command import Document
from gateway.dispatch.records import Records
from gateway.dispatch.sender import find_match
from gateway.ledger.slices import Slices
from gateway.ledger.states import DELIVERY_OPEN, DeliveryState
from gateway.ledger.tables import delivery, lane, record
from gateway.routing.plan import PLANS

#: A parked delivery is a person's, and its record's sides differ meanwhile; that is told, not waited for.
_MOVING = [state.value for state in DELIVERY_OPEN if state is not DeliveryState.PARKED]


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

    async def read(self, system: str, entity: str, record_id: str) -> Document:
        """The record as ``system`` holds it, references canonical. Raises the errors of ``adapters.errors``."""
        adapter = self._adapters.get(system)
        if adapter is None or not adapter.supports(entity):
            raise Misconfigured(f"{system} holds no {BY_NAME[entity].collection}", system=system)
        view = await self._records.one(record_id)
        if view is None:
            raise NotFound(f"no record {record_id}", system=system)
        link = view.links.get(system)
        if link is None:
            found = await find_match(adapter, entity, record_id, view.match_key, view.legal_entity)
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
        found = await adapter.fetch(entity, link.native_id)
        return await self._adoption.document(adapter, entity, found, region=view.region)

    async def fence(self, record_id: str) -> Fence:
        """Whether the record stands still, and what would show that it did not."""

        def unit(connection: Connection) -> Fence | None:
            owner = connection.execute(
                select(
                    record.c.entity, record.c.region, record.c.version, record.c.seq, record.c.open_writes
                ).where(record.c.id == record_id)
            ).one_or_none()
            if owner is None:
                return None
            lanes = connection.execute(
                select(lane.c.system, lane.c.applied_seq)
                .where(lane.c.record_id == record_id)
                .order_by(lane.c.system)
            ).all()
            moving = connection.execute(
                select(func.count())
                .select_from(delivery)
                .where(delivery.c.record_id == record_id, among(delivery.c.state, _MOVING))
            ).scalar_one()
            quiet = connection.execute(
                select(func.max(delivery.c.updated_at)).where(delivery.c.record_id == record_id)
            ).scalar_one()
            slice_ = self._slices.cached(owner.entity, owner.region)
            plan = PLANS[slice_.stage]
            return Fence(
                open_deliveries=moving,
                versions=(owner.version, owner.seq, *((one.system, one.applied_seq) for one in lanes)),
                quiet_since=quiet,
                paired=plan.mirror is not None,
            )

        fence = await self._database.read(unit)
        return fence or Fence(open_deliveries=0, versions=(), quiet_since=None, paired=False)
