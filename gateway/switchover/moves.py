"""Carries a switch through: fence, drain, commit or abort. Each step is one commit that also says, in the switch's
row, that it is done; so whoever finds a switch that nobody is at goes on from there.

Two processes at one switch do no harm: every step takes the slice's lock, reads the row, and leaves it as it is when
somebody else has done that step.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from gateway.audit import record as audited
from gateway.clock import Clock
from gateway.crash import crash_point
from gateway.database import Database
from gateway.dispatch.claim import MICROS
from gateway.errors import GatewayError, RuleVersionMoved, StoreUnavailable
from gateway.ledger import floors, slices
from gateway.ledger.slices import Slices
from gateway.routing import transition
from gateway.switchover import store, unmade
from gateway.switchover.edits import Edits, FeedKey, followed
from gateway.switchover.emergency import KIND as EMERGENCY
from gateway.switchover.escape import Escape
from gateway.switchover.evidence import Key
from gateway.switchover.fence import Fence, expect, moving
from gateway.switchover.gates import stuck, unlinked
from gateway.switchover.records import audit_rule, given_up
from gateway.switchover.states import SwitchEvent, SwitchState
from gateway.switchover.store import Problem, Switch
from gateway.telemetry import Log

#: How often a drain looks whether it is done, and how often it says that it is there.
LOOK_S = 0.1
HERE_S = 1.0
#: A switch that nobody has been at for this long is taken up by whoever sees it.
ABANDONED_S = 5.0


class Moves:
    """``told`` is called after each change, so that this process acts on it without waiting."""

    def __init__(
        self,
        *,
        database: Database,
        slices: Slices,
        fence: Fence,
        escape: Escape,
        edits: Edits,
        clock: Clock,
        log: Log,
        drain_limit_s: float,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._slices = slices
        self._fence = fence
        self._escape = escape
        self._edits = edits
        self._clock = clock
        self._log = log
        self._drain_limit_s = drain_limit_s
        self._stale = int(3 * drain_limit_s * MICROS)
        self._told = told
        self._carried: dict[str, asyncio.Task[Switch]] = {}

    def begin(self, id_: str) -> asyncio.Task[Switch]:
        """Carries a switch in a task of its own, which outlives whoever asked for it."""
        task = self._carried.get(id_)
        if task is None:
            task = self._carried[id_] = asyncio.create_task(self._carry(id_), name=f"switch {id_}")
            task.add_done_callback(lambda done: self._over(id_, done))
        return task

    @property
    def carrying(self) -> frozenset[str]:
        """The switches that this process is at."""
        return frozenset(self._carried)

    async def run_once(self) -> int:
        """Takes up what nobody is at, ends requests that were not approved in time, and lifts fences that no switch
        holds. Returns how many."""

        def unit(connection: Connection) -> tuple[Sequence[str], Sequence[str], Sequence[Key]]:
            now = self._database.now(connection)
            return (
                store.abandoned(connection, before=now - int(ABANDONED_S * MICROS)),
                store.expired(connection, now=now),
                store.orphaned(connection, before=now - self._stale),
            )

        abandoned, expired, orphaned = await self._database.read(unit)
        for id_ in expired:
            late = Problem(code="expired", message="nobody approved it in time")
            await self.abort(id_, late, by="", only=SwitchState.REQUESTED)
        for id_ in abandoned:
            if id_ not in self._carried:
                self._log.warning("a switch is taken up again", switch=id_)
                self.begin(id_)
        for key in orphaned:
            await self._database.transaction(lambda conn, key=key: self._lift_orphan(conn, key))
            self._log.warning("stale fence lifted", entity=key[0], region=key[1])
            self._told()
        return len(abandoned) + len(expired) + len(orphaned)

    async def stop(self) -> None:
        """Leaves what is under way to the others, or to the next start."""
        for task in self._carried.values():
            task.cancel()
        await asyncio.gather(*self._carried.values(), return_exceptions=True)

    async def abort(
        self, id_: str, problem: Problem, *, by: str, only: SwitchState | None = None
    ) -> Switch | None:
        """Ends a switch that has not ended: the slice stays as it was, and held writes go to the authority that was.
        ``only``: unless it has left this state. An emergency whose authority has turned goes on. Returns what has
        become of it; None: there is none."""

        def unit(connection: Connection) -> Switch | None:
            there = store.held(connection, id_)
            if there is None or there.ended_at is not None or only not in (None, there.state):
                return there
            if self._escape.turned(there):
                return there
            if there.state is SwitchState.DRAINING:
                current = slices.read(connection, [there.key])[there.key]
                if there.kind == EMERGENCY:
                    floors.drop(connection, there.key, current.authority.value)
                self._fence.lift(connection, msgspec.structs.replace(current, epoch=there.epoch or 0))
            now = self._database.now(connection)
            _audit(connection, there, at=now, actor=by, action="switch.abort", problem=problem.message)
            return store.change(
                connection,
                there,
                SwitchEvent.GIVEN_UP,
                {"problem": problem, "ended_at": now, "ended_by": by or None, "looked_at": now},
            )

        ended = await self._database.transaction(unit)
        self._told()
        return ended

    # --- the steps -------------------------------------------------------------------------------------------

    async def _carry(self, id_: str) -> Switch:
        try:
            there = await self._step(id_, self._begin)
            if there.state is SwitchState.FENCING:
                there = await self._step(id_, self._put_fence)
                crash_point("CP17")
            if there.state is SwitchState.DRAINING:
                if there.kind == EMERGENCY:
                    there = await self._escape.carry(there, self._step)
                else:
                    there = await self._drained(there)
                rule_on_disk()
        except GatewayError as refused:
            return await self._give_up(id_, refused)
        finally:
            self._told()
        await self._slices.refresh()
        return there

    async def _step(self, id_: str, step: Callable[[Connection, Switch], Switch]) -> Switch:
        """One commit under the slice's lock. A step that somebody else has done meanwhile is left out."""

        def unit(connection: Connection) -> Switch:
            there = store.held(connection, id_)
            if there is None:
                raise LookupError(f"no switch {id_}")
            return there if there.ended_at is not None else step(connection, there)

        return await self._database.transaction(unit)

    def _begin(self, connection: Connection, there: Switch) -> Switch:
        if there.state not in (SwitchState.APPROVED, SwitchState.FENCING):
            return there
        return store.change(
            connection, there, SwitchEvent.BEGUN, {"looked_at": self._database.now(connection)}
        )

    def _put_fence(self, connection: Connection, there: Switch) -> Switch:
        if there.state is not SwitchState.FENCING:
            return there
        current = slices.read(connection, [there.key])[there.key]
        expect(current, there.rule_version)
        followed = self._followed(there)
        if followed is not None and followed[1] >= self._drain_limit_s:
            # Nobody is made to wait for what cannot be.
            system, lag_s = followed[0][0], followed[1]
            message = f"{system} may show an edit {lag_s:g} s late, and drain_limit_s is {self._drain_limit_s:g}"
            raise given_up("change_feed", message)
        fenced = self._fence.put(connection, current)
        counts = self._escape.begin(connection, fenced) if there.kind == EMERGENCY else None
        now = self._database.now(connection)
        if followed is not None:
            past = now + int(followed[1] * MICROS)
            self._edits.ask(connection, followed[0], epoch=fenced.epoch, past=past)
        crash_point("CP31")
        return store.change(
            connection,
            there,
            SwitchEvent.FENCED,
            {
                "epoch": fenced.epoch,
                "fenced_at": now,
                "drain_until": now + int(self._drain_limit_s * MICROS),
                "counts": counts,
                "looked_at": now,
            },
        )

    async def _drained(self, there: Switch) -> Switch:
        """Drains and commits, once more where an edit was taken in between the two."""
        while there.state is SwitchState.DRAINING:
            await self._drain(there)
            there = await self._step(there.id, self._commit)
        return there

    async def _drain(self, there: Switch) -> None:
        """Waits until nothing of the old epoch is under way and the edits made in the system that is left are read, or
        somebody else has ended the switch. Raises RuleRefused when the limit is reached."""

        def look(connection: Connection) -> tuple[int, str | None, int, Switch | None]:
            return (
                moving(connection, there.key, there.epoch or 0),
                self._unread(connection, there),
                self._database.now(connection),
                store.one(connection, there.id),
            )

        said_at = self._clock.monotonic() - HERE_S
        while True:
            self._told()
            left, unread, now, seen = await self._database.read(look)
            crash_point("CP18")
            if (left == 0 and unread is None) or seen is None or seen.state is not SwitchState.DRAINING:
                return
            if now >= (there.drain_until or 0):
                if left == 0 and unread is not None:
                    raise given_up("change_feed", f"{unread}, after {self._drain_limit_s:g} s")
                message = f"{left} deliveries were still under way after {self._drain_limit_s:g} s"
                raise given_up("open_deliveries", message)
            if unread is not None:
                self._edits.told()
            if self._clock.monotonic() - said_at >= HERE_S:
                said_at = self._clock.monotonic()
                # Without the slice's lock, which the writes that are held meanwhile need.
                await self._database.transaction(
                    lambda conn, left=left, now=now: store.still(conn, there.id, remaining=left, at=now)
                )
            await self._clock.sleep(LOOK_S)

    def _followed(self, there: Switch) -> tuple[FeedKey, float] | None:
        """The feed that this move waits for, and its lag in seconds. An emergency waits for nothing that it leaves."""
        if there.kind == EMERGENCY:
            return None
        return followed(self._edits, there.entity, there.region, there.from_stage, there.to_stage)

    def _unread(self, connection: Connection, there: Switch) -> str | None:
        """What is still to be read of the edits made in the system that is left, in words."""
        feed = self._followed(there)
        if feed is None or there.fenced_at is None:
            return None
        return self._edits.unread(connection, feed[0], past=there.fenced_at + int(feed[1] * MICROS))

    def _commit(self, connection: Connection, there: Switch) -> Switch:
        if there.state is not SwitchState.DRAINING:
            return there
        current = slices.read(connection, [there.key])[there.key]
        if not current.draining or current.epoch != there.epoch:
            raise RuleVersionMoved("the fence of this move was lifted meanwhile", version=current.version)
        if moving(connection, there.key, there.epoch or 0) or self._unread(connection, there) is not None:
            # An edit was taken in since the last look: it is drained with the rest.
            return there
        parked = 0 if "open_deliveries" in there.overridden else stuck(connection, current)
        if parked:
            # It came to wait for a person while the others drained; nobody has been asked about it.
            raise given_up("open_deliveries", f"{parked} deliveries wait for a person since the move began")
        gates = transition.gates(there.from_stage, there.to_stage)
        linked = "crosswalk" in gates and "crosswalk" not in there.overridden
        without = len(unlinked(connection, current, there.next_authority)) if linked else 0
        if without:
            # Its create was under way when the gates were looked at, and ended without one.
            raise given_up(
                "crosswalk", f"{without} records of the slice without an id in the system that takes over"
            )
        now = self._database.now(connection)
        changed = slices.change(
            connection,
            current,
            {
                **there.rule,
                "stage": there.to_stage.value,
                "authority": there.next_authority,
                "draining": False,
                "drain_since": None,
            },
            at=now,
            actor=there.requested_by,
            reason=there.reason,
            overridden=there.overridden,
        )
        audit_rule(connection, now, current, changed, there)
        unmade.settle(connection, changed, at=now)
        if changed.authority is not current.authority:
            floors.lift(connection, there.key, current.authority.value, epoch=changed.epoch)
        self._fence.release(connection, changed, now)
        crash_point("CP19")
        return store.change(
            connection,
            there,
            SwitchEvent.DRAINED,
            {"ended_at": now, "ended_by": there.approved_by, "remaining": 0, "looked_at": now},
        )

    # --- what goes wrong -------------------------------------------------------------------------------------

    async def _give_up(self, id_: str, refused: GatewayError) -> Switch:
        codes = [one.code for one in refused.errors]
        problem = Problem(
            code=codes[0] if codes else _code(refused), message=refused.detail or refused.title()
        )
        try:
            ended = await self.abort(id_, problem, by="")
        except StoreUnavailable:
            # Whoever finds it goes on from where it stands.
            self._log.warning("a switch stays where it is", switch=id_)
            raise refused from None
        if ended is None or ended.state is SwitchState.COMMITTED or isinstance(refused, StoreUnavailable):
            raise refused
        return ended

    def _lift_orphan(self, connection: Connection, key: Key) -> None:
        """Ends a fence that no switch holds, in favour of the authority that was."""
        slices.lock_exclusive(connection, key)
        before = self._database.now(connection) - self._stale
        if key in store.orphaned(connection, before=before):
            self._fence.lift(connection, slices.read(connection, [key])[key])

    def _over(self, id_: str, task: asyncio.Task[Switch]) -> None:
        self._carried.pop(id_, None)
        if not task.cancelled() and (raised := task.exception()) is not None:
            # Whoever waits for it is told as well; where nobody waits this is the only word.
            self._log.warning("a switch was not carried through", switch=id_, reason=str(raised))


def rule_on_disk() -> None:
    """A changed rule is on disk, and nobody has been told."""
    crash_point("CP20")


def _audit(connection: Connection, one: Switch, *, at: int, actor: str, action: str, **more: Any) -> None:
    detail: Mapping[str, Any] = {
        "slice": f"{one.entity}/{one.region}",
        "from": one.from_stage.value,
        "to": one.to_stage.value,
        "state": one.state.value,
        "evidence": one.evidence_hash,
        "reason": one.reason,
        **more,
    }
    audited(connection, at=at, actor=actor or "twinrun", action=action, subject=one.id, detail=dict(detail))


def _code(refused: GatewayError) -> str:
    return "rule_moved" if isinstance(refused, RuleVersionMoved) else "store"
