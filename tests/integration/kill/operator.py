"""An operator who moves the authority of a slice to the cloud and back while processes die of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence

import httpx

from tests.integration.kill.programs import Slot
from tests.integration.ledger.world import REGION

BETWEEN_MOVES_S = 10.0  #: while nobody is to die of one
POINTS = ("CP17", "CP18", "CP19", "CP20")  #: that a move comes to
#: What the operator does next.
_NEXT = {
    ("resource", "shadow"): "live",
    ("resource", "live"): "shadow",
    ("project", "dual_write"): "shadow",
    ("project", "shadow"): "dual_write",
}


class Operator:
    """Acts at the process that is to die of a move if there is one, and now and then where none is. What is refused, or
    gets no answer, is looked at and decided anew."""

    def __init__(
        self, http: httpx.AsyncClient, serving: Sequence[Slot], *, rng: random.Random, had: Counter[str]
    ) -> None:
        self._http = http
        self._serving = serving
        self._rng = rng
        self._had = had  #: counts the moves by how they ended
        self.fence_left = False  #: somebody has died behind a fence, and it is not old enough to be lifted
        self.hurried = False  #: moves follow each other
        self.refused: list[str] = []

    async def run(self) -> None:
        idle_until = 0.0
        while True:
            await asyncio.sleep(0.5)
            armed = next((one for one in self._serving if one.armed and one.armed[:4] in POINTS), None)
            if armed is None and not (self.fence_left or self.hurried) and time.monotonic() < idle_until:
                continue
            idle_until = time.monotonic() + BETWEEN_MOVES_S
            # A change that needs no fence comes to the last point as well.
            entity = "project" if armed is not None and str(armed.armed)[:4] == "CP20" else "resource"
            await self._move(entity, armed or self._rng.choice(self._serving))

    async def _move(self, entity: str, slot: Slot) -> None:
        try:
            rules = (await self._http.get(f"{slot.url}/admin/v1/rules")).json()["items"]
            now = next(one for one in rules if (one["entity"], one["region"]) == (entity, REGION))
            stage = _NEXT[entity, now["stage"]]
            body = {"stage": stage, "reason": "to and fro", "expected_version": now["version"]}
            answer = await self._http.put(
                f"{slot.url}/admin/v1/rules/{entity}/{REGION}", json=body, timeout=30
            )
        except (httpx.TransportError, KeyError):
            return  # it is gone, or has no database just now
        told = "moved" if answer.status_code == 200 else str(answer.json().get("title", answer.status_code))
        self._had[f"move: {told}"] += 1
        self.fence_left = answer.status_code == 422 and '"draining"' in answer.text
        if told != "moved":
            self.refused.append(answer.text)
        if answer.status_code == 422 and '"open_deliveries"' in answer.text:
            await self._send_again(entity, slot)

    async def _send_again(self, entity: str, slot: Slot) -> None:
        """What has come to wait for a person, as a process died of it too often, stands in the way of every move."""
        wish = {"entity": entity, "region": REGION, "reason": "the process that it killed is back"}
        try:
            await self._http.post(f"{slot.url}/admin/v1/deliveries/replay", json=wish, timeout=30)
        except httpx.TransportError:
            return  # the next refused move asks again
