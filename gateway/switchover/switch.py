"""Changes the rule of a slice, and moves its authority behind a fence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, func, select

from adapters.contract import Adapter
from adapters.errors import AdapterError
from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.crosswalk.store import Link
from gateway.crosswalk.tables import crosswalk
from gateway.database import Database
from gateway.dispatch.claim import MICROS
from gateway.dispatch.prepare import find_match
from gateway.dispatch.records import Records
from gateway.errors import FieldError, Malformed, RuleRefused, RuleVersionMoved, UnknownRegion
from gateway.ids import Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice, Slices
from gateway.ledger.states import DeliveryState
from gateway.ledger.tables import delivery, record, slice_
from gateway.routing import transition
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.switchover.fence import Fence, expect
from gateway.telemetry import Log

#: Records that one move tries to find in the system that takes over; more are a backfill's work.
MATCHED_BY_A_MOVE = 5_000
MATCHES_AT_ONCE = 16


class Switchover:
    """``told`` is called after each change, so that this process acts on it without waiting."""

    def __init__(
        self,
        *,
        database: Database,
        slices: Slices,
        adapters: Mapping[str, Adapter],
        records: Records,
        clock: Clock,
        ids: Ids,
        log: Log,
        drain_limit_s: float,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._slices = slices
        self._adapters = adapters
        self._records = records
        self._log = log
        self._drain_limit_s = drain_limit_s
        self._told = told
        self._fence = Fence(database=database, clock=clock, ids=ids, drain_limit_s=drain_limit_s, told=told)

    async def set_stage(
        self,
        entity: str,
        region: str,
        *,
        stage: Stage,
        reason: str,
        expected_version: int,
        actor: str,
        override: bool = False,
        compare_sample: int | None = None,
        storable: bool | None = None,
        note: str | None = None,
    ) -> Slice:
        """Changes the rule of one slice. Raises UnknownRegion, RuleVersionMoved when somebody else changed it since
        ``expected_version``, and RuleRefused with each gate that stands against it."""
        if not reason.strip():
            raise Malformed(
                "a change of a rule needs a reason",
                errors=[
                    FieldError(
                        pointer="/reason", code="missing", message="say why; it is kept in the history"
                    )
                ],
            )
        current = (await self._database.read(lambda conn: slices.read(conn, [(entity, region)]))).get(
            (entity, region)
        )
        if current is None:
            raise UnknownRegion(f"no rule for {entity} in {region}")
        expect(current, expected_version)
        values: dict[str, Any] = {}
        if compare_sample is not None:
            values["compare_sample"] = compare_sample
        if storable is not None:
            values["storable"] = storable
        if note is not None:
            values["note"] = note
        failures: list[FieldError] = []
        gates = () if current.stage is stage else transition.gates(current.stage, stage)
        if current.stage is not stage:
            failures = await self._failures(current, stage, gates)
            if failures and not override:
                raise RuleRefused(
                    f"{entity} in {region} cannot go from {current.stage} to {stage}: {failures[0].message}",
                    errors=failures,
                    gates=[one.code for one in failures],
                )
            values.update(stage=stage.value, authority=PLANS[stage].authority.value)
        overridden = tuple(one.code for one in failures)
        if "open_deliveries" in gates:
            changed = await self._fenced(current, values, actor=actor, reason=reason, overridden=overridden)
        else:
            changed = await self._database.transaction(
                lambda conn: self._commit(
                    conn, current, values, actor=actor, reason=reason, overridden=overridden
                )
            )
        await self._slices.refresh()
        self._told()
        return changed

    async def lift_stale_fences(self) -> int:
        """Ends fences whose process is gone, in favour of the authority that was. Returns how many."""
        known = await self._database.read(slices.read)
        limit = int(3 * self._drain_limit_s * MICROS)

        def unit(connection: Connection, one: Slice) -> bool:
            slices.lock_exclusive(connection, (one.entity, one.region))
            since = connection.execute(
                select(slice_.c.drain_since).where(
                    slice_.c.entity == one.entity, slice_.c.region == one.region, slice_.c.draining.is_(True)
                )
            ).scalar_one_or_none()
            if since is None or since > self._database.now(connection) - limit:
                return False
            self._fence.lift(
                connection, slices.read(connection, [(one.entity, one.region)])[one.entity, one.region]
            )
            return True

        lifted = 0
        for one in known.values():
            if one.draining and await self._database.transaction(lambda conn, one=one: unit(conn, one)):
                self._log.warning("stale fence lifted", entity=one.entity, region=one.region)
                lifted += 1
        return lifted

    # --- gates -----------------------------------------------------------------------------------------------

    async def _failures(self, current: Slice, wanted: Stage, gates: tuple[str, ...]) -> list[FieldError]:
        facts: dict[str, int | None] = {}
        if "open_deliveries" in gates:
            facts["open_deliveries"] = await self._database.read(lambda conn: _stuck(conn, current))
        if "crosswalk" in gates:
            facts["crosswalk"] = await self._complete_crosswalk(current, PLANS[wanted].authority.value)
        failures = [
            FieldError(pointer="/stage", code=one.gate, message=one.message)
            for one in transition.judge(current.stage, wanted, facts)
        ]
        stages = {(one.entity, one.region): one.stage for one in await self._slices.all()}
        failures.extend(
            FieldError(pointer="/stage", code="dependency", message=one.message)
            for one in transition.new_violations(stages, current.entity, current.region, wanted)
        )
        return failures

    async def _complete_crosswalk(self, current: Slice, system: str) -> int:
        """Looks the slice's unlinked records up in the system that takes over; returns how many it does not hold."""
        adapter = self._adapters.get(system)
        if adapter is None or not adapter.supports(current.entity):
            return 1
        missing = await self._database.read(lambda conn: _unlinked(conn, current, system))
        places = asyncio.Semaphore(MATCHES_AT_ONCE)

        async def one(record_id: str, match_key: str | None, legal_entity: str | None) -> bool:
            async with places:
                try:
                    found = await find_match(adapter, current.entity, record_id, match_key, legal_entity)
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

    # --- a move that keeps the authority ---------------------------------------------------------------------

    def _commit(
        self,
        connection: Connection,
        before: Slice,
        values: Mapping[str, Any],
        *,
        actor: str,
        reason: str,
        overridden: tuple[str, ...],
    ) -> Slice:
        key = (before.entity, before.region)
        slices.lock_exclusive(connection, key)
        now_there = slices.read(connection, [key])[key]
        expect(now_there, before.version)
        now = self._database.now(connection)
        changed = slices.change(
            connection, now_there, values, at=now, actor=actor, reason=reason, overridden=overridden
        )
        self._audit(connection, now, actor, before, changed, reason, overridden)
        return changed

    def _audit(
        self,
        connection: Connection,
        now: int,
        actor: str,
        before: Slice,
        after: Slice,
        reason: str,
        overridden: tuple[str, ...],
    ) -> None:
        audited(
            connection,
            at=now,
            actor=actor,
            action="rule.set",
            subject=f"{before.entity}/{before.region}",
            detail={
                "before": before.stage.value,
                "after": after.stage.value,
                "version": after.version,
                "epoch": after.epoch,
                "reason": reason,
                "overridden": list(overridden),
            },
        )

    # --- a move that drains first ----------------------------------------------------------------------------

    async def _fenced(
        self,
        before: Slice,
        values: Mapping[str, Any],
        *,
        actor: str,
        reason: str,
        overridden: tuple[str, ...],
    ) -> Slice:
        fenced = await self._database.transaction(lambda conn: self._fence.put(conn, before))
        try:
            left = await self._fence.drain(fenced)
        except BaseException:
            await asyncio.shield(self._database.transaction(lambda conn: self._fence.lift(conn, fenced)))
            self._told()
            raise
        if left:
            await self._database.transaction(lambda conn: self._fence.lift(conn, fenced))
            self._told()
            raise RuleRefused(
                f"{left} deliveries were still under way after {self._drain_limit_s:g} s; the slice stays as it was",
                errors=[
                    FieldError(
                        pointer="/stage", code="open_deliveries", message=f"{left} deliveries are under way"
                    )
                ],
                gates=["open_deliveries"],
            )

        def commit(connection: Connection) -> Slice:
            key = (before.entity, before.region)
            slices.lock_exclusive(connection, key)
            there = slices.read(connection, [key])[key]
            if not there.draining or there.epoch != fenced.epoch:
                raise RuleVersionMoved("the fence of this move was lifted meanwhile", version=there.version)
            now = self._database.now(connection)
            changed = slices.change(
                connection,
                there,
                {**values, "draining": False, "drain_since": None},
                at=now,
                actor=actor,
                reason=reason,
                overridden=overridden,
            )
            self._audit(connection, now, actor, before, changed, reason, overridden)
            self._fence.release(connection, changed, now)
            return changed

        return await self._database.transaction(commit)


def _stuck(connection: Connection, one: Slice) -> int:
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


def _unlinked(connection: Connection, one: Slice, system: str) -> list[tuple[str, str | None, str | None]]:
    there = select(crosswalk.c.record_id).where(
        crosswalk.c.record_id == record.c.id, crosswalk.c.system == system
    )
    rows = connection.execute(
        select(record.c.id, record.c.match_key, record.c.legal_entity)
        .where(
            record.c.entity == one.entity,
            record.c.region == one.region,
            record.c.version > 0,
            ~there.exists(),
        )
        .limit(MATCHED_BY_A_MOVE + 1)
    )
    return [(row.id, row.match_key, row.legal_entity) for row in rows]
