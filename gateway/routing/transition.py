"""Which move of a slice from stage to stage needs what, and which stages do not go together.

A move to a neighbour, forwards or back, is ordinary and has gates. Any other move leaves out a stage whose
evidence nobody then has, so it needs an override. A gate that was not measured does not pass.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from gateway.routing.cohort import plain
from gateway.routing.plan import PLANS
from gateway.routing.stage import Stage, System

#: Gate -> what is counted. A gate passes at 0.
GATES: Mapping[str, str] = {
    "open_deliveries": "deliveries of the slice that are not settled",
    "crosswalk": "records of the slice without an id in the system that takes over",
    "freeze": "windows in which no authority moves are open for the slice",
    "mapping": "fields that the mirror cannot take: required and not held there, or money that it would change",
}


class Move(msgspec.Struct, frozen=True):
    """An ordinary move. Positional on purpose: it is written once, as the table below."""

    moves_authority: bool
    gates: tuple[str, ...]


_LO, _DW, _SH = Stage.LEGACY_ONLY, Stage.DUAL_WRITE, Stage.SHADOW
_LI, _RD, _CO = Stage.LIVE, Stage.RAMP_DOWN, Stage.CLOUD_ONLY

# A mirror is let go only when it has everything that was meant for it: what is still on its way would be
# lost to it without a word. Authority changes hands only when both hold the same, and know the same records. Where
# a mirror begins, it must be able to hold what every write carries. While the books are being closed they stay where
# they are.
# fmt: off
TRANSITIONS: Mapping[tuple[Stage, Stage], Move] = {
    # from  to        moves_authority  gates
    (_LO, _DW): Move(False,           ("mapping",)),
    (_DW, _SH): Move(False,           ()),
    (_SH, _LI): Move(True,            ("open_deliveries", "crosswalk", "freeze")),
    (_LI, _RD): Move(False,           ()),
    (_RD, _CO): Move(False,           ("open_deliveries",)),
    # and back, the same table with the systems swapped
    (_CO, _RD): Move(False,           ("mapping",)),
    (_RD, _LI): Move(False,           ()),
    (_LI, _SH): Move(True,            ("open_deliveries", "crosswalk", "freeze")),
    (_SH, _DW): Move(False,           ()),
    (_DW, _LO): Move(False,           ("open_deliveries",)),
}
# fmt: on

#: Where an authority that does not answer may be left at once, and the stage that its slice has then: the mirror of the
#: one is the authority of the other. In ``cloud_only`` nobody else has the records, so there is no way.
EMERGENCIES: Mapping[Stage, Stage] = {
    _LI: _SH,
    _RD: _SH,
}

#: Entity -> the entities that its records cannot be without, in the order of dependency.
DEPENDS_ON: Mapping[str, tuple[str, ...]] = {
    "customer": (),
    "resource": (),
    "contract": ("customer",),
    "project": ("customer",),
    "time_entry": ("resource", "project"),
    "expense": ("resource", "project"),
    "invoice": ("customer", "contract", "project"),
    "payment": ("customer", "invoice"),
}


class GateFailure(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that stands against a move."""

    gate: str
    message: str
    measured: int | None = None


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """``entity`` would be led by another system than ``depends_on``, which it refers to and runs ahead of."""

    entity: str
    depends_on: str
    region: str
    message: str


def moves_authority(current: Stage, wanted: Stage) -> bool:
    """Whether another system answers after the move."""
    return PLANS[current].authority is not PLANS[wanted].authority


def leaves(current: Stage, wanted: Stage) -> System | None:
    """The system that the move puts second or lets go of; None: it does neither. What people edit in it themselves has
    to be in the other one before."""
    before, after = PLANS[current], PLANS[wanted]
    if before.authority is not after.authority:
        return before.authority
    return before.mirror if after.mirror is None else None


def is_fenced(current: Stage, wanted: Stage) -> bool:
    """Whether the move has to wait until open deliveries have ended, with writes held meanwhile."""
    return current is not wanted and "open_deliveries" in gates(current, wanted)


def gates(current: Stage, wanted: Stage) -> tuple[str, ...]:
    """The gates of the move; of a leap, those of every step that it leaves out."""
    named: dict[str, None] = {}
    for step in _steps(current, wanted):
        named.update(dict.fromkeys(TRANSITIONS[step].gates))
    return tuple(named)


def judge(current: Stage, wanted: Stage, facts: Mapping[str, int | None]) -> tuple[GateFailure, ...]:
    """What stands against the move. ``facts`` holds per gate how much stands open; absent or None means
    that it was not measured. An override is for the caller to weigh: here every failure is named."""
    if current is wanted:
        return ()
    found: list[GateFailure] = []
    steps = _steps(current, wanted)
    if len(steps) > 1:
        way = " → ".join([current, *(to for _, to in steps)])
        found.append(
            GateFailure(gate="neighbour", message=f"goes step by step, {way}; a leap needs an override")
        )
    for gate in gates(current, wanted):
        measured = facts.get(gate)
        if measured is None:
            found.append(GateFailure(gate=gate, message=f"not measured: {GATES[gate]}"))
        elif measured:
            found.append(GateFailure(gate=gate, message=f"{measured} {GATES[gate]}", measured=measured))
    return tuple(found)


def violations(stages: Mapping[tuple[str, str], Stage]) -> tuple[Violation, ...]:
    """Each place where an entity is led by the cloud while something that it refers to is led by legacy.
    ``stages`` is keyed by (entity, region); a slice that is absent is not judged. What a cohort has no slice of is led
    as its region's is."""
    found: list[Violation] = []
    for (entity, region), stage in stages.items():
        for needed in DEPENDS_ON[entity]:
            where = region if (needed, region) in stages else plain(region)
            other = stages.get((needed, where))
            # Ahead is later on the way; an authority behind is the ordinary case of a migration under way.
            if other is None or not moves_authority(other, stage) or stage.position < other.position:
                continue
            message = (
                f"{entity} in {region} would be {stage} while {needed}, which it refers to, is {other}"
                f"{'' if where == region else f' in {where}'}: move {needed} to live first"
            )
            found.append(Violation(entity=entity, depends_on=needed, region=region, message=message))
    return tuple(found)


def new_violations(
    stages: Mapping[tuple[str, str], Stage], entity: str, region: str, wanted: Stage
) -> tuple[Violation, ...]:
    """The violations that setting one slice to ``wanted`` would add to those that already stand."""
    standing = {(v.entity, v.depends_on, v.region) for v in violations(stages)}
    after = violations({**stages, (entity, region): wanted})
    return tuple(v for v in after if (v.entity, v.depends_on, v.region) not in standing)


def left_behind(
    stages: Mapping[tuple[str, str], Stage], entity: str, region: str, wanted: Stage
) -> tuple[str, ...]:
    """The entities that refer to this one and still write to a system that the move to ``wanted`` takes from it, in
    words: what is new in it would never be there, and they would wait for it."""
    current = stages[entity, region]
    gone = {PLANS[current].authority, PLANS[current].mirror} - {PLANS[wanted].authority, PLANS[wanted].mirror, None}
    found: list[str] = []
    for (name, place), other in stages.items():
        # What a cohort has no slice of is that of its region.
        where = place if (entity, place) in stages else plain(place)
        if where != region or entity not in DEPENDS_ON[name]:
            continue
        found.extend(
            f"{name} in {place} is {other} and still writes to {system}, which would get no new {entity} any more: "
            f"move {name} out of {system} first"
            for system in System
            if system in {PLANS[other].authority, PLANS[other].mirror} & gone
        )
    return tuple(found)


def _steps(current: Stage, wanted: Stage) -> tuple[tuple[Stage, Stage], ...]:
    order = tuple(Stage)
    start, end = current.position, wanted.position
    step = 1 if end > start else -1
    return tuple((order[i], order[i + step]) for i in range(start, end, step))
