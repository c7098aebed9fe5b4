"""Makes the result of a comparison, whichever way it came to its end. Pure but for the clock and the ids
given."""

from __future__ import annotations

from gateway.clock import Clock
from gateway.compare.difference import Diffs
from gateway.compare.observation import CompareJob, ReadObservation, Result, samples
from gateway.compare.verdict import Settled, Verdict, fingerprint
from gateway.database import from_micros, to_micros
from gateway.ids import DIFF, Ids

MICROS = 1_000_000


def job_of(seen: ReadObservation) -> CompareJob:
    """The job that a read becomes when it cannot be judged at once. ``due_at`` is set in the commit that
    keeps it."""
    return CompareJob(
        record_id=seen.record_id,
        entity=seen.entity,
        region=seen.region,
        authority=seen.authority,
        other=seen.other,
        stage=seen.stage,
        reason="read",
        seq=0,
        due_at=0,
    )


class Scribe:
    """Writes results out, with the ids and the key of this process, and at the time of the database as this process
    reckons it: what one process finds is over when another one, whose own clock is an hour behind, finds it gone."""

    def __init__(self, *, clock: Clock, ids: Ids, key: bytes) -> None:
        self._clock = clock
        self._ids = ids
        self._key = key
        self._seen: tuple[int, float] | None = None

    def seen(self, now: int) -> None:
        """The database's clock says so now, in microseconds UTC."""
        self._seen = now, self._clock.monotonic()

    def now(self) -> int:
        """What it says by now; this process's own clock as long as nobody has looked."""
        if self._seen is None:
            return to_micros(self._clock.now())
        now, then = self._seen
        return now + int((self._clock.monotonic() - then) * MICROS)

    def conclude(self, job: CompareJob, settled: Settled, diffs: Diffs) -> Result:
        now = self.now()
        # Of what was late, or can no longer be told, only the earlier look knows where the sides parted.
        earlier = settled.verdict is Verdict.LATE or not diffs.differences
        found = job.differences if earlier and settled.verdict is not Verdict.MATCH else ()
        finding = fingerprint(diffs.open or diffs.differences, self._key)
        return Result(
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
            fingerprint=f"{settled.why}:{finding}" if settled.why else finding,
            samples=found or samples(diffs.differences, self._key),
            not_compared=diffs.not_compared,
            at=now,
            day=self.today(),
        )

    def today(self) -> str:
        """The day that counts are kept under (UTC)."""
        return from_micros(self.now()).date().isoformat()
