"""Moves slices from stage to stage through the operations API, and catches a mirror up that was not there before."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from gateway.cli.demo.firm import NEUTRAL, REGION
from gateway.cli.demo.traffic import Owned, Traffic, Write
from gateway.cli.demo.wire import Api, Reply, Stopped, until

#: Stages in which a write goes to one system only.
ALONE = frozenset({"legacy_only", "cloud_only"})
#: A gate that counts what is under way passes as soon as that has ended.
MOVE_S = 45.0
SETTLE_S = 60.0
ENDED = frozenset({"settled", "rejected", "cancelled"})
#: What a move may wait for by trying again: it ends by itself.
PASSING = frozenset({"open_deliveries", "crosswalk"})
#: Records written once more at the same time.
AT_ONCE = 6


class Move(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a rule that was made."""

    entity: str
    stage: str
    seconds: float  #: from the first try to the end
    refusals: int  #: how often a gate held it back before


class Refused(Stopped):
    """A slice could not be moved."""


class Walker:
    def __init__(self, api: Api, traffic: Traffic) -> None:
        self._api = api
        self._traffic = traffic
        self.moves: list[Move] = []

    async def move(self, entity: str, stage: str, reason: str) -> Move:
        """Sets the stage. A gate that counts what is under way is tried again until it passes."""
        began = time.monotonic()
        refusals = 0

        async def tried() -> Reply | None:
            nonlocal refusals
            rule = await self.rule(entity)
            reply = await self._api.call(
                "PUT",
                f"/admin/v1/rules/{entity}/{REGION}",
                {"stage": stage, "reason": reason, "expected_version": rule["version"], "compare_sample": 1},
            )
            if reply.status == 200:
                return reply
            errors: list[dict[str, str]] = [] if reply.body is None else reply.body.get("errors") or []
            codes = {one["code"] for one in errors}
            if reply.status != 422 or not codes or not codes <= PASSING:
                raise Refused(f"{entity} to {stage}: {reply.status} {reply.body}")
            refusals += 1
            return None

        reply = await until(tried, f"{entity} in {stage}", MOVE_S)
        if reply.body["stage"] != stage:
            raise Refused(f"{entity} is {reply.body['stage']} after it was set to {stage}")
        done = Move(entity=entity, stage=stage, seconds=time.monotonic() - began, refusals=refusals)
        self.moves.append(done)
        return done

    async def rule(self, entity: str) -> Any:
        items = (await self._api.get("/admin/v1/rules"))["items"]
        return next(one for one in items if (one["entity"], one["region"]) == (entity, REGION))

    async def catch_up(self, *entities: str) -> int:
        """Writes once more, through the ledger, what was written while there was no mirror. Returns how many records.

        In the order of dependency, so that each finds what it refers to. Call it when no old story is being told.
        """
        count = 0
        for entity in entities:
            behind = self._behind(entity)
            mark = len(self._traffic.writes)
            places = asyncio.Semaphore(AT_ONCE)

            async def again(one: Owned, places: asyncio.Semaphore = places) -> None:
                name, value = ("note", one.body["note"]) if "note" in one.body else NEUTRAL[one.entity]
                async with places:
                    await self._traffic.patch(one, {name: value})

            await asyncio.gather(*(again(one) for one in behind))
            ids = {one.id for one in behind}
            await self.settled([write for write in self._traffic.writes[mark:] if write.record in ids])
            count += len(behind)
        return count

    def _behind(self, entity: str) -> list[Owned]:
        """Records whose last write went to one system only."""
        last = {write.record: write.stage for write in self._traffic.writes if write.entity == entity}
        return [self._traffic.owned[record] for record, stage in last.items() if stage in ALONE]

    async def settled(self, writes: list[Write], within_s: float = SETTLE_S) -> float:
        """Waits until every system that should have these writes has them. Returns how long it took."""
        began = time.monotonic()
        left = {write.operation for write in writes}

        async def none_left() -> bool | None:
            for operation in list(left):
                told = await self._api.get(f"/v1/operations/{operation}")
                if told["state"] not in ENDED:
                    return None
                left.discard(operation)
            return True

        await until(none_left, f"the end of {len(left)} operations", within_s)
        return time.monotonic() - began

    async def quiet(self) -> None:
        """Waits until nothing is under way anywhere."""

        async def nothing_open() -> bool | None:
            for state in ("blocked", "ready", "sending", "unknown"):
                if (await self._api.get("/admin/v1/deliveries", state=state, limit="1"))["items"]:
                    return None
            return True

        await until(nothing_open, "the end of every delivery", SETTLE_S)
