"""Long work that is kept as a row and done in steps: reconciliations, repairs and backfills.

Words. A *run* is one piece of long work. A *lease* is for how long it is one worker's. A *token* rises with each claim.

How it goes. Whichever worker finds a run that is due takes it under a lease, renews that for as long as it works, and
lets go of it after a turn, so that others get theirs. A killed worker's lease runs out, and another goes on from the
last commit.

Laws. A step and how far the run has come are one commit, which is void when somebody else holds the run: the store of
each kind raises ``Lost`` then. What does not get better by waiting ends a run after a few failures in a row, with the
reason in its note; an outage never does.

What follows something without an end, as a change feed does, is no run; it holds its leases the same way (``holding``).

What it refuses. To know what a run is about: each kind brings its store and its step.
"""

from gateway.runs.leased import MOST_FAILURES, LeasedRuns, Lost, Over, holding

__all__ = ["MOST_FAILURES", "LeasedRuns", "Lost", "Over", "holding"]
