"""A step of a feed: a page of what has changed in a system is read, judged and written, in one commit with the place
in the feed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection

from adapters.contract import Adapter, Found, Page, Query
from adapters.door import Urgency, urgent
from adapters.errors import NotFound, OutcomeUnknown, Rejected
from gateway.change_feed import asking, store, waits
from gateway.change_feed.judging import Judging
from gateway.change_feed.looking import MICROS, Looks, Pair, Side, State
from gateway.change_feed.store import Seen, Work
from gateway.crash import crash_point
from gateway.crosswalk.store import Link, link
from gateway.database import Database, from_micros, to_micros
from gateway.dispatch.records import Records
from gateway.ids import Ids
from gateway.ledger import journal, slices
from gateway.routing.plan import PLANS
from gateway.routing.ruleset import Ruleset
from gateway.routing.stage import System

#: Records of a page.
PAGE = 100
#: Seconds by which a pass goes back behind the place where the last one ended: clocks differ, lists lag, and a record
#: that changes while a list is paged through may be passed by.
OVERLAP_S = 120.0
#: Seconds until a record is looked at again that cannot be judged yet.
AGAIN_S = 1.0
#: The same where a person or another system has to do something first.
LATER_S = 30.0


class Steps:
    """``told`` hears when something is left to be sent."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        records: Records,
        looks: Looks,
        ruleset: Ruleset,
        ids: Ids,
        period_s: float,
        settle_s: float,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._records = records
        self._looks = looks
        self._ruleset = ruleset
        self._judging = Judging(ruleset=ruleset, ids=ids, settle_us=int(settle_s * MICROS))
        self._period_us = int(period_s * MICROS)
        self._told = told

    async def take(self, work: Work) -> Work:
        """One step. Raises Lost, and the errors of ``adapters.errors``."""
        now = await self._database.read(self._database.now)
        begins = work.pass_at if work.pass_at is not None else now
        mark, due = await self._database.read(
            lambda conn: (store.position(conn), waits.due(conn, work, now=now, limit=PAGE))
        )
        fresh_pass = work.pass_at is not None or work.passes_at <= now
        with urgent(Urgency.BACKFILL):
            page = await self._page(work) if fresh_pass else Page(items=())
            again, gone = await self._again(work, due)
        found = {one.native_id: one for one in (*again, *page.items)}
        ids, unlinked = await self._linked(work, found)
        state = await self._looks.state(sorted(ids), mark)
        step = _Step(work=work, state=state, counted=Counter())
        step.done = gone | {row.record_id for row in due if row.native_id in found}
        with urgent(Urgency.BACKFILL):
            await self._sort(step, {id_: found[native] for id_, native in ids.items()})

        def unit(connection: Connection) -> Work:
            step.begin()
            at = self._database.now(connection)
            written = self._write(connection, step, at=at)
            values = self._place(work, page, begins=begins, unlinked=unlinked) if fresh_pass else {}
            more = bool(values.get("page"))
            soon = at + int(AGAIN_S * MICROS) if waits.any_left(connection, work) else None
            passes_at = asking.next_pass(
                connection, work.key, begins if "read_at" in values else None, now=at, period=self._period_us
            )
            following = store.advance(
                connection,
                work,
                now=at,
                counted=step.commits,
                next_at=at if more else min(passes_at, soon or passes_at),
                failures=0,
                note=None,
                **{**values, "passes_at": passes_at},
            )
            crash_point("CP22")
            step.written = written
            return following

        following = await self._database.transaction(unit)
        if step.written:
            self._told()
        return following

    async def _page(self, work: Work) -> Page:
        adapter = self._adapters[work.system]
        where: dict[str, str | tuple[str, ...]] = {}
        if "legal_entity" in adapter.facts(work.entity).filters:
            companies = self._ruleset.region(work.region).legal_entities
            where["legal_entity"] = tuple(company.code for company in companies)
        since = from_micros(work.cursor_at) - timedelta(seconds=OVERLAP_S)
        return await adapter.search(
            work.entity, Query(where=where, updated_since=since, limit=PAGE, cursor=work.page)
        )

    def _place(self, work: Work, page: Page, *, begins: int, unlinked: int) -> dict[str, Any]:
        """How far the feed has come by this page."""
        stamps = [to_micros(one.modified_at) for one in page.items if one.modified_at is not None]
        newest = max([*stamps, work.newest or 0, work.cursor_at])
        alone = unlinked + (0 if work.page is None else work.unlinked)
        if page.next_cursor is not None:
            return {"page": page.next_cursor, "newest": newest, "pass_at": begins, "unlinked": alone}
        return {
            "page": None,
            "newest": None,
            "pass_at": None,
            "read_at": begins,
            "unlinked": alone,
            # A clock of the system that is ahead must not carry the feed past what is still to come.
            "cursor_at": max(work.cursor_at, min(newest, begins)),
        }

    async def _again(self, work: Work, due: Sequence[Any]) -> tuple[list[Found], set[str]]:
        """Records that are to be looked at again, and which of them are gone from the system and need no further look.
        One that cannot be read waits on, and holds up no other."""
        adapter = self._adapters[work.system]
        gone: set[str] = set()

        async def one(record_id: str, native_id: str) -> Found | None:
            try:
                return await adapter.fetch(work.entity, native_id)
            except NotFound:
                gone.add(record_id)
            except (OutcomeUnknown, Rejected):
                pass  # the feed shows it as waiting, with what it waited for before
            return None

        answers = await asyncio.gather(*(one(row.record_id, row.native_id) for row in due))
        return [found for found in answers if found is not None], gone

    async def _linked(self, work: Work, found: Mapping[str, Found]) -> tuple[dict[str, str], int]:
        """Record id -> native id, for those of this slice that both systems hold; and how many only this one does."""
        keys = [(work.system, work.entity, native) for native in found]
        # What is done to what a merge has left over is nobody's edit.
        known = {
            key: one.record_id for key, one in (await self._records.holders(keys)).items() if not one.retired
        }
        views = await self._records.views(known.values())
        linked: dict[str, str] = {}
        for (_, _, native), record_id in known.items():
            view = views.get(record_id)
            if view is None or view.region != work.region or view.merged_into is not None:
                continue
            if all(system.value in view.links for system in System):
                linked[record_id] = native
        others = sum(1 for view in views.values() if view.region != work.region)
        return linked, len(found) - len(linked) - others

    async def _sort(self, step: _Step, found: Mapping[str, Found]) -> None:
        """Tells echoes from edits. Of an edit, the other system's side is looked at as well."""
        state = step.state
        close: list[str] = []
        for record_id, one in sorted(found.items()):
            if record_id in state.restless:
                step.wait(record_id, one.native_id, "a write of ours is on its way")
                continue
            side = await self._looks.side(step.work.system, one, state.views[record_id], state)
            if side.known:
                step.finished.add(record_id)
            elif side.wait is not None:
                step.wait(record_id, one.native_id, side.wait)
            elif side.edits:
                close.append(record_id)
            else:
                step.echoes[record_id] = side
        pairs = await asyncio.gather(*(self._looks.pair(state.views[one], state) for one in close))
        for record_id, pair in zip(close, pairs, strict=True):
            if pair.wait is not None:
                step.wait(record_id, found[record_id].native_id, pair.wait, later=pair.gone)
            else:
                step.pairs[record_id] = pair

    # --- the commit ------------------------------------------------------------------------------------------------

    def _write(self, connection: Connection, step: _Step, *, at: int) -> int:
        work = step.work
        key = (work.entity, work.region)
        slices.lock_shared(connection, {key})
        slice_ = slices.read(connection, [key])[key]
        ids = sorted({*step.echoes, *step.pairs})
        rows = journal.records_for_update(connection, ids)
        journal.lanes_for_update(connection, ids)
        restless = store.moving(connection, ids)
        at_rest = PLANS[slice_.stage].mirror is not None
        if slice_.draining:
            # Behind a fence that waits for this feed, what is edited is of the epoch that drains; else it is for after.
            at_rest = at_rest and asking.drains(connection, work.key) == slice_.epoch
            slice_ = msgspec.structs.replace(slice_, epoch=slice_.epoch - 1)
        seen: list[Seen] = []
        for record_id, side in step.echoes.items():
            if self._moved(step, rows[record_id], restless):
                region = rows[record_id].region
                step.wait(record_id, side.native_id, "a write of ours came between", commit=True, region=region)
            else:
                seen.append(side.seen(record_id))
                step.commits["echoes"] += 1
                step.ended.add(record_id)
        sent = 0
        judged_now: list[Pair] = []
        for record_id, pair in step.pairs.items():
            native_id = pair.view.links[work.system].native_id
            if not at_rest:
                step.wait(record_id, native_id, "the authority is being moved", commit=True)
            elif self._moved(step, rows[record_id], restless):
                region = rows[record_id].region
                step.wait(record_id, native_id, "a write of ours came between", commit=True, region=region)
            else:
                judged_now.append(pair)
                step.ended.add(record_id)
        if judged_now:
            judged = self._judging.judge(connection, slice_, judged_now, rows, at=at)
            sent = judged.sent
            seen.extend(judged.seen)
            step.commits.update(judged.counted)
        store.keep_seen(connection, seen, now=at)
        step.commits["seen"] += len(step.ended)
        # What has been taken in is known: a write that is made on top of it is not stale.
        held = {(id_, system): one for id_ in ids for system, one in step.state.views[id_].links.items()}
        link(connection, self._links(step), at=at, known=held)
        due_at = at + int(AGAIN_S * MICROS)
        still = step.waits_now()
        waits.over(connection, work.system, sorted((step.done | step.finished | step.ended) - still.keys()))
        waits.add(connection, [one for one, later in still.values() if not later], now=at, due_at=due_at)
        late = at + int(LATER_S * MICROS)
        waits.add(connection, [one for one, later in still.values() if later], now=at, due_at=late, later=True)
        return sent

    @staticmethod
    def _links(step: _Step) -> list[Link]:
        sides = [(record_id, side) for record_id, side in step.echoes.items() if record_id in step.ended]
        sides += [
            (record_id, side)
            for record_id, pair in step.pairs.items()
            if record_id in step.ended
            for side in pair.sides.values()
        ]
        return [
            Link(
                record_id=record_id,
                system=side.system.value,
                entity=step.work.entity,
                native_id=side.native_id,
                native_version=side.version,
            )
            for record_id, side in sides
            if side.version is not None
        ]

    def _moved(self, step: _Step, row: Any, restless: frozenset[str]) -> bool:
        view = step.state.views[row.id]
        return (
            row.region != step.work.region
            or row.seq != view.seq
            or row.version != view.version
            or bool(row.open_writes)
            or row.merged_into is not None
            or row.id in restless
        )


class _Step:
    """What one step has found. The commit may be run again, so what it adds is kept apart and begun anew."""

    def __init__(self, *, work: Work, state: State, counted: Counter[str]) -> None:
        self.work = work
        self.state = state
        self.counted = counted
        self.commits: Counter[str] = Counter()
        self.done: set[str] = set()
        self.finished: set[str] = set()
        self.ended: set[str] = set()
        self.echoes: dict[str, Side] = {}
        self.pairs: dict[str, Pair] = {}
        self.written = 0
        self._waits: dict[str, tuple[dict[str, str], bool]] = {}
        self._late: dict[str, tuple[dict[str, str], bool]] = {}

    def begin(self) -> None:
        self.commits = Counter(self.counted)
        self.ended = set()
        self._late = {}

    def wait(
        self,
        record_id: str,
        native_id: str,
        why: str,
        *,
        later: bool = False,
        commit: bool = False,
        region: str | None = None,
    ) -> None:
        """``region``: where the record is by now, if that may be another slice than the feed's."""
        row = {
            "system": self.work.system,
            "record_id": record_id,
            "entity": self.work.entity,
            "region": region or self.work.region,
            "native_id": native_id,
            "why": why,
        }
        (self._late if commit else self._waits)[record_id] = (row, later)

    def waits_now(self) -> dict[str, tuple[dict[str, str], bool]]:
        return dict(sorted({**self._waits, **self._late}.items()))
