"""What people on the operations side do: they move the authority or leave it, cancel, and decide cases.

An operator is as careful as the texts of the program ask: before a write is said to be applied or not, or is sent
once more, the system itself is looked at, when nothing that was sent before can land there any more.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from gateway.backfill.run import Act
from gateway.cases.case import Case
from gateway.cases.kinds import Resolution, needs_second
from gateway.cases.queries import Filter, page
from gateway.cases.resolve import Decision
from gateway.database import to_micros
from gateway.dispatch.dead_letters import Narrowed
from gateway.errors import GatewayError
from gateway.merging import MergeWish
from gateway.routing.stage import Stage
from tests.model.stepped import SteppedWorld
from tests.model.streams import Streams
from tests.simulation.callers import Lost
from tests.simulation.history import History
from tests.simulation.loop import Process
from tests.simulation.scenario import REGION

#: Decisions that say that the system does not have the write, or that it may get it once more.
_ABSENT = (
    Resolution.NOT_APPLIED_RESEND,
    Resolution.NOT_APPLIED_REFUSE,
    Resolution.REPLAY,
    Resolution.ACCEPT_DIVERGENCE,
)


class Operator:
    """Acts on a world, and tells the model what it must expect from then on."""

    def __init__(self, world: SteppedWorld, streams: Streams) -> None:
        self._world = world
        self._streams = streams

    # --- moves of authority ------------------------------------------------------------------------------------

    def move(self, entity: str, step: int, *, override: bool, patience_s: float) -> None:
        """Begins to move a slice by one stage, up or down; it may be given up after ``patience_s``."""
        order = tuple(Stage)

        def choose(there: Stage) -> tuple[Stage, bool]:
            return order[min(max(there.position + step, 0), len(order) - 1)], override

        self._begin(self._world.move(entity, choose, name="a move", patience_s=patience_s))

    def leave(self, entity: str, *, override: bool, thinks_s: float) -> None:
        """Two persons leave the authority of a slice that the cloud leads; the second one approves after so long."""
        leaving = self._world.leave(
            entity, name="an emergency", override=lambda: override, thinks_s=lambda: thinks_s
        )
        self._begin(leaving)

    def open_mirror(self, entity: str) -> None:
        """Where a slice keeps one system only, the other one is to be kept as well from now on."""
        before = {Stage.LEGACY_ONLY: Stage.DUAL_WRITE, Stage.CLOUD_ONLY: Stage.RAMP_DOWN}

        def choose(there: Stage) -> tuple[Stage, bool]:
            return before.get(there, there), True

        stages = {row["entity"]: row["stage"] for row in self._world.store.rows("SELECT * FROM slice")}
        if Stage(stages[entity]) in before:
            self._begin(self._world.move(entity, choose, name="a mirror", patience_s=60.0))

    # --- backfills ---------------------------------------------------------------------------------------------

    def backfill(self, entity: str) -> None:
        """Has what a mirror lacks brought to it."""
        self._begin(
            self._asked(
                lambda replica: replica.backfiller.start(entity, REGION, actor="ann"), f"backfills {entity}"
            )
        )

    def act_on_backfills(self, act: Act) -> None:
        """Pauses, resumes or cancels whatever backfills there are."""

        async def acting() -> None:
            for row in self._world.store.rows("SELECT id FROM backfill_run ORDER BY id"):
                await self._asked(
                    lambda replica, id_=row["id"]: replica.backfiller.act(id_, act, actor="ann"),
                    f"{act} {row['id']}",
                )

        self._begin(acting())

    # --- operations --------------------------------------------------------------------------------------------

    def cancel(self, operation_id: str) -> None:
        async def cancelling() -> None:
            async def cancel(replica: Any) -> Any:
                return await replica.operations.cancel(operation_id, regions=None, entities=None)

            if await self._asked(cancel, f"cancels {operation_id}"):
                self._streams.cancelled.add(operation_id)

        self._begin(cancelling())

    # --- merges ------------------------------------------------------------------------------------------------

    def merge(self, loser: str, winner: str, *, both: bool, thinks_s: float) -> None:
        """One person asks for it, and another approves it after so long."""
        wish = MergeWish(loser=loser, winner=winner, reason="entered twice", both=both)

        async def merging() -> None:
            done = await self._decided(lambda replica: replica.merging.request(wish, actor="ann"), thinks_s)
            if done is not None:
                self._streams.merged[done.id] = done.loser, self._world.loop.time()

        # From now on a write of it may be refused for that, whatever the two are told.
        self._streams.losers.add(loser)
        self._begin(merging())

    def split(self, merge_id: str, *, thinks_s: float) -> None:
        async def splitting() -> None:
            # From the approval on it may be written again, also when its answer is lost.
            loser, _ = self._streams.merged.pop(merge_id, (None, 0.0))
            asked = await self._decided(
                lambda replica: replica.merging.split(merge_id, reason="two after all", actor="ann"), thinks_s
            )
            if asked is None and loser is not None:
                self._streams.unsure.add(loser)

        self._begin(splitting())

    async def _decided(self, ask: Any, thinks_s: float) -> Any:
        """What was asked for and approved; None where it was not, or nobody knows."""
        try:
            asked = await self._world.ask(ask, None)
            await asyncio.sleep(thinks_s)
            done = await self._world.ask(
                lambda replica: replica.merging.approve(
                    asked.id, evidence_hash=asked.evidence_hash, actor="bob"
                ),
                None,
            )
        except (Lost, GatewayError) as refused:
            self._world.trace.say("operator", f"no merge: {type(refused).__name__} {refused}")
            return None
        self._world.trace.say("operator", f"{done.kind} {done.loser} {done.winner}: {done.state}")
        return done

    # --- cases -------------------------------------------------------------------------------------------------

    def open_cases(self) -> list[Case]:
        return self._world.store.look(lambda conn: page(conn, Filter(state="open")))

    def decide(self, case: Case, which: int) -> None:
        """Decides a case in one of the ways that are offered and true."""
        offers = [one for one in case.offers if self._true(case, one)]
        if not offers:
            return
        resolution = offers[which % len(offers)]
        if resolution is Resolution.NOT_APPLIED_REFUSE:
            self._streams.refused_by_hand = True
        until = None
        if resolution is Resolution.ACCEPT_DIVERGENCE:
            until = to_micros(self._world.store.clock.now() + timedelta(days=30))
        people = ("ann", "bob") if needs_second(resolution, case.entity) else ("ann",)

        async def deciding() -> None:
            for person in people:
                decision = Decision(
                    case_id=case.id, resolution=resolution, reason="looked at", by=person, until=until
                )
                if not await self._asked(
                    lambda replica, one=decision: replica.cases.resolve(one), f"{person}: {resolution}"
                ):
                    return

        self._begin(deciding())

    def replay_all(self, history: History) -> None:
        """Has everything sent again that waits for a person at a mirror, if none of it is there already."""
        parked = [line for line in history.lines if line.state == "parked" and line.role == "mirror"]
        if not parked or any(self._there(line.system, line.operation) is not False for line in parked):
            return

        async def replaying() -> None:
            await self._asked(
                lambda replica: replica.replays.start(Narrowed(), actor="ann", reason="looked at"),
                "replays all",
            )

        self._begin(replaying())

    def _true(self, case: Case, resolution: Resolution) -> bool:
        if resolution is Resolution.DISMISS:
            return True
        there = self._there(case.system, case.operation_id)
        return there is True if resolution is Resolution.APPLIED else there is False and resolution in _ABSENT

    def _there(self, system: str | None, operation_id: str | None) -> bool | None:
        """Whether a system has the write; None while something may still land there."""
        world = self._world
        if system is None or operation_id is None or world.loop.time() <= world.weather[system].last_landing:
            return None
        marker = next(
            row["marker"]
            for row in world.store.rows("SELECT id, marker FROM operation")
            if row["id"] == operation_id
        )
        return any(one.system == system and one.marker == marker for one in world.effects)

    # --- how it is asked ---------------------------------------------------------------------------------------

    def _begin(self, act: Any) -> None:
        process = Process("operator")
        self._world.everybody.append(process)
        self._world.jobs.append(self._world.loop.spawn(process, act, "operator"))

    async def _asked(self, act: Any, what: str) -> bool:
        """Whether some replica did it."""
        try:
            await self._world.ask(act, None)
        except (Lost, GatewayError) as refused:
            self._world.trace.say("operator", f"{what}: {type(refused).__name__} {refused}")
            return False
        self._world.trace.say("operator", what)
        return True
