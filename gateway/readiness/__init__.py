"""Whether a slice may go on, and whether it can still go back, with the measure behind each word.

Every gate has a measure, a threshold, and the least evidence that it needs; it passes, fails or is *inconclusive*: too
little evidence is never a pass. A slice fails if a gate fails, is inconclusive if one is, and passes otherwise. What
the report does not look at yet it names as not measured. Two reports of the same moment carry the same figures, whether
they are read as JSON, a page, a table or a printed sheet.

``gates`` judges what is ``measured``, and is pure; ``facts`` measures in the journal; ``variants`` says which kinds of
records were seen and compared; ``report`` puts it together, ``signing`` says who answers for it, and ``sheet`` renders
it. ``guarding`` looks at the gates of slices that have moved, and goes back when a rule says so.
"""

from gateway.readiness.gates import Gate, Outcome
from gateway.readiness.guarding import Guarding, Watched
from gateway.readiness.report import Readiness, Report

__all__ = ["Gate", "Guarding", "Outcome", "Readiness", "Report", "Watched"]
