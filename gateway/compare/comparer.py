"""Runs the comparisons of one process: reads as they come, jobs when they are due. Off every caller's
path."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from gateway.canonical import BY_NAME, Entity
from gateway.clock import Clock
from gateway.compare import jobs, store
from gateway.compare.difference import Diffs
from gateway.compare.look import ExpectOf, Eye, FactsOf, NeitherHasIt, NoAnswer
from gateway.compare.observation import (
    CompareJob,
    ReadObservation,
    Result,
    Sample,
    Sides,
    Uncompared,
    samples,
)
from gateway.compare.tally import FieldKey, SliceDay, Tally, field_keys
from gateway.compare.verdict import (
    Settled,
    Sight,
    Verdict,
    Why,
    at_first_sight,
    fingerprint,
    judge,
)
from gateway.database import Database, GroupCommit, to_micros
from gateway.errors import GatewayError, StoreUnavailable
from gateway.ids import DIFF, Ids

MICROS = 1_000_000
#: The longest that a record which is never quiet, or a side that does not answer, waits between two looks.
LONGEST_WAIT_S = 60.0
#: How often a side may fail to answer before the comparison is given up as *unverifiable*.
MOST_FAILURES = 4

log = logging.getLogger("twinrun.compare")


class _Put(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written about one job: put back after ``delay``, or ended, with a result or as
    dropped."""

    job: CompareJob
    delay: int | None = None  #: microseconds
    result: Result | None = None


class Comparer:
    """``start()`` and ``stop()`` around the life of the process; ``observe`` for reads, ``run_once`` for
    jobs.

    ``confirmations``: later looks that must see the same before it is a mismatch. ``busy``: asked before
    anything is begun; while it says yes, reads are shed and jobs wait.
    """

    def __init__(
        self,
        *,
        database: Database,
        sides: Sides,
        expect: ExpectOf,
        facts: FactsOf,
        clock: Clock,
        ids: Ids,
        key: bytes,
        entities: Mapping[str, Entity] = BY_NAME,
        concurrency: int = 4,
        queue: int = 2_000,
        settle_s: float = 2.0,
        recheck_s: float = 3.0,
        confirmations: int = 1,
        most_changes: int = 3,
        sample_cap: int = 200,
        lease_s: float = 120.0,
        flush_s: float = 1.0,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._sides = sides
        self._eye = Eye(sides=sides, expect=expect, facts=facts, key=key)
        self._clock = clock
        self._ids = ids
        self._key = key
        self._entities = entities
        self._concurrency = concurrency
        self._queue: asyncio.Queue[ReadObservation] = asyncio.Queue(queue)
        self._settle = int(settle_s * MICROS)
        self._recheck = int(recheck_s * MICROS)
        self._confirmations = confirmations
        self._most_changes = most_changes
        self._sample_cap = sample_cap
        self._lease_s = lease_s
        self._flush_s = flush_s
        self._busy = busy
        self._places = asyncio.Semaphore(concurrency)
        self._suspicions: GroupCommit[CompareJob, None] = GroupCommit(database, self._schedule, lanes=1)
        self._endings: GroupCommit[_Put, bool] = GroupCommit(database, self._finish, lanes=1)
        self._tally = Tally()
        self._results: list[Result] = []
        self._kept: dict[FieldKey, int] = {}
        self._kept_day = ""
        self._flushing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    # --- reads ----------------------------------------------------------------------------------------------

    def observe(self, observation: ReadObservation) -> None:
        """Takes a read to be compared later. Costs next to nothing, never waits and never raises."""
        try:
            if not self._busy():
                self._queue.put_nowait(observation)
                return
        except asyncio.QueueFull:
            pass  # counted below: there is no room for it
        except Exception:
            log.exception("a read could not be taken for comparison")
        self._tally.outcome(self._day(observation), Uncompared.SHED)

    @property
    def waiting(self) -> int:
        """Reads that wait to be compared."""
        return self._queue.qsize()

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        self._tasks.append(asyncio.create_task(self._flush_now_and_then()))

    async def stop(self) -> None:
        """Ends the workers, counts what still waited as shed, and writes what was counted."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        while not self._queue.empty():
            self._tally.outcome(self._day(self._queue.get_nowait()), Uncompared.SHED)
        await self.flush()

    async def drained(self) -> None:
        """Returns when every read that was taken has been looked at and what was counted is written."""
        await self._queue.join()
        await self.flush()

    async def _work(self) -> None:
        while True:
            observation = await self._queue.get()
            try:
                async with self._places:
                    await self._compare_read(observation)
            except asyncio.CancelledError:
                self._tally.outcome(self._day(observation), Uncompared.SHED)
                raise
            except Exception:
                log.exception("a comparison failed", extra={"record": observation.record_id})
                self._unverifiable_read(observation, Why.COMPARISON_FAILED)
            finally:
                self._queue.task_done()

    async def _compare_read(self, seen: ReadObservation) -> None:
        entity = self._entities[seen.entity]
        try:
            async with asyncio.timeout(self._lease_s):
                diffs, sight = await self._eye.beside(
                    entity, seen.authority, seen.other, seen.record_id, seen.document
                )
        except (NoAnswer, NeitherHasIt, GatewayError, TimeoutError):
            await self._suspect(seen, failures=1)
            return
        settled = at_first_sight(diffs)
        if settled is None:
            await self._suspect(seen, sight=sight, found=samples(diffs.open, self._key))
            return
        day = self._day(seen)
        if settled.verdict is Verdict.MATCH:
            self._tally.outcome(day, Verdict.MATCH)
            self._tally.agreed[seen.record_id] = to_micros(self._clock.now())
            self._tally.not_compared(day, diffs.not_compared)
            return
        self._keep_or_count(self._read_result(seen, settled, diffs))

    def _unverifiable_read(self, seen: ReadObservation, why: Why) -> None:
        settled = Settled(verdict=Verdict.UNVERIFIABLE, why=why)
        self._keep_or_count(self._read_result(seen, settled, Diffs()))

    def _read_result(self, seen: ReadObservation, settled: Settled, diffs: Diffs) -> Result:
        now = self._clock.now()
        return Result(
            id=self._ids.new(DIFF),
            record_id=seen.record_id,
            entity=seen.entity,
            region=seen.region,
            verdict=settled.verdict,
            why=settled.why,
            authority=seen.authority,
            other=seen.other,
            stage=seen.stage,
            operation_id=None,
            origin="read",
            rechecks=0,
            fingerprint=self._fingerprint(settled, diffs),
            samples=samples(diffs.differences, self._key),
            not_compared=diffs.not_compared,
            at=to_micros(now),
            day=now.date().isoformat(),
        )

    def _keep_or_count(self, result: Result) -> None:
        """Keeps ``result`` as a sample for the next flush, while this process has few of its kind today; a
        product that loses something on every record would otherwise turn every read into a row."""
        if result.day != self._kept_day:
            self._kept, self._kept_day = {}, result.day
        keys = field_keys(result)
        if any(self._kept.get(key, 0) < self._sample_cap for key in keys):
            for key in keys:
                self._kept[key] = self._kept.get(key, 0) + 1
            self._results.append(result)
        else:
            self._tally.result(result)
            if result.verdict in store.SETTLING:
                self._tally.agreed[result.record_id] = result.at

    async def _suspect(
        self,
        seen: ReadObservation,
        *,
        failures: int = 0,
        sight: Sight | None = None,
        found: tuple[Sample, ...] = (),
    ) -> None:
        """A read that could not be judged becomes a durable job: the next look is taken behind the fence."""
        await self._suspicions.submit(
            CompareJob(
                record_id=seen.record_id,
                entity=seen.entity,
                region=seen.region,
                authority=seen.authority,
                other=seen.other,
                stage=seen.stage,
                reason="read",
                seq=0,
                due_at=0,  # set on the database's clock, in the commit
                failures=failures,
                attempt=0 if sight is None else 1,
                fingerprint=None if sight is None else sight.fingerprint,
                sides=None if sight is None else sight.sides,
                differences=found,
            )
        )

    def _schedule(self, conn: Connection, suspected: Sequence[CompareJob]) -> list[None]:
        now = self._database.now(conn)
        jobs.schedule(
            conn,
            [
                msgspec.structs.replace(job, due_at=now + self._backoff(self._recheck, job.failures))
                for job in suspected
            ],
        )
        return [None] * len(suspected)

    # --- jobs -----------------------------------------------------------------------------------------------

    async def run_once(self, limit: int | None = None) -> int:
        """Takes due jobs and sees them through; how many they were. Safe to run twice, and anywhere at
        once."""
        if self._busy():
            return 0
        wanted = limit or self._concurrency * 4
        now, claimed = await self._database.transaction(lambda conn: self._claim(conn, wanted))
        started = self._clock.monotonic()
        ended = await asyncio.gather(
            *(self._run(job, now, started) for job in claimed), return_exceptions=True
        )
        for raised in ended:
            if raised is not None:
                raise raised
        return len(claimed)

    def _claim(self, conn: Connection, limit: int) -> tuple[int, list[CompareJob]]:
        now = self._database.now(conn)
        return now, jobs.claim(conn, now=now, lease=int(self._lease_s * MICROS), limit=limit)

    async def _run(self, job: CompareJob, claimed_at: int, started: float) -> None:
        async with self._places:
            passed = self._clock.monotonic() - started
            try:
                # What ends after the lease would be void: somebody else may hold the job by then.
                async with asyncio.timeout(max(0.0, self._lease_s - passed)):
                    put = await self._look(job, claimed_at + int(passed * MICROS))
            except NeitherHasIt:
                put = self._unanswered(job, Why.NO_RECORD)
            except (NoAnswer, GatewayError, TimeoutError):
                put = self._unanswered(job, Why.NO_ANSWER)
            except Exception:
                log.exception("a comparison failed", extra={"record": job.record_id})
                put = self._over(
                    job, Settled(verdict=Verdict.UNVERIFIABLE, why=Why.COMPARISON_FAILED), Diffs()
                )
        await self._endings.submit(put)

    async def _look(self, job: CompareJob, now: int) -> _Put:
        before = await self._sides.fence(job.record_id)
        if not before.paired:
            return _Put(job=job)
        quiet_at = (before.quiet_since or 0) + self._settle
        if before.open_deliveries or quiet_at > now:
            return self._postponed(job, at_least=quiet_at - now)
        entity = self._entities[job.entity]
        seen = await self._eye.both(entity, job.authority, job.other, job.record_id)
        if await self._sides.fence(job.record_id) != before:
            return self._postponed(job)
        decision = judge(
            seen.diffs,
            seen.sight,
            _sight_of(job),
            changes=job.changes,
            wobbled=seen.wobbled,
            confirmations=self._confirmations,
            most_changes=self._most_changes,
        )
        if isinstance(decision, Settled):
            return self._over(job, decision, seen.diffs)
        return _Put(
            job=msgspec.structs.replace(
                job,
                attempt=job.attempt + 1,
                changes=decision.changes,
                failures=0,
                postponed=0,
                stood=decision.sight.stood,
                fingerprint=decision.sight.fingerprint,
                sides=decision.sight.sides,
                differences=samples(seen.diffs.open, self._key),
            ),
            delay=self._recheck,
        )

    def _postponed(self, job: CompareJob, at_least: int = 0) -> _Put:
        delay = max(at_least, self._backoff(self._settle, job.postponed))
        return _Put(job=msgspec.structs.replace(job, postponed=job.postponed + 1), delay=delay)

    def _unanswered(self, job: CompareJob, why: Why) -> _Put:
        if job.failures >= MOST_FAILURES:
            return self._over(job, Settled(verdict=Verdict.UNVERIFIABLE, why=why), Diffs())
        delay = self._backoff(self._recheck, job.failures)
        return _Put(job=msgspec.structs.replace(job, failures=job.failures + 1), delay=delay)

    def _over(self, job: CompareJob, settled: Settled, diffs: Diffs) -> _Put:
        now = self._clock.now()
        # Of what was late, or can no longer be told, only the earlier look knows where the sides parted.
        earlier = settled.verdict is Verdict.LATE or not diffs.differences
        found = job.differences if earlier and settled.verdict is not Verdict.MATCH else ()
        result = Result(
            id=self._ids.new(DIFF),
            record_id=job.record_id,
            entity=job.entity,
            region=job.region,
            verdict=settled.verdict,
            why=settled.why,
            authority=job.authority,
            other=job.other,
            stage=job.stage,
            operation_id=job.operation_id,
            origin=job.reason,
            rechecks=job.attempt,
            fingerprint=self._fingerprint(settled, diffs),
            samples=found or samples(diffs.differences, self._key),
            not_compared=diffs.not_compared,
            at=to_micros(now),
            day=now.date().isoformat(),
        )
        return _Put(job=job, result=result)

    def _finish(self, conn: Connection, puts: Sequence[_Put]) -> list[bool]:
        """Writes what became of jobs, each with its counts in the same commit. False: the job was
        overtaken."""
        now = self._database.now(conn)
        today = self._clock.now().date().isoformat()
        tally = Tally()
        results: list[Result] = []
        taken: dict[str, bool] = {}
        for put in sorted(puts, key=lambda put: put.job.record_id):
            job = put.job
            if put.delay is not None:
                taken[job.record_id] = jobs.put_back(
                    conn, msgspec.structs.replace(job, due_at=now + put.delay)
                )
                continue
            merged = jobs.end(conn, job)
            taken[job.record_id] = merged is not None
            if merged is None:
                continue
            day = today, job.entity, job.region
            if merged:
                tally.outcome(day, Uncompared.MERGED, merged)
            if put.result is None:
                tally.outcome(day, Uncompared.DROPPED)
            else:
                results.append(put.result)
        store.record(conn, results, tally, sample_cap=self._sample_cap)
        return [taken[put.job.record_id] for put in puts]

    # --- counts ---------------------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Writes what was counted since the last time. What cannot be written now is kept for the next."""
        async with self._flushing:
            tally, results = self._tally, self._results
            if not tally and not results:
                return
            self._tally, self._results = Tally(), []
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
                await self.flush()
            except StoreUnavailable:
                log.warning("counts of comparisons wait until the database can be reached")
            except Exception:
                log.exception("counts of comparisons could not be written")

    def _fingerprint(self, settled: Settled, diffs: Diffs) -> str:
        return (
            (settled.why or "")
            + ":" * bool(settled.why)
            + fingerprint(diffs.open or diffs.differences, self._key)
        )

    def _backoff(self, base: int, times: int) -> int:
        return min(base * 2 ** min(times, 10), int(LONGEST_WAIT_S * MICROS))

    def _day(self, seen: ReadObservation) -> SliceDay:
        return self._clock.now().date().isoformat(), seen.entity, seen.region


def _sight_of(job: CompareJob) -> Sight | None:
    """What the look before this one saw."""
    if job.fingerprint is None or job.sides is None:
        return None
    return Sight(fingerprint=job.fingerprint, sides=job.sides, stood=job.stood)
