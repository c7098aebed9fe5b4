"""The order of events: one slice there and back under live traffic, with everything that can go wrong on the way."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from gateway.cli.demo.checks import Books, Expectation, audit, first
from gateway.cli.demo.faults import LostAnswers, Outage, lost_answers, outage
from gateway.cli.demo.firm import REGION
from gateway.cli.demo.planted import IN_THE_CLOUD, IN_THE_LEGACY, Plant, Planter
from gateway.cli.demo.report import Outcome, Row, Teller, Verdict, verdict
from gateway.cli.demo.traffic import Traffic
from gateway.cli.demo.walk import Walker
from gateway.cli.demo.wire import Api, Control

#: The slice that goes all the way. Nothing refers to it, so it can be alone in one system.
SLICE = "time_entry"
#: What it refers to goes ahead, so that both systems hold it all the time.
MASTERS = ("customer", "resource", "project")
#: Compared beside it, led by the legacy ERP throughout.
BESIDE = ("expense", "invoice", "payment")
#: Requests that each stage sees at least, and its shortest time in seconds.
REQUESTS, DWELL_S = 25, 1.2


class Story:
    """Runs once. What it has seen stands in its fields, also when it breaks off."""

    def __init__(self, api: Api, control: Control, teller: Teller, *, seed: int) -> None:
        self._api = api
        self._control = control
        self._tell = teller
        self._seed = seed
        self.traffic = Traffic(api, seed=seed)
        self._walker = Walker(api, self.traffic)
        self._planter = Planter(api, control, self.traffic)
        self._compares: list[int] = []
        self._outage: Outage | None = None
        self._lost: list[LostAnswers] = []

    async def run(self) -> Outcome:
        try:
            await self._go()
            await self.traffic.stop()
            self.traffic.enter("")
            await self._walker.quiet()
        finally:
            await self.traffic.abandon()
        return await self._judge()

    # --- the way ---------------------------------------------------------------------------------------------

    async def _go(self) -> None:
        say = self._tell.say
        await self.traffic.begin()
        await self._planter.choose()
        self.traffic.start()
        await self._phase("legacy_only")
        say("live traffic runs; the legacy ERP alone answers")
        await self._dwell()

        await self._phase("dual_write")
        await self._masters_ahead()
        await self._walker.move(SLICE, "dual_write", "The cloud ERP is kept current from here on")
        for entity in BESIDE:
            await self._walker.move(entity, "dual_write", "The cloud ERP is kept current from here on")
        await self.traffic.turn()
        caught_up = await self._walker.catch_up(SLICE, *BESIDE)
        say(f"{SLICE} in dual_write: legacy answers, the cloud follows; {caught_up} older records caught up")
        for system, on in (("legacy", "create"), ("cloud", "writes")):
            lost = await lost_answers(self._api, self._control, system, on, 2)
            self._lost.append(lost)
            say(
                f"{lost.lost} answers of {system} lost on the way; the writes were looked up, and not sent again"
            )
        await self._dwell()

        await self._phase("shadow")
        for entity in (SLICE, *BESIDE):
            await self._walker.move(entity, "shadow", "Both hold the same; now every read is compared")
        say(f"{SLICE} in shadow: every read is compared")
        await self._plant()
        await self._dwell()
        self._outage = await outage(self._control, self.traffic, self._walker, "legacy")
        say(
            f"the legacy ERP was down for {self._outage.seconds:.1f} s: {self._outage.accepted} writes accepted "
            f"meanwhile, drained {self._outage.drain_s:.1f} s after"
        )

        await self._phase("live")
        move = await self._walker.move(SLICE, "live", "Nothing differs any more")
        say(f"{SLICE} in live: the cloud ERP answers; the switch took {move.seconds:.2f} s")
        await self._plant_reverse()
        await self._dwell()

        await self._phase("ramp_down")
        await self._walker.move(SLICE, "ramp_down", "The legacy ERP is only kept current")
        say(f"{SLICE} in ramp_down: the legacy ERP is kept current, and no longer compared")
        await self._dwell()

        # While the cloud is alone, entries are made and noted but not approved: catching up writes fields, and a
        # state of a record that the legacy ERP already holds would be left behind.
        self.traffic.plain = True
        await self.traffic.turn()
        await self._phase("cloud_only")
        await self._walker.move(SLICE, "cloud_only", "The legacy ERP is let go")
        say(f"{SLICE} in cloud_only: the cloud ERP is alone")
        await self._dwell()

        await self._phase("ramp_down, back")
        await self._walker.move(SLICE, "ramp_down", "The way back is opened")
        await self.traffic.turn()
        caught_up = await self._walker.catch_up(SLICE)
        self.traffic.plain = False
        say(f"{SLICE} back in ramp_down: {caught_up} records made meanwhile are carried to the legacy ERP")
        await self._dwell()

        await self._phase("live, back")
        await self._walker.move(SLICE, "live", "Compared once more, the other way round")
        await self._dwell()

        await self._phase("shadow, back")
        move = await self._walker.move(SLICE, "shadow", "The legacy ERP answers again")
        say(f"{SLICE} back in shadow: the legacy ERP answers again; the switch took {move.seconds:.2f} s")
        await self._dwell()

        await self._phase("dual_write, back")
        await self._walker.move(SLICE, "dual_write", "No longer compared")
        await self._dwell()

        await self._phase("legacy_only, back")
        await self._walker.move(SLICE, "legacy_only", "As it was in the beginning")
        say(f"{SLICE} back in legacy_only")
        await self._dwell()

    async def _masters_ahead(self) -> None:
        """Customers, resources and projects are brought to live first: a dependency gate asks for it."""
        for entity in MASTERS:
            await self._walker.move(entity, "dual_write", "Master data goes first")
        await self.traffic.turn()
        count = await self._walker.catch_up(*MASTERS)
        for stage, reason in (
            ("shadow", "Master data is compared"),
            ("live", "Master data is led by the cloud ERP"),
        ):
            for entity in MASTERS:
                await self._walker.move(entity, stage, reason)
        self._tell.say(f"{', '.join(MASTERS)} are live: the cloud ERP leads them ({count} records caught up)")

    async def _plant(self) -> None:
        plants = await self._planter.plant(IN_THE_CLOUD)
        plants += await self._planter.plant_by_write()
        self._tell.say(f"{len(plants)} differences planted in the cloud ERP, behind everyone's back")
        await self._planter.found(plants)
        self._tell.say(f"all {len(plants)} found, each as a mismatch of its own field")
        await self._planter.take_back(plants)

    async def _plant_reverse(self) -> None:
        plants = await self._planter.plant(IN_THE_LEGACY)
        await self._planter.found(plants)
        self._tell.say(f"{len(plants)} differences planted in the legacy ERP, and found from the other side")
        await self._planter.take_back(plants)

    async def _phase(self, name: str) -> None:
        self._compares.append(await self._compared())
        self.traffic.enter(name)

    async def _dwell(self) -> None:
        await self.traffic.dwell(REQUESTS, DWELL_S)

    async def _compared(self) -> int:
        items = (await self._api.get("/admin/v1/diffs/summary"))["items"]
        return sum(one["compares"] for one in items)

    # --- the end ---------------------------------------------------------------------------------------------

    async def _judge(self) -> Outcome:
        books = await audit(self._api, self._control, self.traffic)
        self._compares.append(await self._compared())
        reported = await self._planter.reported()
        plants = self._planter.plants
        planted = {one.record for one in plants}
        unplanned = {record: fields for record, fields in reported.items() if record not in planted}
        rule = await self._walker.rule(SLICE)
        assert self._outage is not None
        expectations = _expectations(
            self.traffic, plants, reported, unplanned, self._outage, self._lost, books, rule["stage"]
        )
        return Outcome(
            seed=self._seed,
            seconds=self._tell.seconds,
            entity=SLICE,
            region=REGION,
            phases=self._rows(books),
            moves=self._walker.moves,
            planted=plants,
            unplanned=unplanned,
            outage=self._outage,
            lost_answers=self._lost,
            books=books,
            reads_checked=self.traffic.checked,
            slices=await self._verdicts(),
            expectations=expectations,
            result="pass" if all(one.held for one in expectations) else "fail",
        )

    def _rows(self, books: Books) -> list[Row]:
        of_phase = {write.operation: write.phase for write in self.traffic.writes}
        rows: list[Row] = []
        for phase, (before, after) in zip(
            self.traffic.phases, itertools.pairwise(self._compares), strict=True
        ):
            here = [one for one in self._planter.plants if one.phase == phase.name]
            rows.append(
                Row(
                    phase=phase.name,
                    seconds=phase.ended - phase.began,
                    requests=phase.reads + phase.writes,
                    writes=phase.writes,
                    compares=after - before,
                    planted=len(here),
                    found=sum(one.found == one.fields for one in here),
                    held=sum(of_phase[operation] == phase.name for operation in books.held),
                    longest_wait_s=phase.longest_s,
                )
            )
        return rows

    async def _verdicts(self) -> list[Verdict]:
        summary = {
            (one["entity"], one["region"]): one
            for one in (await self._api.get("/admin/v1/diffs/summary"))["items"]
        }
        touched = (*MASTERS, SLICE, *BESIDE)
        return [
            verdict(one, summary.get((one["entity"], REGION)))
            for one in (await self._api.get("/admin/v1/readiness", region=REGION))["items"]
            if one["entity"] in touched
        ]


def _expectations(
    traffic: Traffic,
    plants: list[Plant],
    reported: dict[str, tuple[str, ...]],
    unplanned: dict[str, tuple[str, ...]],
    down: Outage,
    lost: list[LostAnswers],
    books: Books,
    stage: str,
) -> list[Expectation]:
    right = [one for one in plants if reported.get(one.record) == one.fields]
    wrong = [f"{one.what}: {reported.get(one.record)}" for one in plants if one not in right]
    strange = [f"{record}: {', '.join(fields)}" for record, fields in unplanned.items()]
    answered = {write.operation for write in traffic.writes}
    unfinished = [name for name in books.unsettled if name.split(" ")[0] in answered]
    down.drained = down.accepted if not unfinished else 0
    found = sum(one.found_by_looking for one in lost)
    return [
        _expect("the slice went there and back", stage == "legacy_only", f"{SLICE} in {REGION} is {stage}"),
        _expect(
            "each planted difference is found",
            not wrong,
            f"{len(right)} of {len(plants)}" + _and(first(wrong)),
        ),
        _expect(
            "none is counted that was not planted", not strange, f"{len(strange)}" + _and(first(strange))
        ),
        _expect(
            "an outage of the ERP that answers refuses no write",
            down.accepted > 0 and not unfinished,
            f"{down.accepted} accepted in {down.seconds:.1f} s, all applied {down.drain_s:.1f} s after it was back"
            + _and(first(unfinished)),
        ),
        _expect(
            "a lost answer is looked up, and not sent again",
            all(one.sent_once and one.found_by_looking >= one.lost for one in lost),
            f"{sum(one.lost for one in lost)} lost, {found} found by looking",
        ),
        _expect(
            "no write is lost",
            not books.lost and not books.unsettled,
            f"{len(answered)} answered writes; {books.applied['legacy']} applied in legacy, "
            f"{books.applied['cloud']} in the cloud, {books.superseded} overtaken by newer ones"
            + _and(first([*books.lost, *books.unsettled])),
        ),
        _expect(
            "no write is doubled",
            not books.doubled and not books.foreign,
            f"{books.effects['legacy']} and {books.effects['cloud']} effects, each marker once"
            + _and(first([*books.doubled, *books.foreign])),
        ),
        _expect(
            "every answer is as it should be",
            not traffic.unexpected,
            f"{sum(phase.reads + phase.writes for phase in traffic.phases)} requests, {traffic.checked} reads held "
            "against what was confirmed" + _and(first(traffic.unexpected)),
        ),
    ]


def _expect(name: str, held: bool, detail: str) -> Expectation:
    return Expectation(name=name, held=bool(held), detail=detail)


def _and(more: str) -> str:
    return f": {more}" if more else ""


async def watch(*checks: Callable[[], None]) -> None:
    """Ends by what one of ``checks`` raises: a process that has ended by itself, a client that broke."""
    while True:
        for check in checks:
            check()
        await asyncio.sleep(0.5)
