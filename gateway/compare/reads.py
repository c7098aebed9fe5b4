"""Compares reads after their answers are known: a bounded queue, a few workers, and counts in memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from gateway.canonical import Entity
from gateway.clock import Clock
from gateway.compare import jobs, store
from gateway.compare.conclusion import Scribe, job_of
from gateway.compare.difference import Diffs
from gateway.compare.look import Eye, NeitherHasIt, NoAnswer
from gateway.compare.observation import CompareJob, ReadObservation, Result, Uncompared, samples
from gateway.compare.tally import FieldKey, SliceDay, Tally, field_keys
from gateway.compare.verdict import Settled, Verdict, Why, at_first_sight
from gateway.compare.waiver import Waiver, is_waived, waived
from gateway.compare.waivers import GRACE, in_force
from gateway.database import Database, GroupCommit
from gateway.errors import GatewayError, StoreUnavailable

#: How long a comparison that is under way may take to end when the process stops.
STOP_S = 10.0
#: Waivers that were last read longer ago than this are not believed in: a job decides, which reads them itself.
BELIEVED_S = GRACE / 1_000_000 - 1.0

log = logging.getLogger("twinrun.compare")


class Reads:
    """Takes reads, compares them against the other side, and counts. What it cannot judge becomes a durable
    job."""

    def __init__(
        self,
        *,
        database: Database,
        eye: Eye,
        entities: Mapping[str, Entity],
        scribe: Scribe,
        clock: Clock,
        key: bytes,
        places: asyncio.Semaphore,
        workers: int,
        queue: int,
        recheck: int,
        sample_cap: int,
        deadline_s: float,
        flush_s: float,
        busy: Callable[[], bool],
    ) -> None:
        self._database = database
        self._eye = eye
        self._entities = entities
        self._scribe = scribe
        self._clock = clock
        self._key = key
        self._places = places
        self._workers = workers
        self._limit = queue
        self._queue: asyncio.Queue[ReadObservation | None] = asyncio.Queue()
        self._recheck = recheck
        self._sample_cap = sample_cap
        self._deadline_s = deadline_s
        self._flush_s = flush_s
        self._busy = busy
        self._suspicions: GroupCommit[CompareJob, None] = GroupCommit(database, self._schedule, lanes=1)
        self._tally = Tally()
        self._results: list[Result] = []
        self._kept: dict[FieldKey, int] = {}
        self._kept_day = ""
        #: records with a waived difference among the results that wait to be written
        self._waived: set[str] = set()
        self._waivers: Mapping[tuple[str, str], Sequence[Waiver]] = {}
        self._waivers_at = float("-inf")  #: when they were read, on the monotonic clock
        self._flushing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._flusher: asyncio.Task[None] | None = None

    def observe(self, observation: ReadObservation) -> None:
        """Takes a read to be compared later. Costs next to nothing, never waits and never raises."""
        try:
            if self._queue.qsize() < self._limit and not self._busy():
                self._queue.put_nowait(observation)
                return
        except Exception:
            # Comparing may not hurt the caller, whatever broke; the read is counted as shed.
            log.exception("a read could not be taken for comparison")
        self._tally.outcome(self._day(observation), Uncompared.SHED)

    @property
    def waiting(self) -> int:
        return self._queue.qsize()

    async def start(self) -> None:
        await self._look_at_waivers()
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._workers)]
        self._flusher = asyncio.create_task(self._flush_now_and_then())

    async def stop(self) -> None:
        """Sheds what still waits, lets what is under way come to its end, and writes what was counted."""
        while not self._queue.empty():
            left = self._queue.get_nowait()
            self._queue.task_done()
            if left is not None:
                self._tally.outcome(self._day(left), Uncompared.SHED)
        for _ in self._tasks:
            self._queue.put_nowait(None)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in (*self._tasks, self._flusher):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        self._tasks, self._flusher = [], None
        await self.flush()

    async def drained(self) -> None:
        """Returns when every read that was taken has been looked at, and what was counted is written."""
        await self._queue.join()
        await self.flush()

    async def _work(self) -> None:
        while (observation := await self._queue.get()) is not None:
            try:
                async with self._places:
                    await self._compare(observation)
            except asyncio.CancelledError:
                self._tally.outcome(self._day(observation), Uncompared.SHED)
                raise
            except Exception:
                # One comparison that breaks may not end the others. It is counted, and it is not agreement.
                log.exception("a comparison failed", extra={"record": observation.record_id})
                settled = Settled(verdict=Verdict.UNVERIFIABLE, why=Why.COMPARISON_FAILED)
                self._keep_or_count(self._scribe.conclude(job_of(observation), settled, Diffs()))
            finally:
                self._queue.task_done()
        self._queue.task_done()

    async def _compare(self, seen: ReadObservation) -> None:
        entity = self._entities[seen.entity]
        try:
            async with asyncio.timeout(self._deadline_s):
                diffs, sight = await self._eye.beside(
                    entity, seen.authority, seen.other, seen.record_id, seen.document, held=seen.held
                )
        except (NoAnswer, NeitherHasIt, GatewayError, TimeoutError):
            await self._suspicions.submit(msgspec.structs.replace(job_of(seen), failures=1))
            return
        diffs = waived(diffs, self._in_force(seen), now=self._scribe.now(), key=self._key)
        settled = at_first_sight(diffs)
        if settled is None:
            # The next look is taken behind the fence, and decides.
            suspected = msgspec.structs.replace(
                job_of(seen),
                attempt=1,
                fingerprint=None if sight is None else sight.fingerprint,
                sides=None if sight is None else sight.sides,
                differences=samples(diffs.open, self._key),
            )
            await self._suspicions.submit(suspected)
        elif settled.verdict is Verdict.MATCH:
            day = self._day(seen)
            self._tally.outcome(day, Verdict.MATCH)
            self._tally.agreed[seen.record_id] = self._scribe.now(), Verdict.MATCH
            self._tally.not_compared(day, diffs.not_compared)
        else:
            self._keep_or_count(self._scribe.conclude(job_of(seen), settled, diffs))

    def _schedule(self, conn: Connection, suspected: Sequence[CompareJob]) -> list[None]:
        now = self._database.now(conn)
        jobs.schedule(
            conn,
            [
                msgspec.structs.replace(job, due_at=now + jobs.backoff(self._recheck, job.failures))
                for job in suspected
            ],
        )
        return [None] * len(suspected)

    def _keep_or_count(self, result: Result) -> None:
        """Keeps ``result`` as a sample for the next flush, while this process has few of its kind today; a
        product that loses something on every record would otherwise turn every read into a row."""
        if result.day != self._kept_day:
            self._kept, self._kept_day = {}, result.day
        keys = field_keys(result)
        first_waived = is_waived(result) and result.record_id not in self._waived
        if first_waived or any(self._kept.get(key, 0) < self._sample_cap for key in keys):
            if first_waived:
                self._waived.add(result.record_id)
            for key in keys:
                self._kept[key] = self._kept.get(key, 0) + 1
            self._results.append(result)
        else:
            self._tally.result(result)
            if result.verdict in store.SETTLING:
                self._tally.agreed[result.record_id] = result.at, result.verdict

    async def flush(self) -> None:
        """Writes what was counted since the last time. What cannot be written now is kept for the next."""
        async with self._flushing:
            tally, results = self._tally, self._results
            if not tally and not results:
                return
            self._tally, self._results, self._waived = Tally(), [], set()
            try:
                await self._database.transaction(
                    lambda conn: store.record(conn, results, tally, sample_cap=self._sample_cap)
                )
            except Exception:
                self._tally.add(tally)
                self._results[:0] = results
                raise

    async def _flush_now_and_then(self) -> None:
        while True:
            await self._clock.sleep(self._flush_s)
            try:
                await self._look_at_waivers()
                await self.flush()
            except StoreUnavailable:
                log.warning("counts of comparisons wait until the database can be reached")
            except Exception:
                log.exception("counts of comparisons could not be written")

    async def _look_at_waivers(self) -> None:
        at = self._clock.monotonic()

        def unit(conn: Connection) -> Mapping[tuple[str, str], Sequence[Waiver]]:
            now = self._database.now(conn)
            self._scribe.seen(now)
            return in_force(conn, now)

        self._waivers = await self._database.read(unit)
        self._waivers_at = at

    def _in_force(self, seen: ReadObservation) -> Sequence[Waiver]:
        if self._clock.monotonic() - self._waivers_at > BELIEVED_S:
            return ()
        return self._waivers.get((seen.entity, seen.region), ())

    def _day(self, seen: ReadObservation) -> SliceDay:
        return self._scribe.today(), seen.entity, seen.region
