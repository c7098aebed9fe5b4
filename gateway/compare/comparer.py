"""Compares what the two sides hold: reads as they come, jobs when they are due. Off every caller's path."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

import msgspec
from sqlalchemy import Connection

from gateway.canonical import BY_NAME, Entity
from gateway.clock import Clock
from gateway.compare import jobs, store
from gateway.compare.conclusion import Scribe
from gateway.compare.difference import Diffs
from gateway.compare.look import ExpectOf, Eye, FactsOf, NeitherHasIt, NoAnswer
from gateway.compare.observation import CompareJob, ReadObservation, Result, Sides, Uncompared, samples
from gateway.compare.reads import Reads
from gateway.compare.tally import Tally
from gateway.compare.verdict import LookAgain, Settled, Sight, Verdict, Why, judge, may_be_late
from gateway.compare.waiver import Waiver, waived
from gateway.compare.waivers import in_force
from gateway.database import Database, GroupCommit
from gateway.errors import GatewayError
from gateway.ids import Ids

MICROS = 1_000_000
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

    ``confirmations``: later looks that must see the same before it is a mismatch. ``confirm_s``: how long a system that
    does not show our last write to it may only be late. ``busy``: asked before anything is begun; while it says yes,
    reads are shed and jobs wait.
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
        confirm_s: float = 300.0,
        confirmations: int = 1,
        most_changes: int = 3,
        sample_cap: int = 200,
        lease_s: float = 120.0,
        flush_s: float = 1.0,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        scribe = Scribe(clock=clock, ids=ids, key=key)
        eye = Eye(sides=sides, expect=expect, facts=facts, key=key)
        places = asyncio.Semaphore(concurrency)
        self._database = database
        self._sides = sides
        self._eye = eye
        self._scribe = scribe
        self._clock = clock
        self._key = key
        self._entities = entities
        self._concurrency = concurrency
        self._places = places
        self._settle = int(settle_s * MICROS)
        self._recheck = int(recheck_s * MICROS)
        self._confirm = int(confirm_s * MICROS)
        self._confirmations = confirmations
        self._most_changes = most_changes
        self._sample_cap = sample_cap
        self._lease_s = lease_s
        self._busy = busy
        self._endings: GroupCommit[_Put, bool] = GroupCommit(database, self._finish, lanes=1)
        self._reads = Reads(
            database=database,
            eye=eye,
            entities=entities,
            scribe=scribe,
            clock=clock,
            key=key,
            places=places,
            workers=concurrency,
            queue=queue,
            recheck=self._recheck,
            sample_cap=sample_cap,
            deadline_s=lease_s,
            flush_s=flush_s,
            busy=busy,
        )

    def observe(self, observation: ReadObservation) -> None:
        """Takes a read to be compared later. Costs next to nothing, never waits and never raises."""
        self._reads.observe(observation)

    @property
    def waiting(self) -> int:
        """Reads that wait to be compared."""
        return self._reads.waiting

    async def start(self) -> None:
        """Begins to compare reads. Jobs are begun by ``run_once``."""
        await self._reads.start()

    async def stop(self) -> None:
        """Sheds the reads that still wait, sees through what is under way, and writes what was counted."""
        await self._reads.stop()

    async def drained(self) -> None:
        """Returns when every read that was taken has been looked at, and what was counted is written."""
        await self._reads.drained()

    async def flush(self) -> None:
        """Writes what reads have counted since the last time."""
        await self._reads.flush()

    async def run_once(self, limit: int | None = None) -> int:
        """Takes due jobs and sees them through; how many they were. Safe to run twice, and anywhere at
        once."""
        if self._busy():
            return 0
        wanted = limit or self._concurrency * 4
        now, claimed, waivers = await self._database.transaction(lambda conn: self._claim(conn, wanted))
        started = self._clock.monotonic()
        ended = await asyncio.gather(
            *(self._run(job, now, started, waivers.get((job.entity, job.region), ())) for job in claimed),
            return_exceptions=True,
        )
        for raised in ended:
            if raised is not None:
                raise raised
        return len(claimed)

    def _claim(
        self, conn: Connection, limit: int
    ) -> tuple[int, list[CompareJob], Mapping[tuple[str, str], Sequence[Waiver]]]:
        now = self._database.now(conn)
        self._scribe.seen(now)
        claimed = jobs.claim(conn, now=now, lease=int(self._lease_s * MICROS), limit=limit)
        return now, claimed, in_force(conn, now) if claimed else {}

    async def _run(self, job: CompareJob, claimed_at: int, started: float, waivers: Sequence[Waiver]) -> None:
        async with self._places:
            passed = self._clock.monotonic() - started
            try:
                # What ends after the lease would be void: somebody else may hold the job by then.
                async with asyncio.timeout(max(0.0, self._lease_s - passed)):
                    put = await self._look(job, claimed_at + int(passed * MICROS), waivers)
            except NeitherHasIt:
                put = self._unanswered(job, Why.NO_RECORD)
            except (NoAnswer, GatewayError, TimeoutError):
                put = self._unanswered(job, Why.NO_ANSWER)
            except Exception:
                # One comparison that breaks may not end the others. It is counted, and it is not agreement.
                log.exception("a comparison failed", extra={"record": job.record_id})
                put = self._over(
                    job, Settled(verdict=Verdict.UNVERIFIABLE, why=Why.COMPARISON_FAILED), Diffs()
                )
        await self._endings.submit(put)

    async def _look(self, job: CompareJob, now: int, waivers: Sequence[Waiver]) -> _Put:
        before = await self._sides.fence(job.record_id)
        if not before.paired:
            return _Put(job=job)
        quiet_at = (before.quiet_since or 0) + self._settle
        if before.open_deliveries or quiet_at > now:
            return self._postponed(job, at_least=quiet_at - now)
        entity = self._entities[job.entity]
        seen = await self._eye.both(entity, job.authority, job.other, job.record_id, held=before.held)
        if await self._sides.fence(job.record_id) != before:
            return self._postponed(job)
        diffs = waived(seen.diffs, waivers, now=now, key=self._key)
        decision = judge(
            diffs,
            seen.sight,
            # What a waiver covers now has not gone since the look before, so nothing of it was late.
            _sight_of(job) if diffs.open or diffs is seen.diffs else None,
            changes=job.changes,
            wobbled=seen.wobbled,
            confirmations=self._confirmations,
            most_changes=self._most_changes,
        )
        delay = self._recheck
        if isinstance(decision, Settled):
            if decision.verdict is not Verdict.MISMATCH:
                return self._over(job, decision, diffs)
            again_at = may_be_late(await self._sides.unshown(job.record_id, seen.shown), self._confirm, now=now)
            if again_at is None:
                return self._over(job, decision, diffs)
            decision = LookAgain(sight=msgspec.structs.replace(seen.sight, stood=job.stood + 1), changes=job.changes)
            delay = max(delay, again_at - now)
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
                differences=samples(diffs.open, self._key),
            ),
            delay=delay,
        )

    def _postponed(self, job: CompareJob, at_least: int = 0) -> _Put:
        delay = max(at_least, jobs.backoff(self._settle, job.postponed))
        return _Put(job=msgspec.structs.replace(job, postponed=job.postponed + 1), delay=delay)

    def _unanswered(self, job: CompareJob, why: Why) -> _Put:
        if job.failures >= MOST_FAILURES:
            return self._over(job, Settled(verdict=Verdict.UNVERIFIABLE, why=why), Diffs())
        delay = jobs.backoff(self._recheck, job.failures)
        return _Put(job=msgspec.structs.replace(job, failures=job.failures + 1), delay=delay)

    def _over(self, job: CompareJob, settled: Settled, diffs: Diffs) -> _Put:
        return _Put(job=job, result=self._scribe.conclude(job, settled, diffs))

    def _finish(self, conn: Connection, puts: Sequence[_Put]) -> list[bool]:
        """Writes what became of jobs, each with its counts in the same commit. False: the job was
        overtaken."""
        now = self._database.now(conn)
        self._scribe.seen(now)
        today = self._scribe.today()
        tally = Tally()
        results: list[Result] = []
        taken: dict[str, bool] = {}
        ended = jobs.end(conn, [put.job for put in puts if put.delay is None])
        for put in sorted(puts, key=lambda put: put.job.record_id):
            job = put.job
            if put.delay is not None:
                taken[job.record_id] = jobs.put_back(
                    conn, msgspec.structs.replace(job, due_at=now + put.delay)
                )
                continue
            merged = ended.get(job.record_id)
            taken[job.record_id] = merged is not None
            if merged is None:
                continue
            day = today, job.entity, job.region
            if merged:
                tally.outcome(day, Uncompared.MERGED, merged)
            if put.result is None:
                tally.outcome(day, Uncompared.DROPPED)
            else:
                # In the order of these commits, in which a job has one holder at a time.
                results.append(msgspec.structs.replace(put.result, at=now))
        store.record(conn, results, tally, sample_cap=self._sample_cap)
        return [taken[put.job.record_id] for put in puts]


def _sight_of(job: CompareJob) -> Sight | None:
    """What the look before this one saw."""
    if job.fingerprint is None or job.sides is None:
        return None
    return Sight(fingerprint=job.fingerprint, sides=job.sides, stood=job.stood)
