"""Carries an emergency through, behind its fence: cut off, deliver, turn, release.

*Cut off*: from the fence on the dead system's old deliveries are claimed by nobody; part by part they are recalled or
stranded. *Deliver*: what it had confirmed goes to the heir. *Turn*: the heir is the authority, writes are still held.
*Release*: part by part what was held goes to the heir, and with the last part the fence is gone. Each part and each
step is one commit, which also says in the switch's row how far it has come; whoever finds it goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from sqlalchemy import Connection

from gateway.audit import record as audited
from gateway.cases import Kind, Opening, open_cases
from gateway.clock import Clock
from gateway.crash import crash_point
from gateway.database import Database
from gateway.errors import RuleVersionMoved
from gateway.ids import Ids
from gateway.ledger import floors, slices, stranded
from gateway.ledger.slices import Slice
from gateway.routing.plan import PLANS
from gateway.switchover import store, unmade
from gateway.switchover.emergency import undelivered
from gateway.switchover.fence import Fence
from gateway.switchover.records import audit_rule, given_up
from gateway.switchover.states import SwitchEvent, SwitchState
from gateway.switchover.store import Counts, Switch

#: Writes that one commit cuts off, or lets go: tens of milliseconds under the slice's lock.
PART = 500
LOOK_S = 0.1
HERE_S = 1.0

CUTTING_OFF, DELIVERING, RELEASING = "cutting_off", "delivering", "releasing"

Step = Callable[[Connection, Switch], Switch]


class Escape:
    """``answers`` asks a system for its health; ``quarantine_s`` says of system and entity for how long a request that
    was given up may still land; ``told`` is called when something may have to be sent."""

    def __init__(
        self,
        *,
        database: Database,
        fence: Fence,
        clock: Clock,
        ids: Ids,
        answers: Callable[[str], Awaitable[bool]],
        quarantine_s: Callable[[str, str], float],
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._fence = fence
        self._clock = clock
        self._ids = ids
        self._answers = answers
        self._quarantine_s = quarantine_s
        self._told = told

    def begin(self, connection: Connection, fenced: Slice) -> Counts:
        """In the commit of the fence: from now on the dead system is written to by nobody, and answers too late."""
        key = (fenced.entity, fenced.region)
        floors.lift(connection, key, fenced.authority.value, epoch=fenced.epoch)
        return Counts(at=CUTTING_OFF)

    @staticmethod
    def turned(there: Switch) -> bool:
        """Whether the heir has the authority already, so that there is no way back but another switch."""
        return there.counts is not None and there.counts.at == RELEASING

    async def carry(self, there: Switch, step: Callable[[str, Step], Awaitable[Switch]]) -> Switch:
        """From where it stands to its end. Raises RuleRefused when the heir does not take what is to be delivered."""
        while _is_at(there, CUTTING_OFF):
            there = await step(there.id, self._cut_off)
        if _is_at(there, DELIVERING):
            left = await self._delivered(there)
            there = await step(there.id, lambda conn, now: self._turn(conn, now, left))
        while _is_at(there, RELEASING):
            there = await step(there.id, self._release)
            self._told()
        return there

    # --- the steps -------------------------------------------------------------------------------------------

    def _cut_off(self, connection: Connection, there: Switch) -> Switch:
        if not _is_at(there, CUTTING_OFF):
            return there
        current = self._current(connection, there)
        now = self._database.now(connection)
        part = stranded.cut_off(
            connection, there.key, current.authority.value, epoch=current.epoch, most=PART, at=now,
            quarantine_s=self._quarantine_s,
        )  # fmt: skip
        open_cases(
            connection,
            [
                Opening(
                    kind=Kind.STRANDED,
                    operation_id=row.id,
                    record_id=row.record_id,
                    entity=row.entity,
                    region=row.region,
                    delivery_id=line.id,
                    system=line.system,
                    role=line.role,
                    code=stranded.CUT_OFF,
                    message=f"cut off by {there.id}: {there.reason}",
                    document=msgspec.json.decode(row.image or row.change),
                )
                for row, line in part.stranded
            ],
            at=now,
            ids=self._ids,
        )
        counts = _counts(there)
        after = msgspec.structs.replace(
            counts,
            at=CUTTING_OFF if part.looked else DELIVERING,
            stranded=counts.stranded + len(part.stranded),
            recalled=counts.recalled + part.recalled,
        )
        crash_point("CP26")
        return store.change(connection, there, None, {"counts": after, "looked_at": now})

    async def _delivered(self, there: Switch) -> int:
        """Waits until the heir has what the dead system had confirmed, or the limit is reached. Then what is left goes
        on in its lanes, where nothing newer of the same record passes it, if the heir answers; how many that are."""
        heir = there.next_authority
        said_at = self._clock.monotonic() - HERE_S

        def look(connection: Connection) -> tuple[int, int, Switch | None]:
            return (
                undelivered(connection, there.key, heir, epoch=there.epoch or 0),
                self._database.now(connection),
                store.one(connection, there.id),
            )

        while True:
            self._told()
            left, now, seen = await self._database.read(look)
            if left == 0 or seen is None or not _is_at(seen, DELIVERING):
                return left
            if now >= (there.drain_until or 0):
                if await self._answers(heir):
                    return left
                message = f"{left} confirmed writes are not in {heir}, and it does not answer"
                raise given_up("successor", message)
            if self._clock.monotonic() - said_at >= HERE_S:
                said_at = self._clock.monotonic()
                await self._database.transaction(
                    lambda conn, left=left, now=now: store.still(conn, there.id, remaining=left, at=now)
                )
            await self._clock.sleep(LOOK_S)

    def _turn(self, connection: Connection, there: Switch, left: int) -> Switch:
        if not _is_at(there, DELIVERING):
            return there
        current = self._current(connection, there)
        now = self._database.now(connection)
        changed = slices.change(
            connection,
            current,
            {**there.rule, "stage": there.to_stage.value, "authority": there.next_authority},
            at=now,
            actor=there.requested_by,
            reason=there.reason,
            overridden=there.overridden,
        )
        audit_rule(connection, now, current, changed, there)
        unmade.settle(connection, changed, at=now)
        counts = msgspec.structs.replace(_counts(there), at=RELEASING, undelivered=left)
        crash_point("CP27")
        return store.change(connection, there, None, {"counts": counts, "remaining": left, "looked_at": now})

    def _release(self, connection: Connection, there: Switch) -> Switch:
        if not _is_at(there, RELEASING):
            return there
        current = self._current(connection, there)
        now = self._database.now(connection)
        gone = self._fence.release(connection, current, now, most=PART)
        counts = msgspec.structs.replace(_counts(there), released=_counts(there).released + gone)
        if gone == PART:
            crash_point("CP28")
            return store.change(connection, there, None, {"counts": counts, "looked_at": now})
        slices.change(
            connection, current, {"draining": False, "drain_since": None},
            at=now, actor="", reason="", numbered=False,
        )  # fmt: skip
        audited(
            connection,
            at=now,
            actor=there.requested_by,
            action="switch.emergency",
            subject=there.id,
            detail={
                "slice": f"{there.entity}/{there.region}",
                "left": PLANS[there.from_stage].authority.value,
                "stranded": counts.stranded,
                "recalled": counts.recalled,
                "undelivered": counts.undelivered,
                "approved_by": there.approved_by,
                "evidence": there.evidence_hash,
            },
        )
        return store.change(
            connection,
            there,
            SwitchEvent.DRAINED,
            {"counts": counts, "ended_at": now, "ended_by": there.approved_by, "looked_at": now},
        )

    def _current(self, connection: Connection, there: Switch) -> Slice:
        current = slices.read(connection, [there.key])[there.key]
        if not current.draining or current.epoch != there.epoch:
            raise RuleVersionMoved("the fence of this move was lifted meanwhile", version=current.version)
        return current


def _is_at(there: Switch, where: str) -> bool:
    return there.state is SwitchState.DRAINING and there.counts is not None and there.counts.at == where


def _counts(there: Switch) -> Counts:
    assert there.counts is not None  # written with the fence
    return there.counts
