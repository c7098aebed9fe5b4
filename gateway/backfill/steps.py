"""The steps of a run: a page of the source is counted, a chunk of it is brought, the whole is verified."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection

from adapters.contract import Adapter, Capability, Page, Query
from adapters.door import Urgency, urgent
from gateway.backfill import store
from gateway.backfill.bringing import Behalf, Bringing, bring
from gateway.backfill.looking import Bound, Looks, Seen
from gateway.backfill.run import Outcome, Run, rate
from gateway.backfill.store import Work
from gateway.backfill.tables import backfill_item
from gateway.canonical import BY_NAME
from gateway.compare.jobs import schedule
from gateway.compare.observation import CompareJob
from gateway.crash import crash_point
from gateway.crosswalk.store import Link, link, links_of
from gateway.database import Database
from gateway.dispatch.adoption import Adoption
from gateway.dispatch.prepare import found_link
from gateway.dispatch.records import Records
from gateway.errors import FieldError, Invalid
from gateway.ids import Ids
from gateway.ledger import journal, slices
from gateway.routing.plan import PLANS
from gateway.routing.ruleset import Ruleset
from gateway.runs import Over

MICROS = 1_000_000
#: Records of a chunk: small enough that a kill loses little, and that a watermark seldom drops a record.
CHUNK = 50
#: Records that are asked for at once where they are only counted.
PAGE = 200
#: Deliveries of a run that may be on their way when the next chunk is begun.
MOST_MOVING = 2 * CHUNK
#: Seconds until a run looks again that waits for deliveries, comparisons, or the end of a move of authority.
WAIT_S = 0.5
#: Calls that a delivery takes: the look before it, and the write.
CALLS_A_DELIVERY = 2


class Moved(Over):
    """The slice is not where it was when the run began, so the run may write nothing more."""


class Steps:
    """``bounds`` are the systems' limits; ``told`` hears when something is left to be sent."""

    def __init__(
        self,
        *,
        database: Database,
        adapters: Mapping[str, Adapter],
        adoption: Adoption,
        records: Records,
        ruleset: Ruleset,
        ids: Ids,
        bounds: Mapping[str, Bound],
        settle_s: float,
        told: Callable[[], None],
    ) -> None:
        self._database = database
        self._adapters = adapters
        self._adoption = adoption
        self._records = records
        self._looks = Looks(database=database, adapters=adapters, records=records, bounds=bounds)
        self._ruleset = ruleset
        self._ids = ids
        self._bounds = bounds
        self._settle_s = settle_s
        self._told = told

    def able(self, entity: str, source: str, target: str) -> None:
        """Raises Invalid, with the remedy, where the source cannot list or the target cannot take these records."""
        collection = BY_NAME[entity].collection
        for system, needed in ((source, Capability.SEARCH), (target, Capability.CREATE)):
            adapter = self._adapters.get(system)
            if adapter is None:
                message = f"{system} is not configured: set [systems.{system}] in the settings"
            elif not adapter.supports(entity):
                message = f"{system} ({adapter.product}) does not hold {collection}: its profile would have to map them"
            elif needed not in adapter.facts(entity).capabilities:
                message = f"{system} ({adapter.product}) does not offer to {needed.value} {collection}"
            else:
                continue
            raise Invalid(
                message, errors=[FieldError(pointer="/entity", code="not_offered", message=message)]
            )

    async def take(self, work: Work) -> Work | None:
        """The next step of a run, with how far it has come, in one commit; None at the end. Raises Moved, Lost, and the
        errors of ``adapters.errors``."""
        match work.run.phase:
            case "count":
                return await self._count(work)
            case "bring":
                return await self._bring(work)
            case _:
                return await self._verify(work)

    async def _count(self, work: Work) -> Work:
        page = await self._page(work, PAGE)
        values = {
            "total": work.run.total + len(page.items),
            "cursor": page.next_cursor,
            "phase": "count" if page.next_cursor else "bring",
        }
        return await self._kept(work, self._pace(work.run.source, 1), **values)

    async def _page(self, work: Work, limit: int) -> Page:
        adapter = self._adapters[work.run.source]
        where: dict[str, str | tuple[str, ...]] = {}
        if "legal_entity" in adapter.facts(work.run.entity).filters:
            companies = self._ruleset.region(work.run.region).legal_entities
            where["legal_entity"] = tuple(company.code for company in companies)
        with urgent(Urgency.BACKFILL):
            return await adapter.search(work.run.entity, Query(where=where, limit=limit, cursor=work.cursor))

    def _pace(self, system: str, calls: int) -> float:
        """Seconds that so many calls take at the rate that a backfill may have."""
        bound = self._bounds[system]
        return calls / rate(bound.requests_per_second, bound.concurrency)

    async def _kept(self, work: Work, wait_s: float, **values: object) -> Work:
        def unit(connection: Connection) -> Work:
            now = self._database.now(connection)
            return store.advance(
                connection,
                work,
                now=now,
                next_at=now + int(wait_s * MICROS),
                **{"failures": 0, "note": None, **values},
            )

        return await self._database.transaction(unit)

    # --- a chunk -------------------------------------------------------------------------------------------------

    async def _bring(self, work: Work) -> Work:
        run = work.run
        if await self._database.read(lambda conn: store.moving(conn, run)) > MOST_MOVING:
            return await self._kept(work, WAIT_S, note="waits until the target has taken what it was sent")
        lag = int(self._adapters[run.source].facts(run.entity).lag_s * MICROS)
        mark = await self._database.read(
            lambda conn: store.low_mark(conn, before=self._database.now(conn) - lag)
        )
        page = await self._page(work, CHUNK)
        with urgent(Urgency.BACKFILL):
            documents = dict(
                await self._adoption.documents(
                    self._adapters[run.source], run.entity, page.items, region=run.region
                )
            )
            fresh = await self._database.read(lambda conn: store.fresh(conn, run, sorted(documents)))
            seen, calls = await self._looks.look(run, {id_: documents[id_] for id_ in sorted(fresh)})
        linked: list[Link] = []

        def unit(connection: Connection) -> Work:
            linked.clear()
            now = self._check(connection, work)
            if now is None:
                later = self._database.now(connection) + int(WAIT_S * MICROS)
                return store.advance(
                    connection, work, now=later, next_at=later, note="waits for a move of authority"
                )
            counted = self._chunk(connection, work, seen, mark=mark, now=now, linked=linked)
            wait = self._pace(run.target, calls + CALLS_A_DELIVERY * counted[Outcome.CREATED])
            values = {one.value: getattr(run, one.value) + counted[one] for one in Outcome}
            done = page.next_cursor is None
            following = store.advance(
                connection,
                work,
                now=now,
                read=run.read + len(page.items),
                cursor=page.next_cursor,
                phase="verify" if done else "bring",
                state="verifying" if done else "running",
                next_at=now + int(wait * MICROS),
                failures=0,
                note=None,
                **values,
            )
            crash_point("CP21")
            return following

        following = await self._database.transaction(unit)
        self._records.remember(linked)
        self._told()
        return following

    def _check(self, connection: Connection, work: Work) -> int | None:
        """Now, with the slice held as it is; None while its authority moves."""
        run = work.run
        key = (run.entity, run.region)
        slices.lock_shared(connection, {key})
        slice_ = slices.read(connection, [key])[key]
        mirror = PLANS[slice_.stage].mirror
        if slice_.epoch != work.epoch or mirror is None or mirror.value != run.target:
            raise Moved(
                f"the slice has moved to {slice_.stage.value} since this began: start a backfill anew"
            )
        return None if slice_.draining else self._database.now(connection)

    def _chunk(
        self,
        connection: Connection,
        work: Work,
        seen: Sequence[Seen],
        *,
        mark: int,
        now: int,
        linked: list[Link],
    ) -> Counter[Outcome]:
        """Judges each record again under its lock, and writes what follows."""
        run = work.run
        ids = [one.record_id for one in seen]
        rows = journal.records_for_update(connection, ids)
        journal.lanes_for_update(connection, ids)
        open_ = {record_id for record_id, _ in journal.open_deliveries(connection, ids)}
        moved = store.moved_since(connection, ids, mark)
        held = links_of(connection, ids)
        outcomes: dict[str, tuple[Outcome, str | None]] = {}
        wanted: list[Bringing] = []
        fits: list[Link] = []
        due = float(now)
        for one in seen:
            row = rows[one.record_id]
            if (one.record_id, run.target) in held:
                outcomes[one.record_id] = (
                    (Outcome.PRESENT, None) if one.present else (Outcome.SUPERSEDED, "linked meanwhile")
                )
            elif one.record_id in open_ or one.record_id in moved or row.open_writes or row.seq != one.seq:
                outcomes[one.record_id] = (Outcome.SUPERSEDED, "superseded_by_live")
            elif one.unclear is not None:
                outcomes[one.record_id] = (Outcome.AMBIGUOUS, one.unclear)
                wanted.append(
                    Bringing(record_id=one.record_id, image=one.image, due_at=now, unclear=one.unclear)
                )
            elif one.found:
                outcomes[one.record_id] = (Outcome.LINKED, None)
                fits.append(found_link(self._adapters[run.target], run.entity, one.record_id, one.found[0]))
            elif one.blocked is not None:
                outcomes[one.record_id] = (Outcome.BLOCKED, one.blocked)
            else:
                outcomes[one.record_id] = (Outcome.CREATED, None)
                wanted.append(Bringing(record_id=one.record_id, image=one.image, due_at=int(due)))
                due += self._pace(run.target, CALLS_A_DELIVERY) * MICROS
        images = {one.record_id: one.image for one in seen}
        for lost in link(connection, fits, at=now):
            why = f"{run.target} has it as {lost.native_id}, which is another record's"
            outcomes[lost.record_id] = (Outcome.AMBIGUOUS, why)
            wanted.append(
                Bringing(record_id=lost.record_id, image=images[lost.record_id], due_at=now, unclear=why)
            )
        linked.extend(one for one in fits if outcomes[one.record_id][0] is Outcome.LINKED)
        behalf = Behalf(
            id=run.id, entity=run.entity, region=run.region, stage=run.stage, epoch=work.epoch, source=run.source,
            target=run.target, event="backfilled",
        )  # fmt: skip
        made = bring(connection, behalf, wanted, records=rows, ids=self._ids, at=now).deliveries
        journal.insert_rows(
            connection,
            backfill_item,
            [
                {
                    "run_id": run.id,
                    "record_id": record_id,
                    "outcome": outcome.value,
                    "delivery_id": next(iter(made.get(record_id, ())), None),
                    "why": why,
                }
                for record_id, (outcome, why) in outcomes.items()
            ],
        )
        self._compare(connection, run, rows, outcomes, now=now)
        return Counter(outcome for outcome, _ in outcomes.values())

    def _compare(
        self,
        connection: Connection,
        run: Run,
        rows: Mapping[str, object],
        outcomes: Mapping[str, tuple[Outcome, str | None]],
        *,
        now: int,
    ) -> None:
        """What is linked is compared; what is created is compared when the target has taken it."""
        schedule(
            connection,
            [
                CompareJob(
                    record_id=record_id,
                    entity=run.entity,
                    region=run.region,
                    authority=run.source,
                    other=run.target,
                    stage=run.stage,
                    seq=getattr(rows[record_id], "seq"),  # noqa: B009 - a row of the journal has no declared columns
                    due_at=now + int(self._settle_s * MICROS),
                    reason="read",
                )
                for record_id, (outcome, _) in sorted(outcomes.items())
                if outcome in (Outcome.LINKED, Outcome.PRESENT)
            ],
        )

    # --- the end -------------------------------------------------------------------------------------------------

    async def _verify(self, work: Work) -> Work | None:
        run = work.run
        moving, comparing = await self._database.read(
            lambda conn: (store.moving(conn, run), store.comparing(conn, run))
        )
        if moving or comparing:
            note = f"waits for {moving} deliveries and {comparing} comparisons"
            return await self._kept(work, WAIT_S, note=note)

        def unit(connection: Connection) -> None:
            now = self._database.now(connection)
            store.advance(
                connection,
                work,
                now=now,
                state="done",
                failed=store.failed(connection, run),
                differs=store.differing(connection, run),
                unlinked=store.unlinked(connection, run.entity, run.region, run.source, run.target),
                note=None,
                ended_at=now,
                lease_until=None,
            )

        await self._database.transaction(unit)
        return None
