"""What a draft of the rules would have meant for the writes of the last days: which slices would move, which
dependencies would break, and how many writes each system would have got.

Every accepted write stands in the journal with the stage and the authority that it was routed by, so nothing is
guessed: each is routed again by the draft. Reads leave no row and are not counted. Nothing is changed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec
from sqlalchemy import Connection, func, select

from gateway.access import within
from gateway.clock import rfc3339
from gateway.database import Database, from_micros
from gateway.dispatch.claim import MICROS
from gateway.errors import FieldError, Malformed, UnknownRegion
from gateway.ids import OPERATION, first_of
from gateway.ledger import slices
from gateway.ledger.tables import operation
from gateway.routing import transition
from gateway.routing.calendar import Calendar
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage, System

DAYS = 7
MOST_DAYS = 90

Key = tuple[str, str]


class SimulatedMove(msgspec.Struct, frozen=True, kw_only=True):
    """One slice that the draft moves. ``rerouted``: recorded writes that another system would have led."""

    entity: str
    region: str
    from_stage: Stage
    to_stage: Stage
    moves_authority: bool
    switches: bool  #: needs a switch: writes are held while it drains
    gates: tuple[str, ...]  #: what will be measured before it may move
    leap: bool  #: leaves out a stage, so it needs an override
    frozen: str | None  #: the window in which its authority may not move today, and its last day
    writes: int
    rerouted: int


class SimulatedBreak(msgspec.Struct, frozen=True, kw_only=True):
    """A dependency that the draft would break, and the recorded writes of the entity that would have run ahead."""

    entity: str
    depends_on: str
    region: str
    message: str
    writes: int


class SimulatedLoad(msgspec.Struct, frozen=True, kw_only=True):
    """Writes to one system: as they were routed, and as the draft would have routed them."""

    system: System
    first: int  #: as the authority
    then: int  #: as the mirror
    draft_first: int
    draft_then: int


class Simulated(msgspec.Struct, frozen=True, kw_only=True):
    """The draft against the writes accepted since then."""

    since: str
    days: int
    writes: int
    moves: tuple[SimulatedMove, ...]
    breaks: tuple[SimulatedBreak, ...]
    load: tuple[SimulatedLoad, ...]
    not_measured: tuple[str, ...] = ("reads",)


class Simulation:
    def __init__(self, *, database: Database, calendar: Calendar) -> None:
        self._database = database
        self._calendar = calendar

    async def run(
        self,
        draft: Mapping[Key, Stage],
        *,
        days: int = DAYS,
        regions: frozenset[str] | None = None,
        entities: frozenset[str] | None = None,
    ) -> Simulated:
        """``draft`` names the slices that would change; the others stay as they are. Raises UnknownRegion for a slice
        that no rule knows or the caller may not see, and Malformed for a number of days that is not kept."""
        if not 1 <= days <= MOST_DAYS:
            message = f"1 to {MOST_DAYS} days"
            raise Malformed(message, errors=[FieldError(pointer="/days", code="range", message=message)])

        def unit(connection: Connection) -> Simulated:
            now = self._database.now(connection)
            stages = {key: one.stage for key, one in slices.read(connection).items()}
            for number, (entity, region) in enumerate(draft):
                if (entity, region) not in stages or not within(entity, region, entities, regions):
                    message = f"no rule for {entity} in {region}"
                    pointer = f"/rules/{number}"
                    raise UnknownRegion(
                        message, errors=[FieldError(pointer=pointer, code="unknown_slice", message=message)]
                    )
            return _simulate(connection, stages, draft, calendar=self._calendar, now=now, days=days)

        return await self._database.read(unit)


def _simulate(
    connection: Connection,
    stages: Mapping[Key, Stage],
    draft: Mapping[Key, Stage],
    *,
    calendar: Calendar,
    now: int,
    days: int,
) -> Simulated:
    today = from_micros(now).date()
    since = now - days * 24 * 3600 * MICROS
    recorded: Counter[tuple[Key, Stage]] = Counter()
    for row in connection.execute(
        select(operation.c.entity, operation.c.region, operation.c.stage, func.count().label("writes"))
        .where(operation.c.id >= first_of(OPERATION, since))
        .group_by(operation.c.entity, operation.c.region, operation.c.stage)
    ):
        recorded[(row.entity, row.region), Stage(row.stage)] += row.writes
    after = {**stages, **draft}
    writes: Counter[Key] = Counter()
    rerouted: Counter[Key] = Counter()
    load: Counter[tuple[System, str]] = Counter()
    for (key, stage), count in recorded.items():
        plan, drafted = PLANS[stage], PLANS[after.get(key, stage)]
        writes[key] += count
        if plan.authority is not drafted.authority:
            rerouted[key] += count
        load[plan.authority, "first"] += count
        load[drafted.authority, "draft_first"] += count
        if plan.mirror is not None:
            load[plan.mirror, "then"] += count
        if drafted.mirror is not None:
            load[drafted.mirror, "draft_then"] += count
    standing = {(one.entity, one.depends_on, one.region) for one in transition.violations(stages)}
    return Simulated(
        since=rfc3339(from_micros(since)),
        days=days,
        writes=sum(writes.values()),
        moves=tuple(
            SimulatedMove(
                entity=key[0],
                region=key[1],
                from_stage=stages[key],
                to_stage=stage,
                moves_authority=transition.moves_authority(stages[key], stage),
                switches=transition.is_fenced(stages[key], stage),
                gates=transition.gates(stages[key], stage),
                leap=abs(stages[key].position - stage.position) > 1,
                frozen=calendar.frozen(*key, today) if transition.moves_authority(stages[key], stage) else None,
                writes=writes[key],
                rerouted=rerouted[key],
            )
            for key, stage in draft.items()
            if stages[key] is not stage
        ),
        breaks=tuple(
            SimulatedBreak(
                entity=one.entity,
                depends_on=one.depends_on,
                region=one.region,
                message=one.message,
                writes=writes[one.entity, one.region],
            )
            for one in transition.violations(after)
            if (one.entity, one.depends_on, one.region) not in standing
        ),
        load=tuple(
            SimulatedLoad(
                system=system,
                first=load[system, "first"],
                then=load[system, "then"],
                draft_first=load[system, "draft_first"],
                draft_then=load[system, "draft_then"],
            )
            for system in System
        ),
    )
