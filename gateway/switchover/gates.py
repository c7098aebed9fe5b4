"""The gates of a move of a slice, measured: what stands against it now, by number.

The ones of the journal are looked at twice where a move drains first: before it begins, and under its fence when
nothing is under way any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Connection, func, select

from adapters.contract import Adapter
from adapters.errors import AdapterError
from gateway.canonical import BY_NAME
from gateway.crosswalk.store import Link
from gateway.crosswalk.tables import crosswalk
from gateway.database import Database, among
from gateway.dispatch.prepare import find_match
from gateway.dispatch.records import Records
from gateway.errors import FieldError, RuleRefused
from gateway.ledger.slices import Slice, Slices
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery, record
from gateway.proof import Notice, Proofs
from gateway.routing import transition
from gateway.routing.calendar import Calendar
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.switchover.fence import MOVING
from gateway.telemetry import Log

#: Records that one move tries to find in the system that takes over; more are a backfill's work.
MATCHED_BY_A_MOVE = 5_000
MATCHES_AT_ONCE = 16


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """What the gates say of a move. ``failures`` stand against it; ``taken`` is what the mirror that begins loses, in
    words, which whoever moves the slice has been shown and takes with the reason given."""

    failures: list[FieldError]
    known: tuple[Notice, ...] | None

    @property
    def taken(self) -> tuple[str, ...]:
        return tuple(f"{one.path}: {one.words}" for one in self.known or ())


class Gates:
    def __init__(
        self,
        database: Database,
        *,
        slices: Slices,
        adapters: Mapping[str, Adapter],
        records: Records,
        proofs: Proofs,
        calendar: Calendar,
        log: Log,
    ) -> None:
        self._database = database
        self._slices = slices
        self._adapters = adapters
        self._records = records
        self._proofs = proofs
        self.calendar = calendar
        self._log = log

    async def mapping(self, entity: str, current: Stage, wanted: Stage) -> tuple[Notice, ...] | None:
        """What the mirror that begins with this move loses of the entity; None: no mirror begins, or nobody can say."""
        if "mapping" not in transition.gates(current, wanted):
            return None
        authority = PLANS[current].authority
        return await self._proofs.notices(entity, authority.value, authority.other.value)

    async def weigh(self, current: Slice, wanted: Stage, *, override: bool) -> Weighed:
        """Measures every gate of the move. Raises RuleRefused with each that fails, unless they are overridden."""
        gates = transition.gates(current.stage, wanted)
        known = await self.mapping(current.entity, current.stage, wanted) if "mapping" in gates else None
        failures = await self._failures(current, wanted, gates, known)
        if failures and not override:
            raise RuleRefused(
                f"{current.entity} in {current.region} cannot go from {current.stage} to {wanted}: "
                f"{failures[0].message}",
                errors=failures,
                gates=[one.code for one in failures],
            )
        return Weighed(failures=failures, known=known)

    async def _failures(
        self, current: Slice, wanted: Stage, gates: tuple[str, ...], known: Sequence[Notice] | None
    ) -> list[FieldError]:
        facts: dict[str, int | None] = {}
        if "mapping" in gates:
            facts["mapping"] = None if known is None else sum(one.blocks for one in known)
        if "open_deliveries" in gates:
            facts["open_deliveries"] = await self._database.read(lambda conn: stuck(conn, current))
        if "crosswalk" in gates:
            facts["crosswalk"] = await self._complete_crosswalk(current, PLANS[wanted].authority.value)
        details: dict[str, str | None] = {}
        if "freeze" in gates:
            today = self._database.clock.now().date()
            details["freeze"] = self.calendar.frozen(current.entity, current.region, today)
            facts["freeze"] = int(details["freeze"] is not None)
        details["mapping"] = "; ".join(f"{one.path} {one.words}" for one in known or () if one.blocks)
        failures = [
            FieldError(
                pointer="/stage",
                code=one.gate,
                message=f"{one.message}: {detail}" if (detail := details.get(one.gate)) else one.message,
            )
            for one in transition.judge(current.stage, wanted, facts)
        ]
        stages = {(one.entity, one.region): one.stage for one in await self._slices.all()}
        failures.extend(
            FieldError(pointer="/stage", code="dependency", message=one.message)
            for one in transition.new_violations(stages, current.entity, current.region, wanted)
        )
        return failures

    async def _complete_crosswalk(self, current: Slice, system: str) -> int:
        """Looks the slice's unlinked records up in the system that takes over; returns how many it does not hold and
        is not being told of: what is under way, the move itself waits for, and counts again."""
        adapter = self._adapters.get(system)
        if adapter is None or not adapter.supports(current.entity):
            return 1
        missing = await self._database.read(lambda conn: unlinked(conn, current, system, under_way=False))
        places = asyncio.Semaphore(MATCHES_AT_ONCE)
        told_apart = BY_NAME[current.entity].told_apart_by and len(missing) <= MATCHED_BY_A_MOVE
        views = await self._records.views(row[0] for row in missing) if told_apart else {}

        async def one(record_id: str, match_key: str | None, legal_entity: str | None) -> bool:
            async with places:
                try:
                    image = views[record_id].image if record_id in views else None
                    found = await find_match(
                        adapter, current.entity, record_id, match_key, legal_entity, image
                    )
                except AdapterError as failed:
                    self._log.warning("not matched", record=record_id, system=system, reason=failed.message)
                    return False
            if found is None:
                return False
            return await self._records.keep_link(
                Link(
                    record_id=record_id,
                    system=system,
                    entity=current.entity,
                    native_id=found.native_id,
                    native_version=found.native_version,
                )
            )

        if len(missing) > MATCHED_BY_A_MOVE:
            return len(missing)
        found = await asyncio.gather(*(one(*row) for row in missing))
        return found.count(False)


def stuck(connection: Connection, one: Slice) -> int:
    """Deliveries that no waiting will end: a person has to."""
    return int(
        connection.execute(
            select(func.count())
            .select_from(delivery)
            .where(
                delivery.c.entity == one.entity,
                delivery.c.region == one.region,
                delivery.c.state == DeliveryState.PARKED.value,
            )
        ).scalar_one()
    )


def unlinked(
    connection: Connection, one: Slice, system: str, *, under_way: bool = True
) -> list[tuple[str, str | None, str | None]]:
    """Records without an id in the system; ``under_way``: also those that a delivery on its way will give one."""
    there = select(crosswalk.c.record_id).where(
        crosswalk.c.record_id == record.c.id, crosswalk.c.system == system
    )
    wanted = (
        select(record.c.id, record.c.match_key, record.c.legal_entity)
        .where(
            record.c.entity == one.entity,
            record.c.region == one.region,
            record.c.version > 0,
            record.c.merged_into.is_(None),
            ~there.exists(),
        )
        .limit(MATCHED_BY_A_MOVE + 1)
    )
    if not under_way:
        coming = select(delivery.c.id).where(
            delivery.c.record_id == record.c.id,
            delivery.c.system == system,
            among(delivery.c.state, MOVING),
        )
        wanted = wanted.where(~coming.exists())
    return [(row.id, row.match_key, row.legal_entity) for row in connection.execute(wanted)]
