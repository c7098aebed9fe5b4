"""Whether what backfills and comparisons say is so, against what the two systems hold. Of a history that was looked at
closely: everything is at rest, and each slice with two systems has had a last backfill, which compares as well."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.backfill.run import Outcome
from tests.simulation.erp import MAPPED
from tests.simulation.history import Backfill, History

#: Something is wrong, and what it is about.
Wrong = tuple[str, tuple[str, ...]]
ON_THEIR_WAY = ("ready", "blocked", "sending", "unknown")
COMPARED = (Outcome.PRESENT, Outcome.LINKED, Outcome.CREATED)


def untrue(history: History) -> Iterator[Wrong]:
    for record in history.broken_comparisons:
        yield "a comparison broke", (record,)
    yield from _never_so(history)
    last = {run.entity: run for run in history.backfills if run.begun is not None}
    for entity, (epoch, authority, mirror) in history.slices.items():
        run = last.get(entity)
        if run is None or (run.state, run.epoch, run.source, run.target) != ("done", epoch, authority, mirror):
            continue
        yield from _complete(history, run)
        yield from _told_apart(history, run)


def _complete(history: History, run: Backfill) -> Iterator[Wrong]:
    """A run that was seen through has taken every record of its source, and counted what its target lacks."""
    there = history.holds[run.source][run.entity]
    linked = {native for (_, system), native in history.links.items() if system == run.source}
    unseen = sorted(set(there) - linked)
    if unseen:
        yield f"{run.source} holds {unseen}, which nobody has seen", (run.id,)
    # What a write of ours has made since is brought by its own delivery.
    since = {
        one.native_id
        for one in history.effects
        if (one.system, one.entity, one.kind) == (run.source, run.entity, "create") and one.t >= (run.begun or 0.0)
    }
    if run.read < len(there.keys() - since):
        yield f"{run.read} records were taken of {len(there)}, {len(since)} of them made since", (run.id,)
    coming = {
        line.record for line in history.lines if line.system == run.target and line.state in ON_THEIR_WAY
    }
    lacking = [
        record
        for record, kept in history.records.items()
        if kept.entity == run.entity
        and kept.merged_into is None
        and (record, run.source) in history.links
        and (record, run.target) not in history.links
        and record not in coming
    ]
    if run.unlinked != len(lacking):
        yield f"{run.unlinked} are told to be lacking in {run.target}, not {len(lacking)}", (run.id, *lacking)


def _told_apart(history: History, run: Backfill) -> Iterator[Wrong]:
    """A mismatch is told of a record exactly where its two sides differ."""
    moving = {line.record for line in history.lines if line.state in (*ON_THEIR_WAY, "parked")}
    told = {one.record: one.fields for one in history.mismatches if one.open}
    sides = run.source, run.target
    for record, outcome in sorted(run.items.items()):
        if history.meant(record) != record or record in moving or outcome not in COMPARED:
            continue
        if any((record, one) not in history.links for one in sides):
            continue
        differ = _differing(history, record, run.entity, sides)
        if bool(differ) != (record in told):
            what = f"the sides differ in {differ}, and what is told is {told.get(record, [])}"
            yield what, (record, outcome, run.id)


def _never_so(history: History) -> Iterator[Wrong]:
    """No mismatch is ever told of a record whose two sides got the same writes, however late one of them was."""
    edited = {(one.system, one.native_id) for one in history.effects if one.marker is None}
    # What a merge has moved had other writes before.
    without = {record for one in history.joined for record in (one.loser, one.winner)}
    for op in history.operations.values():
        if op.mirror is None or op.brought:
            without.add(op.record)
    for line in history.lines:
        if line.role == "mirror" and (line.state in ("skipped", "rejected", "parked") or line.code is not None):
            without.add(line.record)  # refused once, even where a later write has gone over it
    for one in history.mismatches:
        natives = {(system, history.links.get((one.record, system), "")) for system in ("legacy", "cloud")}
        born = any(op.record == one.record and op.kind == "create" for op in history.operations.values())
        if born and one.record not in without and not natives & edited:
            yield f"a mismatch in {one.fields} that never was", (one.record,)


def _differing(history: History, record: str, entity: str, sides: tuple[str, str]) -> list[str]:
    """Fields in which the two systems differ, but for numbers that one of them gives itself and names that it cuts."""
    canonical = {(system, native): history.meant(one) for (one, system), native in history.links.items()}

    def shown(system: str) -> dict[str, Any]:
        held = history.holds[system][entity].get(history.links[record, system], {})
        whole = {
            name: canonical.get((system, value), value) if name.endswith("_id") else value
            for name, value in held.items()
        }
        for side in sides:
            whole = history.products[side].kept(whole)
        return whole

    first, second = map(shown, sides)
    own_numbers = any(history.products[side].numbers for side in sides)
    return [
        name
        for name in sorted(MAPPED[entity])
        if not (name == "number" and own_numbers) and first.get(name) != second.get(name)
    ]
