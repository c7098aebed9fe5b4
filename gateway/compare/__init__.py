"""Compares what the two systems hold: every read of a slice that compares reads, and every mirrored write.

Words. *Control* is the authority's document, *candidate* the other side's. A *difference* is one place where
they part; its *class* says in which way. A *look* is one comparison; a *verdict* is what looks come to:
match, explained, late, mismatch, unverifiable. An *observation* is a read that somebody got an answer to.

How it goes. A read is handed to ``Comparer.observe`` after its answer is known, and compared by workers
later. A mirrored write puts a job on the queue in the commit that settles it (``schedule``), due once the
record has been quiet for a while. A first inequality is only suspected: it becomes a job, and the next look
decides.

Laws. Comparing never delays or fails a caller: what there is no room for is shed, and counted. A pair is
judged only between two equal fences with no open delivery, so replication lag is never a mismatch. A field
that nobody looked at, a side that did not answer and a comparison that broke are never agreement. Money is
Decimal from end to end. Values of personal fields are stored as keyed hashes. Every observation ends in
exactly one count: a verdict, or shed, merged into another look, or dropped because its slice no longer keeps
two sides.

A *waiver* is what a person has accepted for a time; what it covers is explained, never agreement, and its records are
looked at again when it begins and when it ends.

Files. ``difference`` ``tolerance`` ``differ`` ``verdict`` ``waiver`` are pure; ``tables`` ``jobs`` ``store``
``queries`` ``waivers`` keep; ``tally`` counts in memory; ``look`` reads two sides; ``reads`` and ``comparer`` run it
all.
"""

from gateway.compare.comparer import Comparer
from gateway.compare.differ import diff
from gateway.compare.difference import Difference, DifferenceClass, Diffs, Stake, unresolved
from gateway.compare.jobs import schedule
from gateway.compare.observation import (
    CompareJob,
    Diff,
    Fence,
    FieldSummary,
    ReadObservation,
    Sample,
    Sides,
    SliceSummary,
    Uncompared,
)
from gateway.compare.verdict import Verdict, Why

__all__ = [
    "CompareJob",
    "Comparer",
    "Diff",
    "Difference",
    "DifferenceClass",
    "Diffs",
    "Fence",
    "FieldSummary",
    "ReadObservation",
    "Sample",
    "Sides",
    "SliceSummary",
    "Stake",
    "Uncompared",
    "Verdict",
    "Why",
    "diff",
    "schedule",
    "unresolved",
]
