"""What an ERP does to its clients on a bad day: it is gone for a while, or its answer is lost on the way."""

from __future__ import annotations

import time

import msgspec

from gateway.cli.demo.traffic import Traffic, Write
from gateway.cli.demo.walk import Walker
from gateway.cli.demo.wire import Api, Control, until

#: Writes that have to be accepted while the ERP is down, and the time that it is down at least.
ACCEPTED = 12
DOWN_S = 3.0
PATIENCE_S = 60.0


class Outage(msgspec.Struct, kw_only=True):
    system: str
    seconds: float
    accepted: int  #: writes that were answered 202 meanwhile
    drained: int  #: of these, applied by the ERP afterwards
    drain_s: float


class LostAnswers(msgspec.Struct, kw_only=True):
    """Answers that never came, by system, and how the gateway found out what had become of the writes."""

    system: str
    lost: int
    found_by_looking: int
    sent_once: bool  #: each of them was sent a single time


async def outage(control: Control, traffic: Traffic, walker: Walker, system: str) -> Outage:
    """The port refuses connections while the traffic goes on. Then it is back, and what was kept drains."""
    mark = len(traffic.writes)
    traffic.patience_s, traffic.reads_may_fail = 0, True
    fault = await control.arm(system, kind="outage")
    began = time.monotonic()

    def kept() -> list[Write]:
        return [
            write for write in traffic.writes[mark:] if write.status == 202 and write.entity == "time_entry"
        ]

    async def enough() -> bool | None:
        return (len(kept()) >= ACCEPTED and time.monotonic() - began >= DOWN_S) or None

    try:
        await until(enough, f"{ACCEPTED} writes accepted while {system} is down", PATIENCE_S)
    finally:
        await control.disarm(system, fault)
    seconds = time.monotonic() - began
    await traffic.turn()
    traffic.patience_s = 5
    drain_s = await walker.settled([write for write in traffic.writes[mark:] if write.status == 202])
    traffic.reads_may_fail = False
    return Outage(system=system, seconds=seconds, accepted=len(kept()), drained=0, drain_s=drain_s)


async def lost_answers(api: Api, control: Control, system: str, on: str, count: int) -> LostAnswers:
    """The ERP does what it was asked and its answer is lost; nothing may be sent again before somebody has looked."""
    before = {one["id"] for one in await _found(api, system)}
    fault = await control.arm(system, kind="answer_lost", entity=["time_entry"], on=[on], count=count)

    async def struck() -> bool | None:
        return (await control.hits(system, fault) >= count) or None

    await until(struck, f"{count} lost answers of {system}", PATIENCE_S)

    async def resolved() -> list[dict[str, object]] | None:
        found = [one for one in await _found(api, system) if one["id"] not in before]
        return found if len(found) >= count else None

    found = await until(resolved, f"{count} writes of unknown outcome to be found in {system}", PATIENCE_S)
    await control.disarm(system, fault)
    return LostAnswers(
        system=system,
        lost=count,
        found_by_looking=len(found),
        sent_once=all(one["attempt"] == 1 for one in found),
    )


async def _found(api: Api, system: str) -> list[dict[str, object]]:
    """Deliveries that were found applied by looking, not by an answer."""
    items = await api.every("/admin/v1/deliveries", system=system, entity="time_entry", state="applied")
    return [one for one in items if one["source"] == "probe"]
