"""Changes the rule of a slice, and moves its authority behind a fence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select

from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.crash import crash_point
from gateway.database import Database
from gateway.dispatch.claim import MICROS
from gateway.errors import (
    FieldError,
    Malformed,
    RuleRefused,
    RuleVersionMoved,
    StoreUnavailable,
    UnknownRegion,
)
from gateway.ids import Ids
from gateway.ledger import slices
from gateway.ledger.slices import Slice, Slices
from gateway.ledger.tables import slice_
from gateway.proof import Notice
from gateway.routing import transition
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage
from gateway.switchover.fence import Fence, expect
from gateway.switchover.gates import Gates, stuck, unlinked
from gateway.telemetry import Log


class Switchover:
    """``told`` is called after each change, so that this process acts on it without waiting."""

    def __init__(
        self,
        *,
        database: Database,
        slices: Slices,
        gates: Gates,
        clock: Clock,
        ids: Ids,
        log: Log,
        drain_limit_s: float,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._slices = slices
        self._gates = gates
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
        taken: tuple[str, ...] = ()
        gates = () if current.stage is stage else transition.gates(current.stage, stage)
        if current.stage is not stage:
            known = await self._gates.mapping(entity, current.stage, stage) if "mapping" in gates else None
            # Whoever moves the slice has been shown them, and takes them with the reason given.
            taken = tuple(f"{one.path}: {one.words}" for one in known or ())
            failures = await self._gates.failures(current, stage, gates, known)
            if failures and not override:
                raise RuleRefused(
                    f"{entity} in {region} cannot go from {current.stage} to {stage}: {failures[0].message}",
                    errors=failures,
                    gates=[one.code for one in failures],
                )
            values.update(stage=stage.value, authority=PLANS[stage].authority.value)
        overridden = tuple(one.code for one in failures)
        if "open_deliveries" in gates:
            changed = await self._fenced(
                current,
                values,
                again=[gate for gate in gates if gate not in overridden],
                actor=actor,
                reason=reason,
                overridden=overridden,
                taken=taken,
            )
        else:
            changed = await self._database.transaction(
                lambda conn: self._commit(
                    conn, current, values, actor=actor, reason=reason, overridden=overridden, taken=taken
                )
            )
        crash_point("CP20")
        await self._slices.refresh()
        self._told()
        return changed

    async def mapping(self, entity: str, current: Stage, wanted: Stage) -> tuple[Notice, ...] | None:
        """What the mirror that begins with this move loses of the entity; None: no mirror begins, or nobody can say."""
        return await self._gates.mapping(entity, current, wanted)

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
        taken: tuple[str, ...],
    ) -> Slice:
        key = (before.entity, before.region)
        slices.lock_exclusive(connection, key)
        now_there = slices.read(connection, [key])[key]
        expect(now_there, before.version)
        now = self._database.now(connection)
        changed = slices.change(
            connection, now_there, values, at=now, actor=actor, reason=reason, overridden=overridden
        )
        self._audit(connection, now, actor, before, changed, reason, overridden, taken)
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
        taken: tuple[str, ...],
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
                **({"mapping": list(taken)} if taken else {}),
            },
        )

    # --- a move that drains first ----------------------------------------------------------------------------

    async def _fenced(
        self,
        before: Slice,
        values: Mapping[str, Any],
        *,
        again: Sequence[str],
        actor: str,
        reason: str,
        overridden: tuple[str, ...],
        taken: tuple[str, ...],
    ) -> Slice:
        """``again``: gates that have to hold after the drain too."""
        fenced = await self._database.transaction(lambda conn: self._fence.put(conn, before))
        crash_point("CP17")

        def commit(connection: Connection) -> Slice:
            key = (before.entity, before.region)
            slices.lock_exclusive(connection, key)
            there = slices.read(connection, [key])[key]
            if not there.draining or there.epoch != fenced.epoch:
                raise RuleVersionMoved("the fence of this move was lifted meanwhile", version=there.version)
            parked = stuck(connection, before) if "open_deliveries" in again else 0
            if parked:
                # It came to wait for a person while the others drained; nobody has been asked about it.
                raise _given_up(
                    "open_deliveries", f"{parked} deliveries wait for a person since the move began"
                )
            without = len(unlinked(connection, before, values["authority"])) if "crosswalk" in again else 0
            if without:
                # Its create was under way when the gates were looked at, and ended without one.
                raise _given_up(
                    "crosswalk",
                    f"{without} records of the slice without an id in the system that takes over",
                )
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
            self._audit(connection, now, actor, before, changed, reason, overridden, taken)
            self._fence.release(connection, changed, now)
            crash_point("CP19")
            return changed

        try:
            left = await self._fence.drain(fenced)
            if left:
                raise _given_up(
                    "open_deliveries",
                    f"{left} deliveries were still under way after {self._drain_limit_s:g} s",
                )
            return await self._database.transaction(commit)
        except BaseException:
            await asyncio.shield(self._give_up(fenced))
            raise

    async def _give_up(self, fenced: Slice) -> None:
        """Lifts the fence of this move, unless the move, or somebody else, has ended it."""
        try:
            await self._database.transaction(lambda conn: self._fence.lift(conn, fenced))
        except StoreUnavailable:
            # It is found again by its age, by any process.
            self._log.warning("a fence stays until it is stale", entity=fenced.entity, region=fenced.region)
        self._told()


def _given_up(gate: str, message: str) -> RuleRefused:
    return RuleRefused(
        f"{message}; the slice stays as it was",
        errors=[FieldError(pointer="/stage", code=gate, message=message)],
        gates=[gate],
    )
