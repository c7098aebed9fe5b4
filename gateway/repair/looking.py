"""What both systems show of records that a repair is about, and what follows from it. Reads the systems and the
journal, and writes nothing into either, but for links of records that these refer to and that are seen for the first
time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from adapters.contract import Adapter, Capability, Found
from adapters.door import Urgency, urgent
from adapters.errors import Unavailable
from gateway.backfill.looking import Bound, Looks
from gateway.backfill.looking import Seen as Matched
from gateway.backfill.run import places
from gateway.canonical import BY_NAME, Entity
from gateway.compare.differ import diff
from gateway.compare.difference import WHOLE_RECORD, DifferenceClass, Diffs, Document
from gateway.compare.look import Eye, NeitherHasIt, NoAnswer
from gateway.compare.observation import Held, Reading
from gateway.compare.verdict import may_be_late
from gateway.compare.waiver import Waiver, waived
from gateway.compare.waivers import in_force
from gateway.crosswalk.store import Link
from gateway.database import Database
from gateway.dispatch.present import overlay
from gateway.dispatch.records import Records, RecordView
from gateway.dispatch.sides import ErpSides
from gateway.dispatch.translate import expected, references
from gateway.reconcile.standing import Standing, standings
from gateway.repair import planning
from gateway.repair.planning import Decision, decided
from gateway.repair.run import Action, Repair

MICROS = 1_000_000
#: Failed steps in a row after which a record that a system does not answer for is told so, and the others go on.
PATIENCE = 2
GONE_BOTH = "neither system holds it any more"
NOT_CHOSEN = "how it parts now is not among what was chosen"


class Looked(msgspec.Struct, frozen=True, kw_only=True):
    """One record as it was seen. ``image``: what it is, where something is to be written or decided; ``seq``: the last
    write of its stream then; ``found``: what it is linked to; ``gone``: its link that leads nowhere any more;
    ``shown``: its link, with the version that the target has shown."""

    record_id: str
    decision: Decision
    image: Document = {}
    seq: int = 0
    found: Found | None = None
    gone: Link | None = None
    shown: Link | None = None


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal says when a look begins."""

    now: int
    standings: Mapping[str, Standing]
    waivers: Sequence[Waiver]


class _Pair(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at both sides has come to: a decision, or a document of the authority that the target lacks."""

    looked: Looked | None = None
    lacking: Document | None = None
    gone: Link | None = None
    calls: int = 0


class RepairLooks:
    """``reachable`` says of a system whether it may be called now."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        records: Records,
        sides: ErpSides,
        bounds: Mapping[str, Bound],
        reachable: Callable[[str], bool],
        settle_s: float,
        confirm_s: float,
        key: bytes,
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._records = records
        self._sides = sides
        self._eye = Eye(sides=sides, expect=sides.expect, facts=sides.facts, key=key)
        self._looks = Looks(database=database, adapters=adapters, records=records, bounds=bounds)
        self._bounds = bounds
        self._reachable = reachable
        self._settle = int(settle_s * MICROS)
        self._confirm = int(confirm_s * MICROS)
        self._key = key

    async def look(
        self, repair: Repair, record_ids: Sequence[str], *, failures: int
    ) -> tuple[dict[str, Looked], int]:
        """Each record as it is now with what is to be done about it, and how many calls that took. ``failures``: how
        often in a row that could not be said. Raises the errors of ``adapters.errors``."""
        views = await self._records.views(record_ids)
        known = await self._database.read(lambda conn: self._known(conn, repair, record_ids))
        found: dict[str, Looked] = {}
        rest: list[RecordView] = []
        for record_id in record_ids:
            view = views.get(record_id)
            why = GONE_BOTH if view is None else self._moves(view, known.standings[record_id], known.now)
            if view is None or why is not None:
                found[record_id] = Looked(record_id=record_id, decision=decided(Action.NOTHING, why))
            else:
                rest.append(view)
        room = asyncio.Semaphore(min(places(self._bounds[one].concurrency) for one in (repair.source, repair.target)))
        pairs = await asyncio.gather(*(self._pair(repair, view, known, room, failures) for view in rest))
        lacking: dict[str, dict[str, Any]] = {}
        gone: dict[str, Link] = {}
        for view, pair in zip(rest, pairs, strict=True):
            if pair.looked is not None:
                found[view.id] = pair.looked
            elif pair.lacking is not None:
                lacking[view.id] = dict(pair.lacking)
                if pair.gone is not None:
                    gone[view.id] = pair.gone
        calls = sum(pair.calls for pair in pairs)
        if lacking:
            with urgent(Urgency.BACKFILL):
                matched, more = await self._looks.look(repair, lacking, gone=gone)
            calls += more
            found.update((one.record_id, self._lacking(repair, one, gone.get(one.record_id))) for one in matched)
        return found, calls

    def _known(self, connection: Connection, repair: Repair, record_ids: Sequence[str]) -> _Known:
        now = self._database.now(connection)
        waivers = in_force(connection, now).get((repair.entity, repair.region), ())
        return _Known(now=now, standings=standings(connection, record_ids), waivers=list(waivers))

    def _moves(self, view: RecordView, standing: Standing, now: int) -> str | None:
        """Why nothing can be said of it, or is to be done about it, now."""
        if view.merged_into is not None:
            return f"it was merged into {view.merged_into}"
        if standing.case is not None or standing.parked is not None:
            return f"a person has it already: {standing.case or standing.parked}"
        if standing.moving or view.open_writes:
            return "a write of it is on its way"
        if standing.quiet_since + self._settle > now:
            return "it was written within the settle time"
        return None

    # --- one record ----------------------------------------------------------------------------------------------

    async def _pair(
        self, repair: Repair, view: RecordView, known: _Known, room: asyncio.Semaphore, failures: int
    ) -> _Pair:
        async with room:
            try:
                return await self._seen(repair, view, known)
            except NeitherHasIt:
                return self._is(view, decided(Action.NOTHING, GONE_BOTH))
            except NoAnswer as silent:
                systems = (repair.source, repair.target)
                if failures < PATIENCE or not all(self._reachable(system) for system in systems):
                    # An outage is waited for; what is wrong with one record alone does not hold up the others.
                    raise Unavailable(f"{view.id} could not be read: {silent}", system=repair.target) from silent
                return self._is(view, decided(Action.BLOCKED, f"it could not be read: {silent}"))

    async def _seen(self, repair: Repair, view: RecordView, known: _Known) -> _Pair:
        entity, here, there = BY_NAME[view.entity], view.links.get(repair.source), view.links.get(repair.target)
        # A side without a link is not asked by number here: whether it holds the record under another id is a match,
        # and a match is told and not made on the way.
        held = {
            system: Held(link.native_id, view.region)
            for system, link in ((repair.source, here), (repair.target, there))
            if link is not None
        }
        if here is None or there is None:
            return await self._one_side(repair, view, entity, held)
        seen = await self._eye.both(entity, repair.source, repair.target, view.id, held=held)
        calls = 3 if seen.diffs.open else 2
        diffs = waived(seen.diffs, known.waivers, now=known.now, key=self._key)
        whole = next((one for one in diffs.open if one.path == WHOLE_RECORD), None)
        if whole is None:
            unshown = await self._sides.unshown(view.id, seen.shown)
            if may_be_late(unshown, self._confirm, now=known.now) is not None:
                return self._is(view, decided(Action.NOTHING, "a system may not show our last write yet"), calls=calls)
            decision, image = await self._parts(repair, view, entity, diffs, seen.readings)
            shown = msgspec.structs.replace(there, native_version=seen.readings[repair.target].version)
            return self._is(view, decision, image, calls=calls, shown=shown)
        if whole.kind is DifferenceClass.EXTRA:
            return self._is(view, planning.only_there(repair.target, there.native_id), calls=calls)
        if whole.kind is DifferenceClass.MISSING:
            return _Pair(lacking=seen.readings[repair.source].document, gone=there, calls=calls)
        why = f"{repair.source} says: {whole.control}; {repair.target} says: {whole.candidate}"
        return self._is(view, decided(Action.BLOCKED, why), calls=calls)

    async def _one_side(
        self, repair: Repair, view: RecordView, entity: Entity, held: Mapping[str, Held]
    ) -> _Pair:
        """A record that has no id in one of the systems, or in both."""
        for system, one in held.items():
            shown = await self._eye.alone(entity, system, view.id, held=one)
            if shown is None:
                return self._is(view, decided(Action.NOTHING, GONE_BOTH), calls=1)
            if system == repair.source:
                return _Pair(lacking=shown, calls=1)
            return self._is(view, planning.only_there(repair.target, one.native_id), calls=1)
        return self._is(view, decided(Action.NOTHING, GONE_BOTH))

    @staticmethod
    def _is(
        view: RecordView,
        decision: Decision,
        image: Document | None = None,
        *,
        calls: int = 0,
        shown: Link | None = None,
    ) -> _Pair:
        looked = Looked(
            record_id=view.id, decision=decision, image=image or view.image or {}, seq=view.seq, shown=shown
        )
        return _Pair(looked=looked, calls=calls)

    async def _parts(
        self,
        repair: Repair,
        view: RecordView,
        entity: Entity,
        diffs: Diffs,
        readings: Mapping[str, Reading],
    ) -> tuple[Decision, Document]:
        """Both hold it: which fields the target is to get."""
        source, target = self._adapters[repair.source], self._adapters[repair.target]
        control, candidate = readings[repair.source].document, readings[repair.target].document
        image = overlay(
            entity,
            view.image,
            control,
            mapped=source.facts(entity.name).mapped,
            expect=lambda document: expected(source, entity, document),
        )
        decision = planning.update(
            entity,
            diffs.open,
            repair.chosen,
            (control, candidate),
            image,
            native_id=view.links[repair.target].native_id,
            offers=[capability.value for capability in target.facts(entity.name).capabilities],
            key=self._key,
        )
        if decision.action is Action.UPDATE:
            missing = await self._missing(entity, target, {name: image.get(name) for name in decision.fields})
            if missing is not None:
                return decided(Action.BLOCKED, missing, native_id=decision.native_id), image
        return decision, image

    async def _missing(self, entity: Entity, target: Adapter, written: Document) -> str | None:
        """The first record that these fields refer to and that the target does not hold."""
        named = [one for one in references(entity, written) if target.supports(one[1])]
        held = await self._records.native_ids(target.name, [record_id for _, _, record_id in named])
        return next(
            (
                f"{pointer}: {record_id} is not in {target.name}; repair {owner} first"
                for pointer, owner, record_id in named
                if record_id not in held
            ),
            None,
        )

    def _lacking(self, repair: Repair, one: Matched, gone: Link | None) -> Looked:
        """The target does not hold it, as far as its links go."""
        entity, target = BY_NAME[repair.entity], self._adapters[repair.target]
        facts = target.facts(entity.name)
        was = None if gone is None else gone.native_id
        if not planning.selected("missing", (), repair.chosen):
            decision = decided(Action.NOTHING, NOT_CHOSEN)
        elif one.present:
            decision = decided(Action.NOTHING, "linked meanwhile")
        elif one.unclear is not None:
            decision = decided(Action.AMBIGUOUS, one.unclear)
        elif one.found:
            decision = decided(Action.LINK, native_id=one.found[0].native_id)
        elif one.blocked is not None:
            decision = decided(Action.BLOCKED, one.blocked.replace("; backfill ", "; repair "))
        elif Capability.CREATE not in facts.capabilities:
            decision = decided(Action.BLOCKED, f"{target.name} does not offer to create {entity.collection}")
        else:
            named = frozenset(entity.policy.members(""))
            whole = diff(entity, one.image, {}, not_mapped=named - facts.mapped)
            decision = planning.create(whole.open, one.image, native_id=was, key=self._key)
        found = one.found[0] if decision.action is Action.LINK else None
        return Looked(
            record_id=one.record_id, decision=decision, image=one.image, seq=one.seq, found=found, gone=gone
        )
