"""The judge of a history: what callers were told and what the journal says, against what the systems did.

The systems log their effects in order and every write has a marker of its own, so nothing is searched for and no
verdict is a guess. ``info`` (nobody knows) is never counted as a yes or a no. Each law is a function of the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import msgspec

from adapters.contract import Idempotency
from tests.simulation import evidence
from tests.simulation.history import History, Line, Op, Said, open_operations

#: An operation that its authority has applied.
APPLIED = ("committed", "settled", "attention")
#: Deliveries that nothing was ever made of.
WITHOUT_EFFECT = ("rejected", "superseded", "skipped", "blocked")
#: Seconds after a pause was heard of in which a request may still leave.
GRACE_S = 0.05


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One breach of a law, with the records, operations and events concerned."""

    law: str
    what: str
    concerns: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.law}: {self.what} [{', '.join(self.concerns)}]"


class Facts:
    """The history, indexed once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.by_marker: dict[str, Op] = {op.marker: op for op in history.operations.values()}
        self.effects: dict[tuple[str, str], list[Any]] = {}
        for effect in history.effects:
            if effect.marker is not None:
                self.effects.setdefault((effect.system, effect.marker), []).append(effect)
        self.lines: dict[str, list[Line]] = {}
        for line in history.lines:
            self.lines.setdefault(line.operation, []).append(line)
        self.by_request: dict[str, list[Op]] = {}
        for op in history.operations.values():
            if op.request is not None:
                self.by_request.setdefault(op.request.partition(".")[0], []).append(op)

    def of(self, line: Line) -> list[Any]:
        """The effects of a delivery."""
        return self.effects.get((line.system, self.history.operations[line.operation].marker), [])

    def kind(self, system: str) -> Idempotency:
        return self.history.products[system].idempotency


def check(history: History) -> list[Verdict]:
    """Every breach; none for a history that keeps the laws."""
    facts = Facts(history)
    return [verdict for law in LAWS for verdict in law(facts)]


def lost(facts: Facts) -> Iterator[Verdict]:
    """C1. What was acknowledged or accepted is applied, refused, or in a person's hands."""
    history = facts.history
    for said in history.said:
        if said.operation is not None and said.operation not in history.operations:
            yield Verdict(
                law="C1 lost",
                what=f"named in a {said.code} and not in the journal",
                concerns=(said.operation, f"request {said.request}.{said.attempt}"),
            )
    for op in open_operations(history):
        yield Verdict(
            law="C1 lost",
            what=f"in limbo: the operation is {op.state}, and nobody does anything about it",
            concerns=(
                op.id,
                op.record,
                *(f"{line.role} {line.state}" for line in facts.lines.get(op.id, ())),
            ),
        )
    for line in history.lines:
        if line.state in ("sending", "unknown"):
            yield Verdict(
                law="C1 lost", what=f"the delivery is {line.state} for ever", concerns=(line.id, line.record)
            )
        if line.state == "applied" and not (
            facts.of(line) or _by_content(facts, line) or _had_it(facts, line)
        ):
            yield Verdict(
                law="C1 lost",
                what=f"{line.role} delivery to {line.system} is applied and had no effect",
                concerns=(line.id, line.record, line.operation),
            )
    for op in history.operations.values():
        roles = [line.role for line in facts.lines.get(op.id, ())]
        if roles.count("authority") != 1 or (op.mirror is not None and roles.count("mirror") != 1):
            yield Verdict(law="C1 lost", what=f"its deliveries are {roles}", concerns=(op.id, op.record))
        if op.state in ("settled", "committed") and any(
            line.state == "parked" for line in facts.lines.get(op.id, ())
        ):
            yield Verdict(
                law="C1 lost",
                what=f"it is {op.state} and one of its deliveries is parked",
                concerns=(op.id, op.record),
            )


def _by_content(facts: Facts, line: Line) -> bool:
    """A system without markers: what the record shows was taken for the write's own effect."""
    return line.source == "probe" and not facts.history.products[line.system].keeps_marker


def _had_it(facts: Facts, line: Line) -> bool:
    """The authority of what a backfill has brought had it before."""
    return line.role == "authority" and facts.history.operations[line.operation].brought


def doubled(facts: Facts) -> Iterator[Verdict]:
    """C2. A delivery has at most one effect; on a system that offers nothing, at most one send that may have had. What
    is put where it is already is no effect; and where a system puts things at a key of ours, or a create has found by
    its unique number what it has made itself, the same values once more, over what somebody has written by hand
    meanwhile, are none either."""
    edits = [one for one in facts.history.effects if one.marker is None]
    for (system, marker), effects in facts.effects.items():
        op = facts.by_marker.get(marker)
        kind = facts.kind(system)
        makes = op is not None and op.kind == "create"
        if kind is Idempotency.B_EXTERNAL_ID or (kind is Idempotency.C_UNIQUE_KEY and makes):
            effects = _without_repeats(effects, edits)
        if len(effects) > 1:
            yield Verdict(
                law="C2 doubled",
                what=f"{len(effects)} effects of one write in {system} (class {kind.value})",
                concerns=(
                    marker,
                    "" if op is None else op.record,
                    *(f"effect {one.place}" for one in effects),
                ),
            )
    made: dict[tuple[str, str], set[str]] = {}
    for effect in facts.history.effects:
        op = facts.by_marker.get(effect.marker or "")
        # What a merge has moved was another record's before, and may be again.
        moved = any(effect.native_id == one.links.get(effect.system) for one in facts.history.joined)
        if op is not None and not moved:
            made.setdefault((op.record, effect.system), set()).add(effect.native_id)
    for (record, system), natives in made.items():
        if len(natives) > 1:
            yield Verdict(
                law="C2 doubled", what=f"{system} holds one record as {sorted(natives)}", concerns=(record,)
            )
    for line in facts.history.lines:
        # A person who has it sent once more has looked, and found that it is not there.
        most = 1 + facts.history.ordered.get(line.id, 0)
        if facts.kind(line.system) is Idempotency.E_NOTHING and line.maybe_sent > most:
            yield Verdict(
                law="C2 doubled",
                what=f"{line.maybe_sent} sends of unknown outcome to a system that cannot be asked",
                concerns=(line.id, line.record),
            )


def _without_repeats(effects: list[Any], edits: list[Any]) -> list[Any]:
    """The effects that are not the one before again, over an edit of the same record in between."""
    kept = effects[:1]
    for before, one in pairwise(effects):
        edited = any(
            before.place < edit.place < one.place
            and (edit.system, edit.native_id) == (one.system, one.native_id)
            for edit in edits
        )
        if not edited or one.fields != before.fields:
            kept.append(one)
    return kept


def reordered(facts: Facts) -> Iterator[Verdict]:
    """C3. In a lane effects come in the order of the writes; a lane's mark is the highest that was applied."""
    lanes: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for effect in facts.history.effects:
        op = facts.by_marker.get(effect.marker or "")
        if op is not None:
            lanes.setdefault((op.record, effect.system), []).append((effect.place, op.seq))
    for (record, system), done in lanes.items():
        seqs = [seq for _, seq in done]
        if seqs != sorted(seqs):
            yield Verdict(
                law="C3 reordered",
                what=f"{system} had writes in the order {seqs}",
                concerns=(record, *(f"effect {place}" for place, _ in done)),
            )
    applied: dict[tuple[str, str], int] = {}
    for line in facts.history.lines:
        if line.state == "applied":
            key = (line.record, line.system)
            applied[key] = max(applied.get(key, 0), line.seq)
    for key, seq in applied.items():
        if facts.history.lanes.get(key, seq) != seq:
            yield Verdict(
                law="C3 reordered",
                what=f"the lane is marked {facts.history.lanes[key]}, and {seq} was applied",
                concerns=key,
            )


def at_once(facts: Facts) -> Iterator[Verdict]:
    """C3. In a lane at most one mutating call is under way. Of one that its sender has given up, or was too late to
    hear the answer of, its deadline is the end: what may land after that is for the quarantine to wait out."""
    under_way: dict[tuple[str, str], tuple[float, Any]] = {}
    for call in facts.history.calls:
        op = facts.by_marker.get(call.marker or "")
        if op is None or call.kind not in ("create", "update", "transition") or call.ended is None:
            continue
        key = (op.record, call.system)
        until, before = under_way.get(key, (0.0, None))
        if before is not None and call.t < until:
            yield Verdict(
                law="C3 at once",
                what=f"{call.replica} called {call.system} at {call.t:.3f} while {before.replica} did to {until:.3f}",
                concerns=(op.record, op.id),
            )
        deadline = call.t + facts.history.products[call.system].timeout_s
        under_way[key] = (min(call.ended, deadline), call)


def phantom(facts: Facts) -> Iterator[Verdict]:
    """C4. Every effect with a marker is one delivery's that is applied, or of which nobody claims to know."""
    for (system, marker), effects in facts.effects.items():
        op = facts.by_marker.get(marker)
        at = f"effect {effects[0].place}"
        if op is None:
            yield Verdict(
                law="C4 phantom", what=f"{system} has a marker that nobody gave", concerns=(marker, at)
            )
            continue
        mine = [line for line in facts.lines.get(op.id, ()) if line.system == system]
        if len(mine) != 1:
            yield Verdict(
                law="C4 phantom",
                what=f"an effect in {system}, where it has {len(mine)} deliveries",
                concerns=(op.id, op.record, at),
            )
        elif mine[0].state in WITHOUT_EFFECT:
            yield Verdict(
                law="C4 phantom",
                what=f"{mine[0].role} delivery to {system} is {mine[0].state} and had an effect",
                concerns=(mine[0].id, op.record, at),
            )
        elif mine[0].role == "mirror":
            first = facts.effects.get((op.authority, marker))
            authority = next(one for one in facts.lines[op.id] if one.role == "authority")
            had_it = _had_it(facts, authority) or _by_content(facts, authority)
            if (first is None and not had_it) or (
                first is not None and first[0].place > effects[0].place
            ):
                yield Verdict(
                    law="C4 phantom",
                    what="the mirror had it before the authority",
                    concerns=(op.id, op.record, at),
                )


def out_of_time(facts: Facts) -> Iterator[Verdict]:
    """C5. What was answered before another was asked comes before it; a read shows at least the last answer."""
    operations = facts.history.operations
    answered: dict[str, tuple[int, str]] = {}  # record -> highest seq answered, its operation
    versions: dict[str, int] = {}
    begun: dict[int, tuple[int, str] | None] = {}
    read_at_least: dict[int, int] = {}
    for said in facts.history.said:
        if said.kind == "invoke":
            if said.action == "read":
                read_at_least[said.request] = versions.get(said.record or "", 0)
            elif said.request not in begun:
                begun[said.request] = answered.get(said.record or "")
        elif said.kind == "ok" and said.action == "read":
            least = read_at_least.get(said.request, 0)
            if said.version is not None and said.version < least:
                yield Verdict(
                    law="C5 real time",
                    what=f"a read shows version {said.version} after {least} was answered",
                    concerns=(str(said.record), f"request {said.request}"),
                )
        elif said.kind == "ok" and said.operation in operations:
            op = operations[said.operation]
            before = begun.get(said.request)
            if before is not None and before[0] >= op.seq:
                yield Verdict(
                    law="C5 real time",
                    what=f"write {op.seq} was asked for after {before[0]} was answered",
                    concerns=(op.record, op.id, before[1]),
                )
            if op.seq > answered.get(op.record, (0, ""))[0]:
                answered[op.record] = (op.seq, op.id)
            versions[op.record] = max(versions.get(op.record, 0), said.version or 0)


def untruthful(facts: Facts) -> Iterator[Verdict]:
    """C6. 200 and 201: the effect was there. A refusal: it caused none, then or later."""
    for said in facts.history.said:
        if said.action == "read" or said.kind == "invoke":
            continue
        concerns = (f"request {said.request}.{said.attempt}", str(said.record), str(said.operation))
        if said.kind == "ok" and said.operation in facts.history.operations:
            op = facts.history.operations[said.operation]
            effects = facts.effects.get((op.authority, op.marker), [])
            authority = [one for one in facts.lines.get(op.id, ()) if one.role == "authority"]
            if op.state not in APPLIED:
                yield Verdict(
                    law="C6 codes", what=f"{said.code}, and the operation is {op.state}", concerns=concerns
                )
            elif not any(one.place < said.effects for one in effects) and not (
                authority and _by_content(facts, authority[0])
            ):
                yield Verdict(
                    law="C6 codes",
                    what=f"{said.code} before {op.authority} had it",
                    concerns=(*concerns, op.id),
                )
        elif said.kind == "fail" and said.code is not None and said.problem != "TwinRunning":
            for op in _of_request(facts, said):
                if op.state in APPLIED or any(facts.of(line) for line in facts.lines.get(op.id, ())):
                    yield Verdict(
                        law="C6 codes",
                        what=f"{said.code} {said.problem}, and the operation is {op.state}",
                        concerns=(*concerns, op.id),
                    )
        if said.code is not None and said.code in (500, 502, 504):
            yield Verdict(law="C6 codes", what=f"a write was answered {said.code}", concerns=concerns)


def _of_request(facts: Facts, said: Said) -> list[Op]:
    """The operations of this very try; a refusal told again is its first try's."""
    own = f"{said.request}.{said.attempt}"
    mine = [op for op in facts.by_request.get(str(said.request), ()) if op.request == own]
    named = facts.history.operations.get(said.operation or "")
    return mine if named is None or named in mine else [*mine, named]


def replayed(facts: Facts) -> Iterator[Verdict]:
    """C7. One key, one operation; once it has ended, the same bytes each time."""
    first: dict[int, Said] = {}
    for said in facts.history.said:
        if said.key is None or said.kind != "ok":
            continue
        before = first.setdefault(said.request, said)
        if before.operation != said.operation:
            yield Verdict(
                law="C7 replay",
                what="one key, two operations",
                concerns=(f"request {said.request}", str(before.operation), str(said.operation)),
            )
        elif before.body != said.body or before.code != said.code:
            yield Verdict(
                law="C7 replay",
                what="the answer has changed",
                concerns=(f"request {said.request}", str(said.operation)),
            )
    keyed = {str(said.request) for said in facts.history.said if said.key is not None}
    for request, operations in facts.by_request.items():
        if request not in keyed:
            continue
        there = [op for op in operations if op.state != "cancelled"]
        if len(there) > 1:
            yield Verdict(
                law="C7 replay",
                what="one key was accepted twice",
                concerns=(f"request {request}", *(o.id for o in there)),
            )


def two_authorities(facts: Facts) -> Iterator[Verdict]:
    """C8. One authority in an epoch, and nothing of an old epoch in the old authority after the new one's first."""
    for entity in sorted({op.entity for op in facts.history.operations.values()}):
        spans: dict[int, list[tuple[int, Op]]] = {}
        for effect in facts.history.effects:
            op = facts.by_marker.get(effect.marker or "")
            # What an emergency met under way may land at the dead authority while another leads already.
            if (
                op is not None
                and op.entity == entity
                and effect.system == op.authority
                and op.id not in facts.history.stranded
            ):
                spans.setdefault(op.epoch, []).append((effect.place, op))
        latest: tuple[int, Op] | None = None
        for epoch in sorted(spans):
            systems = {op.authority for _, op in spans[epoch]}
            if len(systems) > 1:
                yield Verdict(
                    law="C8 authority",
                    what=f"{entity}: epoch {epoch} was led by {sorted(systems)}",
                    concerns=(),
                )
            first = min(spans[epoch], key=lambda one: one[0])
            if latest is not None and first[1].authority != latest[1].authority and first[0] < latest[0]:
                yield Verdict(
                    law="C8 authority",
                    what=f"{entity}: an effect of epoch {latest[1].epoch} after the first of epoch {epoch}",
                    concerns=(latest[1].id, first[1].id, f"effect {latest[0]}", f"effect {first[0]}"),
                )
            last = max(spans[epoch], key=lambda one: one[0])
            latest = last if latest is None or last[0] > latest[0] else latest
    for line in facts.history.lines:
        op = facts.history.operations[line.operation]
        if (
            line.system != (op.authority if line.role == "authority" else op.mirror)
            and line.state != "skipped"
        ):
            yield Verdict(
                law="C8 authority",
                what=f"a {line.role} delivery to {line.system} of an operation of {op.authority}",
                concerns=(line.id, op.id),
            )


def diverged(facts: Facts) -> Iterator[Verdict]:
    """C9. A record of which nothing is open and that nobody edited by hand reads the same everywhere."""
    history = facts.history
    edited = {(one.system, one.native_id) for one in history.effects if one.marker is None}
    by_record: dict[str, list[Line]] = {}
    for line in history.lines:
        by_record.setdefault(line.record, []).append(line)
    native = {(system, one): history.meant(record) for (record, system), one in history.links.items()}
    for record, lines in by_record.items():
        kept = history.records.get(record)
        if (
            kept is None
            or kept.image is None
            or kept.merged_into is not None
            or any(line.state in ("ready", "blocked", "sending", "unknown", "parked") for line in lines)
        ):
            continue
        ops = sorted(
            (op for op in (history.operations[line.operation] for line in lines) if op.state in APPLIED),
            key=lambda op: op.seq,
        )
        if not ops:
            continue
        systems = [ops[-1].authority]
        went_without = {line.operation for line in lines if line.role == "mirror" and line.state == "skipped"}
        # A mirror has everything if it was there from the first write on, or from one that brought the whole, and
        # nobody took it that it goes without one.
        whole = max((place for place, op in enumerate(ops) if op.brought), default=0)
        if all(op.mirror is not None and op.id not in went_without for op in ops[whole:]):
            systems.append(str(ops[-1].mirror))
        if any((system, history.links.get((record, system), "")) in edited for system in ("legacy", "cloud")):
            continue
        for system in systems:
            link = history.links.get((record, system))
            holds = history.holds.get(system, {}).get(kept.entity, {}).get(link or "")
            if holds is None:
                yield Verdict(
                    law="C9 diverged", what=f"{system} does not hold it", concerns=(record, str(link))
                )
                continue
            expected = _expected(facts, system, kept.entity, kept.image, holds)
            shown = {name: _canonical(native, system, name, value) for name, value in holds.items()}
            wrong = sorted(
                name for name in expected.keys() | shown.keys() if expected.get(name) != shown.get(name)
            )
            if wrong:
                told = "; ".join(f"{name}: {shown.get(name)!r}, not {expected.get(name)!r}" for name in wrong)
                yield Verdict(
                    law="C9 diverged",
                    what=f"{system} ({'authority' if system == systems[0] else 'mirror'}) holds {told}",
                    concerns=(record, str(link)),
                )


def _expected(
    facts: Facts, system: str, entity: str, image: dict[str, Any], holds: dict[str, Any]
) -> dict[str, Any]:
    from tests.simulation.erp import MAPPED

    product = facts.history.products[system]
    named = {
        n: facts.history.meant(v) if n.endswith("_id") else v
        for n, v in image.items()
        if n in MAPPED[entity] and v is not None
    }
    if "number" not in named and product.numbers and "number" in holds:
        named["number"] = holds["number"]  # its own, and nobody else's
    return product.kept(named)


def _canonical(native: dict[tuple[str, str], str], system: str, name: str, value: Any) -> Any:
    return native.get((system, value), value) if name.endswith("_id") else value


def numbered(facts: Facts) -> Iterator[Verdict]:
    """C10 numbers: no two records that were made through the gateway have one, and none is kept from others by a record
    that has no use for it."""
    history = facts.history
    holders: dict[tuple[str, str], str] = {}
    made = {op.record for op in history.operations.values() if op.kind == "create"}
    for record, kept in history.records.items():
        number = (kept.image or {}).get("number")
        if number is None or record not in made or kept.merged_into is not None:
            continue
        other = holders.setdefault((kept.entity, number), record)
        if other != record:
            yield Verdict(
                law="C10 numbers", what=f"two records have the number {number}", concerns=(other, record)
            )
    wanted = {
        (op.entity, op.change.get("number"), op.record)
        for op in history.operations.values()
        if op.state in ("accepted", "held", "unresolved", "stranded")
    }
    for (entity, number), record in history.numbers.items():
        kept = history.records.get(record)
        # What was seen for the first time, and only its number kept of it, has it by that alone.
        unread = kept is not None and kept.image is None and record not in made
        has = unread or (kept is not None and (kept.image or {}).get("number") == number)
        if not has and (entity, number, record) not in wanted:
            yield Verdict(
                law="C10 numbers",
                what=f"the number {number} is kept by a record that does not have it",
                concerns=(record,),
            )


def impatient(facts: Facts) -> Iterator[Verdict]:
    """C12. A system that asked for a pause is left alone by who heard it, and nobody is called without end."""
    history = facts.history
    paused: dict[tuple[str, str], tuple[float, float]] = {}
    writes = 0
    for call in history.calls:
        key = (call.replica, call.system)
        if call.kind in ("create", "update", "transition"):
            writes += 1
            asked = paused.get(key)
            if asked is not None and asked[0] + GRACE_S < call.t < asked[1]:
                yield Verdict(
                    law="C12 pressure",
                    what=f"{call.replica} called {call.system} at {call.t:.3f}, and was to wait until {asked[1]:.3f}",
                    concerns=(str(call.marker),),
                )
        if call.paused_until is not None and call.paused_until > 0 and call.fault == "throttled":
            until = max(call.paused_until, paused.get(key, (0.0, 0.0))[1])
            paused[key] = (call.t, until)
    most = 1.1 * len(history.lines) + 50 + history.elapsed_s / 10
    if writes > most:
        yield Verdict(
            law="C12 pressure", what=f"{writes} calls for {len(history.lines)} deliveries", concerns=()
        )


def untrue(facts: Facts) -> Iterator[Verdict]:
    """C15. What is told of differences, and of what a mirror lacks, is what the systems hold."""
    if facts.history.closely:
        for what, concerns in evidence.untrue(facts.history):
            yield Verdict(law="C15 evidence", what=what, concerns=concerns)


def own_faults(facts: Facts) -> Iterator[Verdict]:
    """The program logged no fault of its own."""
    for one in facts.history.own_faults:
        yield Verdict(
            law="own fault", what=one.strip().splitlines()[-1], concerns=(one.strip().splitlines()[0],)
        )


LAWS: tuple[Callable[[Facts], Iterator[Verdict]], ...] = (
    lost,
    doubled,
    reordered,
    at_once,
    phantom,
    out_of_time,
    untruthful,
    replayed,
    two_authorities,
    diverged,
    numbered,
    impatient,
    untrue,
    own_faults,
)
