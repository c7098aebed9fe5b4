"""The loop for what an emergency has left behind: stranded writes are looked for when their system is back.

One by one, a few at a time, and never sent to that system. What is found counts as applied, through the resolver; what
is proven absent goes to whoever has the authority now; what stands in the books, or cannot be found out, stays with a
person. Any number of processes may run it: each step locks the deliveries and finds them still waiting, or leaves them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy import Connection

from gateway.audit import record as audited
from gateway.cases import close_for
from gateway.database import Database
from gateway.ledger import stranded
from gateway.ledger.decisions import Decided
from gateway.telemetry import Log

#: Writes that one round begins to look for, and sends again, in each system.
AT_ONCE = 16


class LeftBehind:
    """``answers`` asks a system for its health; ``told`` is called when something has become due."""

    def __init__(
        self,
        *,
        database: Database,
        answers: Callable[[str], Awaitable[bool]],
        log: Log,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._answers = answers
        self._log = log
        self._told = told

    async def run_once(self) -> int:
        """Begins the looks that can be made now, and sends on what is proven absent. Returns how many of both."""
        waiting = await self._database.read(lambda conn: stranded.waiting(conn, stranded.CUT_OFF))
        absent = await self._database.read(lambda conn: stranded.waiting(conn, stranded.ABSENT, most=AT_ONCE))
        done = 0
        for system in sorted({row.system for row in waiting}):
            if await self._answers(system):
                done += await self._database.transaction(lambda conn, system=system: self._look(conn, system))
        if absent:
            done += await self._database.transaction(self._send_on)
        if done:
            self._log.info("writes that were left behind are settled", count=done)
            self._told()
        return done

    def _look(self, connection: Connection, system: str) -> int:
        now = self._database.now(connection)
        rows = stranded.waiting(connection, stranded.CUT_OFF, system=system, most=AT_ONCE)
        looked = [Decided(delivery_id=row.id, detail="it answers again") for row in rows]
        return len(looked) - len(stranded.look_for(connection, looked, at=now))

    def _send_on(self, connection: Connection) -> int:
        now = self._database.now(connection)
        rows = stranded.waiting(connection, stranded.ABSENT, most=AT_ONCE)
        wanted = [Decided(delivery_id=row.id, detail=f"proven absent in {row.system}") for row in rows]
        unfit = stranded.send_again(connection, wanted, at=now)
        sent = [row for row in rows if row.id not in unfit]
        close_for(connection, delivery_ids=[row.id for row in sent], at=now, how="sent_again")
        for row in sent:
            audited(
                connection,
                at=now,
                actor="twinrun",
                action="stranded.send_again",
                subject=row.operation_id,
                detail={"slice": f"{row.entity}/{row.region}", "absent_in": row.system},
            )
        return len(sent)
