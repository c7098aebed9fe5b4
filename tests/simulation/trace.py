"""A history to be read by a person: callers, systems and journal in one sequence."""

from __future__ import annotations

import msgspec

from gateway.database import from_micros
from tests.simulation.history import History
from tests.simulation.loop import BEGAN
from tests.simulation.world import World


def readable(world: World, history: History, only: str | None = None) -> str:
    """The lines of a history in the order of time. ``only``: those with this text, and those that have no record."""
    made = world.scenario
    lines: list[tuple[float, str, str]] = [
        (t, who, what) for t, who, what in world.trace.lines if not what.startswith("effect ")
    ]
    for effect in history.effects:
        op = next((op for op in history.operations.values() if op.marker == effect.marker), None)
        whose = "by hand" if op is None else f"{op.record} seq {op.seq} {op.id}"
        fields = msgspec.json.encode(effect.fields).decode()
        lines.append(
            (
                effect.t,
                effect.system,
                f"EFFECT {effect.place} {effect.kind} {effect.native_id} {whose} {fields[:200]}",
            )
        )
    for call in history.calls:
        op = next((op for op in history.operations.values() if op.marker == call.marker), None)
        whose = "" if op is None else f"{op.record} seq {op.seq}"
        lines.append((call.t, call.replica, f"calls {call.system} {call.kind} {whose} {call.fault}".rstrip()))
    for row in world.store.rows("SELECT * FROM operation_event ORDER BY position"):
        moment = (from_micros(row["at"]) - BEGAN).total_seconds()
        told = (row["event"], row["record_id"], row["operation_id"], row["delivery_id"], row["detail"])
        lines.append((moment, "journal", " ".join(str(one or "") for one in told)))
    for row in world.store.rows("SELECT * FROM late_outcome ORDER BY position"):
        moment = (from_micros(row["at"]) - BEGAN).total_seconds()
        told = f"LATE {row['delivery_id']} attempt {row['number']} {row['outcome']} {row['message']}"
        lines.append((moment, "journal", told))
    lines.sort(key=lambda line: line[0])
    head = [
        f"seed {made.seed}: {made.replicas} replicas, embedded {made.embedded}, rate {made.rate}",
        f"faults: {', '.join(sorted(made.faults))}",
        *(str(product) for product in made.products.values()),
        ", ".join(f"{entity} {stage}" for entity, stage in made.stages.items()),
    ]
    shown = [line for line in lines if only is None or only in line[2]]
    return "\n".join([*head, *(f"{t:10.4f} {who:9} {what}" for t, who, what in shown)])
